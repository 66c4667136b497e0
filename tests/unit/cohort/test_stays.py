from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from picme.cohort.stays import Cohort, long_enough, read_stays
from picme.config.cohort import CohortConfig
from picme.errors import DataError
from picme.sources.mimic_ehr import Release
from tiny_release import at, stay, write_release

if TYPE_CHECKING:
    from pathlib import Path


def read(folder: Path, stays: list[dict[str, Any]], **config: Any) -> Cohort:
    release = Release.open(write_release(folder, stays, ending=".csv"))
    return read_stays(release, CohortConfig(**{"max_bad_rows": 1.0, **config}))


def test_exclusions_in_their_order(tmp_path: Path) -> None:
    """A transferred stay goes before its admission is counted, so the admission's other stay remains."""
    stays = [
        stay(1),
        stay(2, stay_id=1, last_careunit="SICU"),
        stay(2),
        stay(3),
        stay(3, stay_id=2),
        stay(4, anchor_age=17),
    ]
    cohort = read(tmp_path, stays)
    assert cohort.flow.lines == [
        ("all ICU stays", 6, 4),
        ("no transfer between ICU types", 5, 4),
        ("admission and patient on record", 5, 4),
        ("one ICU stay per admission", 3, 3),
        ("age at least 18", 2, 2),
    ]
    assert cohort.stays["stay_id"].to_list() == [30001, 30002]


def test_mortality_and_contradictions_are_part_of_the_cohort(tmp_path: Path) -> None:
    stays = [stay(1, hospital_expire_flag=1), stay(2, deathtime=at(-3)), stay(3)]
    cohort = read(tmp_path / "a", stays)
    assert cohort.stays["died_in_hospital"].to_list() == [1, 0, 0]
    assert cohort.stays["deathtime"].null_count() == 3
    assert (cohort.contradictions, cohort.contradicted) == ({"deathtime before the hospital admission": 1}, 1)
    published = read(tmp_path / "b", stays, extraction="benchmark")
    assert published.stays["died_in_hospital"].to_list() == [0, 0, 0]
    assert published.contradicted == 2


def test_age_moves_with_the_year_of_admission_but_not_in_the_published_extraction(tmp_path: Path) -> None:
    stays = [stay(1, anchor_age=16, anchor_year=2147)]
    assert read(tmp_path / "a", stays).stays["age"].to_list() == [19]
    with pytest.raises(DataError, match="no ICU stay is left"):
        read(tmp_path / "b", stays, extraction="benchmark")


def test_bad_rows_are_counted_and_left_out(tmp_path: Path) -> None:
    twin = stay(4)
    stays = [stay(1), stay(2, intime="yesterday"), stay(3, anchor_age=-3), twin, twin, stay(5), stay(5, outtime=at(9))]
    stays += [stay(6, outtime=at(-5)), stay(7, dod="soon"), stay(8, dod="2150-01-02")]
    cohort = read(tmp_path, stays)
    assert cohort.stays["stay_id"].to_list() == [30001, 30004, 30007, 30008]
    assert dict(cohort.quarantine) == {
        "icustays: no readable intime": 1,
        "icustays: the same row twice": 1,
        "icustays: contradicting rows of one stay_id": 2,
        "icustays: outtime before intime": 1,
        "patients: negative age": 1,
        "patients: dod not readable, taken as missing": 1,
    }


def test_a_negative_age_is_90_in_the_published_extraction(tmp_path: Path) -> None:
    assert read(tmp_path, [stay(1, anchor_age=-3)], extraction="benchmark").stays["age"].to_list() == [90]


def test_too_many_bad_rows_are_an_error_that_names_file_and_column(tmp_path: Path) -> None:
    stays = [stay(1), stay(2, intime="yesterday")]
    with pytest.raises(DataError, match=r"icustays\.csv: 1 of 2 rows cannot be used \(mostly: no readable intime\)"):
        read(tmp_path / "a", stays, max_bad_rows=0.1)
    with pytest.raises(DataError, match=r"none of the 1 values of column 'intime' can be read; expected a date"):
        read(tmp_path / "b", [stay(1, intime="yesterday")])


def test_stays_of_no_admission_are_counted_and_bounded(tmp_path: Path) -> None:
    release = Release.open(write_release(tmp_path, [stay(1), stay(2)], ending=".csv"))
    file = release.file("admissions")
    file.write_text(file.read_text().replace("20002", "29999"))
    cohort = read_stays(release, CohortConfig(max_bad_rows=0.5))
    assert cohort.stays["stay_id"].to_list() == [30001]
    assert dict(cohort.quarantine) == {"icustays: hadm_id of no admission": 1}
    with pytest.raises(DataError, match=r"icustays\.csv: 1 of 2 rows cannot be used: hadm_id of no admission.*0\.05"):
        read_stays(release, CohortConfig())


def test_blanks_around_words_make_no_difference(tmp_path: Path) -> None:
    plain = read(tmp_path / "a", [stay(1), stay(2)])
    padded = read(tmp_path / "b", [stay(1, last_careunit="MICU "), stay(2, admission_type=" URGENT", gender="F ")])
    changed = plain.stays.with_columns(gender=pl.when(pl.col("stay_id") == 30002).then(pl.lit("F")).otherwise("gender"))
    assert padded.stays.equals(changed) and padded.flow.lines == plain.flow.lines


def test_long_enough_allows_for_rounding(tmp_path: Path) -> None:
    cohort = read(tmp_path, [stay(1, 48.0), stay(2, 47.99)])
    assert long_enough(cohort.stays, 48)["stay_id"].to_list() == [30001]
