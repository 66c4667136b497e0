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
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import polars as pl

    from picme.config.evaluate import EvaluateConfig
    from picme.evaluate.predictions import CellPredictions, SplitStays
    from picme.evaluate.summary import CellResult

OF_CELL = ("scores", "subgroups", "phenotype_types", "calibration", "thresholds", "decision_curve")
"""The tables of what concerns one cell alone."""
OF_TASK = ("summary", "comparisons", "fairness", "cohort_flow")
"""The tables of the choice among a task's cells, of the chosen one, and of the differences between cells."""
Rows = dict[str, list[dict[str, Any]]]


class Judge:
    """Judge of every cell of a task: by the same subgroups, and in the same resamples of subjects.

    Args:
        cohort: the cohort of the task: `stay_id`, `subject_id`, `split` and the columns that define subgroups.
        stays: those of each split.
        config: how to judge.

    Raises:
        ConfigError: for a subgroup column that the cohort lacks.
    """

    def __init__(self, cohort: pl.DataFrame, stays: Mapping[str, SplitStays], config: EvaluateConfig) -> None:
        self.stays, self.config = stays, config
        self.groupings = attributes(cohort, stays["test"], config)
        count = config.interval_resamples
        if config.comparisons.families:
            count = max(config.resamples, count)
        self.resamples = {
            "test": SubjectResamples.draw(stays["test"].n_subjects, count, config.seed),
            "val": SubjectResamples.draw(stays["val"].n_subjects, config.interval_resamples, config.seed),
        }

    def cell(self, cell: CellPredictions, types: Mapping[str, str]) -> tuple[Rows, CellResult]:
        """Return the rows of the tables `OF_CELL`, and what the task's tables need to know of the cell.

        Args:
            cell: its predictions.
            types: type of each label that has one.
        """
        test, config = self.stays["test"], self.config
        few = self.resamples["test"].first(config.interval_resamples)
        scores, result = score_cell(cell, self.stays, self.resamples)
        return {
            "scores": scores,
            "subgroups": subgroup_rows(cell, test, self.groupings, few, config),
            "phenotype_types": type_rows(result, cell.labels, types),
            "calibration": calibration_rows(cell, test, config),
            "thresholds": threshold_rows(cell, self.stays, self.resamples, config),
            "decision_curve": decision_rows(cell, test, config),
        }, result

    def task(self, results: list[CellResult], read: Callable[[str, str], CellPredictions]) -> Rows:
        """Return the rows of the tables `OF_TASK`.

        Args:
            results: the results of all cells.
            read: returns the predictions of a combination and strategy, of which only few are asked for.
        """
        selection = choose(results, self.config)
        chosen = selection.chosen
        found: Rows = {name: [] for name in OF_TASK}
        found["summary"] = summary_rows(results, selection, self.config)
        found["comparisons"] = comparison_rows(
            results, chosen, read, self.stays["test"].subject, self.resamples["test"], self.config
        )
        if chosen is not None:
            cell = read(chosen.combination, chosen.strategy)
            found["fairness"] = fairness_rows(cell, self.stays, self.resamples["val"], self.groupings, self.config)
            found["cohort_flow"] = judged_rows(cell, self.stays, self.config)
        return found


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
        The tables of `OF_CELL` and `OF_TASK` by name. Metrics are fractions; undefined ones are null.

    Raises:
        DataError: for predictions that do not fit the cohort or contradict one another.
        ConfigError: for a subgroup column that the cohort lacks.
    """
    source = Predictions(predictions)
    rows: Rows = {name: [] for name in (*OF_CELL, *OF_TASK)}
    for name in source.tasks():
        if name not in cohorts:
            raise DataError(f"{source.where} holds the task {name!r}, which has no cohort{near(name, cohorts)}")
        task = source.task(name, cohorts[name], draws)
        judge, results = Judge(cohorts[name], task.stays, config), []
        for cell in task:
            of_cell, result = judge.cell(cell, phenotype_types or {})
            results.append(result)
            _add(rows, of_cell)
        _add(rows, judge.task(results, task.cell))
    return {name: table(name).frame(found) for name, found in rows.items()}


def _add(rows: Rows, more: Rows) -> None:
    for name, found in more.items():
        rows[name] += found


def judged_rows(cell: CellPredictions, stays: Mapping[str, SplitStays], config: EvaluateConfig) -> list[dict[str, Any]]:
    """Return the last lines of the cohort flow: the stays on which the chosen cell was chosen, and judged."""
    rows = []
    for split, held in stays.items():
        known = ~np.isnan(cell.y[split]).all(axis=0)
        row: dict[str, Any] = {"task": cell.task, "split": split, "stays": int(known.sum())}
        row["step"] = "the best is chosen on" if split == "val" else "the best is judged on"
        row["subjects"] = len(np.unique(held.subject[known]))
        if len(cell.labels) == 1 and row["stays"] >= config.min_group:
            row["events"] = int((cell.y[split] == 1).sum())
        rows.append(row)
    return rows
