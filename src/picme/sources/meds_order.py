"""Checks of all events of a MEDS data set: whose they are, in which order, and whether their codes are listed."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from picme.errors import DataError
from picme.sources.tables import reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from picme.sources.meds_files import MedsFiles

NO_CODE, NO_SUBJECT = "column 'code': empty", "column 'subject_id': empty"
UNSORTED = "time before that of the subject's previous event (used all the same)"
UNLISTED = "code that is not listed"
# Events that are checked together.
BATCH = 262_144


class _Part(NamedTuple):
    """Some events that follow one another in a file.

    Attributes:
        counts: what is counted among them.
        runs: the subject of each event whose subject is not that of the event before, without events of nobody.
        ends: subject and time of the first and of the last event, each None where it is empty.
    """

    counts: Counter[str]
    runs: np.ndarray
    ends: tuple[tuple[int | None, int | None], ...]


def check_events(files: MedsFiles, known: pl.Series) -> tuple[Counter[str], pl.DataFrame]:
    """Check all events of a data set, of which three columns are read, several parts of the files side by side.

    Codes are compared as the files have them, by number: each part of a file lists its codes once.

    Args:
        files: the data set.
        known: all codes that it is said to have.

    Returns:
        `NO_CODE`, `NO_SUBJECT`, `UNSORTED`, `UNLISTED` → events, without those that count none; and `subject_id` and
        `shard` (the file's number) of each run of events of one subject, in order. An event of nobody stands between
        those of a subject without tearing them apart.

    Raises:
        DataError: if a file is damaged; names it.
    """
    codes = pa.array(known.to_list(), pa.string())
    places = [
        (number, group)
        for number, shard in enumerate(files.shards)
        for group in range(pq.read_metadata(shard).num_row_groups)
    ]
    counts: Counter[str] = Counter()
    runs: list[tuple[int, np.ndarray]] = []
    before: tuple[int, _Part] | None = None
    with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        found = pool.map(lambda place: list(_parts(files.shards[place[0]], place[1], codes)), places)
        for (number, _), parts in zip(places, found, strict=True):
            for part in parts:
                counts.update(part.counts)
                own = part.runs
                if before is not None and before[0] == number:
                    counts[UNSORTED] += _backwards(before[1].ends[1], part.ends[0])
                if runs and runs[-1][0] == number and len(own) and own[0] == runs[-1][1][-1]:
                    own = own[1:]
                if len(own):
                    runs.append((number, own))
                before = (number, part)
    frame = pl.DataFrame(
        {
            "subject_id": np.concatenate([own for _, own in runs]) if runs else np.zeros(0, np.int64),
            "shard": np.repeat([number for number, _ in runs], [len(own) for _, own in runs]).astype(np.int64),
        }
    )
    return +counts, frame


def _parts(shard: Path, group: int, known: pa.Array) -> Iterator[_Part]:
    """Yield what is found in the parts of a row group of a file."""
    columns = ["subject_id", "time", "code"]
    try:
        with reading(shard), pq.ParquetFile(shard, read_dictionary=["code"]) as file:
            for batch in file.iter_batches(BATCH, [group], columns, use_threads=False):
                if batch.num_rows:
                    whose, when, what = (batch.column(name) for name in columns)
                    yield _part(whose, when, what, known)
    except pa.ArrowInvalid:
        raise DataError(f"{shard} cannot be read; a Parquet file was expected") from None


def _part(subjects: pa.Array, times: pa.Array, codes: pa.Array, known: pa.Array) -> _Part:
    subject, whose = _numbers(subjects.cast(pa.int64()))
    time, timed = _numbers(times.cast(pa.timestamp("us"), safe=False).view(pa.int64()))
    same = subject[1:] == subject[:-1]
    back = time[1:] < time[:-1]
    back &= same
    for valid in (whose, timed):
        if valid is not None:
            back &= valid[1:] & valid[:-1]
    if whose is None:
        runs = subject[np.concatenate([[0], np.flatnonzero(~same) + 1])]
    else:
        mine = subject[whose]
        runs = mine[np.concatenate([[True], mine[1:] != mine[:-1]])] if len(mine) else mine
    counts = Counter(
        {
            NO_SUBJECT: subjects.null_count,
            NO_CODE: codes.null_count,
            UNSORTED: int(back.sum()),
            UNLISTED: _unlisted(codes, known),
        }
    )
    ends = tuple(
        (
            int(subject[place]) if whose is None or whose[place] else None,
            int(time[place]) if timed is None or timed[place] else None,
        )
        for place in (0, -1)
    )
    return _Part(counts, runs, ends)


def _numbers(column: pa.Array) -> tuple[np.ndarray, np.ndarray | None]:
    """Return whole numbers of 64 bits, with anything in place of empty ones, and which are there; None if all are."""
    values = np.frombuffer(column.buffers()[1], np.int64, len(column), column.offset * 8)
    return values, column.is_valid().to_numpy(zero_copy_only=False) if column.null_count else None


def _unlisted(codes: pa.Array, known: pa.Array) -> int:
    """Count the events that have a code which is not among the known ones."""
    numbered = codes if pa.types.is_dictionary(codes.type) else codes.dictionary_encode()
    strange = pc.invert(pc.is_in(numbered.dictionary.cast(pa.string()), known)).to_numpy(zero_copy_only=False)
    if not strange.any():
        return 0
    return int(np.bincount(numbered.indices.drop_null().to_numpy(), minlength=len(strange))[strange].sum())


def _backwards(last: tuple[int | None, int | None], first: tuple[int | None, int | None]) -> int:
    """Return 1 if the first event of a part is of the same subject as the last one before, and earlier."""
    if None in (*last, *first) or last[0] != first[0]:
        return 0
    return int(first[1] < last[1])  # type: ignore[operator]  # neither is None
