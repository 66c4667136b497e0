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


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return the random generator that belongs to a seed and names.

    Streams of different names are independent: what one part of the hospital draws never changes another part.
    """
    return np.random.default_rng([seed, *(n if isinstance(n, int) else zlib.crc32(n.encode()) for n in names)])


def stamp(seconds: np.ndarray) -> np.ndarray:
    """Convert whole seconds since 1970 (any shape) to `datetime64[us]`, which polars writes as a date with time."""
    return np.asarray(seconds, dtype="int64").astype("datetime64[s]").astype("datetime64[us]")


def to_csv(frame: pl.DataFrame, header: bool = True) -> bytes:
    """Return a frame as CSV in the releases' format: dates as `2180-07-23 14:00:00`, empty cells for nulls."""
    buffer = io.BytesIO()
    frame.write_csv(buffer, include_header=header, datetime_format="%Y-%m-%d %H:%M:%S")
    return buffer.getvalue()


@contextmanager
def gzip_writer(path: Path, threads: int = 0) -> Iterator[IO[bytes]]:
    """Open a gzip file for writing; its header holds neither a time nor a name, so equal content gives equal bytes.

    Args:
        path: The file; its folder is made if it does not exist.
        threads: The number of threads that compress; with 0, the caller's thread compresses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if threads:
        with igzip_threaded.open(path, "wb", compresslevel=1, threads=threads) as file:
            yield cast("IO[bytes]", file)
        return
    with path.open("wb") as raw, igzip.IGzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as file:
        yield cast("IO[bytes]", file)


def write_table(path: Path, frame: pl.DataFrame) -> None:
    """Write a whole table as csv.gz."""
    with gzip_writer(path) as file:
        file.write(to_csv(frame))
