"""Check of the raw releases: their tables, columns, row counts and dates, and what can be studied with them."""

from __future__ import annotations

import csv
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from picme.cohort.notes import kept_share
from picme.config.notes import NotesConfig
from picme.errors import ConfigError, DataError
from picme.sources.count import count_rows, first_rows
from picme.sources.mimic_cxr import ImageFiles, find_metadata, read_metadata
from picme.sources.mimic_ehr import Release
from picme.sources.mimic_notes import TABLES as NOTE_TABLES
from picme.sources.mimic_notes import find_notes
from picme.sources.recognise import OTHERS, other, recognise
from picme.sources.tables import RENAMED, hint, refuse_wide
from picme.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from picme.tasks import Task

SCHEMA: dict[str, Any] = {
    "item": pl.String,
    "name": pl.String,
    "status": pl.String,
    "release": pl.String,
    "file": pl.String,
    "rows": pl.Int64,
    "published": pl.Int64,
    "first": pl.String,
    "last": pl.String,
    "detail": pl.String,
}
# Table → the columns that the cohort reads; the first that names a time gives the date range.
COLUMNS: dict[str, tuple[str, ...]] = {
    "patients": ("subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod"),
    "admissions": (
        *("subject_id", "hadm_id", "admittime", "dischtime", "deathtime", "admission_type", "admission_location"),
        *("insurance", "language", "marital_status", "race", "hospital_expire_flag"),
    ),
    "icustays": ("subject_id", "hadm_id", "stay_id", "first_careunit", "last_careunit", "intime", "outtime"),
    "transfers": ("subject_id", "hadm_id", "careunit", "intime", "outtime"),
    "diagnoses_icd": ("subject_id", "hadm_id", "icd_code", "icd_version"),
    "chartevents": ("subject_id", "stay_id", "charttime", "storetime", "itemid", "value", "valuenum"),
    "labevents": ("subject_id", "charttime", "storetime", "itemid", "value", "valuenum"),
    "outputevents": ("subject_id", "stay_id", "charttime", "itemid", "value"),
    "discharge": ("note_id", "subject_id", "hadm_id", "charttime", "storetime", "text"),
    "radiology": ("note_id", "subject_id", "hadm_id", "charttime", "storetime", "text"),
    "metadata": ("dicom_id", "subject_id", "study_id", "ViewPosition", "StudyDate", "StudyTime"),
}
HELPFUL = {"storetime": "charttime tells when a value became known"}
"""Columns that may be absent, and what then takes their place."""
TIMES = ("admittime", "intime", "charttime", "StudyDate")
STAYS = ("patients", "admissions", "icustays")
# Tables that a modality needs, and tables that make it better.
MODALITIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "timeseries": (("icustays", "chartevents"), ("labevents",)),
    "demographics": (STAYS, ()),
    "discharge": (("icustays", "discharge"), ()),
    "radiology": (("icustays", "radiology"), ()),
    "image": (("icustays", "metadata", "images"), ()),
}
REQUIRED = ("patients", "admissions", "icustays", "diagnoses_icd", "chartevents", "labevents")
_LOOKED_FOR = 200
_FEW = 0.1


def check(ehr: Path | None, notes: Path | None = None, cxr: Path | None = None, full: bool = False) -> pl.DataFrame:
    """List what is there, what is missing, and which tasks and modalities that allows. Nothing is changed.

    Args:
        ehr: folder of MIMIC-IV, or None.
        notes: folder of MIMIC-IV-Note, or None.
        cxr: folder of MIMIC-CXR-JPG, or None.
        full: count the rows of large files to their end instead of estimating them from their beginning.

    Returns:
        item (`table`, `task`, `modality`), name, status (`ok`, `differs`, `missing`, `unreadable`; `possible`,
        `impossible`), release, file, rows, published, first, last (dates in the first rows), detail.

    Raises:
        DataError: if a folder does not exist or is no release at all.
    """
    found: list[dict[str, Any]] = []
    if ehr is not None:
        title = recognise(ehr) if ehr.is_dir() else None
        found += [_other(ehr, title)] if title in OTHERS else _ehr(Release.open(ehr), full)
    found += [] if notes is None else _notes(notes, full)
    found += [] if cxr is None else _cxr(cxr, full)
    present = {row["name"] for row in found if row["status"] in ("ok", "differs")}
    for item, name, needed, better in _needs():
        lacking = [table for table in needed if table not in present]
        poorer = [table for table in better if table not in present]
        detail = f"needs {', '.join(lacking)}" if lacking else f"without {', '.join(poorer)}" if poorer else None
        found.append({"item": item, "name": name, "status": "impossible" if lacking else "possible", "detail": detail})
    return pl.DataFrame(found, schema=SCHEMA, orient="row")


