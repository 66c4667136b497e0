"""MIMIC tables on disk: the file of a table, its columns, and their types, for csv.gz, csv and Parquet alike."""

from __future__ import annotations

import gzip
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import polars as pl
from isal import igzip
from isal.igzip_lib import IsalError

from picme.errors import DataError, near_column
from picme.sources import ENDINGS
from picme.sources.encodings import wide

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import IO

    from polars._typing import PolarsDataType

TIME = pl.Datetime("us")
_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")

# A zone behind a clock is left out, as in `typed`.
_ZONE = r"(?P<clock>:\d{2}(?:\.\d+)?)\s*(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"

TYPES: dict[str, PolarsDataType] = {
    **dict.fromkeys(("subject_id", "hadm_id", "stay_id", "itemid", "study_id", "seq_num", "icd_version"), pl.Int64),
    **dict.fromkeys(("anchor_age", "anchor_year", "hospital_expire_flag"), pl.Int64),
    **dict.fromkeys(("valuenum", "los"), pl.Float64),
    **dict.fromkeys(("admittime", "dischtime", "deathtime", "dod", "intime", "outtime"), TIME),
    **dict.fromkeys(("charttime", "storetime", "edregtime", "edouttime"), TIME),
}
"""Types of the columns that are not text; a column means the same in every table."""

NO_PATIENT = "subject_id of no patient"

NULL_WORDS = ("", "na", "n/a", "<na>", "nan", "nat", "null", "none")
"""Words by which programs write an empty cell, in lower case; believed only where a number or a time is expected."""

RENAMED = {"race": "ethnicity"}
"""Today's column names, and what release 1.0 called them."""


