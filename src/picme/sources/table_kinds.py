"""Readers of each kind of modality from the user's own files."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from picme.engine.memory import check_memory
from picme.errors import ConfigError, DataError, near, near_column
from picme.registry import Registry
from picme.schema import ImageRows, Rows, SeriesRows, TableRows, TextRows
from picme.sources.cells import LARGEST, are_cells, are_numbers, equal, nearly_numbers, numbers, patterns, words
from picme.sources.encodings import decode
from picme.sources.hourly import hourly, series
from picme.sources.table_files import File, first, read

Read = Callable[[float | None], Rows]

# A text column with more distinct words is no category; only a column the configuration names is then taken.
MAX_CATEGORIES = 50
# Ten years: one time beyond (seconds, a date's number) would make a series that no memory holds.
MAX_HOURS = 87_660
# Rows before the start are counted, not refused; where most are, the hours are counted from something else.
MOST_EARLY = 0.5
MAX_PATH = 4096
# Bytes of a text in a file of its own; a novel has one.
MAX_TEXT = 1 << 24
UNKNOWN = "row of an unknown sample"


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
    outside: bool
    """Whether files outside the modality's folder may be read."""
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

    def count(self, reasons: Counter[str]) -> None:
        """Add to the counts of what was left out."""
        for reason, count in reasons.items():
            self.counts[self.name, reason] += count

    def columns(self, found: list[str]) -> list[str] | None:
        """Return the configured `columns`, patterns such as `lab_*` replaced by what they match; None for none."""
        chosen: list[str] = []
        for name in self.entry.get("columns") or ():
            matched = [name]
            if name not in found and set(name) & set("*?["):
                matched = [one for one in fnmatch.filter(found, name) if one not in self.taken]
            if not matched:
                raise DataError(f"{self.file.path} has nothing like {name!r} (modalities.{self.name}.columns)")
            chosen += [one for one in matched if one not in chosen]
        return chosen or None

    def check_marks(self, names: Collection[str]) -> None:
        """Refuse marks of missing values for what is none of the modality's columns or variables."""
        marks = self.entry.get("missing")
        for name in marks if isinstance(marks, Mapping) else ():
            if name not in names:
                hint = near(name, set(names) & set(self.entry.get("columns") or ()))
                raise ConfigError(f"modalities.{self.name}.missing names {name!r}, which it does not have{hint}")

    def marked(self, cells: pl.Series, names: pl.Series) -> pl.Series:
        """Tell which cells hold a mark of a missing value, `missing` of the modality; `names` are their columns."""
        marks = self.entry.get("missing") or ()
        if not isinstance(marks, Mapping):
            return equal(cells, marks)
        result = pl.repeat(False, len(cells), dtype=pl.Boolean, eager=True)
        for name, own in marks.items():
            result |= (names == name).fill_null(False) & equal(cells, own)
        return result

    def unmarked(self, cells: pl.Series, name: str, reasons: Counter[str]) -> pl.Series:
        """Return a column without the cells that mark a missing value, which are counted."""
        if not self.entry.get("missing"):
            return cells
        marked = self.marked(cells, pl.repeat(name, len(cells), eager=True))
        reasons[f"{name!r}: a missing value's mark"] += int(marked.sum())
        return cells.set(marked, None)

    def folder(self) -> Path:
        """Return the folder in which paths start: `folder`, itself starting at the folder of the modality's file."""
        folder = self.file.path.parent / Path(self.entry.get("folder") or ".")
        if not folder.is_dir():
            raise DataError(f"modalities.{self.name}.folder: there is no folder {folder}")
        return folder


def _files(request: Request) -> list[Path | None]:
    """List the files that exist; others are counted, and it is an error if all are missing or some lie outside."""
    folder = request.folder()
    marks: Counter[str] = Counter()
    column = request.option("column")
    request.check_marks([column])
    cells = words(request.unmarked(request.cells(column), column, marks)).to_list()
    request.count(marks)
    found, reasons = _existing(cells, folder)
    outside = [row for row, file in enumerate(found) if file is not None and not _within(file, folder)]
    if outside and not request.outside:
        raise DataError(
            f"modalities.{request.name}: {len(outside)} of the files named in column {column!r} of "
            f"{request.file.path} lie outside {folder}, by their path or by a link; source.outside: true reads them"
        )
    named = sum(cell is not None for cell in cells)
    if reasons.total() == named:
        raise DataError(
            f"modalities.{request.name}: none of the {named} files named in column {column!r} of "
            f"{request.file.path} is in {folder}"
        )
    request.count(reasons)
    return found


def _existing(cells: list[str | None], folder: Path) -> tuple[list[Path | None], Counter[str]]:
    """Find the file that each cell names; count those that name none, whose text stays out of every message."""
    found: list[Path | None] = [None] * len(cells)
    reasons: Counter[str] = Counter()
    for row, cell in enumerate(cells):
        if cell is None:
            continue
        if "\n" in cell or "\0" in cell or len(cell.encode()) > MAX_PATH:
            reasons["not the name of a file"] += 1
            continue
        with suppress(OSError, ValueError):
            if (folder / cell).is_file():
                found[row] = folder / cell
        reasons["file not found"] += found[row] is None
    return found, reasons


