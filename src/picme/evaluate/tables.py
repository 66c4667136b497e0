"""All result tables that follow from the predictions alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from picme.errors import DataError, near
from picme.evaluate.bootstrap import SubjectResamples
from picme.evaluate.calibration import calibration_rows
from picme.evaluate.compare import comparison_rows
from picme.evaluate.fairness import fairness_rows
from picme.evaluate.predictions import Predictions
from picme.evaluate.subgroups import attributes, subgroup_rows
from picme.evaluate.summary import score_cell, select, summary_rows, type_rows
from picme.evaluate.thresholds import threshold_rows

if TYPE_CHECKING:
    from pathlib import Path

    from picme.config.evaluate import EvaluateConfig

_CELL = {"task": pl.String, "combination": pl.String, "strategy": pl.String}


def _floats(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names, pl.Float64)


SCHEMAS: dict[str, dict[str, Any]] = {
    "scores": {
        **_CELL,
        "seed": pl.Int64,
        "split": pl.String,
        "label": pl.String,
        **_floats("auroc", "auprc"),
        "n": pl.Int64,
        "positives": pl.Int64,
    },
    "summary": {
        **_CELL,
        "n_seeds": pl.Int64,
        **_floats("auroc_mean", "auroc_std", "auprc_mean", "auprc_std"),
        **_floats("ensemble_auroc", "ensemble_auroc_low", "ensemble_auroc_high"),
        **_floats("ensemble_auprc", "ensemble_auprc_low", "ensemble_auprc_high"),
        "selected": pl.Boolean,
        **_floats("validation_auroc", "validation_auprc"),
    },
    "comparisons": {
        "task": pl.String,
        "combination_a": pl.String,
        "strategy_a": pl.String,
        "combination_b": pl.String,
        "strategy_b": pl.String,
        "metric": pl.String,
        **_floats("difference", "low", "high", "p_value", "p_adjusted"),
        "family": pl.String,
    },
    "subgroups": {
        **_CELL,
        "attribute": pl.String,
        "group": pl.String,
        "n_stays": pl.Int64,
        "n_subjects": pl.Int64,
        "positives": pl.Int64,
        **_floats("auroc", "low", "high"),
        "suppressed": pl.Boolean,
        **_floats("gap", "gap_low", "gap_high"),
        "best": pl.Boolean,
    },
    "fairness": {
        **_CELL,
        "attribute": pl.String,
        "metric": pl.String,
        "value": pl.Float64,
        "groups": pl.Int64,
        "labels": pl.Int64,
    },
    "phenotype_types": {
        "combination": pl.String,
        "strategy": pl.String,
        "type": pl.String,
        **_floats("auroc_mean", "auroc_std"),
    },
    "calibration": {
        **_CELL,
        **_floats("brier", "ece"),
        "bin": pl.Int64,
        **_floats("mean_predicted", "observed"),
        "n": pl.Int64,
        **_floats("slope", "intercept", "brier_recalibrated", "ece_recalibrated"),
    },
    "thresholds": {
        **_CELL,
        "label": pl.String,
        "rule": pl.String,
        **_floats("threshold", "sensitivity", "specificity", "ppv", "npv"),
    },
}


def evaluate(
    predictions: Path | pl.DataFrame,
    cohorts: dict[str, pl.DataFrame],
    config: EvaluateConfig,
    phenotype_types: dict[str, str] | None = None,
) -> dict[str, pl.DataFrame]:
    """Judge every combination and strategy of every task.

    Args:
        predictions: the `predictions` table, as a frame, a Parquet file or a folder of such files; one combination
            and strategy is held as arrays at a time.
        cohorts: per task its cohort: `stay_id`, `subject_id`, `split` and the columns that define subgroups.
        config: how to judge.
        phenotype_types: type of each label that has one (`acute`, `chronic`, `mixed`).

    Returns:
        The tables of `SCHEMAS` by name. Metrics are fractions; undefined ones are null.

    Raises:
        DataError: for predictions that do not fit the cohort or contradict one another.
        ConfigError: for a subgroup column that the cohort lacks.
    """
    source = Predictions(predictions)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in SCHEMAS}
    for name in source.tasks():
        if name not in cohorts:
            raise DataError(f"{source.where} holds the task {name!r}, which has no cohort{near(name, cohorts)}")
        _evaluate_task(source, name, cohorts[name], config, phenotype_types or {}, rows)
    return {name: to_table(name, rows[name]) for name in SCHEMAS}


def _evaluate_task(
    source: Predictions,
    name: str,
    cohort: pl.DataFrame,
    config: EvaluateConfig,
    types: dict[str, str],
    rows: dict[str, list[dict[str, Any]]],
) -> None:
    task = source.task(name, cohort)
    test = task.stays["test"]
    found = attributes(cohort, test, config)
    count = (
        max(config.resamples, config.interval_resamples) if config.comparisons.families else config.interval_resamples
    )
    resamples = SubjectResamples.draw(test.n_subjects, count, config.seed)
    few = resamples.first(config.interval_resamples)
    results = []
    for cell in task:
        score_rows, result = score_cell(cell, test, resamples)
        rows["scores"] += score_rows
        rows["subgroups"] += subgroup_rows(cell, test, found, few, config)
        rows["phenotype_types"] += type_rows(result, cell.labels, types)
        rows["calibration"] += calibration_rows(cell, config)
        rows["thresholds"] += threshold_rows(cell, config)
        results.append(result)
    rows["summary"] += summary_rows(results, config)
    rows["comparisons"] += comparison_rows(results, task, resamples, config)
    best = select(results, config)
    if best is not None:
        rows["fairness"] += fairness_rows(task.cell(best.combination, best.strategy), found, config)


def to_table(name: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows as a table with exactly its schema's columns; missing values and NaN become null."""
    return pl.DataFrame(rows, schema=SCHEMAS[name]).with_columns(pl.selectors.float().fill_nan(None))
