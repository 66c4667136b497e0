"""Readers of each kind of modality from the user's own files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.errors import ConfigError, DataError, near
from picme.registry import Registry
from picme.schema import ImageRows, Rows, SeriesRows, TableRows, TextRows
from picme.sources.hourly import hourly, series
from picme.sources.table_files import File, first

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping

Read = Callable[[float | None], Rows]

# A text column with more distinct words is no category; only a column the configuration names is then taken.
MAX_CATEGORIES = 50


@dataclass
class Request:
    """A modality to read, with its file, and the counts and notes to which the reader adds."""

    name: str
    entry: Mapping[str, Any]
    file: File
    samples: pl.Series
    """Ids in the order of the stays."""
    taken: set[str]
    """Columns that have another use (ids, labels, groups, other modalities)."""
    max_bad_rows: float
    counts: Counter[tuple[str, str]]
    notes: list[str]

    def option(self, key: str) -> Any:
        """Return a key that the kind cannot do without."""
        if not self.entry.get(key):
            raise ConfigError(
                f"modalities.{self.name}.{key} is missing: kind {self.entry['kind']!r} of own data needs it"
            )
        return self.entry[key]

    def cells(self, column: str) -> pl.Series:
        """Return a column of the modality's file, one cell per stay."""
        return self.file.align(self.file.column(column, f"modalities.{self.name}"), self.samples)

    def folder(self) -> Path:
        """Return the folder in which paths start: `folder`, itself starting at the folder of the modality's file."""
        folder = self.file.path.parent / Path(self.entry.get("folder") or ".")
        if not folder.is_dir():
            raise DataError(f"modalities.{self.name}.folder: there is no folder {folder}")
        return folder


def _words(cells: pl.Series) -> list[str | None]:
    """Strip the blanks around texts; None where nothing else is left."""
    text = cells.cast(pl.String).str.strip_chars()
    return text.set(text == "", None).to_list()


def _files(request: Request) -> list[Path | None]:
    """List the files that exist; others are counted, and it is an error if all are missing."""
    folder = request.folder()
    paths = [None if word is None else folder / word for word in _words(request.cells(request.option("column")))]
    found = [path if path is not None and path.is_file() else None for path in paths]
    named = sum(path is not None for path in paths)
    lost = named - sum(path is not None for path in found)
    if lost == named:
        raise DataError(
            f"modalities.{request.name}: none of the {named} files named in column {request.option('column')!r} of "
            f"{request.file.path} is in {folder}"
        )
    request.counts[request.name, "file not found"] += lost
    return found


def text(request: Request) -> Read:
    """Read texts from `column`, or, with `folder`, from the files whose paths it holds."""
    if not request.entry.get("folder"):
        rows = TextRows(_words(request.cells(request.option("column"))))
    else:
        files = _files(request)
        rows = TextRows(
            [None if file is None else file.read_text("utf-8", "replace").strip() or None for file in files]
        )
    return lambda hours: rows


def image(request: Request) -> Read:
    """Find the images whose paths, starting in `folder`, are in `column`."""
    rows = ImageRows(_files(request))
    return lambda hours: rows


def tabular(request: Request) -> Read:
    """Read numbers, booleans (as 0 and 1) and words (categories) from `columns`, or from all free columns."""
    frame = request.file.frame
    named = request.entry.get("columns")
    columns = []
    for name in named or [name for name in frame.columns if name not in request.taken]:
        cells = request.cells(name).alias(name)
        kind = cells.dtype
        if kind.is_numeric() or kind in (pl.Boolean, pl.Null):
            cells = cells.cast(pl.Float64)
            cells = cells.set(~cells.is_finite(), None)
        elif kind in (pl.String, pl.Categorical, pl.Enum):
            cells = pl.Series(name, _words(cells), dtype=pl.String)
            if named is None and cells.n_unique() > MAX_CATEGORIES:
                request.notes.append(f"{request.name}: column {name!r} left out, more than {MAX_CATEGORIES} categories")
                continue
        elif named is None:
            request.notes.append(f"{request.name}: column {name!r} left out, neither numbers nor words")
            continue
        else:
            raise DataError(
                f"{request.file.path}: column {name!r} of modalities.{request.name} is of type {kind}; "
                "expected numbers or words"
            )
        if cells.null_count() == len(cells):
            request.notes.append(f"{request.name}: column {name!r} is empty")
            cells = cells.cast(pl.Float64)
        columns.append(cells)
    if not columns:
        raise DataError(f"modalities.{request.name}: {request.file.path} has no column left for it; name its columns")
    table = pl.DataFrame(columns)
    rows = TableRows(table, table.select(pl.any_horizontal(pl.all().is_not_null())).to_series().to_numpy())
    return lambda hours: rows


