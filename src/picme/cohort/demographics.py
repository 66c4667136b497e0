"""Demographics: the tabular modality of what was recorded by ICU admission, and the groups of the fairness tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from picme.errors import DataError, near
from picme.schema import TableRows

if TYPE_CHECKING:
    from picme.config.notes import DemographicsConfig

UNKNOWN = "unknown"
# Words by which the releases and their users write that nothing is known.
_UNKNOWN = (
    "",
    "?",
    "unknown",
    "unknown/not specified",
    "unable to obtain",
    "patient declined to answer",
    "nan",
    "none",
)

AGE_GROUPS = ("under 25", "25–34", "35–44", "45–54", "55–64", "65–74", "75–84", "85 and over")
ETHNIC_GROUPS = ("Asian", "Black/African American", "Hispanic/Latino", "White", "other/unknown")
_ETHNICITY = (
    (r"^hispanic", "Hispanic/Latino"),
    (r"^south american", "Hispanic/Latino"),
    (r"^asian", "Asian"),
    (r"^(?:black|african american)", "Black/African American"),
    (r"^(?:white|caucasian)", "White"),
)
"""Groups by the start of the recorded race; other values (multiple, native peoples, unknown, …) are in the last."""


def table_rows(stays: pl.DataFrame, config: DemographicsConfig) -> TableRows:
    """Make the tabular modality, of raw values; categories and pooling are fitted later on training stays.

    Age is Float64, in years; the other columns are text in lower case with `unknown` where nothing is recorded. A stay
    is present if any column is known.

    Args:
        stays: one row per stay with the configured columns (`race` serves as `ethnicity`).
        config: the columns.

    Raises:
        DataError: if a column is missing.
    """
    columns = []
    for name in config.columns:
        source = _source(stays, name)
        if name == "age":
            columns.append(_age(source).alias(name))
        else:
            columns.append(_category(source).alias(name))
    frame = stays.select(columns)
    known = pl.any_horizontal(
        pl.col(name).is_not_null() if name == "age" else pl.col(name) != UNKNOWN for name in frame.columns
    )
    return TableRows(frame, frame.select(known.alias("known"))["known"].to_numpy().astype(np.bool_))


def group_columns(stays: pl.DataFrame) -> pl.DataFrame:
    """Make the columns gender, ethnicity and age_group for subgroup results, aligned with `stays`.

    Args:
        stays: gender (`F`, `M`), race or ethnicity as recorded, age in years.

    Raises:
        DataError: if a column is missing.
    """
    race = _category(_source(stays, "ethnicity"))
    ethnicity = pl.coalesce(
        *(pl.when(race.str.contains(start)).then(pl.lit(group)) for start, group in _ETHNICITY),
        pl.lit(ETHNIC_GROUPS[-1]),
    )
    gender = _category(_source(stays, "gender")).str.slice(0, 1)
    age = _age(_source(stays, "age"))
    band = ((age - 15) / 10).floor().clip(0, len(AGE_GROUPS) - 1).cast(pl.Int64)
    return stays.select(
        gender=pl.when(gender == "f")
        .then(pl.lit("female"))
        .when(gender == "m")
        .then(pl.lit("male"))
        .otherwise(pl.lit(UNKNOWN)),
        ethnicity=ethnicity,
        age_group=band.replace_strict(dict(enumerate(AGE_GROUPS)), default=UNKNOWN, return_dtype=pl.String),
    )


def _source(stays: pl.DataFrame, name: str) -> str:
    """Find the column that holds `name`."""
    for candidate in (name, "race") if name == "ethnicity" else (name,):
        if candidate in stays.columns:
            return candidate
    raise DataError(f"the stays have no column {name!r}{near(name, stays.columns)}")


def _age(name: str) -> pl.Expr:
    age = pl.col(name).cast(pl.Float64, strict=False)
    return pl.when(age.is_between(0, 130)).then(age)


def _category(name: str) -> pl.Expr:
    text = pl.col(name).cast(pl.String).str.strip_chars().str.to_lowercase()
    return pl.when(text.is_null() | text.is_in(_UNKNOWN)).then(pl.lit(UNKNOWN)).otherwise(text)
