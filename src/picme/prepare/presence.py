"""The tables `availability` and `presence`: which modalities the stays of each task have, before any is required."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from picme.errors import DataError
from picme.schema import SPLITS
from picme.sources.rows import present

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from picme.schema import View

FEW = 10
"""Stays below which it is not told how many of them have the outcome, which might tell it of one."""
_HAS = "has "
_PRESENCE = {
    "task": pl.String, "split": pl.String, "modalities": pl.String, "stays": pl.Int64, "with_outcome": pl.Int64,
}  # fmt: skip


def what_stays_have(view: View) -> pl.DataFrame:
    """Return which modalities each stay of a view has.

    Returns:
        One row per stay: `stay_id`, `split`, `outcome` (the label of a task with one label, null otherwise) and a
        column of flags for each modality.
    """
    outcome = pl.col(view.labels[0]) if len(view.labels) == 1 else pl.lit(None)
    flags = [pl.Series(_HAS + name, present(values)) for name, values in view.modalities.items()]
    return view.stays.select("stay_id", "split", outcome.cast(pl.Float64).alias("outcome")).with_columns(flags)


def without(had: pl.DataFrame, modality: str, stays: pl.Series) -> pl.DataFrame:
    """Return `had` where the stays named lack the modality."""
    return had.with_columns(pl.col(_HAS + modality) & ~pl.col("stay_id").is_in(stays.implode()))


def availability(had: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Count for each task, split and modality the stays that have the modality."""
    rows = []
    for task, frame in had.items():
        for column in (name for name in frame.columns if name.startswith(_HAS)):
            for split in SPLITS:
                here = frame.filter(pl.col("split") == split)[column]
                rows.append((task, column.removeprefix(_HAS), split, int(here.sum()), here.len()))
    columns = ("task", "modality", "split", "stays_present", "stays_total")
    return pl.DataFrame(rows, schema=columns, orient="row")


def patterns(had: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Count for each task and split the stays that have exactly the same modalities, and those with the outcome.

    Of fewer than `FEW` stays it is not told how many have it.
    """
    found = []
    for task, frame in had.items():
        names = [name for name in frame.columns if name.startswith(_HAS)]
        held = pl.concat_str(
            [pl.when(name).then(pl.lit(name.removeprefix(_HAS))) for name in names], separator="+", ignore_nulls=True
        )
        grouped = frame.filter(pl.col("split").is_not_null()).group_by("split", held.alias("modalities"))
        counts = grouped.agg(
            stays=pl.len().cast(pl.Int64),
            with_outcome=pl.when(pl.col("outcome").is_not_null().any(), pl.len() >= FEW).then(
                pl.col("outcome").sum().cast(pl.Int64)
            ),
        )
        found.append(counts.select(pl.lit(task).alias("task"), *list(_PRESENCE)[1:]))
    order = pl.col("split").replace_strict({name: place for place, name in enumerate(SPLITS)}, default=len(SPLITS))
    every = pl.concat(found) if found else pl.DataFrame(schema=_PRESENCE)
    tasks = pl.col("task").replace_strict({name: place for place, name in enumerate(had)}, default=None)
    return every.sort(tasks, order, pl.col("stays"), "modalities", descending=[False, False, True, False])


def check_complete(prepared: Path, modalities: Collection[str]) -> None:
    """Check that every task has stays with all modalities to train on and to validate on.

    Args:
        prepared: the prepare artifact.
        modalities: all of the study.

    Raises:
        DataError: if not, for models that `study.withhold` trains on such stays alone.
    """
    counts = pl.read_parquet(prepared / "presence.parquet")
    whole = counts.filter(pl.col("modalities").str.split("+").list.unique().list.len() == len(modalities))
    for task in counts["task"].unique(maintain_order=True):
        for split in SPLITS[:2]:
            if not whole.filter(pl.col("task") == task, pl.col("split") == split).height:
                raise DataError(
                    f"study.withhold: `complete` trains on stays that have every modality, of which task {task} has "
                    f"none in split {split!r}; take it out, or leave out a modality that few stays have"
                )
