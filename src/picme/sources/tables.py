"""Tables of a release on disk: find them as csv.gz, csv or Parquet and scan them with checked columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from picme.errors import DataError, near

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from polars._typing import PolarsDataType

ENDINGS = (".csv.gz", ".csv", ".parquet")
TIME = pl.Datetime("us")
_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")


def find_table(folder: Path, table: str, inside: Sequence[str] = ()) -> Path | None:
    """The file of `table` in `folder` or one of its subfolders named by `inside`; None where there is none."""
    for place in (folder, *(folder / name for name in inside)):
        for ending in ENDINGS:
            path = place / f"{table}{ending}"
            if path.is_file():
                return path
    return None


def header(path: Path) -> dict[str, PolarsDataType]:
    """Columns and types of a table (text for every column of a CSV).

    Raises:
        DataError: if the file cannot be read as the table its name promises.
    """
    return dict(_open(path)[1])


def scan_table(
    path: Path, columns: Mapping[str, PolarsDataType], optional: Mapping[str, PolarsDataType] | None = None
) -> pl.LazyFrame:
    """A lazy frame of exactly these columns; a value that does not parse is null, an absent optional column is null.

    Args:
        path: csv.gz, csv or Parquet.
        columns: name → type of the columns that must be there.
        optional: name → type of those that may be absent.

    Raises:
        DataError: if the file cannot be read or a column is missing.
    """
    frame, schema = _open(path)
    for name in columns:
        if name not in schema:
            raise DataError(f"{path} has no column {name!r}{hint(name, schema, columns)}")
    parts = [
        typed(name, schema[name], kind) if name in schema else pl.lit(None, dtype=kind).alias(name)
        for name, kind in {**columns, **(optional or {})}.items()
    ]
    return frame.select(parts)


def hint(name: str, found: Iterable[str], expected: Iterable[str]) -> str:
    """`errors.near`, unless no expected column is there: then the first line is a row of data, not to be quoted."""
    found = list(found)
    return near(name, found) if set(found) & set(expected) else "; its first line is not the header of this table"


def typed(name: str, found: PolarsDataType, wanted: PolarsDataType) -> pl.Expr:
    """Column `name` of type `found` as `wanted`; what does not parse becomes null."""
    column = pl.col(name)
    if found == wanted:
        return column
    if found == pl.String and wanted == TIME:
        stripped = column.str.strip_chars()
        return pl.coalesce(*(stripped.str.to_datetime(form, time_unit="us", strict=False) for form in _FORMATS)).alias(
            name
        )
    if found == pl.String and wanted.is_integer():
        # Identifiers that went through a data frame with gaps read `20000019.0`.
        return column.str.strip_chars().str.strip_suffix(".0").cast(wanted, strict=False)
    return column.cast(wanted, strict=False)


def collect(frame: pl.LazyFrame, path: Path) -> pl.DataFrame:
    """Run a plan over `path` in streaming fashion.

    Raises:
        DataError: if the file ends too early or its rows do not have the header's columns. The reader's own message
            is left out: it can quote the rows.
    """
    try:
        return frame.collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError, EOFError) as error:
        raise _unreadable(path, error) from None


def _open(path: Path) -> tuple[pl.LazyFrame, Mapping[str, PolarsDataType]]:
    try:
        if path.suffix == ".parquet":
            frame = pl.scan_parquet(path)
        else:
            frame = pl.scan_csv(path, infer_schema=False, encoding="utf8-lossy")
        return frame, frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError, EOFError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path} does not exist")
    if isinstance(error, pl.exceptions.NoDataError):
        return DataError(f"{path} is empty; a header and rows were expected")
    if path.suffix == ".gz":
        return DataError(f"{path} cannot be read to its end; it is truncated or not a gzip-compressed CSV file")
    kind = "a Parquet file" if path.suffix == ".parquet" else "a CSV file with as many fields in each row as its header"
    return DataError(f"{path} cannot be read; {kind} was expected")
