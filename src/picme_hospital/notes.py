"""The release MIMIC-IV-Note 2.2: the tables of discharge summaries and radiology reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from picme_hospital.discharge import discharge_summary
from picme_hospital.files import gzip_writer, stamp, stream, to_csv
from picme_hospital.patients import DAY, Hospital
from picme_hospital.radiology import radiology_report

if TYPE_CHECKING:
    from pathlib import Path

    from picme_hospital.studies import Studies

CHUNK = 5000  # the number of notes that are in memory at once


def write_notes(h: Hospital, studies: Studies, folder: Path) -> dict[str, int]:
    """Write discharge.csv.gz and radiology.csv.gz; return the number of notes of each table."""
    rng = stream(h.seed, "notes")
    admissions = np.flatnonzero(~h.missing["discharge"])
    empty = set(rng.choice(admissions, size=max(1, len(admissions) // 500), replace=False).tolist())
    number = _numbers(h.subject[admissions], rng)
    with gzip_writer(folder / "discharge.csv.gz") as file:
        for start in range(0, len(admissions), CHUNK):
            part = admissions[start : start + CHUNK]
            texts = ["" if a in empty else discharge_summary(h, int(a)) for a in part]
            charted = h.dischtime[part] // DAY * DAY  # MIMIC gives the day of discharge only
            stored = h.dischtime[part] + rng.integers(2 * 60, 4 * 24 * 60, len(part)) * 60
            frame = _notes(h, part, "DS", number[start : start + CHUNK], h.hadm_id[part], charted, stored, texts)
            file.write(to_csv(frame, header=start == 0))
    reported = np.flatnonzero(studies.reported)
    number = _numbers(h.subject[studies.admission[reported]], rng)
    with gzip_writer(folder / "radiology.csv.gz") as file:
        for start in range(0, len(reported), CHUNK):
            rows = reported[start : start + CHUNK]
            part = studies.admission[rows]
            texts = [radiology_report(h, studies, int(s)) for s in rows]
            before = studies.time[rows] < h.admittime[part]
            hadm = pl.Series(h.hadm_id[part]).set(pl.Series(before), None)
            stored = studies.time[rows] + studies.delay[rows]
            frame = _notes(h, part, "RR", number[start : start + CHUNK], hadm, studies.time[rows], stored, texts)
            file.write(to_csv(frame, header=start == 0))
    return {"discharge": len(admissions), "radiology": len(reported)}


def _numbers(subject: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw each note's number (`note_seq`) among the notes of its subject; the numbers have gaps for other notes.

    `subject` holds the subject's index of each note, in ascending order.
    """
    turn = np.arange(len(subject)) - np.searchsorted(subject, subject)
    return np.asarray(3 + 4 * turn + rng.integers(0, 3, len(subject)))


def _notes(
    h: Hospital,
    admission: np.ndarray,
    kind: str,
    number: np.ndarray,
    hadm: np.ndarray | pl.Series,
    charted: np.ndarray,
    stored: np.ndarray,
    texts: list[str],
) -> pl.DataFrame:
    """Return rows of a note table.

    Args:
        h: The hospital.
        admission: The index of each note's admission.
        kind: The type of the notes, DS (discharge summary) or RR (radiology report).
        number: Each note's number among the notes of its subject.
        hadm: Each note's admission id, null before the admission.
        charted: The time of each note, in seconds since 1970.
        stored: The time when each note was stored, in seconds since 1970.
        texts: The notes.
    """
    subject = h.subject_id[h.subject[admission]]
    return pl.DataFrame(
        {
            "note_id": [f"{s}-{kind}-{k}" for s, k in zip(subject, number, strict=True)],
            "subject_id": subject,
            "hadm_id": hadm,
            "note_type": [kind] * len(subject),
            "note_seq": number,
            "charttime": stamp(charted),
            "storetime": stamp(stored),
            "text": texts,
        }
    )
