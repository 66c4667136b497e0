"""Reader of MIMIC-IV-Note 2.2: the tables `discharge` and `radiology`, one row per note."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from picme.errors import DataError
from picme.sources.foreign import read_foreign
from picme.sources.recognise import it_holds
from picme.sources.tables import (
    blank,
    collect,
    find_table,
    refuse_share,
    refuse_unreadable,
    scan_table,
    typed,
    wide_encoding,
)

if TYPE_CHECKING:
    from pathlib import Path

TABLES = ("discharge", "radiology")
_TIMES = ("charttime", "storetime")
_NAMES = ("note_id", "subject_id", "hadm_id", "charttime", "text")
_OPTIONAL = ("note_type", "storetime")
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
_NO_ADMISSION = "no readable hadm_id"
_LOST = "characters that cannot be decoded"
_ESCAPED = "line breaks written as \\n"


def find_notes(folder: Path, table: str) -> Path:
    """Return the file of `table` (`discharge` or `radiology`) in `folder` or its `note/`.

    Raises:
        DataError: if there is none.
    """
    path = folder if folder.is_file() else find_table(table, (folder, folder / "note", folder / "notes"))
    if path is None:
        raise DataError(
            f"no {table}.csv.gz, {table}.csv or {table}.parquet in {folder} or {folder / 'note'}"
            f"{it_holds(folder, 'MIMIC-IV-Note')}"
        )
    return path


def read_notes(
    folder: Path, table: str, subjects: pl.Series, max_characters: int, max_bad: float = 1.0
) -> pl.DataFrame:
    """Read the notes of these subjects in one streaming pass that never holds the text of others.

    Args:
        folder: the release's folder, its `note/`, or the file itself.
        table: `discharge` or `radiology`.
        subjects: subject_id of the cohort.
        max_characters: the text of a longer note is not kept.
        max_bad: largest share of discharge summaries that name no admission.

    Returns:
        note_id, subject_id, hadm_id, note_type, charttime, known (storetime, else charttime), text, `problem` (why a
        row cannot be used; null for a good one) and `oddity` (what is odd about the text of a good one), sorted by
        known, charttime and note_id, so that the order of rows in the file has no influence. Bytes that are not UTF-8
        are read in the encoding that they are likeliest in; control characters become blanks, and `\\n` line breaks in
        a text without any.

    Raises:
        DataError: if the file is missing, cut, or lacks a column, or if an id or a time can be read in no row, or for
            more bad rows than `max_bad`.
    """
    path = find_notes(folder, table)
    wanted = subjects.cast(pl.Int64).unique()
    wide = wide_encoding(path)
    notes = None if wide else typed_notes(scan_table(path, _NAMES, _OPTIONAL), path, wanted, max_characters)
    if notes is None or (path.suffix != ".parquet" and path.is_file() and notes["oddity"].eq(_LOST).any()):
        notes = typed_notes(read_foreign(path, _NAMES, _OPTIONAL, wanted, wide).lazy(), path, wanted, max_characters)
    return judged(notes, path, table, max_bad)


def judged(notes: pl.DataFrame, path: Path, table: str, max_bad: float) -> pl.DataFrame:
    """Mark the notes of a table that cannot be found by their admission, and those that are there twice.

    Raises:
        DataError: if an id or a time can be read in no row, or for more bad rows than `max_bad`.
    """
    refuse_unreadable(notes["problem"], path, ("subject_id is not a number", "time cannot be parsed"))
    if table == "discharge":  # its summaries are found by the admission
        lost = pl.col("problem").is_null() & pl.col("hadm_id").is_null()
        notes = notes.with_columns(
            *(pl.when(~lost).then(name).alias(name) for name in ("text", "oddity")),
            problem=pl.when(lost).then(pl.lit(_NO_ADMISSION)).otherwise("problem"),
        )
        refuse_share(int(notes["problem"].eq(_NO_ADMISSION).sum()), notes.height, path, _NO_ADMISSION, max_bad)
    repeated = pl.col("problem").is_null() & pl.col("note_id").is_not_null() & ~pl.col("note_id").is_last_distinct()
    return notes.with_columns(
        problem=pl.when(repeated).then(pl.lit("note_id occurs twice")).otherwise("problem"),
        text=pl.when(~repeated).then("text"),
    )


def typed_notes(frame: pl.LazyFrame, path: Path, wanted: pl.Series, max_characters: int) -> pl.DataFrame:
    """Type the columns of a note table, and find what is wrong or odd about each row."""
    schema = frame.collect_schema()
    read_as = pl.col("read_as") if "read_as" in schema else pl.lit(None, pl.String)
    frame = frame.with_columns(typed(name, schema[name]) for name in schema if name not in _TIMES)
    # Rows without a readable subject are kept only to be counted.
    frame = frame.filter(pl.col("subject_id").is_null() | pl.col("subject_id").is_in(wanted.implode()))
    written = pl.col("text").str.contains(r"\\n") & ~pl.col("text").str.strip_chars().str.contains("\n")
    frame = frame.with_columns(
        *(typed(name, schema[name]).alias(f"{name}_") for name in _TIMES),
        oddity=pl.coalesce(
            pl.when(pl.col("text").str.contains("\ufffd", literal=True)).then(pl.lit(_LOST)),
            pl.when(written).then(pl.lit(_ESCAPED)),
            pl.format("read as {}", read_as),
            pl.when(pl.col("text").str.contains(_CONTROL)).then(pl.lit("control characters taken out")),
        ),
        text=pl.when(written)
        .then(pl.col("text").str.replace_all(r"(\\r)?\\n", "\n"))
        .otherwise("text")
        .str.replace_all(_CONTROL, " "),
    ).with_columns(
        length=pl.col("text").str.len_chars().fill_null(0),
        blank=blank("text", pl.String),
    )
    bad_time = pl.any_horizontal(~blank(name, schema[name]) & pl.col(f"{name}_").is_null() for name in _TIMES)
    frame = frame.with_columns(
        problem=pl.when(pl.col("subject_id").is_null())
        .then(pl.lit("subject_id is not a number"))
        .when(pl.col("length") > max_characters)
        .then(pl.lit(f"longer than {max_characters} characters"))
        .when(pl.col("blank"))
        .then(pl.lit("no text"))
        .when(bad_time)
        .then(pl.lit("time cannot be parsed"))
    ).select(
        "note_id",
        "subject_id",
        "hadm_id",
        "note_type",
        charttime="charttime_",
        known=pl.coalesce("storetime_", "charttime_"),
        text=pl.when(pl.col("problem").is_null()).then(pl.col("text")),
        problem="problem",
        oddity=pl.when(pl.col("problem").is_null()).then("oddity"),
    )
    return collect(frame, path).sort("known", "charttime", "note_id", "hadm_id", "text", nulls_last=False)
