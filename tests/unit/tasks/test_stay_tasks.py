"""Length of stay and the two readmissions, on stays whose answers are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from picme.cohort.mimic import extract
from picme.config.cohort import CohortConfig, MimicSource
from picme.schema import Extraction, SeriesRows
from tiny_release import at, chart, lab, stay, write_release

if TYPE_CHECKING:
    from pathlib import Path

HEART, GLUCOSE = 220045, 50931
TASKS = ["length_of_stay", "readmission", "icu_readmission"]


def again(number: int, of: int, begin: float, **changes: Any) -> dict[str, Any]:
    """Another admission of a subject, with one ICU stay, that begins so many hours after START."""
    times = {"intime": at(begin + 2), "outtime": at(begin + 20), "admittime": at(begin), "dischtime": at(begin + 30)}
    return stay(number, **{"subject_id": 10000 + of, **times, "los": 18 / 24, **changes})


STAYS = [
    stay(1, 200.0),  # long; discharged at 224, back at 224 + 719: within 30 days
    again(11, 1, 224 + 719),
    stay(2, 60.0),  # discharged at 84, back one hour after 30 days; from the ICU it is back after 30 days, too
    again(12, 2, 84 + 721),
    stay(3, 168.0),  # seven days exactly
    stay(4, 20.0),  # too short for a prediction at 24 hours
    stay(5, 50.0, dischtime=at(50), deathtime=at(50), hospital_expire_flag=1),  # dies in hospital
    stay(6, 30.0, dischtime=at(30)),  # home straight from the ICU, dies ten days later
]
STAYS[-1]["dod"] = at(270)[:10]
CHARTS = [chart(number, 1, HEART, 80) for number in (1, 2, 3, 4, 5, 6)] + [chart(1, 190, HEART, 99)]
LABS = [lab(1, 210, GLUCOSE, 150), lab(1, 230, GLUCOSE, 160)]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Extraction:
    folder = tmp_path_factory.mktemp("stays")
    release = write_release(folder / "ehr", STAYS, CHARTS, LABS, ending=".csv")
    modalities = {"vitals": {"table": "chartevents"}, "who": {"table": "demographics"}}
    return extract(MimicSource(ehr=release), CohortConfig(), modalities, TASKS, 48, folder / "scratch")


def answers(found: Extraction, task: str) -> dict[int, int]:
    return dict(found.views[task].stays.select("stay_id", task).iter_rows())


def test_a_long_stay_is_one_of_more_than_seven_days(found: Extraction) -> None:
    # Those of less than 24 hours, and the second stays, have no measurement or are over.
    assert answers(found, "length_of_stay") == {30001: 1, 30002: 0, 30003: 0, 30005: 0, 30006: 0}
    series = found.views["length_of_stay"].modalities["vitals"]
    assert isinstance(series, SeriesRows)
    assert series.lengths.tolist() == [24] * 5
    assert 99.0 not in series.values[:, series.columns.index("Heart rate")]


def test_a_readmission_is_within_thirty_days_of_hospital_discharge(found: Extraction) -> None:
    expected = {30001: 1, 30002: 0, 30003: 0, 30004: 0, 30006: 0, 30011: 0, 30012: 0}
    assert answers(found, "readmission") == expected, "who died in hospital has no label"
    view = found.views["readmission"]
    assert view.stays["predicted"].equals(view.stays["dischtime"].alias("predicted"))
    series = view.modalities["vitals"]
    assert isinstance(series, SeriesRows)
    first = series.values[: series.lengths[0], series.columns.index("Glucose")]
    assert series.lengths[0] == 224
    assert 150.0 in first, "after the ICU, before discharge"
    assert 160.0 not in first, "after discharge"


def test_a_readmission_to_the_icu_is_within_thirty_days_of_icu_discharge(found: Extraction) -> None:
    # The first left the ICU at 200 and is back in it at 945: 745 hours, more than 30 days.
    answered = answers(found, "icu_readmission")
    assert answered == {30001: 0, 30002: 0, 30003: 0, 30004: 0, 30006: 0, 30011: 0, 30012: 0}
    lengths = found.views["icu_readmission"].modalities["vitals"].lengths  # type: ignore[union-attr]
    assert lengths[0] == 200


def test_a_return_to_the_icu_in_the_same_admission_counts(tmp_path: Path) -> None:
    """The admission of two ICU stays is left out itself, but what it is a return from is not."""
    rows = [stay(1, 60.0), again(11, 1, 300), stay(2, 60.0)]
    rows.append({**rows[1], "stay_id": 30021, "intime": at(325), "outtime": at(329)})
    release = write_release(tmp_path / "ehr", rows, [chart(1, 1, HEART, 80)], ending=".csv")
    modalities = {"vitals": {"table": "chartevents"}, "who": {"table": "demographics"}}
    found = extract(MimicSource(ehr=release), CohortConfig(), modalities, ["icu_readmission"], 48, tmp_path / "scratch")
    assert answers(found, "icu_readmission") == {30001: 1, 30002: 0}


def test_nothing_from_after_the_prediction_is_used_and_nobody_is_dead(found: Extraction) -> None:
    assert found.audit is not None
    assert found.audit.filter("violation").is_empty()
    gone = found.audit.filter(check="gone_at_prediction")
    dead = {
        row["detail"].partition(":")[0]: row["count"] for row in gone.iter_rows(named=True) if "dead" in row["detail"]
    }
    assert dead == dict.fromkeys(TASKS, 0)
    declared = gone.filter(gone["detail"].str.contains("the task predicts when the patient is discharged"))
    assert declared.height == 4


@pytest.mark.parametrize(
    ("task", "counts"), [("length_of_stay", (94, 15)), ("readmission", (102, 21)), ("icu_readmission", (102, 9))]
)
def test_the_demo_has_as_many_in_both_forms(
    shared_data: Path, tmp_path: Path, task: str, counts: tuple[int, int]
) -> None:
    from picme.cohort.meds import extract as from_events
    from picme.config.meds import MedsSource

    for name in ("mimic-iv-demo-2.2", "mimic-iv-demo-meds"):
        if not (shared_data / name).is_dir():
            pytest.skip(f"open data not found: {shared_data / name}")
    modalities = {"vitals": {"table": "chartevents"}, "who": {"table": "demographics"}}
    source = MimicSource(ehr=shared_data / "mimic-iv-demo-2.2")
    theirs = extract(source, CohortConfig(), modalities, [task], 48, tmp_path / "releases").views[task].stays
    events = MedsSource(path=shared_data / "mimic-iv-demo-meds")
    mine = from_events(events, CohortConfig(), modalities, [task], 48, tmp_path / "events", None, {}).views[task].stays
    assert (theirs.height, int(theirs[task].sum())) == counts
    keys = ["subject_id", "predicted", task]
    assert mine.select(keys).sort(keys).equals(theirs.select(keys).sort(keys))
