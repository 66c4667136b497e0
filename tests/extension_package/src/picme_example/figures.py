"""A table in the report's chapter of scores: how far apart each cell's seeds are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from picme.report.blocks import Column, DataTable

if TYPE_CHECKING:
    from picme.report.facts import Tables


class Spread:
    """The standard deviation over seeds, the largest first."""

    chapter = "scores"

    @staticmethod
    def make(tables: Tables, config: dict[str, Any]) -> DataTable | None:
        """Return the table; None where the study has no scores yet or one seed alone."""
        if "summary" not in tables:
            return None
        rows = tables["summary"].drop_nulls("auroc_std").sort("auroc_std", descending=True)
        columns = [Column(name, lambda row, name=name: row[name]) for name in ("task", "combination", "strategy")]
        columns.append(Column("spread", lambda row: f"{row['auroc_std']:.3f}", numeric=True))
        rows = rows.select("task", "combination", "strategy", pl.col("auroc_std").round(6))
        return DataTable("spread", "Spread over the seeds", columns, rows) if rows.height else None
