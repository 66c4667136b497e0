"""Splits into training, validation and test, by subject and never by stay; one division serves all tasks."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import polars as pl

from picme.cohort.by_column import COLUMN_KINDS, Division, divide, unit_hash
from picme.errors import DataError
from picme.schema import SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from picme.config.splits import SplitsConfig


def assign(stays: pl.DataFrame, config: SplitsConfig, pretraining: bool) -> pl.Series:
    """Assign each stay to a split.

    Args:
        stays: with subject_id, and `set` where the source comes in sets.
        config: the rules of the division.
        pretraining: True for the pretraining view, which only `lists` divides in another way than a task's.

    Returns:
        `train`, `val`, `test`, or null for stays that take no part, in the order of `stays`.

    Raises:
        DataError: if a set, list, period or group does not fit the data.
    """
    if "split" in stays.columns:  # divided by whoever made the data
        return stays.get_column("split").cast(pl.String)
    if config.kind in COLUMN_KINDS:
        return divide(stays, config).stays.get_column("split")
    if config.kind == "sets":
        return _by_sets(stays, config)
    subjects = stays.get_column("subject_id").to_list()
    if config.kind == "hash":
        return _series([_portion(unit_hash(s, config.seed), config.train, config.val) for s in subjects])
    if config.kind == "folds":
        return by_fold(stays, config, 0)
    return _by_lists(subjects, config, pretraining)


def assign_views(views: Mapping[str, pl.DataFrame], config: SplitsConfig) -> Division:
    """Assign the stays of all views at once.

    A division by time or group looks at all stays of a subject, also at those that only one view has: otherwise a
    subject could be in training for one task and in test for another.

    Args:
        views: view → stays, as for `assign`; `pretrain` is the view of pretraining.
        config: the rules of the division.

    Returns:
        For each view and stay its split, and why stays are in none.

    Raises:
        DataError: if a set, list, period or group does not fit the data.
    """
    fixed = any("split" in stays.columns for stays in views.values())
    if config.kind in COLUMN_KINDS and not fixed:
        every = pl.concat([stays.select(_shared(stays, views)) for stays in views.values()], how="vertical_relaxed")
        division = divide(every.unique("stay_id", keep="first", maintain_order=True), config)
        keep = ["stay_id", "split", "left"]
        parts = [
            stays.select("stay_id")
            .join(division.stays.select(keep), on="stay_id", how="left", maintain_order="left")
            .select(pl.lit(name).alias("view"), *keep)
            for name, stays in views.items()
        ]
    else:
        division = Division(pl.DataFrame(), [], [])
        parts = [
            stays.select(
                pl.lit(name).alias("view"),
                "stay_id",
                assign(stays, config, pretraining=name == "pretrain").alias("split"),
                pl.lit(None, pl.String).alias("left"),
            )
            for name, stays in views.items()
        ]
    return Division(pl.concat(parts, how="vertical_relaxed"), division.reasons, division.notes)


def judge_division(
    name: str, stays: pl.DataFrame, labels: Sequence[str], modalities: Iterable[str], labelled: bool = True
) -> list[str]:
    """Say which labels of a view have one class only, or none, in a split.

    Args:
        name: of the view.
        stays: with `split` and the label columns.
        labels: the label columns.
        modalities: of the study, for the message.
        labelled: whether anything is to be learnt from these stays.

    Raises:
        DataError: if no stay is in a split, none in training, or no label has two classes among the training stays.
    """
    inside = stays.filter(pl.col("split").is_not_null())
    if not inside.height:
        raise DataError(
            f"no stay is left for {name} with the modalities {', '.join(modalities)}; "
            "check the sources with `picme check`, or set require: any"
        )
    if not labelled:
        return []
    if "train" not in inside.get_column("split"):
        raise DataError(f"no stay of {name} is in the training split; choose other splits")
    said, learnable = [], not labels
    for label in labels:
        for split in SPLITS:
            values = inside.filter(pl.col("split") == split).get_column(label).drop_nulls().unique().to_list()
            if len(values) == 2:
                learnable |= split == "train"
            else:
                found = f"only {values[0]:g}" if values else "no value"
                said.append(
                    f"{name}: label {label!r} has {found} in split {split!r}, so its scores there are undefined"
                )
    if not learnable:
        told = labels[0] if len(labels) == 1 else f"any of its {len(labels)} labels"
        raise DataError(f"task {name} has not both classes of {told} among its training stays: nothing can be learnt")
    return said


def _shared(stays: pl.DataFrame, views: Mapping[str, pl.DataFrame]) -> list[str]:
    """List the columns that all views have, in the order of the first."""
    return [name for name in stays.columns if all(name in other.columns for other in views.values())]


def by_fold(stays: pl.DataFrame, config: SplitsConfig, number: int) -> pl.Series:
    """Assign each stay to a split of one fold's study: its subjects are test, those of the next fold validation.

    Args:
        stays: with subject_id.
        config: has the number of folds and the seed of the hash.
        number: of the fold, from 0.
    """
    assert config.folds is not None  # the configuration was checked
    places = ((int(config.folds * unit_hash(s, config.seed)) - number) % config.folds for s in stays["subject_id"])
    return _series([("test", "val")[place] if place < 2 else "train" for place in places])


def _portion(number: float, train: float, val: float) -> str:
    return "train" if number < train else "val" if number < train + val else "test"


def _by_sets(stays: pl.DataFrame, config: SplitsConfig) -> pl.Series:
    if "set" not in stays.columns:
        raise DataError("splits.kind is 'sets' but this source does not come in sets; use 'hash'")
    known = set(stays.get_column("set").unique().to_list())
    for name in (*config.train_sets, *config.test_sets):
        if name not in known:
            raise DataError(f"splits names set {name!r}, but the data has {', '.join(sorted(known))}")
    found: list[str | None] = []
    for subject, name in stays.select("subject_id", "set").iter_rows():
        if name in config.test_sets:
            found.append("test")
        elif name in config.train_sets:
            found.append("val" if unit_hash(subject, config.seed) < config.val else "train")
        else:
            found.append(None)
    return _series(found)


def _by_lists(subjects: list[object], config: SplitsConfig, pretraining: bool) -> pl.Series:
    """Assign splits by the published lists: their training subjects pretrain, the others are divided 80/10/10.

    For pretraining the lists' own validation and test subjects watch over training and measure alignment, with those
    that fine-tuning will test on as test, so that no fine-tuning test subject has been trained on.
    """
    assert config.test_list is not None and config.val_list is not None  # the configuration was checked
    test, val = read_list(config.test_list), read_list(config.val_list)
    found: list[str | None] = []
    for subject in subjects:
        name = str(subject)
        held_out = test.get(name, False) or val.get(name, False)
        if not held_out:
            # As the published split does, a subject in no list counts as a training subject.
            found.append("train" if pretraining else None)
            continue
        portion = _portion(unit_hash(subject, config.seed), 0.8, 0.1)
        found.append("val" if pretraining and portion != "test" else portion)
    return _series(found)


def read_list(path: Path) -> dict[str, bool]:
    """Read a published subject list: subject id and 0 or 1 a row, without header.

    Raises:
        DataError: if the file is missing or a row is not of this form.
    """
    if not path.is_file():
        raise DataError(f"subject list {path} does not exist")
    found = {}
    with path.open(newline="", encoding="utf-8") as handle:
        for number, row in enumerate(csv.reader(handle), start=1):
            if len(row) != 2 or row[1].strip() not in {"0", "1"}:
                raise DataError(f"subject list {path} row {number} is not a subject id and 0 or 1")
            found[row[0].strip()] = row[1].strip() == "1"
    return found


def _series(values: list[str] | list[str | None]) -> pl.Series:
    return pl.Series("split", values, dtype=pl.String)
