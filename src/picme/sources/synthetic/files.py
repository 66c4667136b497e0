"""Deterministic csv.gz files and random streams: the same seed gives the same bytes."""

from __future__ import annotations

import io
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

import numpy as np
from isal import igzip, igzip_threaded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl

SECOND = np.timedelta64(1, "s")


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """An independent random stream for each name, so that one part of the hospital never shifts another's numbers."""
    return np.random.default_rng([seed, *(n if isinstance(n, int) else zlib.crc32(n.encode()) for n in names)])


def stamp(seconds: np.ndarray) -> np.ndarray:
    """Whole seconds since 1970 (any shape) as `datetime64[us]`, which polars writes as a date with time."""
    return np.asarray(seconds, dtype="int64").astype("datetime64[s]").astype("datetime64[us]")


def to_csv(frame: pl.DataFrame, header: bool = True) -> bytes:
    """The frame as CSV in the releases' format: dates as `2180-07-23 14:00:00`, empty cells for nulls."""
    buffer = io.BytesIO()
    frame.write_csv(buffer, include_header=header, datetime_format="%Y-%m-%d %H:%M:%S")
    return buffer.getvalue()


@contextmanager
def gzip_writer(path: Path, threads: int = 0) -> Iterator[IO[bytes]]:
    """A gzip file of one member whose header holds no time and no name; `threads` > 0 compress beside the writer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if threads:
        with igzip_threaded.open(path, "wb", compresslevel=1, threads=threads) as file:
            yield cast("IO[bytes]", file)
        return
    with path.open("wb") as raw, igzip.IGzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as file:
        yield cast("IO[bytes]", file)


def write_table(path: Path, frame: pl.DataFrame) -> None:
    """One whole table as csv.gz."""
    with gzip_writer(path) as file:
        file.write(to_csv(frame))
