"""Conversion of the long `predictions` table to dense arrays, one cell (combination and strategy) at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.errors import DataError, near
from picme.evaluate.calibration import apply_calibration, fit_calibration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

COLUMNS = ("task", "combination", "strategy", "seed", "split", "stay_id", "label", "target", "probability")
SPLITS = ("val", "test")

# Tasks with at most this many rows are read at once; greater ones cell by cell.
_ROWS_AT_ONCE = 20_000_000


@dataclass(frozen=True)
class SplitStays:
    """The stays of one split, in the order of `stay_id`.

    Attributes:
        frame: their cohort rows.
        subject: index of each stay's subject (stay,).
        n_subjects: number of subjects.
    """

    frame: pl.DataFrame
    subject: NDArray[np.int64]
    n_subjects: int

    @classmethod
    def of(cls, cohort: pl.DataFrame, split: str) -> SplitStays:
        """Select the stays of a split from a cohort.

        Raises:
            DataError: if the cohort lacks a column it needs or has a stay twice.
        """
        for column in ("stay_id", "subject_id", "split"):
            if column not in cohort.columns:
                raise DataError(f"the cohort lacks the column {column!r}{near(column, cohort.columns)}")
        frame = cohort.filter(pl.col("split") == split).sort("stay_id")
        if frame["stay_id"].n_unique() != len(frame):
            raise DataError(f"the cohort's split {split!r} has a stay more than once: one row per stay is expected")
        _, subject = np.unique(frame["subject_id"].to_numpy(), return_inverse=True)
        return cls(frame, subject.astype(np.int64), int(subject.max(initial=-1)) + 1)


def stays_by_split(cohort: pl.DataFrame) -> dict[str, SplitStays]:
    """Return the stays that are predicted for, of each split; errors are those of `SplitStays.of`."""
    return {split: SplitStays.of(cohort, split) for split in SPLITS}


@dataclass(frozen=True)
class CellPredictions:
    """Predictions of one combination and strategy on a task.

    Attributes:
        seeds: seeds of the cell, in order.
        labels: labels of the task.
        y: per split, labels (label, stay): NaN where undefined or without a prediction.
        p: per split, probabilities (seed, label, stay): 0 where there is no prediction.
        unpredicted: labels without a probability, or with one class in training, of which nothing can be learnt. They
            are undefined for this cell: their `y` is NaN, and what is a mean over labels is over the others.
        draws: number of draws of encoders that the seeds take in turn; 0 if it is not known that seeds share any.
    """

    task: str
    combination: str
    strategy: str
    seeds: list[int]
    labels: list[str]
    y: dict[str, NDArray[np.float64]]
    p: dict[str, NDArray[np.float32] | NDArray[np.float64]]
    unpredicted: tuple[str, ...] = ()
    draws: int = 0

    @property
    def key(self) -> dict[str, str]:
        """Return the columns that name a cell in the tables."""
        return {"task": self.task, "combination": self.combination, "strategy": self.strategy}

    @cached_property
    def calibrated(self) -> NDArray[np.float64]:
        """The seed-averaged probabilities on test (label, stay), each label recalibrated on validation.

        A label is left as it is where validation cannot tell slope and intercept.
        """
        fits = [fit_calibration(p, y) for p, y in zip(self.ensemble("val"), self.y["val"], strict=True)]
        return np.stack([apply_calibration(p, *fit) for p, fit in zip(self.ensemble("test"), fits, strict=True)])

    def ensemble(self, split: str) -> NDArray[np.float64]:
        """Return the mean probability over the seeds (label, stay)."""
        return self.p[split].mean(axis=0, dtype=np.float64)


class Predictions:
    """The `predictions` table, given as a file, a folder of Parquet files, or a frame.

    Raises:
        DataError: if a column is missing.
    """

    def __init__(self, predictions: Path | str | pl.DataFrame) -> None:
        if isinstance(predictions, pl.DataFrame):
            self.frame, self.where = predictions.lazy(), "predictions"
        else:
            self.frame, self.where = pl.scan_parquet(predictions), str(predictions)
        known = self.frame.collect_schema().names()
        for column in COLUMNS:
            if column not in known:
                raise DataError(f"{self.where} lacks the column {column!r}{near(column, known)}")

    def tasks(self) -> list[str]:
        """Return the tasks in the order of the table."""
        return self.frame.select(pl.col("task").unique(maintain_order=True)).collect()["task"].to_list()

    def task(self, task: str, cohort: pl.DataFrame, draws: int = 0) -> TaskPredictions:
        """Return one task's predictions, placed on its cohort; for `draws` see `CellPredictions`."""
        return TaskPredictions(self.frame.filter(pl.col("task") == task), task, cohort, self.where, draws)


