"""Hospital admissions and ICU stays from the events of a MEDS data set that begin and end them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections import Counter


def spans(begins: pl.DataFrame, ends: pl.DataFrame, what: str, counts: Counter[str]) -> pl.DataFrame:
    """Pair the events that begin a stay with those that end it.

    Events that name the same stay belong together. Without a name, an end belongs to the subject's latest begin before
    it; one at the very time of a begin that has no other end makes that a stay of no length.

    Args:
        begins: subject_id, time, `id` (null where it is not named), further columns.
        ends: the same columns of the same kind; other further columns.
        what: the stay in words, for the counts.
        counts: gets the begins that have no end, and those that stand there twice.

    Returns:
        subject_id, begin, end, id (numbered where it is not named) and the further columns, sorted by subject and time.
    """
    first = begins.unique(["subject_id", "time", "id"], keep="first", maintain_order=True)
    counts[f"{what}: the same begin twice"] += begins.height - first.height
    timed = first.drop_nulls("time")
    counts[f"{what}: begin without a time"] += first.height - timed.height
    first = timed.sort("subject_id", "time", "id").rename({"time": "begin"})
    ends = ends.drop_nulls("time").unique(["subject_id", "time", "id"], keep="first", maintain_order=True)
    ends = ends.sort("subject_id", "time", "id").with_columns(pl.col("time").alias("end"))
    named = first.filter(pl.col("id").is_not_null())
    paired = named.join(
        ends.filter(pl.col("id").is_not_null())
        .unique(["subject_id", "id"], keep="last", maintain_order=True)
        .drop("time"),
        on=["subject_id", "id"],
        how="left",
        maintain_order="left",
    )
    unnamed = first.filter(pl.col("id").is_null())
    own = _next_end(unnamed.select("subject_id", "begin"), ends.filter(pl.col("id").is_null()).drop("id"))
    others = unnamed.join(own, on=["subject_id", "begin"], how="left", maintain_order="left")
    found = pl.concat([paired, others.select(paired.columns)]).sort("subject_id", "begin", "id")
    whole = found.drop_nulls("end")
    counts[f"{what}: no end"] += found.height - whole.height
    return _numbered(whole)


def _next_end(begins: pl.DataFrame, ends: pl.DataFrame) -> pl.DataFrame:
    """Find the end of each begin that has one: subject_id, begin, and the columns of the end but its `time`."""
    begins = begins.unique(maintain_order=True).sort("begin")
    before = ends.sort("time").join_asof(
        begins, left_on="time", right_on="begin", by="subject_id", allow_exact_matches=False, check_sortedness=False
    )
    key = ["subject_id", "begin"]
    first = before.drop_nulls("begin").sort("time").unique(key, keep="first", maintain_order=True)
    unused = ends.join(first, on=["subject_id", "time"], how="anti").with_columns(pl.col("time").alias("begin"))
    empty = begins.join(first, on=key, how="anti").join(unused, on=key, how="inner").unique(key, keep="first")
    return pl.concat([first.select(*key, pl.exclude(*key)), empty.select(*key, pl.exclude(*key))]).drop("time")


def _numbered(found: pl.DataFrame) -> pl.DataFrame:
    """Number the stays that have no id, from the largest id on, by subject and time."""
    largest = found["id"].max()
    start = int(largest) if isinstance(largest, int) else 0
    number = start + pl.col("id").is_null().cum_sum().cast(pl.Int64)
    return found.with_columns(pl.coalesce("id", number).alias("id"))


def admission_of(stays: pl.DataFrame, admissions: pl.DataFrame) -> pl.DataFrame:
    """Return for each stay (`id`) the admission of the subject that it shares most time with: id, hadm_id.

    Args:
        stays: subject_id, begin, end, id.
        admissions: the same of hospital admissions.
    """
    both = stays.select("subject_id", "id", "begin", "end").join(
        admissions.select("subject_id", pl.col("id").alias("hadm_id"), from_="begin", until="end"), on="subject_id"
    )
    shared = pl.min_horizontal("end", "until") - pl.max_horizontal("begin", "from_")
    return (
        both.with_columns(shared=shared)
        .filter(pl.col("shared") >= pl.duration(seconds=0))
        .sort("id", "shared", "hadm_id", descending=[False, True, False])
        .unique("id", keep="first", maintain_order=True)
        .select("id", "hadm_id")
    )


def at_time(events: pl.DataFrame, admissions: pl.DataFrame, column: str = "time") -> pl.DataFrame:
    """Add `hadm_id`, the admission during which each event was; begin and end belong to it, an exact end above all.

    Args:
        events: subject_id and a column of times, which may be null.
        admissions: subject_id, begin, end, id; those of a subject do not overlap.
        column: the column of times.
    """
    spans = admissions.select("subject_id", "begin", "end", pl.col("id").alias("hadm_id")).sort("begin")
    ended = spans.select("subject_id", pl.col("end").alias(column), pl.col("hadm_id").alias("ended"))
    order = events.with_row_index("place")
    found = order.sort(column, nulls_last=True).join_asof(
        spans, left_on=column, right_on="begin", by="subject_id", strategy="backward", check_sortedness=False
    )
    inside = pl.when(pl.col(column) <= pl.col("end")).then("hadm_id").alias("hadm_id")
    found = found.with_columns(inside).join(
        ended.unique(["subject_id", column], keep="first", maintain_order=True), on=["subject_id", column], how="left"
    )
    return (
        found.sort("place")
        .with_columns(pl.coalesce("ended", "hadm_id").alias("hadm_id"))
        .drop("place", "begin", "end", "ended")
    )
