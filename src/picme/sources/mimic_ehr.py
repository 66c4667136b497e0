"""The tables of MIMIC-IV 1.0, 2.x and 3.x (csv.gz, csv or Parquet), found, typed and checked."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from picme.errors import DataError, near

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

TABLES = {
    "hosp": (
        *("admissions", "patients", "transfers", "diagnoses_icd", "d_icd_diagnoses", "labevents", "d_labitems"),
        *(
            "services",
            "procedures_icd",
            "d_icd_procedures",
            "d_hcpcs",
            "drgcodes",
            "emar",
            "emar_detail",
            "hcpcsevents",
        ),
        *("microbiologyevents", "omr", "pharmacy", "poe", "poe_detail", "prescriptions", "provider"),
    ),
    "icu": (
        *("icustays", "chartevents", "d_items", "outputevents", "inputevents", "procedureevents", "datetimeevents"),
        *("ingredientevents", "caregiver"),
    ),
}
"""Tables by the folder they live in since release 2.0; release 1.0 has the first three in `core/`."""

ENDINGS = (".csv.gz", ".csv", ".parquet")
RENAMED = {"race": "ethnicity"}
"""Names of today, and what release 1.0 called them."""

INTEGERS = frozenset(
    (
        *("subject_id", "hadm_id", "stay_id", "itemid", "anchor_age", "anchor_year"),
        *("seq_num", "icd_version", "hospital_expire_flag"),
    )
)
NUMBERS = frozenset(("valuenum", "los"))
TIMES = frozenset(
    (
        *("admittime", "dischtime", "deathtime", "dod", "intime", "outtime"),
        *("charttime", "storetime", "edregtime", "edouttime"),
    )
)
TIME_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")
TIME = pl.Datetime("us")
NEWEST_GROUP = "2020 - 2022"
"""Patients of these years came with release 3.0."""


@dataclass(frozen=True)
class Release:
    """A MIMIC-IV release on disk: any subset of its tables.

    Attributes:
        path: the folder that was named.
        files: table name → its file, or a folder of Parquet files.
        version: `1.0`, `2.x` or `3.x`, told from the columns; `unknown` where the telling tables are absent.
    """

    path: Path
    files: dict[str, Path]
    version: str

    @classmethod
    def open(cls, path: Path) -> Release:
        """Finds the tables below `path`, in `hosp/`, `icu/`, `core/` or beside each other.

        Raises:
            DataError: if `path` is no folder or holds none of the tables.
        """
        if not path.is_dir():
            raise DataError(f"{path} is not a folder; expected a MIMIC-IV release with hosp/ and icu/")
        for root in (path, *sorted(path.glob("*/")), *sorted(path.glob("*/*/"))):
            files = _find(root)
            if files:
                return cls(path, files, _version(root, files))
        raise DataError(f"{path} holds no MIMIC-IV table: expected hosp/admissions.csv.gz, icu/icustays.csv.gz, …")

    def tables(self) -> dict[str, Path]:
        """The tables that are there, by name."""
        return dict(self.files)

    def fingerprint_paths(self, tables: Sequence[str] | None = None) -> list[Path]:
        """Files whose size, time and header identify the raw data; all tables, or those named that are there."""
        names = sorted(self.files) if tables is None else [name for name in tables if name in self.files]
        return [self.files[name] for name in names]

    def file(self, name: str) -> Path:
        """Where a table is.

        Raises:
            DataError: if the release on disk does not have it.
        """
        if name not in self.files:
            folder = next((folder for folder, names in TABLES.items() if name in names), "icu")
            expected = " or ".join(f"{folder}/{name}{ending}" for ending in ENDINGS)
            raise DataError(f"table {name!r} not found in {self.path}: expected {expected}")
        return self.files[name]

    def columns(self, name: str) -> list[str]:
        """Column names of a table, today's spelling (`race`, not `ethnicity`)."""
        old = {old: new for new, old in RENAMED.items()}
        return [old.get(column, column) for column in _header(self.file(name))]

    def raw(self, name: str, columns: Sequence[str], optional: Sequence[str] = ()) -> pl.LazyFrame:
        """Columns as they are in the file (text in CSV), named as today; those of `optional` that are absent are null.

        Raises:
            DataError: if the table or a column is missing, naming the file and the column.
        """
        file = self.file(name)
        there = _header(file)
        picked = []
        for column in (*columns, *optional):
            actual = column if column in there else RENAMED.get(column, column)
            if actual in there:
                picked.append(pl.col(actual).alias(column))
            elif column in optional:
                picked.append(pl.lit(None, pl.String).alias(column))
            else:
                raise DataError(f"{file} has no column {column!r}{near(column, there)}")
        if file.name.endswith(".csv") or file.name.endswith(".csv.gz"):
            return pl.scan_csv(file, infer_schema=False, truncate_ragged_lines=True).select(picked)
        return pl.scan_parquet(file if file.is_file() else file / "**/*.parquet").select(picked)

    def table(self, name: str, columns: Sequence[str], optional: Sequence[str] = ()) -> pl.LazyFrame:
        """Typed columns of a table: ids Int64, times Datetime, numbers Float64, the rest text; unreadable cells null.

        Raises:
            DataError: as `raw`.
        """
        raw = self.raw(name, columns, optional)
        schema = raw.collect_schema()
        return raw.select(typed(column, schema[column]) for column in (*columns, *optional))

    def read(
        self, name: str, columns: Sequence[str], optional: Sequence[str] = ()
    ) -> tuple[pl.DataFrame, dict[str, int]]:
        """A small table in memory, and for each column the number of cells that could not be read.

        Raises:
            DataError: as `raw`; a file cut short or damaged; a column of which no cell can be read.
        """
        raw = self.raw(name, columns, optional)
        with reading(self.file(name)):
            text = raw.collect()
        frame = text.select(typed(column, text.schema[column]) for column in text.columns)
        unreadable = {}
        for column in frame.columns:
            filled = text.height - int(blank(text[column]).sum())
            bad = filled - (frame.height - frame[column].null_count())
            if bad <= 0:
                continue
            if bad == filled:
                raise DataError(
                    f"{self.file(name)}: none of the {filled} values of column {column!r} can be read; "
                    f"expected {_expected(column)}"
                )
            unreadable[column] = bad
        return frame, unreadable


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Turns what polars says of a damaged file into one sentence that names the file."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError, EOFError) as error:
        text = str(error).lower()
        if any(word in text for word in ("gzip", "deflate", "corrupt", "unexpected end", "eof", "compress", "zlib")):
            reason = "its compressed data end early or are damaged; download it again"
        else:
            reason = f"it cannot be read ({type(error).__name__})"
        raise DataError(f"{file}: {reason}") from None


