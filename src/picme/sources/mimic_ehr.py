"""Reader of MIMIC-IV 1.0, 2.x and 3.x: it finds the tables of a release and tells which release they are of."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from picme.errors import DataError
from picme.sources import ENDINGS
from picme.sources.mimic_events import scan as scan_events
from picme.sources.recognise import OTHERS, it_holds, recognise
from picme.sources.tables import TIME, TYPES, blank, collect, columns, find_table, scan_table, typed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_TABLES = {
    "hosp": "admissions patients transfers diagnoses_icd d_icd_diagnoses labevents d_labitems services procedures_icd "
    "d_icd_procedures d_hcpcs drgcodes emar emar_detail hcpcsevents microbiologyevents omr pharmacy poe poe_detail "
    "prescriptions provider",
    "icu": "icustays chartevents d_items outputevents inputevents procedureevents datetimeevents ingredientevents "
    "caregiver",
}
TABLES = {folder: tuple(names.split()) for folder, names in _TABLES.items()}
"""Tables by the folder they live in since release 2.0; release 1.0 has the first three in `core/`."""

NEWEST_GROUP = "2020 - 2022"
"""The years of patients who came with release 3.0."""


@dataclass(frozen=True)
class Release:
    """A MIMIC-IV release on disk, with any subset of its tables.

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
        """Find the tables below `path`, in `hosp/`, `icu/`, `core/` or beside each other.

        Raises:
            DataError: if `path` is no folder, holds none of the tables, those of several releases, or another data set.
        """
        if not path.is_dir():
            raise DataError(f"{path} is not a folder; expected a MIMIC-IV release with hosp/ and icu/")
        for level in ([path], sorted(path.glob("*/")), sorted(path.glob("*/*/"))):
            found = {root: files for root in level if (files := _tables(root))}
            if len(found) > 1:
                names = ", ".join(str(root.relative_to(path)) for root in found)
                raise DataError(f"{path} holds the tables of {len(found)} releases ({names}); name the folder of one")
            for root, files in found.items():
                if recognise(root) in OTHERS:
                    raise DataError(f"{root} is no release of MIMIC-IV{it_holds(root, 'MIMIC-IV')}")
                return cls(path, files, _version(root, files))
        raise DataError(
            f"{path} holds no MIMIC-IV table: expected hosp/admissions.csv.gz, icu/icustays.csv.gz, …"
            f"{it_holds(path, 'MIMIC-IV')}"
        )

    def tables(self) -> dict[str, Path]:
        """Map each table that is there to its file."""
        return dict(self.files)

    def file(self, name: str) -> Path:
        """Return where a table is.

        Raises:
            DataError: if the release on disk does not have it.
        """
        if name not in self.files:
            folder = next((folder for folder, names in TABLES.items() if name in names), "icu")
            expected = " or ".join(f"{folder}/{name}{ending}" for ending in ENDINGS)
            raise DataError(f"table {name!r} not found in {self.path}: expected {expected}")
        return self.files[name]

    def raw(self, name: str, names: Sequence[str], optional: Sequence[str] = ()) -> pl.LazyFrame:
        """Select columns as they are in the file (text in a CSV); those of `optional` that are absent are null.

        Raises:
            DataError: if the table or a column is missing; the message names the file and the column.
        """
        return scan_table(self.file(name), names, optional, ragged=True)

    def table(self, name: str, names: Sequence[str], optional: Sequence[str] = ()) -> pl.LazyFrame:
        """Select columns in their types (`sources.tables.TYPES`); unreadable cells are null.

        Raises:
            DataError: as `raw`.
        """
        raw = self.raw(name, names, optional)
        return raw.select(typed(column, found) for column, found in raw.collect_schema().items())

    def read(
        self, name: str, names: Sequence[str], optional: Sequence[str] = ()
    ) -> tuple[pl.DataFrame, dict[str, int]]:
        """Read a small table into memory, and count for each column the cells that could not be read.

        Raises:
            DataError: as `raw`; for a file cut short or damaged; for a column of which no cell can be read.
        """
        text = collect(self.raw(name, names, optional), self.file(name))
        frame = text.select(typed(column, found) for column, found in text.schema.items())
        filled = text.select((~blank(column, found)).sum().alias(column) for column, found in text.schema.items())
        unreadable = {}
        for column in frame.columns:
            cells = int(filled[column].item())
            bad = cells - frame[column].count()
            if bad <= 0:
                continue
            if bad == cells:
                raise DataError(
                    f"{self.file(name)}: none of the {cells} values of column {column!r} can be read; "
                    f"expected {_expected(column)}"
                )
            unreadable[column] = bad
        return frame, unreadable

    def scan(
        self,
        table: str,
        items: Sequence[int],
        columns: Sequence[str],
        optional: Sequence[str] = (),
        counts: Counter[str] | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows of items of an event table in batches; see `sources.mimic_events.scan`."""
        return scan_events(self, table, items, columns, optional, counts)

    def unread(self, table: str) -> Counter[str]:
        """Return the rows of an event table that `scan` yields nowhere and counts nowhere, which is none."""
        return Counter()

    def ids(self, name: str, column: str) -> pl.Series:
        """Return the ids that a column of a small table holds, each once.

        Raises:
            DataError: as `read`.
        """
        return self.read(name, [column])[0][column].drop_nulls().unique()


def _tables(root: Path) -> dict[str, Path]:
    """Find the tables of a release in `hosp/`, `icu/`, `core/` or beside each other."""
    places = {name: (root / folder, root / "core", root) for folder in TABLES for name in TABLES[folder]}
    found = {name: find_table(name, places[name]) for name in places}
    return {name: file for name, file in found.items() if file is not None}


def _expected(column: str) -> str:
    if TYPES.get(column) == TIME:
        return "a date and time like 2180-07-23 12:36:00"
    return "a whole number" if TYPES.get(column) == pl.Int64 else "a number"


def _version(root: Path, files: dict[str, Path]) -> str:
    """Tell the release by what only it has: `core/` or `ethnicity` in 1.0, the newest patients in 3.x."""
    if "admissions" in files and ((root / "core").is_dir() or "ethnicity" in columns(files["admissions"])):
        return "1.0"
    if "patients" in files and "anchor_year_group" in columns(files["patients"]):
        file = files["patients"]
        groups = collect(scan_table(file, ["anchor_year_group"], ragged=True).unique(), file).to_series()
        return "3.x" if NEWEST_GROUP in groups.to_list() else "2.x"
    return "2.x" if "admissions" in files else "unknown"
