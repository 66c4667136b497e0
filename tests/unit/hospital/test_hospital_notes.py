"""Discharge summaries and radiology reports."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import polars as pl
from written import STAYS, read

if TYPE_CHECKING:
    from pathlib import Path

OUTCOME = re.compile(r"(?i)\b(expired|deceased|died|death|dead|comfort measures|cmo|hospice|passed away|pronounced)\b")
AFTER_ADMISSION = re.compile(r"(?im)^(discharge physical exam|pertinent results|br(ie|ei)f hospital course)")


def test_note_ids_are_distinct(hospital: Path) -> None:
    for name, kind in (("discharge", "DS"), ("radiology", "RR")):
        notes = read(hospital, f"notes/{name}")
        assert notes["note_id"].is_unique().all()
        made = notes.select(pl.format("{}-{}-{}", "subject_id", pl.lit(kind), "note_seq").alias("id"))["id"]
        assert (notes["note_id"] == made).all()
        assert (notes["note_type"] == kind).all()


def test_only_sections_written_at_discharge_tell_the_outcome(hospital: Path) -> None:
    notes = read(hospital, "notes/discharge").drop_nulls("text").filter(pl.col("text") != "")
    died = set(read(hospital, "ehr/hosp/admissions").filter(pl.col("deathtime").is_not_null())["hadm_id"])
    told = 0
    for row in notes.iter_rows(named=True):
        cut = AFTER_ADMISSION.search(row["text"])
        assert cut is not None
        before, after = row["text"][: cut.start()], row["text"][cut.start() :]
        assert not OUTCOME.search(before)
        medications = re.search(r"(?ims)^medications on admission:(.*?)^discharge medications:", after)
        assert medications is not None
        assert not OUTCOME.search(medications.group(1))
        rest = after.replace(medications.group(1), "")
        assert bool(OUTCOME.search(rest)) == (row["hadm_id"] in died)
        told += row["hadm_id"] in died
    assert told > 20
    assert not any(OUTCOME.search(text) for text in read(hospital, "notes/radiology")["text"])


def test_headings_vary(hospital: Path) -> None:
    text = "\n".join(read(hospital, "notes/discharge")["text"].fill_null(""))
    usual = ["Name:", "Unit No:", "Admission Date:", "Date of Birth:", "Sex:", "Service:", "Allergies:", "Attending:"]
    usual += ["Chief Complaint:", "Major Surgical or Invasive Procedure:", "History of Present Illness:"]
    usual += ["Past Medical History:", "Social History:", "Family History:", "Physical Exam:", "Pertinent Results:"]
    usual += ["Brief Hospital Course:", "Medications on Admission:", "Discharge Medications:", "Discharge Disposition:"]
    usual += ["Discharge Diagnosis:", "Discharge Condition:", "Discharge Instructions:", "Followup Instructions:"]
    for heading in usual:
        assert text.count(heading) > 0.8 * STAYS * 0.9
    assert "HPI:" in text or "HISTORY OF PRESENT ILLNESS:" in text
    reports = "\n".join(read(hospital, "notes/radiology")["text"])
    for heading in ("EXAMINATION:", "INDICATION:", "FINDINGS:", "IMPRESSION:"):
        assert heading in reports