def published(dataset: str | None = None) -> dict[tuple[str, str], dict[str, int]]:
    """Read the published row counts: (dataset, release) → table → rows."""
    counts: dict[tuple[str, str], dict[str, int]] = {}
    with files("picme.cohort").joinpath("row_counts.csv").open(encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            if dataset is None or row["dataset"] == dataset:
                counts.setdefault((row["dataset"], row["release"]), {})[row["table"]] = int(row["rows"])
    return counts


def _needs() -> Iterator[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    """Yield what can be studied: task or modality, its name, the tables it needs, and those that make it better."""
    for name in TASKS.targets():
        with suppress(ConfigError):  # a package that cannot be imported has no task to offer
            task: Task = TASKS.load(name)
            if task.on_mimic:
                yield "task", name, (*STAYS, *task.tables), ("transfers",)
    for name, (needed, better) in MODALITIES.items():
        yield "modality", name, needed, better


def _other(ehr: Path, title: str) -> dict[str, Any]:
    """Describe a folder that holds a data set which looks like MIMIC-IV and is not read."""
    return {
        "item": "table",
        "name": "all",
        "status": "unreadable",
        "release": title,
        "file": str(ehr),
        "detail": other(title),
    }


def _ehr(release: Release, full: bool) -> list[dict[str, Any]]:
    tables = release.tables()
    found = [_table(name, path, full) for name, path in sorted(tables.items())]
    rows = {row["name"]: row["rows"] for row in found if row.get("rows") is not None and row["status"] == "ok"}
    name, expected = _recognise(release.version, rows)
    for row in found:
        row["release"] = name
        _compare(row, expected)
    found += [
        {"item": "table", "name": table, "status": "missing", "published": expected.get(table)}
        for table in sorted(set(REQUIRED) - set(tables))
    ]
    others = sorted(set(expected) - set(REQUIRED) - set(tables))
    if others:
        detail = f"{len(others)} tables that no cohort needs: {', '.join(others)}"
        found.append({"item": "table", "name": "others", "status": "missing", "detail": detail})
    return found


def _recognise(version: str, rows: dict[str, int]) -> tuple[str, dict[str, int]]:
    """Find the release whose row counts agree best, among those whose columns fit."""
    candidates = {
        key: counts
        for key, counts in published().items()
        if key[0].startswith("mimiciv") and (version == "unknown" or key[1][0] == version[0])
    }
    agreeing = {
        key: sum(counts.get(table) == count for table, count in rows.items()) for key, counts in candidates.items()
    }
    if not agreeing or not max(agreeing.values()):
        return f"MIMIC-IV {version}", next(iter(candidates.values()), {})
    dataset, release = max(agreeing, key=lambda key: agreeing[key])
    title = "MIMIC-IV demo" if dataset.endswith("demo") else "MIMIC-IV"
    return f"{title} {release}", candidates[(dataset, release)]


def _notes(folder: Path, full: bool) -> list[dict[str, Any]]:
    if not folder.exists():
        raise DataError(f"{folder} does not exist; the folder of MIMIC-IV-Note was expected")
    expected = published("mimic-iv-note")[("mimic-iv-note", "2.2")]
    found = []
    for table in NOTE_TABLES:
        try:
            row = _table(table, find_notes(folder, table), full) | {"release": "MIMIC-IV-Note"}
        except DataError as error:
            row = {"item": "table", "name": table, "status": "missing", "detail": str(error)}
        found.append(row)
        _compare(row, expected)
        if row["status"] in ("ok", "differs"):
            row["detail"] = "; ".join(filter(None, [row["detail"], _kept(table, Path(row["file"]))]))
        if row["status"] == "ok" and row.get("rows") == expected[table]:
            row["release"] = "MIMIC-IV-Note 2.2"
    return found


def _kept(table: str, path: Path) -> str | None:
    """Say how much of the first notes the default sections or parts keep."""
    if path.is_dir():
        return None
    texts = first_rows(path).head(_LOOKED_FOR)["text"].drop_nulls().to_list()
    shares = sorted(kept_share(table, text, NotesConfig()) for text in texts)
    if not shares:
        return None
    few = sum(share < _FEW for share in shares)
    return (
        f"of the first {len(shares)} notes the default {'parts' if table == 'radiology' else 'sections'} keep "
        f"{100 * shares[len(shares) // 2]:.0f} % of the text (median); {few} keep less than {100 * _FEW:.0f} %"
    )


def _cxr(folder: Path, full: bool) -> list[dict[str, Any]]:
    try:
        path = find_metadata(folder)
    except DataError as error:
        return [{"item": "table", "name": "metadata", "status": "missing", "detail": str(error)}]
    expected = published("mimic-cxr-jpg")[("mimic-cxr-jpg", "2.1.0")]
    row = _table("metadata", path, full) | {"release": "MIMIC-CXR-JPG 2.x"}
    _compare(row, {"metadata": expected["images"]})
    return [row] if row["status"] == "unreadable" else [row, _image_files(folder, path)]


def _image_files(folder: Path, metadata: Path) -> dict[str, Any]:
    """Look for the first image files that the table lists, and judge by them whether the images are there."""
    result: dict[str, Any] = {"item": "table", "name": "images", "release": "MIMIC-CXR-JPG 2.x", "file": str(folder)}
    try:
        sample = first_rows(metadata).head(_LOOKED_FOR)
        subjects = sample["subject_id"].cast(pl.Int64, strict=False).drop_nulls()
        listed = read_metadata(folder, subjects).filter(pl.col("problem").is_null()).head(_LOOKED_FOR)
    except (DataError, pl.exceptions.PolarsError) as error:
        detail = str(error) if isinstance(error, DataError) else f"{metadata} lacks columns"
        return result | {"status": "unreadable", "detail": detail}
    where = ImageFiles(folder)
    there = sum(where.find(*key) is not None for key in listed.select("subject_id", "study_id", "dicom_id").iter_rows())
    status = "missing" if not there else "ok" if there == listed.height else "differs"
    return result | {"status": status, "detail": f"{there} of the {listed.height} images looked for are there"}


def _table(name: str, path: Path, full: bool) -> dict[str, Any]:
    """Describe a table as it is on disk; damage is a finding, not an error."""
    row: dict[str, Any] = {"item": "table", "name": name, "status": "ok", "file": str(path), "detail": None}
    if path.is_dir():
        return row | {"detail": "folder of Parquet files"}
    try:
        if name not in NOTE_TABLES:  # notes are read in any encoding
            refuse_wide(path)
        head = first_rows(path)
        counted = count_rows(path, full)
    except DataError as error:
        return row | {"status": "unreadable", "detail": str(error)}
    row["rows"] = counted.rows
    remarks = ["rows estimated from the file's beginning"] if counted.estimated else []
    absent = [
        column
        for column in COLUMNS.get(name, ())
        if column not in head.columns and RENAMED.get(column) not in head.columns
    ]
    lacking = [
        f"no column {column!r}{hint(column, head.columns, COLUMNS[name])}" for column in absent if column not in HELPFUL
    ]
    remarks += [f"no column {column!r}: {HELPFUL[column]}" for column in absent if column in HELPFUL]
    if lacking:
        row["status"] = "unreadable"
    times = [column for column in TIMES if column in head.columns]
    if times and head.height:
        row |= _dates(head[times[0]])
        if row["first"] is None:
            remarks.append(f"no value of {times[0]!r} in the first {head.height} rows is a date")
    row["detail"] = "; ".join([*lacking, *remarks]) or None
    return row


def _dates(values: pl.Series) -> dict[str, str | None]:
    """Find the first and last day among values like `2180-07-23 12:36:00` or `21800723`."""
    days = values.str.strip_chars().str.replace(r"^(\d{4})(\d{2})(\d{2})(?:\.0)?$", "${1}-${2}-${3}")
    days = days.filter(days.str.contains(r"^\d{4}-\d{2}-\d{2}")).str.slice(0, 10)
    return {"first": str(days.min()), "last": str(days.max())} if len(days) else {"first": None, "last": None}


def _compare(row: dict[str, Any], expected: dict[str, int]) -> None:
    """Set the published count beside the one found."""
    row["published"] = expected.get(row["name"])
    if row["status"] != "ok" or row["published"] is None or row.get("rows") is None:
        return
    estimated = "estimated" in (row["detail"] or "")
    tolerance = 0.1 * row["published"] if estimated else 0
    if abs(row["rows"] - row["published"]) > tolerance:
        row["status"] = "differs"
        share = 100 * row["rows"] / row["published"] if row["published"] else 0
        row["detail"] = "; ".join([*filter(None, [row["detail"]]), f"{share:.3g} % of the published rows"])
