"""Row counts of tables, and their first rows, without reading more of a file than needed."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

import polars as pl
from isal import igzip, isal_zlib
from isal.igzip_lib import IsalError

from picme.errors import DataError
from picme.sources.encodings import wide

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK = 1 << 22
LARGE = 64 << 20
"""Size on disk, in bytes, above which a count is estimated from the file's beginning, unless asked for in full."""
SAMPLE = 16 << 20
"""Number of bytes on disk that an estimate reads."""


@dataclass(frozen=True)
class RowCount:
    """The number of rows of a table, its header left out, and whether that is an estimate."""

    rows: int
    estimated: bool


class _Rows:
    """A counter of line ends outside of quotes, fed chunk by chunk (notes have line breaks inside their quotes)."""

    def __init__(self) -> None:
        self.lines = 0
        self.quoted = False
        self.last = b"\n"

    def add(self, chunk: bytes) -> None:
        for position, piece in enumerate(chunk.split(b'"')):
            if position:
                self.quoted = not self.quoted
            if not self.quoted:
                self.lines += piece.count(b"\n")
        self.last = chunk[-1:] or self.last

    def total(self) -> int:
        """Return the rows so far, the header left out and an unfinished last line included."""
        return max(0, self.lines + (self.last != b"\n") - 1)


def count_rows(path: Path, full: bool = False) -> RowCount:
    """Count the rows of a csv.gz, csv or Parquet table.

    Args:
        path: the table.
        full: read a large file to its end instead of estimating from its first 16 MB.

    Raises:
        DataError: if the file is damaged as far as it is read.
    """
    if path.suffix == ".parquet":
        try:
            return RowCount(int(pl.scan_parquet(path).select(pl.len()).collect().item()), estimated=False)
        except (pl.exceptions.PolarsError, OSError):
            raise DataError(f"{path} cannot be read as a Parquet file") from None
    size = path.stat().st_size
    estimated = size > LARGE and not full
    counter, decoder = _Rows(), None
    with path.open("rb") as raw:
        for number, chunk in enumerate(_beginning(raw, path) if estimated else _chunks(raw, path)):
            if number == 0 and (encoding := wide(chunk)) is not None:
                decoder = codecs.getincrementaldecoder(encoding)("replace")
            counter.add(chunk if decoder is None else decoder.decode(chunk).encode())
    rows = counter.total()
    return RowCount(round(rows * size / SAMPLE) if estimated else rows, estimated)


def first_rows(path: Path, n_bytes: int = CHUNK) -> pl.DataFrame:
    """Read the table's first rows as text, at most about `n_bytes` of them.

    Raises:
        DataError: if the file is damaged there or has no header.
    """
    try:
        if path.suffix == ".parquet":
            return pl.scan_parquet(path).head(10_000).collect().select(pl.all().cast(pl.String, strict=False))
        with path.open("rb") as raw:
            chunk = next(_chunks(raw, path), b"")
        encoding = wide(chunk)
        if encoding is not None:
            chunk = chunk.decode(encoding, "replace").removeprefix("\ufeff").encode()
        if len(chunk) > n_bytes or len(chunk) == CHUNK:
            chunk = _whole_rows(chunk[:n_bytes])
        return pl.read_csv(BytesIO(chunk), infer_schema=False, encoding="utf8-lossy", truncate_ragged_lines=True)
    except pl.exceptions.PolarsError:
        raise DataError(f"{path} cannot be read; a CSV table with a header was expected") from None


def _whole_rows(chunk: bytes) -> bytes:
    """Cut a chunk at its last line end outside of quotes."""
    pieces = chunk.split(b'"')
    for position in range(len(pieces) - 1, -1, -1):
        if position % 2 == 0 and b"\n" in pieces[position]:
            kept = pieces[position][: pieces[position].rindex(b"\n") + 1]
            return b'"'.join([*pieces[:position], kept])
    return chunk


def _chunks(raw: BinaryIO, path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, decompressed."""
    stream = igzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
    try:
        while chunk := stream.read(CHUNK):
            yield chunk
    except (EOFError, OSError, IsalError):  # type: ignore[misc]
        raise _damaged(path) from None


def _beginning(raw: BinaryIO, path: Path) -> Iterator[bytes]:
    """Yield, decompressed, exactly the first `SAMPLE` bytes that a file has on disk."""
    data = raw.read(SAMPLE)
    if path.suffix != ".gz":
        yield data
        return
    try:
        while data:
            stream = isal_zlib.decompressobj(wbits=31)
            while not stream.eof and data:
                yield stream.decompress(data, CHUNK)
                data = stream.unconsumed_tail
            data = stream.unused_data
    except IsalError:  # type: ignore[misc]
        raise _damaged(path) from None


def _damaged(path: Path) -> DataError:
    return DataError(f"{path} cannot be read to its end; it is truncated or not gzip-compressed")