def timeseries(request: Request) -> Read:
    """Read a long file: `id`, `hours`, `variable`, `value` name its columns; `columns` its variables (or all, sorted).

    One row an hour, the mean of the hour's values, carried forward; a stay ends with its last measured hour. Before
    a variable's first measurement the value is NaN, which normalisation turns into the training stays' mean.
    """
    rows = _measurements(request)
    known = rows["variable"].unique().sort().to_list()
    for name in request.entry.get("columns") or ():
        if name not in known:
            where = f"modalities.{request.name}.columns"
            raise DataError(f"{request.file.path} has no variable {name!r} ({where}){near(name, known)}")
    names = list(request.entry.get("columns") or known)
    order = pl.DataFrame({"sample": request.samples}).with_row_index("stay")
    rows = rows.filter(pl.col("variable").is_in(names)).join(order, on="sample", how="inner")
    rows = rows.sort("stay", "hours", maintain_order=True)
    index = rows["variable"].replace_strict({name: i for i, name in enumerate(names)}, return_dtype=pl.Int64)
    stay, time = rows["stay"].cast(pl.Int64).to_numpy(), rows["hours"].to_numpy()
    variable, value = index.to_numpy(), rows["value"].to_numpy()

    def window(hours: float | None) -> SeriesRows:
        seen = np.ones(len(time), bool) if hours is None else time <= hours
        lengths = np.zeros(len(request.samples), np.int64)
        np.maximum.at(lengths, stay[seen], np.floor(time[seen]).astype(np.int64) + 1)
        if hours is not None:
            lengths = np.minimum(lengths, ceil(hours))
        grid = hourly(stay[seen], time[seen], variable[seen], value[seen], lengths, ["mean"] * len(names))
        return series(grid, lengths, names, np.full(len(names), np.nan))

    return window


def _measurements(request: Request) -> pl.DataFrame:
    """Keep the usable rows of a long file: sample, hours, variable, value. The others are counted by reason."""
    file, entry, role = request.file, request.entry, f"modalities.{request.name}"
    rows = pl.DataFrame(
        {
            "sample": file.ids.cast(request.samples.dtype, strict=False),
            "hours": file.column(entry.get("hours") or "hours", role).cast(pl.Float64, strict=False),
            "variable": file.column(entry.get("variable") or "variable", role).cast(pl.String).str.strip_chars(),
            "value": file.column(entry.get("value") or "value", role).cast(pl.Float64, strict=False),
        }
    )
    reasons = {
        "row without id or variable": pl.col("sample").is_null() | pl.col("variable").is_null(),
        "row without a time of 0 hours or later": ~(pl.col("hours").is_finite() & (pl.col("hours") >= 0)).fill_null(
            False
        ),
        "row without a number": ~pl.col("value").is_finite().fill_null(False),
    }
    bad = rows.select(pl.any_horizontal(reasons.values())).to_series()
    if int(bad.sum()) > request.max_bad_rows * len(rows):
        raise DataError(
            f"{file.path}: {int(bad.sum())} of {len(rows)} rows lack an id, a variable, a time of 0 hours or later, or "
            f"a number, the first is row {first(bad)} (source.max_bad_rows is {request.max_bad_rows})"
        )
    for reason, wrong in reasons.items():
        request.counts[request.name, reason] += len(rows.filter(wrong))
        rows = rows.filter(~wrong)
    return rows


READERS: dict[str, Callable[[Request], Read]] = {
    "text": text,
    "image": image,
    "tabular": tabular,
    "timeseries": timeseries,
}
LONG = {"timeseries"}
"""Kinds whose file has many rows per sample."""


def many_rows(kind: str | None) -> bool:
    """Tell whether the file of a kind has many rows per sample; a kind of another package says so by `many_rows`."""
    return kind in LONG or bool(getattr(_outside(kind), "many_rows", False))


def read_modality(request: Request) -> Read:
    """Read one modality; the result gives its rows as seen up to a number of hours (None: all).

    A kind of another package is read by its own static method `read_table(request)`.

    Raises:
        ConfigError: if the kind cannot be read from tables, or the entry lacks a key.
        DataError: if its file does not hold what the entry says.
    """
    kind = str(request.entry.get("kind"))
    reader: Callable[[Request], Read] | None = READERS.get(kind) or getattr(_outside(kind), "read_table", None)
    if reader is None:
        raise ConfigError(f"modalities.{request.name}.kind: own data has no kind {kind!r}{near(kind, READERS)}")
    return reader(request)


def _outside(kind: str | None) -> Any:
    """Return the class of a kind that another package registers, or None."""
    registry = Registry("modalities", {})
    return registry.load(str(kind)) if kind not in READERS and kind in registry.names() else None
