from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from picme.cohort.mimic_stays import MimicStays, labelled
from picme.config.cohort import CohortConfig
from picme.errors import ConfigError, DataError
from picme.tasks import TASKS, Task, load_for_mimic
from tiny_release import chart, diagnosis, lab, stay, write, write_release

if TYPE_CHECKING:
    from pathlib import Path

HEART, LACTATE = 220045, 50813
CHARTS = [
    *(chart(1, hour, HEART, 60 + hour) for hour in (1, 30, 70)),
    chart(1, 23, HEART, 99, stored=25),
    chart(1, 2, 1, 5),
    chart(2, 3, HEART, "high"),
    chart(2, 4, HEART, 80, charttime="noon"),
]


def opened(folder: Path, task: Task | None = None, **options: Any) -> MimicStays:
    stays = [stay(1, 60.0), stay(2, 20.0), stay(3, 60.0), stay(9, anchor_age=1)]
    release = write_release(
        folder, stays, CHARTS, [lab(3, 5, LACTATE, 2.5)], [diagnosis(1, "I10", 10), diagnosis(9, "Z66", 10)], ".csv"
    )
    return MimicStays.open(release, task or Task("day", ("day",), hours=24, **options))


def test_stays_have_the_cut_off_of_the_task_or_their_own_end(tmp_path: Path) -> None:
    hours = (pl.col("cutoff") - pl.col("intime")).dt.total_seconds() / 3600
    assert opened(tmp_path / "a").stays.select(hours).to_series().to_list() == [24, 20, 24]
    until_discharge = opened(tmp_path / "b", Task("end", ("end",)))
    assert until_discharge.stays.select(hours).to_series().to_list() == [60, 20, 60]


def test_events_are_those_known_at_the_cut_off_or_all_of_the_stay(tmp_path: Path) -> None:
    stays = opened(tmp_path)
    known = stays.events([HEART])
    assert known.select("stay_id", "hours", "value", "valuenum").rows() == [
        (30001, 1, "61", 61.0),
        (30002, 3, "high", None),
    ]
    every = stays.events([HEART, 1], until="outtime")
    assert every.select("stay_id", "itemid", "hours").rows() == [
        (30001, HEART, 1), (30001, 1, 2), (30001, HEART, 23), (30001, HEART, 30), (30002, HEART, 3),
    ]  # fmt: skip
    assert [count for reason, count in stays.left_out.items() if "'charttime'" in reason] == [1]
    assert stays.events([LACTATE], "labevents").rows() == [(30003, LACTATE, 5.0, "2.5", 2.5, None)]
    assert stays.events([4711]).is_empty()


def test_tables_are_reduced_to_the_stays_and_must_be_declared(tmp_path: Path) -> None:
    stays = opened(tmp_path, tables=("procedures_icd",))
    assert stays.diagnoses().rows() == [(20001, "I10", 10)]
    rows = [{"hadm_id": 20002, "icd_code": "5A1955Z"}, {"hadm_id": 1, "icd_code": "5A1955Z"}]
    write(tmp_path / "hosp" / "procedures_icd.csv", rows, ("hadm_id", "icd_code"))
    again = MimicStays.open(tmp_path, Task("day", ("day",), tables=("procedures_icd",)))
    assert (stays.has("procedures_icd"), again.has("procedures_icd")) == (False, True)
    assert again.table("procedures_icd", ["hadm_id", "icd_code"])["hadm_id"].to_list() == [20002]
    with pytest.raises(ConfigError, match=r"tasks\.day reads table 'emar', which its declaration does not name"):
        again.table("emar", ["hadm_id"])
    with pytest.raises(ConfigError, match="inputevents"):
        again.events([1], "inputevents")


def test_diagnoses_that_cannot_be_used_are_counted_and_bounded(tmp_path: Path) -> None:
    good = [diagnosis(1, "I10", 10)] * 16
    bad = [
        {**diagnosis(1, "I10", 10), "hadm_id": "2x"},
        {**diagnosis(1, "I10", 10), "hadm_id": None},
        diagnosis(7, "I10", 10),
        {**diagnosis(1, "I10", 10), "icd_code": " "},
        {**diagnosis(1, "I10", 10), "icd_version": "ICD9"},
    ]
    release = write_release(tmp_path, [stay(1)], diagnoses=good + bad, ending=".csv")
    stays = MimicStays.open(release, Task("day", ("day",), hours=24), CohortConfig(max_bad_rows=0.5))
    assert stays.diagnoses().height == 16
    assert dict(stays.left_out) == {
        "diagnoses_icd: no readable hadm_id": 2,
        "diagnoses_icd: hadm_id of no admission": 1,
        "diagnoses_icd: no icd_code": 1,
        "diagnoses_icd: no readable icd_version": 1,
    }
    strict = MimicStays.open(release, Task("day", ("day",), hours=24))
    with pytest.raises(DataError, match=r"diagnoses_icd\.csv: 5 of 21 rows .*mostly: no readable hadm_id.*0\.05"):
        strict.diagnoses()


class Made(Task):
    """A task whose labels are whatever `frame` holds."""

    frame = pl.DataFrame()

    def make_labels(self, stays: MimicStays) -> pl.DataFrame:
        return self.frame


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ({"stay": [1], "day": [1]}, "expected stay_id and the labels"),
        ({"stay_id": [1]}, "expected stay_id and the labels"),
        ({"stay_id": [1], "dya": [1]}, "column 'dya', which is not among the declared labels"),
        ({"stay_id": [1, 1], "day": [1, 0]}, "not one row per stay"),
        ({"stay_id": [1], "day": [2]}, "values other than 0, 1 and null in column 'day'"),
        ({"stay_id": [1], "day": ["yes"]}, "values other than 0, 1 and null in column 'day'"),
    ],
)
def test_labels_of_another_form_are_refused(
    tmp_path: Path, frame: dict[str, list[Any]], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Made, "frame", pl.DataFrame(frame))
    task = Made("day", ("day",), hours=24)
    with pytest.raises(DataError, match=words):
        labelled("day", task, opened(tmp_path, task))


def test_an_error_of_a_declaration_names_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make_labels(self: Task, stays: MimicStays) -> pl.DataFrame:
        raise KeyError("a value of the data")

    monkeypatch.setattr(Made, "make_labels", make_labels)
    task = Made("day", ("day",), hours=24)
    words = r"^tasks\.day: make_labels of its declaration failed with KeyError at make_labels:\d+ \(run"
    with pytest.raises(DataError, match=words):
        labelled("day", task, opened(tmp_path, task))


def test_true_and_false_are_labels_and_null_stays_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Made, "frame", pl.DataFrame({"day": [True, None, False], "stay_id": [30001, 30002, 30003]}))
    task = Made("day", ("day",), hours=24)
    made = labelled("day", task, opened(tmp_path, task))
    assert made.schema == {"stay_id": pl.Int64, "day": pl.Int8}
    assert made["day"].to_list() == [1, None, 0]


def test_every_task_that_picme_ships_runs_on_mimic() -> None:
    for name in TASKS.builtin:
        assert load_for_mimic(name).name == name
    assert not Task("own", ("own",)).on_mimic
