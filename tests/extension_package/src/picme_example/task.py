"""Deterioration: vasopressors or ventilation after the first day, predicted from that day."""

from __future__ import annotations

from picme.tasks import Task

TASK = Task("deterioration", labels=("vasopressors", "ventilation"), hours=24)