def typed(column: str, dtype: pl.DataType | type[pl.DataType]) -> pl.Expr:
    """The column in its type; cells that cannot be read become null."""
    value = pl.col(column)
    text = dtype == pl.String
    if column in INTEGERS:
        # Exports that went through a table with missing values write ids as `123.0`.
        return (value.str.strip_chars().str.strip_suffix(".0") if text else value).cast(pl.Int64, strict=False)
    if column in NUMBERS:
        return (value.str.strip_chars() if text else value).cast(pl.Float64, strict=False)
    if column in TIMES:
        return parse_time(column) if text else value.cast(TIME)
    return value if text else value.cast(pl.String)


def parse_time(column: str, formats: Sequence[str] = TIME_FORMATS) -> pl.Expr:
    """A text column as date and time by the first format that fits; null if none does."""
    return pl.coalesce(pl.col(column).str.to_datetime(form, strict=False, time_unit="us") for form in formats).alias(
        column
    )


def _expected(column: str) -> str:
    if column in TIMES:
        return "a date and time like 2180-07-23 12:36:00"
    return "a whole number" if column in INTEGERS else "a number"


def blank(values: pl.Series) -> pl.Series:
    """Which cells hold nothing."""
    if values.dtype != pl.String:
        return values.is_null()
    return values.is_null() | (values.str.strip_chars() == "")


def _find(root: Path) -> dict[str, Path]:
    """Tables below a folder; the first of the endings that exists."""
    found = {}
    for folder, names in TABLES.items():
        for name in names:
            places = [place for place in (root / folder, root / "core", root) if place.is_dir()]
            candidates = [place / f"{name}{ending}" for ending in ENDINGS for place in places]
            candidates += [place / name for place in places if any((place / name).glob("*.parquet"))]
            file = next((candidate for candidate in candidates if candidate.exists()), None)
            if file is not None:
                found[name] = file
    return found


def _header(file: Path) -> list[str]:
    """Column names of a file."""
    with reading(file):
        if file.name.endswith((".csv", ".csv.gz")):
            return pl.read_csv(file, n_rows=0, infer_schema=False).columns
        return pl.scan_parquet(file if file.is_file() else file / "**/*.parquet").collect_schema().names()


def _version(root: Path, files: dict[str, Path]) -> str:
    """The release, by what only it has: `ethnicity` in 1.0, the newest patients in 3.x."""
    if "admissions" in files:
        names = _header(files["admissions"])
        if "ethnicity" in names or (root / "core").is_dir():
            return "1.0"
    if "patients" in files and "anchor_year_group" in _header(files["patients"]):
        release = Release(root, files, "")
        with reading(files["patients"]):
            groups = release.table("patients", ["anchor_year_group"]).unique().collect().to_series()
        return "3.x" if NEWEST_GROUP in groups.to_list() else "2.x"
    return "2.x" if "admissions" in files else "unknown"
