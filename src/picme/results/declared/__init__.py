"""The declarations of picme's own result tables, one module for each chapter of `docs/results.md`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from picme.results.declared import cohort, external, judging, missing, pretraining, scores, training, value

if TYPE_CHECKING:
    from picme.results.table import Table

CHAPTERS: dict[str, tuple[Table, ...]] = {
    "The cohort": cohort.TABLES,
    "Pretraining and alignment": pretraining.TABLES,
    "Scores": scores.TABLES,
    "Judging the models": judging.TABLES,
    "Value of the modalities": value.TABLES,
    "Missing modalities": missing.TABLES,
    "How it went": training.TABLES,
}
TABLES: dict[str, Table] = {each.name: each for tables in CHAPTERS.values() for each in tables}
EXTERNAL: dict[str, Table] = {each.name: each for each in external.TABLES}
"""The tables of an external validation, which are in a folder of their own."""
