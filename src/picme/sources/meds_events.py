"""The events of a MEDS data set that a study wants, kept on disk once the order of all events has been checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from picme.errors import DataError
from picme.sources.meds_order import UNLISTED, check_events

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from picme.sources.meds_files import MedsFiles

# Rows that are handed on together.
BATCH = 250_000


@dataclass(frozen=True)
class KeptEvents:
    """The events of the wanted codes, in a file that is read in batches.

    Attributes:
        file: the file.
        counts: `NO_CODE`, `NO_SUBJECT`, `UNSORTED` → events.
        rows: the number of events of the data set.
        subjects: every subject of the data set, ascending.
    """

    file: Path
    counts: Counter[str]
    rows: int
    subjects: pl.Series

    def of(self, codes: Sequence[str]) -> pl.DataFrame:
        """Read all events of some codes into memory."""
        return pl.scan_ipc(self.file).filter(pl.col("code").is_in(list(codes))).collect(engine="streaming")

    def batches(self, codes: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield the events of some codes in batches."""
        frame = pl.scan_ipc(self.file).filter(pl.col("code").is_in(list(codes)))
        yield from frame.collect_batches(chunk_size=BATCH, maintain_order=True, engine="streaming")


def distinct_codes(files: MedsFiles) -> pl.Series:
    """List the codes that the events have, which takes about twice as long as reading them."""
    found = files.collect(files.scan(["code"]).unique().drop_nulls())[0]
    return found["code"].sort()


def keep_events(
    files: MedsFiles, wanted: Sequence[str], known: pl.Series, columns: Sequence[str], scratch: Path
) -> tuple[KeptEvents, int]:
    """Keep the events of the wanted codes, and check the order, subjects and codes of all.

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
    file = scratch / "events.arrow"
    names = list(dict.fromkeys(["subject_id", "time", "code", "numeric_value", *columns]))
    # polars decodes no further column of an event whose code is not wanted; the checks want no further column.
    chosen = files.scan(names).filter(pl.col("code").is_in(list(wanted)))
    files.collect(chosen.sink_ipc(file, compression="uncompressed", lazy=True))
    counts, runs = check_events(files, known)
    unlisted = counts.pop(UNLISTED, 0)
    _refuse_scattered(files, runs)
    return KeptEvents(file, counts, files.rows, runs["subject_id"].unique().sort()), unlisted


def _refuse_scattered(files: MedsFiles, runs: pl.DataFrame) -> None:
    """Refuse data in which a subject's events do not follow one another in one file.

    Args:
        files: the data set.
        runs: of `check_events`.

    Raises:
        DataError: naming the file, or two of the files.
    """
    several = runs.filter(pl.len().over("subject_id") > 1)
    if several.is_empty():
        return
    apart = several.filter(pl.col("shard").n_unique().over("subject_id") > 1)
    if apart.height:
        first = apart.filter(pl.col("subject_id") == apart["subject_id"][0])["shard"].unique(maintain_order=True)
        raise DataError(
            f"{apart['subject_id'].n_unique()} subjects have events in two files, such as {files.shards[first[0]]} and "
            f"{files.shards[first[1]]}; MEDS has those of a subject in one"
        )
    raise DataError(
        f"{files.shards[several['shard'][0]]}: column 'subject_id': the events of {several['subject_id'].n_unique()} "
        "subjects are in several places of the file; MEDS has those of a subject one after the other"
    )
