"""Leaks planted in studies of length of stay and of readmissions are named, each at the task's own prediction time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from picme.config.loading import load
from picme.pipeline import Run
from picme.pipeline import run as run_pipeline
from picme.prepare.check import check_leaks
from tiny_meds import HEART_RATE, at, event, patient, write_meds_files
from tiny_release import chart, stay, write_release

if TYPE_CHECKING:
    from pathlib import Path

TASKS = ("length_of_stay", "readmission", "icu_readmission")
SUMMARY = "History of Present Illness:\nfever for {days} days\n\nBrief Hospital Course:\n{course}\n"
COURSES = ("a short course", "a course of more than a week, with many complications")


def patients() -> list[dict[str, Any]]:
    """120 subjects: every third stays long, every fourth is back within 30 days."""
    return [
        {"number": number, "hours": 200.0 if number % 3 == 0 else 60.0 + number % 7, "back": number % 4 == 0}
        for number in range(1, 121)
    ]


def summary_of(one: dict[str, Any]) -> str:
    return SUMMARY.format(days=one["number"] % 5 + 1, course=COURSES[one["hours"] > 168])


def as_events(folder: Path, written: float | None = None) -> dict[str, Any]:
    """A MEDS data set; summaries are dated so many hours after ICU admission, or at discharge from hospital."""
    rng, rows = np.random.default_rng(0), []
    for one in patients():
        number, end = one["number"], one["hours"] + 24
        rows += patient(number, one["hours"])
        rows += [event(number, hour, HEART_RATE, float(rng.normal(80, 9))) for hour in (1, 5, 20, one["hours"] - 1)]
        rows.append(event(number, written or end, "NOTE//DISCHARGE//DS", text_value=summary_of(one)))
        if one["back"]:
            rows += [row for row in patient(number, 30.0, end + 100) if row["time"] is not None and row["time"] > at(0)]
            rows.append(event(number, end + 101, HEART_RATE, float(rng.normal(80, 9))))
    return {"kind": "meds", "path": str(write_meds_files(folder / "set", rows))}


def as_release(folder: Path) -> dict[str, Any]:
    """The same stays as releases of MIMIC-IV and MIMIC-IV-Note."""
    rng, stays, charts, notes = np.random.default_rng(0), [], [], []
    for one in patients():
        number, hours = one["number"], one["hours"]
        stays.append(stay(number, hours))
        charts += [chart(number, hour, 220045, float(rng.normal(80, 9))) for hour in (1, 5, 20, hours - 1)]
        notes.append(
            {
                "note_id": f"{10000 + number}-DS-1", "subject_id": 10000 + number, "hadm_id": 20000 + number,
                "note_type": "DS", "note_seq": 1, "charttime": stays[-1]["dischtime"],
                "storetime": stays[-1]["dischtime"], "text": summary_of(one),
            }
        )  # fmt: skip
        if one["back"]:
            begin = hours + 24 + 100
            times = {"intime": begin, "outtime": begin + 30, "admittime": begin - 2, "dischtime": begin + 54}
            again = {name: str(at(hour)) for name, hour in times.items()}
            stays.append(stay(500 + number, 30.0, subject_id=10000 + number, **again))
            charts.append(chart(500 + number, begin + 1, 220045, float(rng.normal(80, 9)), subject_id=10000 + number))
    ehr = write_release(folder / "ehr", stays, charts, [], ending=".csv")
    (folder / "notes").mkdir()
    pl.DataFrame(notes).write_csv(folder / "notes" / "discharge.csv")
    return {"kind": "mimic", "ehr": str(ehr), "notes": str(folder / "notes")}


def study(folder: Path, source: dict[str, Any], **more: Any) -> Run:
    tree = {
        "source": source, "modalities.image": None, "modalities.radiology": None, "require": "none",
        "tasks": {"mortality": None, "phenotyping": None, **{name: {} for name in TASKS}},
        "splits": {"train": 0.6, "val": 0.2}, "finetune.combinations": "all", "execution.workers": 1, **more,
    }  # fmt: skip
    return run_pipeline(load("prospective", tree), folder / "run", until="prepare", quiet=True)


def violations(run: Run) -> list[str]:
    return check_leaks(run.design.prepare, run.prepared)[1]


def lengthen(run: Run, task: str) -> None:
    """Let the first series of a view go on for three hours."""
    folder = run.prepared / "views" / task / "timeseries"
    offsets, values = np.load(folder / "offsets.npy"), np.load(folder / "values.npy")
    np.save(folder / "values.npy", np.insert(values, [offsets[1]] * 3, values[:1], axis=0))
    np.save(folder / "offsets.npy", np.where(np.arange(len(offsets)) > 0, offsets + 3, offsets))


@pytest.mark.parametrize("write", [as_events, as_release])
def test_hours_after_each_tasks_own_prediction_time_are_counted(write: Any, tmp_path: Path) -> None:
    """An honest study passes; then a series of each task goes on after its prediction."""
    run = study(tmp_path, write(tmp_path))
    assert violations(run) == []
    judged = pl.read_parquet(run.prepared / "leakage.parquet")["detail"].str.split(":").list.first()
    assert set(TASKS) <= set(judged)
    for task in TASKS:
        cohort = pl.read_parquet(run.prepared / "views" / task / "cohort.parquet")
        assert 10 < cohort[task].sum() < cohort.height - 10
        lengthen(run, task)
    late = [sentence for sentence in violations(run) if sentence.startswith("late_hours")]
    assert {sentence.split(": 1, ")[1].split(":")[0] for sentence in late} == set(TASKS)


def test_what_a_summary_says_of_the_course_is_late(tmp_path: Path) -> None:
    """The section is named as one that is written later, and by its words, which tell how long the stay was."""
    sections = ["history_of_present_illness", "hospital_course"]
    found = violations(study(tmp_path, as_release(tmp_path), **{"cohort.notes": {"discharge_sections": sections}}))
    assert any(one.startswith("late_section") and "hospital_course" in one for one in found), found
    assert any(one.startswith("told_by_content (discharge") and "length_of_stay" in one for one in found), found
    assert not any("readmission, bag of words" in one for one in found), "it says nothing of a return"


@pytest.mark.parametrize(("written", "found"), [(None, False), (12.0, True)])
def test_a_summary_taken_as_a_plain_note_tells_by_its_words_if_its_time_is_untrue(
    written: float | None, found: bool, tmp_path: Path
) -> None:
    """Dated at discharge it is not read for a prediction before; dated on the first day it is, and is found."""
    note = {"kind": "text", "table": "notes", "codes": ["NOTE//DISCHARGE//.*"], "encoder": {"model": "unused"}}
    run = study(tmp_path, as_events(tmp_path, written), **{"modalities.discharge": None, "modalities.summary": note})
    told = [one for one in violations(run) if one.startswith("told_by_") and "(summary" in one]
    assert any("length_of_stay" in one for one in told) == found
    assert not any("readmission" in one for one in told)
