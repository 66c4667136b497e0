"""The predictions of all fine-tunings gathered into one table, and judged."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.evaluate.folds import divided_cohort
from picme.evaluate.tables import evaluate as judge
from picme.evaluate.variants import variant_tables
from picme.results.tables import table
from picme.tasks import build as build_task

if TYPE_CHECKING:
    from pathlib import Path

    from picme.engine.step import Context
    from picme.engine.store import Store
    from picme.evaluate.step import Evaluate
    from picme.finetune.step import Finetune


def evaluate(step: Evaluate, folder: Path, context: Context) -> dict[str, Any]:
    """Gather the predictions into one table and judge them; no model is read."""
    store = context.store
    tasks = {task.name: build_task(task.name, task.section) for task in step.tasks}
    cohorts = {name: divided_cohort(step.folds, name, store) for name in tasks}
    by_fold = {fold.key: {name: divided_cohort([fold], name, store) for name in tasks} for fold in step.folds}
    predictions = folder / "predictions"
    shutil.rmtree(predictions, ignore_errors=True)
    predictions.mkdir()
    cells: dict[tuple[str, ...], list[Finetune]] = {}
    for one in step.finetuned:
        cells.setdefault(tuple(one.cell.place.values()), []).append(one)
    for number, seeds in enumerate(cells.values()):
        name = seeds[0].cell.task.name
        frames = [_frame(one, by_fold[one.cell.prepare.key][name], tasks[name].labels, store) for one in seeds]
        # A label that the models of one fold could not learn is known in none.
        unknown = pl.col("probability").is_null().any().over("seed", "label") & pl.lit(len(step.folds) > 1)
        gathered = pl.concat(frames).with_columns(
            probability=pl.when(unknown).then(None).otherwise(pl.col("probability"))
        )
        gathered.write_parquet(predictions / f"{number:05d}.parquet", compression="zstd")
    types = {label: kind for task in tasks.values() for label, kind in task.types}
    found = judge(predictions, cohorts, step.settings, types, step.draws)
    first = step.folds[0].key
    own = [one for one in step.finetuned if one.cell.prepare.key == first]
    found |= variant_tables(own, step.variants, by_fold[first], tasks, store)
    for name, made in found.items():
        made.write_parquet(folder / f"{name}.parquet")
    return {"cells": len(cells)}


def _frame(one: Finetune, cohort: pl.DataFrame, labels: tuple[str, ...], store: Store) -> pl.DataFrame:
    """Return the predictions of one fine-tuning, one row for each stay and label."""
    targets = cohort.select(pl.col(name).cast(pl.Float64) for name in labels).to_numpy()
    named = {**one.cell.place, "seed": one.seed}
    parts = []
    with np.load(store.path(one) / "predictions.npz") as saved:
        for split in ("val", "test"):
            rows, values = saved[f"{split}_rows"], saved[split]
            n = len(rows)
            parts.append(
                pl.DataFrame(
                    {
                        "stay_id": np.repeat(cohort.get_column("stay_id").to_numpy()[rows], len(labels)),
                        "label": np.tile(np.array(labels), n),
                        "target": targets[rows].ravel(),
                        "probability": values.reshape(n, len(labels)).ravel(),
                    }
                ).with_columns(split=pl.lit(split), **{name: pl.lit(value) for name, value in named.items()})
            )
    # NaN marks what is unknown in arrays; tables have nulls.
    return table("predictions").conform(pl.concat(parts))