class TaskPredictions:
    """One task's predictions, placed on the cohort's stays.

    Attributes:
        labels: names of the labels, in the cohort's order of columns where it has them.
        stays: the stays of each split.
        keys: (combination, strategy) in the order of the table.
    """

    def __init__(self, frame: pl.LazyFrame, task: str, cohort: pl.DataFrame, where: str, draws: int = 0) -> None:
        self.frame, self.name, self.where, self.draws = frame, task, where, draws
        self.stays = stays_by_split(cohort)
        overview = frame.group_by("combination", "strategy", "label", maintain_order=True).len().collect()
        found = overview["label"].unique(maintain_order=True).to_list()
        self.labels: list[str] = [name for name in cohort.columns if name in found]
        self.labels += [name for name in found if name not in self.labels]
        # Of a label with one class in training nothing can be learnt: it would tell models apart by luck.
        train = cohort.filter(pl.col("split") == "train")
        self.unlearnt = {
            name for name in self.labels if train.height and name in train and train[name].drop_nulls().n_unique() < 2
        }
        self.keys = overview.select("combination", "strategy").unique(maintain_order=True).rows()
        self._parts: dict[Any, pl.DataFrame] | None = None
        if int(overview["len"].sum()) <= _ROWS_AT_ONCE:
            self._parts = frame.collect().partition_by(["combination", "strategy"], as_dict=True)
        dtype = frame.collect_schema()["stay_id"]
        rows = [
            stays.frame.select(pl.col("stay_id").cast(dtype), pl.lit(split).alias("split")).with_row_index("_stay")
            for split, stays in self.stays.items()
        ]
        self._rows = pl.concat(rows)
        self._label_rows = pl.DataFrame({"label": self.labels}).with_row_index("_label")

    def __iter__(self) -> Iterator[CellPredictions]:
        for combination, strategy in self.keys:
            yield self.cell(combination, strategy)

    def cell(self, combination: str, strategy: str) -> CellPredictions:
        """Return one cell as arrays.

        Raises:
            DataError: for predictions of stays the cohort does not have in that split, seeds that differ in their
                stays or targets, repeated rows, probabilities outside [0, 1], and ones that are null for some stays
                of a seed and label but not for all.
        """
        if self._parts is not None:
            frame = self._parts[(combination, strategy)]
        else:
            chosen = (pl.col("combination") == combination) & (pl.col("strategy") == strategy)
            frame = self.frame.filter(chosen).collect()
        what = f"{self.where}: {self.name}, {combination}, {strategy}"
        frame, unpredicted = _predicted(frame, what)
        unpredicted |= self.unlearnt
        frame = frame.select("seed", "split", "stay_id", "label", "target", "probability")
        frame = frame.join(self._rows, on=["split", "stay_id"], how="left").join(
            self._label_rows, on="label", how="left"
        )
        strangers = frame["_stay"].null_count()
        if strangers:
            raise DataError(
                f"{what}: {strangers} predictions are for stays that the cohort does not have in that split"
            )
        seeds = sorted(frame["seed"].unique().to_list())
        y: dict[str, NDArray[np.float64]] = {}
        p: dict[str, Any] = {}
        for split in SPLITS:
            y[split], p[split] = self._dense(frame.filter(pl.col("split") == split), split, seeds, what)
        missing = np.array([label in unpredicted for label in self.labels], dtype=bool)
        for split in SPLITS:
            y[split][missing] = np.nan
        return CellPredictions(
            self.name,
            combination,
            strategy,
            seeds,
            self.labels,
            y,
            p,
            tuple(x for x in self.labels if x in unpredicted),
            self.draws,
        )

    def _dense(self, frame: pl.DataFrame, split: str, seeds: list[int], what: str) -> tuple[Any, Any]:
        shape = (len(seeds), len(self.labels), len(self.stays[split].frame))
        seed = np.searchsorted(np.array(seeds), frame["seed"].to_numpy())
        label, stay = (frame[name].to_numpy().astype(np.int64) for name in ("_label", "_stay"))
        place = (seed * shape[1] + label) * shape[2] + stay
        rows = np.bincount(place, minlength=int(np.prod(shape))).reshape(shape)
        if (rows > 1).any():
            raise DataError(f"{what}: the split {split!r} has more than one row for the same seed, stay and label")
        if (rows != rows[:1]).any():
            raise DataError(f"{what}: seeds differ in the stays they predict in the split {split!r}")
        target = np.full(shape, np.nan)
        target.ravel()[place] = frame["target"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        if len(seeds) and not np.array_equal(target, np.broadcast_to(target[:1], shape), equal_nan=True):
            raise DataError(f"{what}: seeds differ in the targets of the split {split!r}")
        known = (target == 0) | (target == 1) | np.isnan(target)
        if not known.all():
            raise DataError(
                f"{what}: targets must be 0, 1 or null; {int((~known).sum())} others in the split {split!r}"
            )
        values = frame["probability"].to_numpy()
        dense = np.zeros(shape, dtype=values.dtype if values.dtype in (np.float32, np.float64) else np.float64)
        dense.ravel()[place] = values
        return target[0], dense


def _predicted(frame: pl.DataFrame, what: str) -> tuple[pl.DataFrame, set[str]]:
    """Check a cell's probabilities; return its rows with 0 for a null one, and the labels that a seed has none of.

    Null for every stay says that a seed could not learn the label. Null for some stays says that something failed.

    Raises:
        DataError: for a probability outside [0, 1], or a null one among others of its seed and label.
    """
    kept = frame.schema["probability"] in (pl.Float32, pl.Float64)
    probability = pl.col("probability") if kept else pl.col("probability").cast(pl.Float64)
    frame = frame.with_columns(probability.fill_nan(None))
    none = pl.col("probability").is_null()
    all_null = none.all().over("seed", "label")
    bad = int(frame.select((~pl.col("probability").is_between(0, 1)).fill_null(~all_null).sum()).item())
    if bad:
        raise DataError(f"{what}: {bad} probabilities are null or outside [0, 1]")
    unpredicted = set(frame.filter(none)["label"].unique().to_list())
    return frame.with_columns(pl.col("probability").fill_null(0)), unpredicted
