"""One pass over the events of a MEDS data set: the wanted ones are kept on disk, and the order of all is checked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from picme.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from picme.sources.meds_files import MedsFiles

# Rows that are handed on together.
BATCH = 250_000
NO_CODE, NO_SUBJECT = "column 'code': empty", "column 'subject_id': empty"
UNSORTED = "time before that of the subject's previous event (used all the same)"


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

    All shards are one query, of which polars reads several row groups side by side; each query reads only its columns.

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
    events = files.scan(names)
    subject, time = pl.col("subject_id"), pl.col("time")
    same = subject == subject.shift()
    kept = events.filter(pl.col("code").is_in(list(wanted))).sink_ipc(file, compression="uncompressed", lazy=True)
    order = events.select((same & (time < time.shift())).sum().alias(UNSORTED), subject.null_count().alias(NO_SUBJECT))
    codes = events.select(
        pl.col("code").null_count().alias(NO_CODE), (~pl.col("code").is_in(known.to_list())).sum().alias("unlisted")
    )
    named = events.select("subject_id").with_row_index("row").drop_nulls()
    runs = named.filter(~same.fill_null(False))
    # One after the other: plans that share a scan wait for one another, and what waits is kept in memory.
    starts = [files.collect(plan)[0] for plan in (kept, runs)][-1]
    counts = Counter[str]()
    for plan in (order, codes):
        counts.update({name: int(number) for name, number in files.collect(plan)[0].row(0, named=True).items()})
    unlisted = counts.pop("unlisted")
    _refuse_scattered(files, starts, whole=not counts[NO_SUBJECT])
    return KeptEvents(file, +counts, files.rows, starts["subject_id"].unique().sort()), unlisted


def _refuse_scattered(files: MedsFiles, starts: pl.DataFrame, whole: bool) -> None:
    """Refuse data in which a subject's events do not follow one another in one file.

    Args:
        files: the data set.
        starts: subject_id and row of each event whose subject is not that of the event before, by row.
        whole: whether every event has a subject; a file may begin with one that has none.

    Raises:
        DataError: naming the file, or two of the files.
    """
    ends = np.cumsum(files.rows_of)
    rows = starts["row"].to_numpy()
    # A file that begins with the last subject of the file before has no start at its first row.
    begins = np.concatenate([[0], ends[:-1]])[np.asarray(files.rows_of) > 0]
    across = begins[~np.isin(begins, rows)] if whole else begins[:0]
    subjects = starts["subject_id"].to_numpy()
    continued = pl.DataFrame(
        {"subject_id": subjects[np.searchsorted(rows, across, side="right") - 1], "row": across},
        schema=starts.schema,
    )
    place = pl.concat([starts, continued])
    place = place.with_columns(shard=pl.Series(np.searchsorted(ends, place["row"].to_numpy(), side="right")))
    several = place.filter(pl.len().over("subject_id") > 1).sort("row")
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
