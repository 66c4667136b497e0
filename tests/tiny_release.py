"""Writes a MIMIC-IV release of a few rows, in the layout and columns of the real ones."""

from __future__ import annotations

import gzip
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2150, 1, 1, 8, 0, 0)

CHART = ("subject_id", "hadm_id", "stay_id", "charttime", "storetime", "itemid", "value", "valuenum", "valueuom")
LAB = ("subject_id", "hadm_id", "itemid", "charttime", "storetime", "value", "valuenum", "valueuom")


def at(hours: float) -> str:
    """A time so many hours after START."""
    return str(START + timedelta(seconds=round(hours * 3600)))


def stay(number: int, hours: float = 60.0, **changes: Any) -> dict[str, Any]:
    """A stay, its admission and its patient in one row; the ICU begins at START, the admission two hours before."""
    row = {
        "subject_id": 10000 + number,
        "hadm_id": 20000 + number,
        "stay_id": 30000 + number,
        "first_careunit": "MICU",
        "last_careunit": "MICU",
        "intime": at(0),
        "outtime": at(hours),
        "los": hours / 24,
        "admittime": at(-2),
        "dischtime": at(hours + 24),
        "deathtime": None,
        "admission_type": "URGENT",
        "admission_location": "EMERGENCY ROOM",
        "insurance": "Medicare",
        "language": "ENGLISH",
        "marital_status": "MARRIED",
        "race": "WHITE",
        "hospital_expire_flag": 0,
        "gender": "F",
        "anchor_age": 60,
        "anchor_year": 2150,
        "anchor_year_group": "2011 - 2013",
        "dod": None,
    }
    return {**row, **changes}


def chart(
    number: int, hours: float, itemid: int, value: Any, stored: float | None = None, **changes: Any
) -> dict[str, Any]:
    """A chartevents row of a stay."""
    number_value = value if isinstance(value, int | float) else None
    row = {
        "subject_id": 10000 + number,
        "hadm_id": 20000 + number,
        "stay_id": 30000 + number,
        "charttime": at(hours),
        "storetime": None if stored is None else at(stored),
        "itemid": itemid,
        "value": value,
        "valuenum": number_value,
        "valueuom": None,
    }
    return {**row, **changes}


def lab(
    number: int, hours: float, itemid: int, value: Any, stored: float | None = None, **changes: Any
) -> dict[str, Any]:
    """A labevents row of a stay."""
    row = chart(number, hours, itemid, value, stored, **changes)
    return {name: row[name] for name in LAB}


def diagnosis(number: int, code: str, version: int) -> dict[str, Any]:
    return {
        "subject_id": 10000 + number,
        "hadm_id": 20000 + number,
        "seq_num": 1,
        "icd_code": code,
        "icd_version": version,
    }


def write(path: Path, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    """Rows as text cells, by the ending of the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = {name: [None if row.get(name) is None else str(row[name]) for row in rows] for name in columns}
    frame = pl.DataFrame(cells, schema=dict.fromkeys(columns, pl.String))
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(frame.write_csv().encode()))
    else:
        frame.write_csv(path)


def write_release(
    folder: Path,
    stays: list[dict[str, Any]],
    charts: list[dict[str, Any]] | None = None,
    labs: list[dict[str, Any]] | None = None,
    diagnoses: list[dict[str, Any]] | None = None,
    ending: str = ".csv.gz",
    old: bool = False,
) -> Path:
    """All tables of a release; `old` is the layout of 1.0 (`core/`, `ethnicity`)."""
    core = folder / ("core" if old else "hosp")
    race = "ethnicity" if old else "race"
    stays = [{**row, "ethnicity": row["race"]} for row in stays]
    stay_columns = ("subject_id", "hadm_id", "stay_id", "first_careunit", "last_careunit", "intime", "outtime", "los")
    write(folder / f"icu/icustays{ending}", stays, stay_columns)
    admission = (
        *("subject_id", "hadm_id", "admittime", "dischtime", "deathtime", "admission_type", "admission_location"),
        *("insurance", "language", "marital_status", race, "hospital_expire_flag"),
    )
    write(core / f"admissions{ending}", list({row["hadm_id"]: row for row in stays}.values()), admission)
    patient = ("subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod")
    write(core / f"patients{ending}", list({row["subject_id"]: row for row in stays}.values()), patient)
    write(folder / f"icu/chartevents{ending}", charts or [], CHART)
    write(folder / f"hosp/labevents{ending}", labs or [], LAB)
    if diagnoses is None:
        diagnoses = [diagnosis(row["hadm_id"] - 20000, "4019", 9) for row in stays]
    write(
        folder / f"hosp/diagnoses_icd{ending}",
        diagnoses,
        ("subject_id", "hadm_id", "seq_num", "icd_code", "icd_version"),
    )
    return folder
