"""The baseline table against the package `tableone`, and that nothing small can be had from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from picme.config.loading import validate
from picme.pipeline import run

if TYPE_CHECKING:
    from pathlib import Path

SPLITS = ("train", "val", "test")
# What `TableOne(frame, columns=["age", "sex"], categorical=["sex"], nonnormal=["age"], groupby="split", decimals=3)`
# of tableone 0.9.6 gives for `people()`: number of stays, age (median, quartiles), women (number, percent).
TABLEONE = {
    "all": (200, (61.100, 49.850, 71.325), (99, 49.500)),
    "test": (39, (60.550, 54.475, 74.850), (20, 51.282)),
    "train": (132, (61.850, 48.925, 71.100), (65, 49.242)),
    "val": (29, (53.700, 49.900, 68.950), (14, 48.276)),
}


def people(n: int = 200) -> pl.DataFrame:
    rng = np.random.default_rng(5)
    age = np.round(rng.normal(62, 15, n), 1)
    sex, split = rng.choice(["female", "male"], n, p=[0.45, 0.55]), rng.choice(SPLITS, n, p=[0.6, 0.2, 0.2])
    age[rng.random(n) < 0.15] = np.nan
    known = pl.Series(age).fill_nan(None)
    return pl.DataFrame({"id": np.arange(n), "age": known, "sex": sex, "ward": split, "died": np.arange(n) % 2})


def described(folder: Path, samples: pl.DataFrame, least: int = 10) -> tuple[pl.DataFrame, pl.DataFrame]:
    samples.write_csv(folder / "samples.csv")
    config = validate(
        {
            "source": {"kind": "table", "path": str(folder / "samples.csv"), "id": "id", "groups": ["ward"]},
            "require": "none",
            "splits": {"kind": "group", "column": "ward", "val_groups": ["val"], "test_groups": ["test"]},
            "modalities": {
                "person": {"kind": "tabular", "columns": ["age", "sex"]},
                "other": {"kind": "tabular", "columns": ["ward"]},
            },
            "tasks": {"died": {}},
            "evaluate": {"min_group": least},
        }
    )
    results = run(config, folder / "run", "prepare", quiet=True).folder / "results"
    return pl.read_parquet(results / "baseline.parquet"), pl.read_parquet(results / "cohort_flow.parquet")


def test_numbers_are_those_of_tableone_and_the_flow_goes_on_to_the_splits(tmp_path: Path) -> None:
    samples = people()
    table, flow = described(tmp_path, samples, 1)
    for group, (stays, age, (women, percent)) in TABLEONE.items():
        own = table.filter(pl.col("group") == group)
        assert own.filter(pl.col("variable") == "stays")["stays"].to_list() == [stays]
        row = own.row(by_predicate=(pl.col("variable") == "age") & pl.col("level").is_null(), named=True)
        assert (row["median"], row["q1"], row["q3"]) == pytest.approx(age)
        row = own.row(by_predicate=(pl.col("variable") == "sex") & (pl.col("level") == "female"), named=True)
        assert (row["stays"], 100 * row["share"]) == (women, pytest.approx(percent, abs=5e-4))
    assert table.filter(pl.col("level") == "missing", pl.col("group") == "all")["stays"].to_list() == [40]
    lines = flow.filter(pl.col("split").is_not_null())
    assert lines["split"].to_list() == list(SPLITS)
    assert lines["stays"].to_list() == [TABLEONE[split][0] for split in SPLITS]
    events = samples.group_by("ward").agg(pl.col("died").sum())
    assert dict(lines.select("split", "events").rows()) == dict(events.rows())


def test_no_count_below_ten_is_told_or_follows(tmp_path: Path) -> None:
    samples = people().with_columns(sex=pl.when(pl.col("id") < 12).then(pl.lit("other")).otherwise(pl.col("sex")))
    table, _ = described(tmp_path, samples)
    assert table.filter(pl.col("stays") < 10, pl.col("stays") > 0, pl.col("variable") != "died").is_empty()
    sex = table.filter(pl.col("variable") == "sex")
    for group in ("all", *SPLITS):
        own = sex.filter(pl.col("group") == group)
        hidden = own["suppressed"].sum()
        assert hidden != 1, "the lone one would be the rest of the group"
    for level in ("female", "male", "other"):
        own = sex.filter(pl.col("level") == level)
        assert own["suppressed"].sum() != 1, "the lone one would be the rest of all"
    assert (
        table.filter("suppressed").select("stays", "share", "median", "q1", "q3").null_count().row(0)
        == (table["suppressed"].sum(),) * 5
    )
    # A value that few have is not written, since it may be a name.
    names = samples.with_columns(sex=pl.col("id").cast(pl.String) + " Anna")
    table, _ = described(tmp_path, names)
    assert not table["level"].drop_nulls().str.contains("Anna").any()
