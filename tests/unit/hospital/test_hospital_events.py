"""The large event tables."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from written import COLUMNS, digest, read

from picme_hospital import write_events


def test_large_events(tmp_path: Path) -> None:
    write_events(tmp_path / "a", 30_000, 20_000, 40, seed=4, threads=1)
    write_events(tmp_path / "b", 30_000, 20_000, 40, seed=4, threads=3)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    chart, labs = read(tmp_path / "a", "icu/chartevents"), read(tmp_path / "a", "hosp/labevents")
    assert (len(chart), len(labs)) == (30_000, 20_000)
    assert ",".join(chart.columns) == COLUMNS["ehr/icu/chartevents"]
    assert ",".join(labs.columns) == COLUMNS["ehr/hosp/labevents"]
    stays = read(tmp_path / "a", "icu/icustays")
    assert stays.height == 40
    inside = chart.join(stays, on=["subject_id", "hadm_id", "stay_id"])
    assert inside.height == 30_000
    assert inside["charttime"].is_between(inside["intime"], inside["outtime"]).all()
    assert chart["stay_id"].head(200).n_unique() > 30  # random order
    rate = chart.filter(pl.col("itemid") == 220045)["value"].cast(pl.Float64, strict=False)
    assert 80 < rate.mean() < 95
    assert labs["hadm_id"].null_count() / 20_000 == pytest.approx(0.4, abs=0.02)
    wanted = labs["itemid"].is_in([50931, 50820, 50809, 50817, 51478, 51491]).mean()
    assert wanted == pytest.approx(0.05, abs=0.01)


def test_events_have_the_share_of_wanted_items(tmp_path: Path) -> None:
    reference = Path(__file__).resolve().parents[3].parent / "shared" / "reference" / "variables.csv"
    if not reference.is_file():
        pytest.skip(f"reference table not found at {reference}")
    write_events(tmp_path, 20_000, 100, 30)
    wanted = pl.read_csv(reference)["itemid"]
    share = read(tmp_path, "icu/chartevents")["itemid"].is_in(wanted.implode()).mean()
    assert 0.15 < share < 0.20
