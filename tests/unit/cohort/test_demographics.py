"""Demographics: raw values for the model, groups for the fairness tables, nothing from discharge."""

from __future__ import annotations

import polars as pl
import pytest
from pydantic import ValidationError

from picme.cohort.demographics import AGE_GROUPS, ETHNIC_GROUPS, group_columns, table_rows
from picme.config.notes import ADMISSION_COLUMNS, DemographicsConfig
from picme.errors import DataError


def people(**columns: list) -> pl.DataFrame:
    number = len(next(iter(columns.values())))
    filled = {"age": [60.0] * number, "gender": ["F"] * number, "race": ["WHITE"] * number, **columns}
    return pl.DataFrame(filled)


@pytest.mark.parametrize(
    ("race", "group"),
    [
        ("WHITE", "White"),
        ("WHITE - RUSSIAN", "White"),
        ("BLACK/AFRICAN AMERICAN", "Black/African American"),
        ("BLACK/CAPE VERDEAN", "Black/African American"),
        ("ASIAN", "Asian"),
        ("ASIAN - SOUTH EAST ASIAN", "Asian"),
        ("HISPANIC OR LATINO", "Hispanic/Latino"),
        ("HISPANIC/LATINO - PUERTO RICAN", "Hispanic/Latino"),
        ("UNKNOWN", "other/unknown"),
        ("UNABLE TO OBTAIN", "other/unknown"),
        ("MULTIPLE RACE/ETHNICITY", "other/unknown"),
        ("AMERICAN INDIAN/ALASKA NATIVE", "other/unknown"),
        (None, "other/unknown"),
    ],
)
def test_recorded_races_fall_into_five_groups(race, group):
    assert group_columns(people(race=pl.Series([race], dtype=pl.String)))["ethnicity"].item() == group
    assert group in ETHNIC_GROUPS


def test_the_column_of_release_1_is_ethnicity():
    old = people(age=[30]).rename({"race": "ethnicity"})
    assert group_columns(old)["ethnicity"].to_list() == ["White"]
    assert table_rows(old, DemographicsConfig(columns=("race",))).frame["ethnicity"].to_list() == ["white"]


@pytest.mark.parametrize("age", [18, 24, 24.9, 25, 34, 35, 44, 45, 54, 55, 64, 65, 74, 75, 84, 84.99, 85, 91, 110])
def test_age_groups(age):
    bounds = [0, 25, 35, 45, 55, 65, 75, 85, 1000]
    expected = next(AGE_GROUPS[i] for i in range(8) if bounds[i] <= age < bounds[i + 1])
    assert group_columns(people(age=[float(age)]))["age_group"].item() == expected


def test_impossible_ages_and_genders_are_unknown():
    groups = group_columns(people(age=[-3.0, None, 250.0], gender=[None, "?", " m "]))
    assert groups["age_group"].to_list() == ["unknown"] * 3
    assert groups["gender"].to_list() == ["unknown", "unknown", "male"]


def test_values_stay_raw_and_unknown_is_a_value():
    frame = people(
        age=[60.5, None], gender=["F", None], race=["WHITE - RUSSIAN", "UNKNOWN"], insurance=["Medicare", "?"]
    )
    rows = table_rows(frame, DemographicsConfig(columns=("age", "gender", "ethnicity", "insurance")))
    assert rows.frame.columns == ["age", "gender", "ethnicity", "insurance"]
    assert rows.frame.schema["age"] == pl.Float64
    assert rows.frame["age"].to_list() == [60.5, None]
    assert rows.frame["ethnicity"].to_list() == ["white - russian", "unknown"]
    assert rows.frame["insurance"].to_list() == ["medicare", "unknown"]
    assert rows.present.tolist() == [True, False] and rows.present.dtype == bool


def test_default_columns_are_read_in_their_order():
    columns = DemographicsConfig().columns
    assert columns == (
        *("age", "gender", "ethnicity", "marital_status", "insurance", "language"),
        *("admission_type", "admission_location", "anchor_year_group"),
    )
    frame = people(**{name: ["x"] for name in columns if name not in ("age", "gender", "ethnicity")})
    assert table_rows(frame, DemographicsConfig()).frame.columns == list(columns)


@pytest.mark.parametrize("name", ["discharge_location", "deathtime", "hospital_expire_flag", "los", "outtime", "dod"])
def test_nothing_recorded_at_discharge_is_accepted(name):
    with pytest.raises(ValidationError, match="recorded at discharge"):
        DemographicsConfig(columns=("age", name))


def test_a_misspelt_column_has_a_hint():
    with pytest.raises(ValidationError, match="did you mean 'language'"):
        DemographicsConfig(columns=("langage",))
    assert "first_careunit" in ADMISSION_COLUMNS


def test_a_missing_column_is_one_sentence():
    with pytest.raises(DataError, match="no column 'insurance'"):
        table_rows(people(age=[50.0]), DemographicsConfig(columns=("age", "insurance")))