class Tables(Protocol):
    """The tables of a hospital in the form of MIMIC-IV, which is how every cohort with ICU stays is read."""

    @property
    def path(self) -> Path:
        """The folder that was named."""

    def tables(self) -> dict[str, Path]:
        """Map each table that is there to its file."""

    def file(self, name: str) -> Path:
        """Return where a table is, for messages."""

    def read(
        self, name: str, names: Sequence[str], optional: Sequence[str] = ()
    ) -> tuple[pl.DataFrame, dict[str, int]]:
        """Read a small table, and count for each column the cells that could not be read."""

    def ids(self, name: str, column: str) -> pl.Series:
        """Return the ids that a column of a small table holds, each once."""

    def unread(self, table: str) -> Counter[str]:
        """Return the rows of an event table that `scan` yields nowhere and counts nowhere, by place."""

    def scan(
        self,
        table: str,
        items: Sequence[int],
        columns: Sequence[str],
        optional: Sequence[str] = (),
        counts: Counter[str] | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows of items of an event table in batches."""


def find_table(table: str, places: Iterable[Path]) -> Path | None:
    """Return the file of a table, or its folder of Parquet files, from the place that has it, else None.

    Raises:
        DataError: if the table is there more than once.
    """
    places = [place for place in places if place.is_dir()]
    files = [place / f"{table}{ending}" for ending in ENDINGS for place in places]
    folders = [place / table for place in places if any((place / table).glob("*.parquet"))]
    # A pipe or a device exists too, and reading it would wait for ever.
    found = [path for path in [*files, *folders] if path.is_file() or path.is_dir()]
    if len(found) > 1:
        raise DataError(f"table {table!r} is there as {found[0]} and as {found[1]}, which may differ; keep one of them")
    return found[0] if found else None


def columns(path: Path) -> list[str]:
    """List the columns of a table by their names in the file.

    Raises:
        DataError: if the file cannot be read as the table its name promises.
    """
    return list(_open(path)[1])


def scan_table(path: Path, names: Sequence[str], optional: Sequence[str] = (), ragged: bool = False) -> pl.LazyFrame:
    """Select columns as they are in the file (text in a CSV); those of `optional` that are absent are null.

    Args:
        path: the table's file, or its folder of Parquet files.
        names: columns that must be there.
        optional: columns that may be absent.
        ragged: read rows with too many cells, without the surplus, instead of refusing the file.

    Raises:
        DataError: if the file cannot be read or a column is missing.
    """
    frame, schema = _open(path, ragged)
    picked = []
    for name in (*names, *optional):
        actual = name if name in schema else RENAMED.get(name, name)
        if actual in schema:
            picked.append(pl.col(actual).alias(name))
        elif name in optional:
            picked.append(pl.lit(None, pl.String).alias(name))
        else:
            raise DataError(f"{path} has no column {name!r}{hint(name, schema, names)}")
    return frame.select(picked)


def hint(name: str, found: Iterable[str], expected: Iterable[str]) -> str:
    """Suggest a near match without quoting what may be a patient's cell; see `near_column`."""
    return near_column(name, found, {*expected, *TYPES})


def typed(column: str, found: PolarsDataType) -> pl.Expr:
    """Convert a column that is stored as type `found` to its type in `TYPES`; cells that do not parse become null.

    A time with a zone is taken as the clock on the wall of that zone showed it: the releases' times have none, and
    tools add one to them when they write.
    """
    value, wanted = pl.col(column), TYPES.get(column, pl.String)
    if wanted == TIME and isinstance(found, pl.Datetime) and found.time_zone is not None:
        value = value.dt.replace_time_zone(None)
    if found != pl.String or wanted == pl.String:
        if wanted == pl.Int64 and found.is_float():
            value = pl.when(value == value.floor()).then(value)  # 7.5 is no id
        value = value if found == wanted else value.cast(wanted, strict=False)
        return value.fill_nan(None) if wanted == pl.Float64 else value
    if wanted == TIME:
        return parse_time(column)
    value = value.str.strip_chars()
    # Exports that went through a data frame with missing values write ids as `123.0`.
    if wanted == pl.Int64:
        return value.str.strip_suffix(".0").cast(wanted, strict=False)
    return value.cast(wanted, strict=False).fill_nan(None) if wanted == pl.Float64 else value.cast(wanted, strict=False)


def parse_time(column: str, usual_only: bool = False) -> pl.Expr:
    """Parse a text column as date and time in the releases' own format, or (unless `usual_only`) a similar one."""
    text = pl.col(column).str.strip_chars()
    if not usual_only:
        text = text.str.replace(_ZONE, "$clock")
    formats = _FORMATS[:1] if usual_only else _FORMATS
    return pl.coalesce(text.str.to_datetime(form, time_unit="us", strict=False) for form in formats).alias(column)


def blank(column: str, found: PolarsDataType) -> pl.Expr:
    """Mark the cells of a column that hold nothing or nothing but spaces; of numbers and times also null words."""
    value = pl.col(column)
    if found != pl.String:
        return value.is_null() | value.is_nan().fill_null(True) if found.is_float() else value.is_null()
    text = value.str.strip_chars().fill_null("")
    return text.str.to_lowercase().is_in(NULL_WORDS) if column in TYPES else text == ""


def refuse_unreadable(problems: pl.Series, path: Path, reasons: Sequence[str]) -> None:
    """Refuse a table none of whose rows can be used for one reason that is about a column.

    Raises:
        DataError: if every row has the same problem, and it is among `reasons`.
    """
    found = problems.unique()
    # A single row says nothing about its column.
    if len(problems) > 1 and len(found) == 1 and found[0] in reasons:
        raise DataError(f"{path}: none of {len(problems)} rows can be used: {found[0]}")


def refuse_share(bad: int, rows: int, path: Path, reason: str, max_bad: float) -> None:
    """Refuse a table that loses too many of its rows for one reason, which names the column.

    Raises:
        DataError: if more than the share `max_bad` of several rows is bad.
    """
    if rows > 1 and bad > max_bad * rows:
        raise DataError(f"{path}: {bad} of {rows} rows cannot be used: {reason}; allowed is a share of {max_bad:g}")


def refuse_lost(lost: Counter[str], rows: int, path: Path, max_bad: float) -> None:
    """Refuse a table that loses too many of its rows; of the reasons, `table: reason` each, the most frequent is told.

    Raises:
        DataError: if more than the share `max_bad` of the rows is lost.
    """
    if lost.total() > max_bad * rows:
        reason = lost.most_common(1)[0][0].partition(": ")[2]
        raise DataError(
            f"{path}: {lost.total()} of {rows} rows cannot be used (mostly: {reason}); allowed is a share of {max_bad}"
        )


def of_no_patient(path: Path, patients: pl.Series) -> int:
    """Count the rows whose subject_id is a number, but that of no patient.

    Some are normal where notes or images are those of more patients than the tables of stays.

    Args:
        path: the table's file.
        patients: subject_id of all patients, Int64.

    Raises:
        DataError: if none of several rows is of a patient, or the file is damaged.
    """
    frame = scan_table(path, ["subject_id"])
    subject = frame.select(typed(name, found) for name, found in frame.collect_schema().items())
    unknown = ~pl.col("subject_id").is_in(patients.implode())
    rows, bad = collect(subject.select(rows=pl.len(), bad=unknown.sum()), path).row(0)
    if rows > 1 and bad == rows:
        raise DataError(f"{path}: column 'subject_id': none of {rows} rows is of a patient of the release")
    return int(bad)


def collect(frame: pl.LazyFrame, path: Path) -> pl.DataFrame:
    """Run a plan over a table in streaming fashion.

    Raises:
        DataError: if the file ends too early or its rows do not fit its header.
    """
    with reading(path):
        return frame.collect(engine="streaming")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn a library's complaint about a file into one sentence that names the file.

    The library's own message is left out, because it can quote rows.
    """
    try:
        yield
    except (pl.exceptions.PolarsError, OSError, EOFError, IsalError) as error:  # type: ignore[misc]
        if isinstance(error, FileNotFoundError):
            reason = "does not exist"
        elif isinstance(error, pl.exceptions.NoDataError):
            reason = "is empty; a header and rows were expected"
        elif isinstance(error, PermissionError):
            reason = "may not be read by this user"
        elif path.suffix == ".gz" and not _unpacks(path):
            reason = "cannot be read to its end: its compressed data end early or are damaged (a truncated download?)"
        elif path.name.endswith((".csv", ".csv.gz")):
            reason = "cannot be read; a CSV file with as many fields in each row as its header was expected"
        else:
            reason = "cannot be read; a Parquet file was expected"
        raise DataError(f"{path} {reason}") from None


def _unpacks(path: Path) -> bool:
    """Return whether a compressed file can be read to its end."""
    try:
        with gzip.open(path) as stream:
            while stream.read(1 << 22):
                pass
    except (OSError, EOFError, zlib.error):
        return False
    return True


def as_bytes(path: Path) -> IO[bytes]:
    """Open a file as bytes, decompressed where its name says gz."""
    return igzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb")


def wide_encoding(path: Path) -> str | None:
    """Return UTF-16 or UTF-32 where a CSV file is in one of them; else None.

    Raises:
        DataError: if the file cannot be read.
    """
    if path.is_dir() or not path.name.endswith((".csv", ".csv.gz")):
        return None
    with reading(path), as_bytes(path) as stream:
        return wide(stream.read(64))


def refuse_wide(path: Path) -> None:
    """Refuse a CSV file in UTF-16 or UTF-32, of which not even the header could be read.

    Raises:
        DataError: if it is in one of them.
    """
    if (encoding := wide_encoding(path)) is not None:
        raise DataError(f"{path} is in {encoding.upper()}, in which this table cannot be read; save it in UTF-8")


def _open(path: Path, ragged: bool = False) -> tuple[pl.LazyFrame, pl.Schema]:
    refuse_wide(path)
    with reading(path):
        if path.name.endswith((".csv", ".csv.gz")):
            frame = pl.scan_csv(path, infer_schema=False, encoding="utf8-lossy", truncate_ragged_lines=ragged)
        else:
            frame = pl.scan_parquet(path / "**/*.parquet" if path.is_dir() else path)
        return frame, frame.collect_schema()
