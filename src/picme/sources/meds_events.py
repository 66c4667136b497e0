"""One pass over the events of a MEDS data set: the wanted ones are kept on disk, and the order of all is checked."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from picme.errors import DataError
from picme.sources.tables import reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from picme.sources.meds_files import MedsFiles

# Shards that are read side by side; each of them uses all cores, and a second one fills the gaps.
SHARDS = 2
# Rows that are handed on together.
BATCH = 250_000
NO_CODE, NO_SUBJECT = "column 'code': empty", "column 'subject_id': empty"
UNSORTED = "time before that of the subject's previous event (used all the same)"


@dataclass(frozen=True)
class KeptEvents:
    """The events of the wanted codes, in files that are read in batches.

    Attributes:
        files: one file for each shard, in the shards' order.
        counts: `NO_CODE`, `NO_SUBJECT`, `UNSORTED` → events.
        rows: the number of events of the data set.
        subjects: every subject of the data set, ascending.
    """

    files: tuple[Path, ...]
    counts: Counter[str]
    rows: int
    subjects: pl.Series

    def of(self, codes: Sequence[str]) -> pl.DataFrame:
        """Read all events of some codes into memory."""
        frame = pl.concat([pl.scan_ipc(file) for file in self.files])
        return frame.filter(pl.col("code").is_in(list(codes))).collect(engine="streaming")

    def batches(self, codes: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield the events of some codes in batches."""
        wanted = list(codes)
        for file in self.files:
            frame = pl.scan_ipc(file).filter(pl.col("code").is_in(wanted))
            yield from frame.collect_batches(chunk_size=BATCH, maintain_order=True, engine="streaming")


def distinct_codes(files: MedsFiles) -> pl.Series:
    """List the codes that the events have, which takes about twice as long as reading them."""
    parts = []
    for shard in files.shards:
        with reading(shard):
            parts.append(files.scan(shard, ["code"]).unique().drop_nulls().collect(engine="streaming"))
    return pl.concat(parts)["code"].unique().sort()


def keep_events(
    files: MedsFiles, wanted: Sequence[str], known: pl.Series, columns: Sequence[str], scratch: Path
) -> tuple[KeptEvents, int]:
    """Read every event once; keep those of the wanted codes.

    Args:
        files: the data set.
        wanted: codes.
        known: all codes that the data set is said to have.
        columns: columns to keep beside subject_id, time, code and numeric_value.
        scratch: folder for the kept events; the caller removes it.

    Returns:
        What was kept; and the number of events whose code is not among the known ones.

    Raises:
        DataError: if a file is damaged, or a subject is in two files or in two places of one.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(["subject_id", "time", "code", "numeric_value", *columns]))
    counts: Counter[str] = Counter()

    def read(number: int) -> tuple[Path, pl.DataFrame, pl.Series]:
        shard, file = files.shards[number], scratch / f"{number}.arrow"
        events = files.scan(shard, names)
        subject, time = pl.col("subject_id"), pl.col("time")
        same = subject == subject.shift()
        kept = events.filter(pl.col("code").is_in(list(wanted))).sink_ipc(file, compression="uncompressed", lazy=True)
        checks = events.select(
            (same & (time < time.shift())).sum().alias(UNSORTED),
            subject.null_count().alias(NO_SUBJECT),
            pl.col("code").null_count().alias(NO_CODE),
            (~pl.col("code").is_in(known.to_list())).sum().alias("unlisted"),
        )
        runs = events.filter(~same.fill_null(False)).select("subject_id")
        with reading(shard):
            _, found, starts = pl.collect_all([kept, checks, runs], engine="streaming")
        return file, found, starts["subject_id"].drop_nulls()

    with ThreadPoolExecutor(SHARDS) as pool:
        parts = list(pool.map(read, range(len(files.shards))))
    unlisted = 0
    for _, found, _ in parts:
        row = found.row(0, named=True)
        unlisted += row.pop("unlisted")
        counts.update(row)
    _refuse_scattered(files, [starts for _, _, starts in parts])
    subjects = pl.concat([starts for _, _, starts in parts]).unique().sort()
    return KeptEvents(tuple(file for file, _, _ in parts), +counts, files.rows, subjects), unlisted


def _refuse_scattered(files: MedsFiles, starts: list[pl.Series]) -> None:
    """Refuse data in which a subject's events do not follow one another in one file.

    Raises:
        DataError: naming the file, or two of the files.
    """
    for shard, subjects in zip(files.shards, starts, strict=True):
        torn = int(subjects.is_duplicated().sum())
        if torn:
            raise DataError(
                f"{shard}: column 'subject_id': the events of {subjects.filter(subjects.is_duplicated()).n_unique()} "
                "subjects are in several places of the file; MEDS has those of a subject one after the other"
            )
    place = pl.concat(
        pl.DataFrame({"subject_id": subjects}).with_columns(shard=number) for number, subjects in enumerate(starts)
    )
    twice = place.filter(pl.len().over("subject_id") > 1)
    if twice.height:
        first = twice.filter(pl.col("subject_id") == twice["subject_id"][0])["shard"].to_list()
        raise DataError(
            f"{twice['subject_id'].n_unique()} subjects have events in two files, such as {files.shards[first[0]]} and "
            f"{files.shards[first[1]]}; MEDS has those of a subject in one"
        )
