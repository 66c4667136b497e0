"""Small files in the formats of MIMIC-IV-Note and MIMIC-CXR-JPG, and stays to go with them."""

from __future__ import annotations

import gzip
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from PIL import Image

from picme.cohort.images import ImageResult, ImageTable
from picme.cohort.notes import NoteResult, NoteTable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from picme.config.notes import ImagesConfig, NotesConfig

ADMITTED = datetime(2150, 3, 1, 8)

SUMMARY = """ \nName:  ___                     Unit No:   ___
Admission Date:  ___              Discharge Date:   ___
Sex:   F
Service: MEDICINE

Allergies:
Penicillins
Attending: ___.

Chief Complaint:
dyspnea

Major Surgical or Invasive Procedure:
none

History of Present Illness:
A ___ year old woman with three days of cough. She was brought by "family".

Past Medical History:
- hypertension

Social History:
___
Family History:
Mother died of a stroke.

Physical Exam:
ADMISSION EXAM:
Lungs: crackles at the base
DISCHARGE EXAM:
Lungs: secretsofdischarge

Pertinent Results:
WBC 12

Brief Hospital Course:
PE: found on day 3. Physical exam was worse. The patient expired on day 9.

Medications on Admission:
1. Lisinopril 5 mg

Discharge Medications:
none
Discharge Disposition:
Expired

Discharge Diagnosis:
pneumonia

Discharge Condition:
dead
"""

REPORT = """EXAMINATION:  CHEST (PORTABLE AP)

INDICATION:  ___ year old woman with cough  // infiltrate?

TECHNIQUE:  AP view of the chest.

COMPARISON:  None.

FINDINGS:
{}

IMPRESSION:
Stable.
"""


def hours(number: float) -> datetime:
    """A time so many hours after admission of the first stay."""
    return ADMITTED + timedelta(hours=number)


def stays(number: int = 2, stay_hours: float = 120, cut: float = 50) -> pl.DataFrame:
    """Stays of subjects 10000001, …, all admitted at the same time, two hours later in the ICU."""
    subjects = [10_000_001 + index for index in range(number)]
    return pl.DataFrame(
        {
            "stay_id": [30_000_001 + index for index in range(number)],
            "subject_id": subjects,
            "hadm_id": [20_000_001 + index for index in range(number)],
            "admittime": [hours(0)] * number,
            "intime": [hours(2)] * number,
            "outtime": [hours(stay_hours)] * number,
            "dischtime": [hours(stay_hours + 48)] * number,
            "cutoff": [hours(cut)] * number,
        }
    )


def note(
    text: str, at: float, stored: float | None = None, subject: int = 1, hadm: int | None = 1, **other: Any
) -> dict[str, Any]:
    """A row of a note table; subject and admission counted from 1, times in hours after admission."""
    return {
        "note_id": other.get("note_id", f"{subject}-{at}-{stored}-{abs(hash(text)) % 10**6}"),
        "subject_id": str(10_000_000 + subject),
        "hadm_id": None if hadm is None else str(20_000_000 + hadm),
        "note_type": other.get("note_type", "DS"),
        "note_seq": "1",
        "charttime": other.get("charttime", f"{hours(at):%Y-%m-%d %H:%M:%S}"),
        "storetime": None if stored is None else f"{hours(stored):%Y-%m-%d %H:%M:%S}",
        "text": text,
    }


NOTE_COLUMNS = ("note_id", "subject_id", "hadm_id", "note_type", "note_seq", "charttime", "storetime", "text")


def write_table(path: Path, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> Path:
    """Rows as csv.gz, csv or Parquet by the path's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pl.DataFrame(list(rows), schema=dict.fromkeys(columns, pl.String), orient="row")
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(frame.write_csv().encode()))
    else:
        frame.write_csv(path)
    return path


def write_notes(folder: Path, table: str, rows: Sequence[dict[str, Any]], ending: str = ".csv.gz") -> Path:
    """A note table in `folder`; returns the folder."""
    write_table(folder / f"{table}{ending}", rows, NOTE_COLUMNS)
    return folder


def film(at: float, subject: int = 1, view: str = "AP", **other: Any) -> dict[str, Any]:
    """A row of the image metadata, taken so many hours after admission."""
    taken = hours(at)
    clock = f"{int(f'{taken:%H%M%S}')}.{taken.microsecond // 1000:03d}"  # a number, as in the release
    return {
        "dicom_id": other.get("dicom_id", f"d{subject}-{at}-{view}"),
        "subject_id": str(10_000_000 + subject),
        "study_id": str(other.get("study_id", 50_000_000 + int(at * 10))),
        "ViewPosition": view,
        "Rows": "300",
        "Columns": "250",
        "StudyDate": other.get("StudyDate", f"{taken:%Y%m%d}"),
        "StudyTime": other.get("StudyTime", clock),
    }


FILM_COLUMNS = ("dicom_id", "subject_id", "study_id", "ViewPosition", "Rows", "Columns", "StudyDate", "StudyTime")


def write_films(folder: Path, rows: Sequence[dict[str, Any]], files: bool = True) -> Path:
    """Metadata and, with `files`, an image for each row in the release's layout; returns the folder."""
    write_table(folder / "mimic-cxr-2.0.0-metadata.csv.gz", rows, FILM_COLUMNS)
    for number, row in enumerate(rows if files else ()):
        subject, study = row["subject_id"], row["study_id"]
        place = folder / "files" / f"p{subject[:2]}" / f"p{subject}" / f"s{study}"
        place.mkdir(parents=True, exist_ok=True)
        grey = np.full((30, 25), 10 * (number % 25), np.uint8)
        Image.fromarray(grey).save(place / f"{row['dicom_id']}.jpg")
    return folder


def text_rows(folder: Path, table: str, stays: pl.DataFrame, config: NotesConfig) -> NoteResult:
    """The texts of these stays, from a table read for them alone."""
    return NoteTable(folder, table, stays["subject_id"], config).rows(stays)


def image_rows(folder: Path, stays: pl.DataFrame, config: ImagesConfig) -> ImageResult:
    """The images of these stays, from a list read for them alone."""
    return ImageTable(folder, stays["subject_id"]).rows(stays, config)
