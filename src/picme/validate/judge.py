"""Metrics of a run's cells on another source's stays beside those on its own test stays: the table `external`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.evaluate.bootstrap import SubjectResamples
from picme.evaluate.folds import divided_cohort
from picme.evaluate.independent import Told, difference
from picme.evaluate.intervals import estimated
from picme.evaluate.linear import brier_score, intercept_of, slope_of
from picme.evaluate.predictions import Predictions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from picme.config.evaluate import EvaluateConfig
    from picme.evaluate.predictions import CellPredictions, SplitStays, TaskPredictions
    from picme.pipeline import Run
    from picme.validate.applied import Cell

CALIBRATION = {"brier": brier_score, "calibration_intercept": intercept_of, "calibration_slope": slope_of}
"""Metrics of calibrated probabilities, over all labels of a task."""


def both_sides(
    study: Run, cells: Sequence[Cell], predictions: pl.DataFrame, cohorts: Mapping[str, pl.DataFrame]
) -> tuple[pl.DataFrame, dict[str, pl.DataFrame], pl.DataFrame, dict[str, pl.DataFrame]]:
    """Return the predictions and cohorts with the other source's stays as test stays, and the run's own.

    Both have the run's validation stays, on which probabilities are calibrated and thresholds chosen.

    Args:
        study: the run.
        cells: whose predictions are taken.
        predictions: of the other source's stays.
        cohorts: its stays by task.
    """
    keys = pl.DataFrame([cell[:3] for cell in cells], schema=["task", "combination", "strategy"], orient="row")
    own = _own(study.folder / "results" / "predictions.parquet", keys)
    mine = {
        task: divided_cohort(study.design.divisions, task, study.store).with_columns(
            pl.col("stay_id", "subject_id").cast(pl.String)
        )
        for task in cohorts
    }
    # A label that the run's models could not learn is unknown there too.
    cell = ["task", "combination", "strategy", "seed", "label"]
    unknown = own.group_by(cell).agg(pl.col("probability").is_null().all().alias("_unknown"))
    there = predictions.join(unknown, on=cell, how="left").with_columns(
        probability=pl.when(pl.col("_unknown").fill_null(False)).then(None).otherwise(pl.col("probability"))
    )
    held = own.filter(pl.col("split") == "val")
    there = pl.concat([held, there.select(held.columns)])
    joint = {}
    for task, cohort in cohorts.items():
        labels = [name for name in cohort.columns if name in set(own.filter(pl.col("task") == task)["label"])]
        kept = (
            mine[task].filter(pl.col("split").is_in(["train", "val"])).select("stay_id", "subject_id", "split", *labels)
        )
        joint[task] = pl.concat([cohort.with_columns(split=pl.lit("test")), kept], how="diagonal_relaxed")
    return there, joint, own, mine


def _own(file: Path, keys: pl.DataFrame) -> pl.DataFrame:
    return (
        pl.scan_parquet(file)
        .join(keys.lazy(), on=keys.columns, how="semi")
        .with_columns(pl.col("stay_id").cast(pl.String), pl.col("target", "probability").cast(pl.Float64))
        .collect()
    )


def external_rows(
    there: TaskPredictions, here: TaskPredictions, cells: Sequence[Cell], config: EvaluateConfig
) -> tuple[list[dict[str, Any]], dict[Cell, dict[str, Told]]]:
    """Return rows of `external` for models as they are, and for each cell the run's own metrics.

    Args:
        there: predictions with the other source's stays as test stays.
        here: the run's own.
        cells: of one task.
        config: how to judge.
    """
    rows: list[dict[str, Any]] = []
    own: dict[Cell, dict[str, Told]] = {}
    for cell in cells:
        if (cell.combination, cell.strategy) not in there.keys:
            continue
        one, other = there.cell(cell.combination, cell.strategy), here.cell(cell.combination, cell.strategy)
        found, why = told(one, there.stays["test"], config)
        own[cell], _ = told(other, here.stays["test"], config)
        for metric, value in found.items():
            rows.append(
                {
                    **cell._asdict(),
                    "metric": metric,
                    "recalibration": "none",
                    "n_local": 0,
                    "value": value.value,
                    "low": value.low,
                    "high": value.high,
                    "no_interval": why.get(metric),
                    **counts(one.y["test"]),
                    **beside(value, own[cell][metric]),
                }
            )
    return rows, own


def counts(y: np.ndarray) -> dict[str, int]:
    """Return the columns `n` and `positives` of labels (label, stay)."""
    return {"n": int((~np.isnan(y)).any(axis=0).sum()), "positives": int((y == 1).sum())}


def beside(value: Told, internal: Told) -> dict[str, float]:
    """Return the columns of the run's own metric, and of the difference from it."""
    apart = difference(value, internal)
    return {
        "internal": internal.value,
        "internal_low": internal.low,
        "internal_high": internal.high,
        "difference": apart.value,
        "difference_low": apart.low,
        "difference_high": apart.high,
    }


def told(
    cell: CellPredictions, stays: SplitStays, config: EvaluateConfig
) -> tuple[dict[str, Told], dict[str, str | None]]:
    """Return each metric of a cell's seed-averaged prediction on its test stays, and why one has no interval."""
    y = cell.y["test"]
    resamples = SubjectResamples.draw(stays.n_subjects, config.interval_resamples, config.seed)
    found: dict[str, Told] = {}
    why: dict[str, str | None] = {}
    for name, estimate in estimated(y, cell.ensemble("test"), stays.subject, resamples).items():
        centre = estimate.value if estimate.centre is None else estimate.centre
        found[name] = Told(estimate.value, *estimate.interval(config.confidence), centre)
        why[name] = estimate.obstacle
    risk = cell.calibrated
    for name, measure in CALIBRATION.items():
        statistic = measure(y, risk, stays.subject, stays.n_subjects)
        low, high = statistic.interval(config.confidence)
        found[name] = Told(statistic.value, max(low, 0.0) if name == "brier" else low, high)
        why[name] = None if np.isfinite(low) else "the stays do not tell it"
    return found, why


def opened(predictions: pl.DataFrame, task: str, cohort: pl.DataFrame, draws: int) -> TaskPredictions:
    """Return a task's predictions, placed on its cohort."""
    return Predictions(predictions).task(task, cohort, draws)
