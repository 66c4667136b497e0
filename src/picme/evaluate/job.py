"""The evaluation of all fine-tunings: from their predictions to the tables of scores."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from picme.config.loading import validate
from picme.evaluate.tables import evaluate as judge
from picme.evaluate.variants import variant_tables
from picme.store import Store
from picme.tasks import build as build_task

COLUMNS = {
    "task": pl.String,
    "combination": pl.String,
    "strategy": pl.String,
    "seed": pl.Int64,
    "split": pl.String,
    "label": pl.String,
    "target": pl.Float64,
    "probability": pl.Float64,
}


def evaluate(
    run: str,
    config: dict[str, Any],
    key: str,
    prepared: str,
    cells: list[dict[str, Any]],
    variants: list[dict[str, Any]],
) -> None:
    """Gathers the predictions into one table and judges them; no model is read.

    Args:
        cells: the study's fine-tunings.
        variants: those with fewer labels or another order of the gate's steps, which have tables of their own.
    """
    study = validate(config)
    tasks = {name: build_task(name, section) for name, section in study.tasks.items()}
    cohorts = {name: pl.read_parquet(Path(prepared) / "views" / name / "cohort.parquet") for name in tasks}
    # Columns that own data names as groups are subgroups without being named again.
    named = dict.fromkeys([*study.evaluate.groups, *getattr(study.source, "groups", ())])
    settings = study.evaluate.model_copy(update={"groups": tuple(named)})
    with Store(Path(run)).create("evaluate", key, {"cells": len(cells)}) as folder:
        predictions = folder / "predictions"
        shutil.rmtree(predictions, ignore_errors=True)
        predictions.mkdir()
        groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        for cell in cells:
            groups.setdefault((cell["task"], cell["combination"], cell["strategy"]), []).append(cell)
        for number, ((task, _, _), group) in enumerate(groups.items()):
            frames = [_frame(cell, cohorts[task], tasks[task].labels) for cell in group]
            pl.concat(frames).write_parquet(predictions / f"{number:05d}.parquet", compression="zstd")
        types = {label: kind for task in tasks.values() for label, kind in task.types}
        for name, table in judge(predictions, cohorts, settings, types).items():
            table.write_parquet(folder / f"{name}.parquet")
        for name, table in variant_tables(cells, variants, cohorts, tasks).items():
            table.write_parquet(folder / f"{name}.parquet")


def _frame(cell: dict[str, Any], cohort: pl.DataFrame, labels: tuple[str, ...]) -> pl.DataFrame:
    """Predictions of one fine-tuning, one row for each stay and label."""
    targets = cohort.select(pl.col(name).cast(pl.Float64) for name in labels).to_numpy()
    parts = []
    with np.load(Path(cell["path"]) / "predictions.npz") as saved:
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
                ).with_columns(
                    split=pl.lit(split), **{k: pl.lit(cell[k]) for k in ("task", "combination", "strategy", "seed")}
                )
            )
    # NaN marks what is unknown in arrays; tables have nulls.
    return pl.concat(parts).select(
        *(pl.col(name).cast(COLUMNS[name]) for name in ("task", "combination", "strategy", "seed", "split")),
        "stay_id",
        "label",
        pl.col("target").fill_nan(None),
        pl.col("probability").fill_nan(None),
    )
