"""All result tables that follow from the predictions alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from picme.errors import DataError, near
from picme.evaluate.bootstrap import SubjectResamples
from picme.evaluate.calibration import calibration_rows
from picme.evaluate.compare import comparison_rows
from picme.evaluate.decision import decision_rows
from picme.evaluate.fairness import fairness_rows
from picme.evaluate.predictions import Predictions
from picme.evaluate.selection import choose
from picme.evaluate.subgroups import attributes, subgroup_rows
from picme.evaluate.summary import score_cell, summary_rows, type_rows
from picme.evaluate.thresholds import threshold_rows
from picme.results.tables import table

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from picme.config.evaluate import EvaluateConfig
    from picme.evaluate.predictions import CellPredictions, TaskPredictions

# The tables that are made here.
NAMES = (
    "scores",
    "summary",
    "comparisons",
    "subgroups",
    "fairness",
    "phenotype_types",
    "calibration",
    "thresholds",
    "decision_curve",
    "cohort_flow",
)


def evaluate(
    predictions: Path | pl.DataFrame,
    cohorts: dict[str, pl.DataFrame],
    config: EvaluateConfig,
    phenotype_types: dict[str, str] | None = None,
    draws: int = 0,
) -> dict[str, pl.DataFrame]:
    """Judge every combination and strategy of every task.

    Args:
        predictions: the `predictions` table, as a frame, a Parquet file or a folder of such files; one combination
            and strategy is held as arrays at a time.
        cohorts: per task its cohort: `stay_id`, `subject_id`, `split` and the columns that define subgroups.
        config: how to judge.
        phenotype_types: type of each label that has one (`acute`, `chronic`, `mixed`).
        draws: number of draws of encoders that the seeds take in turn, if that is known.

    Returns:
        The tables of `NAMES` by name. Metrics are fractions; undefined ones are null.

    Raises:
        DataError: for predictions that do not fit the cohort or contradict one another.
        ConfigError: for a subgroup column that the cohort lacks.
    """
    source = Predictions(predictions)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in NAMES}
    for name in source.tasks():
        if name not in cohorts:
            raise DataError(f"{source.where} holds the task {name!r}, which has no cohort{near(name, cohorts)}")
        _evaluate_task(source.task(name, cohorts[name], draws), cohorts[name], config, phenotype_types or {}, rows)
    return {name: table(name).frame(rows[name]) for name in NAMES}


def _evaluate_task(
    task: TaskPredictions,
    cohort: pl.DataFrame,
    config: EvaluateConfig,
    types: dict[str, str],
    rows: dict[str, list[dict[str, Any]]],
) -> None:
    test = task.stays["test"]
    found = attributes(cohort, test, config)
    count = (
        max(config.resamples, config.interval_resamples) if config.comparisons.families else config.interval_resamples
    )
    resamples = {
        "test": SubjectResamples.draw(test.n_subjects, count, config.seed),
        "val": SubjectResamples.draw(task.stays["val"].n_subjects, config.interval_resamples, config.seed),
    }
    few = resamples["test"].first(config.interval_resamples)
    results = []
    for cell in task:
        score_rows, result = score_cell(cell, task.stays, resamples)
        rows["scores"] += score_rows
        rows["subgroups"] += subgroup_rows(cell, test, found, few, config)
        rows["phenotype_types"] += type_rows(result, cell.labels, types)
        rows["calibration"] += calibration_rows(cell, test, config)
        rows["thresholds"] += threshold_rows(cell, task.stays, resamples, config)
        rows["decision_curve"] += decision_rows(cell, test, config)
        results.append(result)
    selection = choose(results, config)
    chosen = selection.chosen
    rows["summary"] += summary_rows(results, selection, config)
    rows["comparisons"] += comparison_rows(results, chosen, task, resamples["test"], config)
    if chosen is not None:
        rows["cohort_flow"] += judged_rows(task, task.cell(chosen.combination, chosen.strategy), config)
        rows["fairness"] += fairness_rows(
            task.cell(chosen.combination, chosen.strategy), task.stays, resamples["val"], found, config
        )


def judged_rows(task: TaskPredictions, cell: CellPredictions, config: EvaluateConfig) -> list[dict[str, Any]]:
    """Return the last lines of the cohort flow: the stays on which the chosen cell was chosen, and judged."""
    rows = []
    for split, stays in task.stays.items():
        known = ~np.isnan(cell.y[split]).all(axis=0)
        row: dict[str, Any] = {"task": task.name, "split": split, "stays": int(known.sum())}
        row["step"] = "the best is chosen on" if split == "val" else "the best is judged on"
        row["subjects"] = len(np.unique(stays.subject[known]))
        if len(cell.labels) == 1 and row["stays"] >= config.min_group:
            row["events"] = int((cell.y[split] == 1).sum())
        rows.append(row)
    return rows
