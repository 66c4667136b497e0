"""In-hospital mortality from the first 48 hours in the ICU (Harutyunyan et al. 2019)."""

from __future__ import annotations

from picme.tasks import Task

TASK = Task("mortality", ("mortality",), hours=48)