def _within(file: Path, folder: Path) -> bool:
    return file.resolve().is_relative_to(folder.resolve())


def named_files(source: Any, modalities: Mapping[str, Mapping[str, Any]]) -> dict[Path, list[Path]]:
    """List the images and text files that the user's own tables name: folder in which the paths start → files.

    Tables and columns that are missing name none; reading them will say so.
    """
    files: dict[Path, list[Path]] = {}
    for entry in modalities.values():
        path = entry.get("path") or source.path
        by_file = entry.get("kind") == "image" or (entry.get("kind") == "text" and entry.get("folder"))
        if path is None or not by_file or not entry.get("column") or not Path(path).is_file():
            continue
        folder = Path(path).parent / Path(entry.get("folder") or ".")
        frame, _ = read(Path(path), "source.path")
        if entry["column"] in frame.columns and are_cells(frame[entry["column"]].dtype):
            found, _ = _existing(words(frame[entry["column"]]).to_list(), folder)
            files.setdefault(folder, []).extend(
                one for one in found if one is not None and (source.outside or _within(one, folder))
            )
    return files


def text(request: Request) -> Read:
    """Read texts from `column`, or, with `folder`, from the files whose paths it holds; `missing` marks whole texts."""
    reasons: Counter[str] = Counter()
    oddities: Counter[str] = Counter()
    column = request.option("column")
    request.check_marks([column])
    if not request.entry.get("folder"):
        cells = request.unmarked(request.cells(column), column, reasons)
        rows = TextRows(words(cells).to_list())
        blank = cells.drop_nulls().cast(pl.String)
        reasons["blank text"] += int((blank.str.strip_chars() == "").sum())
    else:
        texts: list[str | None] = []
        for file in _files(request):
            try:
                small = file is None or file.stat().st_size <= MAX_TEXT
                reasons["text of more than 16 MB"] += not small
                found = decode(file.read_bytes()) if file is not None and small else None
            except OSError:
                reasons["file cannot be read"] += 1
                found = None
            texts.append(None if found is None else found.text.strip() or None)
            if found is not None:
                reasons["blank text"] += texts[-1] is None
                # The text is used all the same, so this is a note and no loss.
                oddities.update(found.oddities)
        rows = TextRows(request.unmarked(pl.Series(texts, dtype=pl.String), column, reasons).to_list())
    request.count(reasons)
    request.notes += [f"{request.name}: {count} files {oddity}" for oddity, count in sorted(oddities.items())]
    return lambda hours: rows


def image(request: Request) -> Read:
    """Find the images whose paths, starting in `folder`, are in `column`."""
    rows = ImageRows(_files(request))
    return lambda hours: rows


def tabular(request: Request) -> Read:
    """Read numbers, truth values (as 0 and 1) and words (categories) from `columns`, or from all free columns.

    A column with a few cells that are no number is one of numbers all the same; these are counted by what they look
    like. The texts are kept beside the numbers, since a finished study reads them as its own cohort's types say.
    """
    frame = request.file.frame
    named = request.columns(frame.columns)
    columns: list[pl.Series] = []
    texts: list[pl.Series] = []
    reasons: Counter[str] = Counter()
    chosen = named or [name for name in frame.columns if name not in request.taken]
    request.check_marks(chosen)
    for name in chosen:
        if named is None and not are_cells(frame[name].dtype):
            request.notes.append(f"{request.name}: column {name!r} left out, neither numbers nor words")
            continue
        cells = request.unmarked(request.cells(name).alias(name), name, reasons)
        found = numbers(cells)
        kept = found.values if are_numbers(cells, found) else words(cells)
        if kept.dtype == pl.Float64:
            for look, count in patterns(cells, found.odd).items():
                reasons[f"{name!r}: no number, or one beyond {LARGEST:g}, like {look}"] += count
        elif cells.dtype not in (pl.String, pl.Categorical, pl.Enum):
            if named is None:
                request.notes.append(f"{request.name}: column {name!r} left out, neither numbers nor words")
                continue
            raise DataError(
                f"{request.file.path}: column {name!r} of modalities.{request.name} is of type {cells.dtype}; "
                "expected numbers or words"
            )
        elif named is None and kept.n_unique() > MAX_CATEGORIES:
            looks = "".join(f", {count} like {look}" for look, count in nearly_numbers(cells, found).items())
            request.notes.append(
                f"{request.name}: column {name!r} left out, more than {MAX_CATEGORIES} categories{looks}"
            )
            continue
        elif nearly := nearly_numbers(cells, found):
            # They are used all the same, so this is a note and no loss.
            looks = ", ".join(f"{count} like {look}" for look, count in nearly.items())
            request.notes.append(f"{request.name}: column {name!r} read as words, its cells numbers but for {looks}")
        if kept.null_count() == len(kept):
            request.notes.append(f"{request.name}: column {name!r} is empty")
            kept = kept.cast(pl.Float64)
        columns.append(kept)
        texts.append(words(cells))
    if not columns:
        raise DataError(f"modalities.{request.name}: {request.file.path} has no column left for it; name its columns")
    request.count(reasons)
    table = pl.DataFrame(columns)
    known = table.select(pl.any_horizontal(pl.all().is_not_null())).to_series().to_numpy()
    rows = TableRows(table, known, pl.DataFrame(texts))
    return lambda hours: rows


