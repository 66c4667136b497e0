"""Every row of an event table ends in exactly one place, whatever its cells hold."""

from __future__ import annotations

import gzip
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from picme.cohort.channel_sets import load
from picme.cohort.events import OUTSIDE
from picme.cohort.stays import read_stays
from picme.cohort.timeseries import Observation, build_series
from picme.config.cohort import CohortConfig
from picme.errors import DataError
from picme.sources.count import count_rows
from picme.sources.mimic_ehr import Release
from tiny_release import at, chart, lab, stay, write_release

if TYPE_CHECKING:
    from pathlib import Path

HEART = 220045
STAYS = [
    *(stay(number, hours) for number, hours in ((1, 60.0), (2, 50.0), (3, 60.0))),
    stay(3, 60.0, stay_id=39999, last_careunit="SICU"),
    stay(9, anchor_age=1),
]
MEASURED = "measurement of a stay"
TABLES = ("chartevents", "labevents")


def item(number: int, hours: float, written: str) -> dict[str, Any]:
    """A row whose itemid is written in some way."""
    return {**chart(number, hours, HEART, 80), "itemid": written}


def places(ehr: Path, scratch: Path, hours: float = 48.0, **rules: Any) -> Counter[tuple[str, str]]:
    """(table, place) → rows of a release, observed for so many hours."""
    config = CohortConfig(**{"max_bad_rows": 1.0, **rules})
    release = Release.open(ehr)
    stays = read_stays(release, config).stays
    seconds = np.minimum(stays["seconds"].to_numpy(), round(hours * 3600))
    found: Counter[tuple[str, str]] = Counter()
    published = config.extraction == "benchmark"
    window = Observation("any", np.arange(stays.height), seconds)
    channels = load(config.channel_set)
    build_series(release, channels, stays, [window], scratch, published, config.max_bad_rows, found)
    return found


def test_each_row_is_in_the_place_that_its_cells_say(tmp_path: Path) -> None:
    charts = [
        chart(1, 1, HEART, 80),
        chart(1, 2, HEART, 80, stay_id=None),
        item(1, 3, "220045.0"),
        chart(1, 4, 999, 80),
        item(1, 4, "heart"),
        chart(1, 24 * 365, HEART, 80),
        chart(1, -24 * 365, HEART, 80),
        chart(1, 55, HEART, 80),
        chart(1, 40, HEART, 80, stored=70),
        chart(1, 5, HEART, 80, stay_id=30002),
        chart(1, 5, HEART, 80, stay_id="x"),
        chart(9, 5, HEART, 80),
        chart(1, 6, HEART, None),
        chart(1, 7, HEART, "high"),
        chart(1, 7, HEART, 5000),
        chart(1, 8, HEART, 80, charttime="noon"),
        chart(1, 8, HEART, 80, storetime="noon"),
        chart(1, 8, HEART, 80, subject_id="nobody"),
    ]
    labs = [lab(2, 3, 50931, 150), lab(2, -3, 50931, 150), lab(2, 49, 50931, 150), lab(2, 3, 1, 2)]
    found = places(write_release(tmp_path / "ehr", STAYS, charts, labs, ending=".csv"), tmp_path / "scratch")
    time, number = "expected a date and time like 2180-07-23 12:36:00", "expected a whole number"
    assert found == {
        ("chartevents", MEASURED): 3,
        ("chartevents", "item of no channel"): 1,
        ("chartevents", OUTSIDE): 2,
        ("chartevents", "charted after the last hour observed"): 1,
        ("chartevents", "stored after the last hour observed"): 1,
        ("chartevents", "another ICU stay"): 1,
        ("chartevents", "subject without a stay in the cohort"): 1,
        ("chartevents", "no value"): 1,
        ("chartevents", "value that cannot be used"): 2,
        **{("chartevents", f"column {name!r}: {number}"): 1 for name in ("itemid", "stay_id", "subject_id")},
        **{("chartevents", f"column {name!r}: {time}"): 1 for name in ("charttime", "storetime")},
        ("labevents", MEASURED): 1,
        ("labevents", "charted outside the ICU stays"): 1,
        ("labevents", "charted after the last hour observed"): 1,
        ("labevents", "item of no channel"): 1,
    }


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
@pytest.mark.parametrize("extraction", ["default", "benchmark"])
def test_the_places_add_up_whatever_the_cells_hold(tmp_path: Path, ending: str, extraction: str) -> None:
    rng = random.Random(5)
    odd = [None, "", "x", "0", "-1", "1e9", "220045", "220045.0", "2150-01-01 09:00:00", "30001", "10001", at(24 * 400)]
    rows = [chart(rng.randint(1, 4), rng.uniform(-20, 90), rng.choice([HEART, 220739, 7]), 80) for _ in range(600)]
    for row in rng.sample(rows, 300):
        row[rng.choice(["subject_id", "hadm_id", "stay_id", "charttime", "storetime", "itemid", "value"])] = rng.choice(
            odd
        )
    labs = [lab(rng.randint(1, 4), rng.uniform(-20, 90), 50931, rng.choice([150, "", "none"])) for _ in range(50)]
    found = places(
        write_release(tmp_path / "e", STAYS, rows, labs, ending=ending), tmp_path / "s", extraction=extraction
    )
    totals = {table: sum(rows for (name, _), rows in found.items() if name == table) for table in TABLES}
    assert totals == {"chartevents": 600, "labevents": 50}
    assert found["chartevents", MEASURED] > 10


