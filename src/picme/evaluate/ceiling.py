"""The ceiling of a synthetic hospital: the score of the risk that generated its labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from picme.evaluate.folds import divided_cohort
from picme.metrics.classification import auroc
from picme.results.tables import table
from picme.tasks import build as build_task

if TYPE_CHECKING:
    from pathlib import Path

    from picme.engine.step import Context
    from picme.evaluate.step import Ceiling


def write_ceiling(step: Ceiling, folder: Path, context: Context) -> dict[str, Any]:
    """Write the AUROC of the true risk of each label on test stays, and of several labels their mean."""
    truth = pl.read_parquet(context.store.path(step.hospital) / "truth.parquet")
    rows: list[dict[str, Any]] = []
    for part in step.tasks:
        task = build_task(part.name, part.section)
        cohort = divided_cohort(step.folds, task.name, context.store).filter(pl.col("split") == "test")
        joined = cohort.join(truth, on="stay_id", how="inner", suffix="_risk")
        values = []
        for label in task.labels:
            if f"{label}_risk" in joined.columns:
                target = joined.get_column(label).cast(pl.Float64).to_numpy()
                values.append(auroc(target, joined.get_column(f"{label}_risk").to_numpy()))
                rows.append({"task": task.name, "label": label, "auroc": values[-1]})
        if len(values) > 1:
            known = [value for value in values if value == value]
            rows.append({"task": task.name, "label": "macro", "auroc": sum(known) / len(known) if known else None})
    table("ceiling").frame(rows).write_parquet(folder / "ceiling.parquet")
    return {}
