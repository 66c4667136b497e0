"""Files of the user's own data, checked and lined up by sample id. Messages name row numbers, never values."""

from __future__ import annotations

import gzip
import re
import zlib
from typing import TYPE_CHECKING

import polars as pl

from picme.engine.memory import check_memory
from picme.errors import DataError, near_column
from picme.sources.cells import NULL_WORDS, are_cells, ids, in_order, numbers, words
from picme.sources.delimited import Unreadable, parse
from picme.sources.encodings import UNDECODED, decode

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

BINARY = {"0": 0, "0.0": 0, "false": 0, "no": 0, "n": 0, "1": 1, "1.0": 1, "true": 1, "yes": 1, "y": 1}
SEPARATORS = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t"}
# A label column with more values is no column of classes.
MOST_CLASSES = 30
# Bytes of memory for each of a text: as read, as decoded, as cells.
_AS_CELLS = 4
_PART = 1 << 24
# A gzipped table is a tenth of its size; beyond this ratio and 256 MB it was made to fill the memory.
_RATIO = 400
_FREE = 1 << 28
# A number, or what begins with a date.
_CELL = re.compile(r"\s*([+-]?\d+([.,]\d+)?|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}\b.*)\s*")
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def read(path: Path, key: str) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Read a Parquet or CSV file (`.parquet`, `.csv`, `.tsv`, the text also gzipped); the cells of a CSV stay text.

    Returns:
        The table, and what is odd about the file's text, in a few words each.

    Raises:
        DataError: if it is missing, of another format, unreadable or empty; `key` says where it was named.
    """
    if not path.is_file():
        raise DataError(f"{key}: there is no file {path}")
    ending = next((e for e in (*SEPARATORS, ".parquet") if path.name.lower().endswith(e)), None)
    if ending is None:
        raise DataError(f"{key}: {path} is neither Parquet nor CSV; expected .parquet, {', '.join(SEPARATORS)}")
    oddities: tuple[str, ...] = ()
    try:
        if ending == ".parquet":
            frame = pl.read_parquet(path)
        else:
            text, _, oddities = decode(_bytes(path))
            frame = parse(text, SEPARATORS[ending])
            if UNDECODED in oddities:
                lost = frame.select(pl.any_horizontal(pl.all().str.contains("\ufffd")).fill_null(False)).to_series()
                if lost.any():
                    oddities += (f"in {int(lost.sum())} of {len(lost)} rows, the first row {first(lost)}",)
    except Unreadable as error:
        raise DataError(f"{key}: {path}{error}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise DataError(f"{key}: {path} cannot be read: its compressed data end early or are damaged") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        # The library's own message may quote cells, which may be a patient's.
        what = "Parquet" if ending == ".parquet" else "CSV with one header row"
        raise DataError(f"{key}: {path} cannot be read as {what} ({type(error).__name__})") from None
    if frame.is_empty():
        raise DataError(f"{key}: {path} has no rows")
    return frame, oddities


def _bytes(path: Path) -> bytes:
    """Read a text file, unpacked as long as it fits the memory and is no more than text can be packed.

    Raises:
        DataError: if it is too large.
    """
    size = path.stat().st_size
    if not path.name.lower().endswith(".gz"):
        check_memory(size * _AS_CELLS, str(path), "divide it, or write it as Parquet")
        return path.read_bytes()
    parts: list[bytes] = []
    unpacked = 0
    with gzip.open(path) as stream:
        while part := stream.read(_PART):
            parts.append(part)
            unpacked += len(part)
            check_memory(unpacked * _AS_CELLS, f"{path}, unpacked,", "divide it, or write it as Parquet")
            if unpacked > max(_FREE, size * _RATIO):
                raise DataError(f"{path} unpacks to over {_RATIO} times its size, which a table does not; unpack it")
    return b"".join(parts)


class File:
    """A file of the user's, and the sample id of each of its rows.

    Args:
        path: the file.
        key: the key of the configuration that names it, for messages.
        id_column: column of the sample id; None numbers the rows 1, 2, ….
        unique: one row per sample, or many (a long time series).
        expected: columns that the configuration names, in whatever file they are.

    Raises:
        DataError: if the file is unusable, the id column is missing, ids are empty or (with `unique`) repeated, or
            there is no id column and the first line holds no names.
    """

    def __init__(
        self, path: Path, key: str, id_column: str | None, unique: bool = True, expected: Collection[str] = ()
    ) -> None:
        self.path = path
        self.key = key
        self.id_column = id_column
        self.expected = expected
        self.frame, self.oddities = read(path, key)
        if id_column is None:
            if _no_header(self.frame, expected):
                raise DataError(f"{key}: the first line of {path} looks like a row; expected the names of the columns")
            self.ids = pl.Series("id", [str(row) for row in range(1, len(self.frame) + 1)])
            return
        self.ids = ids(self.column(id_column, "the sample id")).alias("id")
        if not unique:
            return
        if self.ids.null_count():
            raise DataError(f"{path}, row {first(self.ids.is_null())}: no sample id in column {id_column!r}")
        repeated = self.ids.is_duplicated()
        if repeated.any():
            many, rows = self.ids.filter(repeated).n_unique(), int(repeated.sum())
            raise DataError(
                f"{path}: ids in column {id_column!r} repeat ({many} id{'s' * (many > 1)} in {rows} rows); "
                "expected one row per sample"
            )

    def column(self, name: str, role: str) -> pl.Series:
        """Return a column by name.

        Raises:
            DataError: if there is none (says what it was wanted for, and a near match), or its cells are lists, bytes
                or durations.
        """
        if name not in self.frame.columns:
            hint = near_column(name, self.frame.columns, self.expected)
            raise DataError(f"{self.path} has no column {name!r} ({role}){hint}")
        cells = self.frame[name]
        if not are_cells(cells.dtype):
            raise DataError(
                f"{self.path}: column {name!r} ({role}) is of type {cells.dtype.base_type()}; "
                "expected numbers, words or dates"
            )
        return cells

    def align(self, values: pl.Series, samples: pl.Series) -> pl.Series:
        """Bring `values` (row of this file,) into the order of `samples`; null where this file lacks the sample."""
        here = pl.DataFrame({"id": self.ids, "value": values}).drop_nulls("id")
        order = pl.DataFrame({"id": samples}).join(here, on="id", how="left", maintain_order="left")
        return order["value"].alias(values.name)


def _no_header(frame: pl.DataFrame, expected: Collection[str]) -> bool:
    """Tell whether the names of columns look like cells: none is expected, and one is a number, date or own value.

    Names 0, 1, 2, … or 1, 2, 3, …, as those of pixels and hours, are no cells.
    """
    names = frame.columns
    counted = [str(number) for number in range(len(names) + 1)]
    if not set(names).isdisjoint(expected) or names in (counted[:-1], counted[1:]):
        return False
    return any(
        _CELL.fullmatch(cells.name) or (are_cells(cells.dtype) and (words(cells) == cells.name).any())
        for cells in frame
    )


def first(mask: pl.Series) -> int:
    """Return the number of the first row that is True; the first row under the header is 1."""
    return int(mask.arg_max() or 0) + 1


def column_of(label: str, columns: Collection[str]) -> tuple[str, str | None]:
    """Return the column of a label, and of a label like `digit=3`, which is no column itself, the value that counts."""
    column, sign, value = label.rpartition("=")
    return (column, value) if sign and label not in columns else (label, None)


def binary(values: pl.Series, path: Path, value: str | None = None) -> pl.Series:
    """Read a label as 0, 1 or null (Int8) from numbers, booleans, or yes/no, y/n, true/false in any case.

    Args:
        values: the label's column.
        path: its file.
        value: the one that counts as 1, all others as 0. In a column of numbers, words such as NA are unknown.

    Raises:
        DataError: names column and row number of anything else, or a value that no cell has.
    """
    if value is not None:
        found = _classes(values, value) == ids(pl.Series([value]))[0]
        if not found.any():
            raise DataError(f"{path}: no cell of column {values.name!r} holds {value!r}, which a label names")
        return found.cast(pl.Int8)
    said = words(values).str.to_lowercase()
    said = said.set(said.is_in(NULL_WORDS), None)
    result = said.replace_strict(BINARY, default=None, return_dtype=pl.Int8)
    wrong = result.is_null() & said.is_not_null()
    if wrong.any():
        raise DataError(
            f"{path}, row {first(wrong)}: label column {values.name!r} must hold 0/1, true/false, yes/no, y/n "
            f"or nothing{_one_hot(values)}"
        )
    return result


def _classes(values: pl.Series, named: str | None = None) -> pl.Series:
    """Write the classes of a column; words such as NA are none where all else is numbers, unless a label names one."""
    classes = ids(values)
    unknown = classes.str.to_lowercase().is_in(NULL_WORDS).fill_null(True)
    if unknown.all() or numbers(values).odd.any() or (named or "0").strip().lower() in NULL_WORDS:
        return classes
    return classes.set(unknown, None)


def _one_hot(values: pl.Series) -> str:
    """Say how a column of a few classes is written as labels; of its cells only classes 0, 1, … or 1, 2, … are told."""
    classes = in_order(_classes(values))
    if len(classes) > MOST_CLASSES:
        return ""
    shown = ["VALUE"]
    for start in (0, 1):
        counted = [str(number) for number in range(start, start + len(classes))]
        shown = counted if set(classes) == set(counted) else shown
    labels = [f"'{values.name}={each}'" for each in shown]
    more = ", …" if shown == ["VALUE"] else ""
    return f"; a label for each of its {len(classes)} values is written labels: [{', '.join(labels)}{more}]"


def splits(values: pl.Series, path: Path) -> pl.Series:
    """Read the split of every row as `train`, `val` or `test`.

    Raises:
        DataError: names the row number of anything else.
    """
    result = words(values).str.to_lowercase().replace_strict(SPLITS, default=None, return_dtype=pl.String)
    if result.null_count():
        raise DataError(f"{path}, row {first(result.is_null())}: column {values.name!r} must hold train, val or test")
    return result