def test_too_many_cells_are_a_place_too(tmp_path: Path) -> None:
    ehr = write_release(tmp_path / "ehr", STAYS, [chart(1, 1, HEART, 80)], ending=".csv")
    with (ehr / "icu/chartevents.csv").open("a") as file:
        file.write("1,2,3,4,5,6,7,8,9,10,11,12\n")
    assert places(ehr, tmp_path / "s") == {("chartevents", MEASURED): 1, ("chartevents", "malformed row"): 1}


def test_a_column_unreadable_in_every_row_is_an_error_that_names_it(tmp_path: Path) -> None:
    charts = [item(1, hour, "HR") for hour in range(4)]
    ehr = write_release(tmp_path / "a", STAYS, charts, ending=".csv")
    with pytest.raises(DataError, match=r"chartevents\.csv: none of the 4 values of column 'itemid' can be read"):
        places(ehr, tmp_path / "s")
    ehr = write_release(tmp_path / "b", STAYS, [chart(1, hour, HEART, "7o") for hour in range(4)], ending=".csv")
    with pytest.raises(DataError, match=r"none of the 4 values .* \(columns 'value', 'valuenum'\) can be used"):
        places(ehr, tmp_path / "s", max_bad_rows=0.05)
    charts = [item(1, hour, "HR" if hour else str(HEART)) for hour in range(4)]
    ehr = write_release(tmp_path / "c", STAYS, charts, ending=".csv")
    with pytest.raises(DataError, match=r"3 of 4 rows cannot be used \(column 'itemid'.*0\.05"):
        places(ehr, tmp_path / "s", max_bad_rows=0.05)


@pytest.mark.parametrize("extraction", ["default", "benchmark"])
def test_events_of_no_patient_are_counted_and_bounded(tmp_path: Path, extraction: str) -> None:
    charts = [chart(1, 1, HEART, 80), chart(1, 2, HEART, 80, subject_id=1)]
    ehr = write_release(tmp_path / "ehr", STAYS, charts, ending=".csv")
    found = places(ehr, tmp_path / "s", extraction=extraction)
    assert found == {("chartevents", MEASURED): 1, ("chartevents", "column 'subject_id': of no patient"): 1}
    with pytest.raises(DataError, match=r"chartevents\.csv: 1 of 2 rows .*'subject_id': of no patient.*0\.05"):
        places(ehr, tmp_path / "t", extraction=extraction, max_bad_rows=0.05)


def _shifted(line: str) -> str:
    """Move all dates of a line by a thousand years."""
    return line.replace(",21", ",31", 1)


def _emptied(line: str) -> str:
    return ",".join("" if index == 2 else cell for index, cell in enumerate(line.split(",")))


@pytest.mark.parametrize("extraction", ["default", "benchmark"])
@pytest.mark.parametrize(
    "change", [None, _shifted, _emptied, lambda line: line.replace(".0", "x"), lambda line: line + ",,"]
)
def test_the_places_of_the_demo_add_up_to_the_rows_of_its_files(
    shared_data: Path, tmp_path: Path, extraction: str, change: Any
) -> None:
    demo, ehr = shared_data / "mimic-iv-demo-2.2", tmp_path / "ehr"
    ehr.mkdir()
    (ehr / "hosp").symlink_to(demo / "hosp")
    if change is None:
        (ehr / "icu").symlink_to(demo / "icu")
    else:
        (ehr / "icu").mkdir()
        (ehr / "icu/icustays.csv.gz").symlink_to(demo / "icu/icustays.csv.gz")
        # A part of the rows is enough; each third one is changed.
        with gzip.open(demo / "icu/chartevents.csv.gz", "rt") as whole, (ehr / "icu/chartevents.csv").open("w") as part:
            for number, line in zip(range(30_001), whole, strict=False):
                part.write(change(line.rstrip("\n")) + "\n" if number and number % 3 == 0 else line)
    found = places(ehr, tmp_path / "s", 1e9, extraction=extraction)
    release = Release.open(ehr)
    for table in TABLES:
        assert sum(rows for (name, _), rows in found.items() if name == table) == count_rows(release.file(table)).rows
