"""The predictions of a cell's fine-tunings gathered into one table and judged, and the cells of a task compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.evaluate.folds import divided_cohort
from picme.evaluate.predictions import Predictions, stays_by_split
from picme.evaluate.stored import load_result, save_result
from picme.evaluate.tables import Judge
from picme.evaluate.variants import variant_tables
from picme.results.tables import table
from picme.tasks import build as build_task

if TYPE_CHECKING:
    from pathlib import Path

    from picme.engine.step import Context
    from picme.engine.store import Store
    from picme.evaluate.predictions import CellPredictions
    from picme.evaluate.step import Evaluate, Score
    from picme.evaluate.tables import Rows
    from picme.finetune.step import Finetune


def score(step: Score, folder: Path, context: Context) -> dict[str, Any]:
    """Gather the predictions of one cell and judge them; no model is read."""
    store, task = context.store, build_task(step.task.name, step.task.section)
    by_fold = {fold.key: divided_cohort([fold], task.name, store) for fold in step.folds}
    frames = [_frame(one, by_fold[one.cell.prepare.key], task.labels, store) for one in step.finetuned]
    # A label that the models of one fold could not learn is known in none.
    unknown = pl.col("probability").is_null().any().over("seed", "label") & pl.lit(len(by_fold) > 1)
    gathered = pl.concat(frames).with_columns(probability=pl.when(unknown).then(None).otherwise(pl.col("probability")))
    gathered.write_parquet(folder / "predictions.parquet", compression="zstd")
    cohort = pl.concat(by_fold.values())
    placed = Predictions(gathered).task(task.name, cohort, step.draws)
    (cell,) = placed
    rows, result = Judge(cohort, placed.stays, step.settings).cell(cell, dict(task.types))
    save_result(result, folder / "result.npz")
    _write(rows, folder)
    return {}


def evaluate(step: Evaluate, folder: Path, context: Context) -> dict[str, Any]:
    """Choose among the cells of a task and compare them, by what was found of each."""
    store, task = context.store, build_task(step.task.name, step.task.section)
    by_fold = [divided_cohort([fold], task.name, store) for fold in step.cells[0].folds]
    cohort = pl.concat(by_fold)
    files = {tuple(one.cell.place.values())[1:]: store.path(one) for one in step.cells}

    def read(combination: str, strategy: str) -> CellPredictions:
        source = Predictions(files[combination, strategy] / "predictions.parquet")
        return source.task(task.name, cohort, step.cells[0].draws).cell(combination, strategy)

    results = [load_result(path / "result.npz") for path in files.values()]
    _write(Judge(cohort, stays_by_split(cohort), step.settings).task(results, read), folder)
    first = step.cells[0].folds[0].key
    own = [one for cell in step.cells for one in cell.finetuned if one.cell.prepare.key == first]
    for name, made in variant_tables(own, step.variants, by_fold[0], task.labels, store).items():
        made.write_parquet(folder / f"{name}.parquet")
    return {"cells": len(results)}


def _write(rows: Rows, folder: Path) -> None:
    for name, found in rows.items():
        table(name).frame(found).write_parquet(folder / f"{name}.parquet")


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