def timeseries(request: Request) -> Read:
    """Read a long file: `id`, `hours`, `variable`, `value` name its columns; `columns` its variables (or all, sorted).

    One row an hour, the mean of the hour's values, carried forward; a stay ends with its last measured hour. Before
    a variable's first measurement the value is NaN, which normalisation turns into the training stays' mean.
    """
    rows = _measurements(request)
    known = rows["variable"].unique().sort().to_list()
    names = request.columns(known) or known
    request.check_marks(names)
    for name in names:
        if name not in known:
            raise DataError(
                f"{request.file.path} has no variable {name!r} (modalities.{request.name}.columns)"
                f"{near_column(name, known, names, 'variables')}"
            )
    order = pl.DataFrame({"sample": request.samples}).with_row_index("stay")
    rows = rows.filter(pl.col("variable").is_in(names)).join(order, on="sample", how="inner")
    rows = rows.sort("stay", "hours", maintain_order=True)
    index = rows["variable"].replace_strict({name: i for i, name in enumerate(names)}, return_dtype=pl.Int64)
    stay, time = rows["stay"].cast(pl.Int64).to_numpy(), rows["hours"].to_numpy()
    variable, value = index.to_numpy(), rows["value"].to_numpy()
    held = 0

    def window(hours: float | None) -> SeriesRows:
        nonlocal held
        seen = np.ones(len(time), bool) if hours is None else time <= hours
        lengths = np.zeros(len(request.samples), np.int64)
        np.maximum.at(lengths, stay[seen], np.floor(time[seen]).astype(np.int64) + 1)
        if hours is not None:
            lengths = np.minimum(lengths, ceil(hours))
        numbers_held = len(names) * int(lengths.sum()) * np.dtype(np.float32).itemsize
        check_memory(
            held + 4 * numbers_held,  # the grid, and for each variable its value, its mask and how long ago it was
            f"{request.file.path}: {int(lengths.sum()):,} hours of all samples by {len(names)} variables",
            f"choose fewer of them in modalities.{request.name}.columns, or fewer hours in cohort.max_hours",
        )
        held += 3 * numbers_held
        grid = hourly(stay[seen], time[seen], variable[seen], value[seen], lengths, ["mean"] * len(names))
        return series(grid, lengths, names, np.full(len(names), np.nan))

    return window


def _measurements(request: Request) -> pl.DataFrame:
    """Keep the usable rows of a long file: sample, hours, variable, value. The others are counted by reason."""
    file, entry, role = request.file, request.entry, f"modalities.{request.name}"
    names = words(file.column(entry.get("variable") or "variable", role)).alias("variable")
    cells = file.column(entry.get("value") or "value", role)
    hours = file.column(entry.get("hours") or "hours", role)
    marked = request.marked(cells, names)
    rows = pl.DataFrame(
        [
            file.ids.alias("sample"),
            numbers(hours).values.alias("hours"),
            names,
            numbers(cells).values.alias("value"),
            marked.alias("marked"),
        ]
    )
    early = "row before 0 hours"
    reasons = {
        UNKNOWN: ~pl.col("sample").is_in(request.samples.implode()),
        "row without id": pl.col("sample").is_null(),
        "row without variable": pl.col("variable").is_null(),
        "row without a time in hours": pl.col("hours").is_null(),
        early: pl.col("hours") < 0,
        f"row later than {MAX_HOURS} hours": pl.col("hours") > MAX_HOURS,
        "row with a missing value's mark": pl.col("marked"),
        f"row without a number up to {LARGEST:g}": pl.col("value").is_null(),
    }
    reason = pl.coalesce(pl.when(wrong).then(pl.lit(name)) for name, wrong in reasons.items())
    found = rows.select(reason.alias("reason"))["reason"]
    counts = Counter(dict(found.drop_nulls().value_counts().iter_rows()))
    del counts[UNKNOWN]  # counted for every file
    # Rows before the start are usual, and marks are as good as empty cells.
    fine = (UNKNOWN, early, "row with a missing value's mark")
    bad = found.is_not_null() & ~found.is_in(fine).fill_null(False)

    def said(left_out: Collection[str]) -> str:
        chosen = [(name, count) for name, count in counts.most_common() if name not in left_out]
        return ", ".join(f"{count} {name.removeprefix('row ')}" for name, count in chosen)

    if int(bad.sum()) > request.max_bad_rows * len(rows):
        raise DataError(
            f"{file.path}: {int(bad.sum())} of {len(rows)} rows cannot be used, the first is row {first(bad)} "
            f"({said(fine)}; source.max_bad_rows is {request.max_bad_rows})"
        )
    if counts.total() > MOST_EARLY * len(rows):
        raise DataError(f"{file.path}: of {len(rows)} rows more than {MOST_EARLY:.0%} cannot be used ({said(())})")
    request.count(counts)
    return rows.filter(found.is_null())


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
