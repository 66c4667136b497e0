"""A prepared cohort divided anew for one of its folds, and the audit of that."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl

from picme.cohort.leakage import leakage_table, subjects_across_splits
from picme.cohort.splits import by_fold
from picme.errors import DataError
from picme.prepare.statistics import FILE, judge_statistics, statistics

if TYPE_CHECKING:
    from pathlib import Path

    from picme.prepare.step import Fold


def divide_anew(step: Fold, folder: Path, whole: Path) -> dict[str, Any]:
    """Write the cohorts of all views with the splits of one fold, the training statistics, and the audit.

    Args:
        step: the fold.
        folder: the folder of the artifact.
        whole: the prepared cohort, whose arrays serve every fold.

    Raises:
        DataError: if a task has no label with both classes among the fold's training stays.
    """
    labels = json.loads((whole / "manifest.json").read_text(encoding="utf-8"))["labels"]
    for name in ("pretrain", *step.tasks):
        cohort = pl.read_parquet(whole / "views" / name / "cohort.parquet")
        inside = pl.col("split").is_not_null()
        cohort = cohort.with_columns(
            split=pl.when(inside).then(by_fold(cohort, step.splits, step.number)).otherwise(None)
        )
        train = cohort.filter(pl.col("split") == "train")
        if labels[name] and all(train[label].drop_nulls().n_unique() < 2 for label in labels[name]):
            raise DataError(
                f"task {name} has not both classes of a label among the training stays of {step.name}: nothing can be "
                "learnt; use fewer folds, or another splits.seed"
            )
        (folder / "views" / name).mkdir(parents=True, exist_ok=True)
        cohort.write_parquet(folder / "views" / name / "cohort.parquet")
    (folder / FILE).write_text(json.dumps(statistics(step, folder, "train", whole)), encoding="utf-8")
    audit(step, folder, whole).write_parquet(folder / "leakage.parquet")
    return {}


def audit(step: Fold, folder: Path, whole: Path) -> pl.DataFrame:
    """Return the rows of the table `leakage` that a fold has of its own: shared subjects and training statistics.

    What a modality tells of the outcome is judged on the stays of all splits, so once for all folds.
    """
    views = ("pretrain", *step.tasks)
    cohorts = {name: pl.read_parquet(folder / "views" / name / "cohort.parquet") for name in views}
    found = leakage_table(subjects_across_splits(cohorts), judge_statistics(step, folder, whole))
    return found.with_columns(detail=pl.lit(f"{step.name}: ") + pl.col("detail"))
