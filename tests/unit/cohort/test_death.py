from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl
import pytest

from picme.cohort.death import contradictions, death, died_in_hospital, published_rule, without_impossible_times

ADMITTED, DISCHARGED = datetime(2150, 1, 1, 6), datetime(2150, 1, 4, 20)
MINUTE_AFTER = datetime(2150, 1, 4, 20, 1)
SCHEMA = {
    **dict.fromkeys(("admittime", "dischtime", "deathtime", "dod"), pl.Datetime("us")),
    **{"hospital_expire_flag": pl.Int64, "discharge_location": pl.String},
}


def one(**changes: Any) -> pl.DataFrame:
    row = {**dict.fromkeys(SCHEMA), "admittime": ADMITTED, "dischtime": DISCHARGED, **changes}
    return pl.DataFrame([row], schema=SCHEMA)


def day(number: int) -> datetime:
    return datetime(2150, 1, number)


@pytest.mark.parametrize(
    ("changes", "died", "published"),
    [
        ({}, 0, 0),
        ({"hospital_expire_flag": 0, "deathtime": datetime(2150, 1, 2)}, 1, 1),
        ({"hospital_expire_flag": 0, "deathtime": DISCHARGED}, 1, 1),
        ({"hospital_expire_flag": 0, "deathtime": MINUTE_AFTER}, 0, 0),
        ({"hospital_expire_flag": 1, "deathtime": MINUTE_AFTER, "dod": day(4)}, 1, 1),
        ({"hospital_expire_flag": 1, "deathtime": MINUTE_AFTER}, 1, 0),
        ({"hospital_expire_flag": 1}, 1, 0),
        ({"hospital_expire_flag": 1, "deathtime": datetime(2149, 12, 31)}, 1, 0),
        ({"hospital_expire_flag": 1, "dischtime": datetime(2149, 12, 31)}, 1, 0),
        ({"discharge_location": "DIED"}, 1, 0),
        ({"discharge_location": " Expired"}, 1, 0),
        # Sent home alive, dead later on the same day.
        ({"hospital_expire_flag": 0, "dod": day(4)}, 0, 1),
        ({"discharge_location": "HOME", "dod": day(4)}, 0, 1),
        ({"discharge_location": "HOSPICE", "hospital_expire_flag": 0, "dod": day(4)}, 0, 1),
        ({"dod": day(4)}, 1, 1),
        # A day is not its midnight: on the day of admission death can only follow admission.
        ({"dod": day(1)}, 1, 0),
        ({"hospital_expire_flag": 0, "dod": day(3)}, 1, 1),
        ({"dod": day(5)}, 0, 0),
        # A discharge written as midnight is a day, too.
        ({"dischtime": day(4), "deathtime": datetime(2150, 1, 4, 22, 20)}, 1, 0),
    ],
)
def test_the_order_of_evidence(changes: dict[str, Any], died: int, published: int) -> None:
    stays, _, _ = without_impossible_times(one(**changes))
    assert stays.select(died_in_hospital()).item() == died
    assert one(**changes).select(published_rule()).item() == published


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({"hospital_expire_flag": 1, "discharge_location": "DIED", "deathtime": DISCHARGED, "dod": day(4)}, set()),
        ({"hospital_expire_flag": 0, "discharge_location": "HOME", "dod": day(9)}, set()),
        ({"hospital_expire_flag": 0, "deathtime": DISCHARGED}, {"hospital_expire_flag says otherwise than the label"}),
        (
            {"hospital_expire_flag": 1, "discharge_location": "HOME"},
            {"discharge_location says otherwise than the label"},
        ),
        (
            {"hospital_expire_flag": 1, "deathtime": MINUTE_AFTER},
            {"died in hospital, but deathtime after discharge"},
        ),
        ({"hospital_expire_flag": 1, "dod": day(6)}, {"died in hospital, but dod after the day of discharge"}),
        ({"deathtime": day(2), "dod": day(3)}, {"deathtime and dod on different days"}),
    ],
)
def test_contradictions_are_told_apart(changes: dict[str, Any], kinds: set[str]) -> None:
    stays = one(**changes).with_columns(died_in_hospital())
    counts, marked = contradictions(stays)
    assert set(counts) == kinds
    assert marked.to_list() == [bool(kinds)]


def test_times_before_admission_are_unknown_and_counted() -> None:
    early = datetime(2149, 12, 30)
    stays, counts, marked = without_impossible_times(one(deathtime=early, dod=early, dischtime=early))
    assert stays.select("deathtime", "dod", "dischtime").null_count().row(0) == (1, 1, 1)
    assert counts == {f"{name} before the hospital admission": 1 for name in ("deathtime", "dod", "dischtime")}
    assert marked.to_list() == [True]
    untouched, counts, marked = without_impossible_times(one(dod=day(1)))
    assert untouched["dod"].to_list() == [day(1)]
    assert (counts, marked.to_list()) == ({}, [False])


def test_a_date_of_death_is_over_at_the_end_of_its_day() -> None:
    assert one(dod=day(2)).select(death()).item() == day(3)
    assert one(dod=day(2), deathtime=datetime(2150, 1, 2, 9)).select(death()).item() == datetime(2150, 1, 2, 9)
