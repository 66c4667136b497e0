"""Presence and selection of stays in a modality's rows, as `sources.rows` has them."""

from __future__ import annotations

from picme.sources.rows import present, take

__all__ = ["present", "take"]
