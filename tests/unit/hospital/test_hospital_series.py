"""Charted items: which there are, plausible values, and no knowledge of the outcome."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from written import SEED, STAYS, read

from picme_hospital.items import CHART, LABS_OF_HOSPITAL
from picme_hospital.patients import admit


def test_every_channel_is_charted(hospital: Path) -> None:
    reference = Path(__file__).resolve().parents[3].parent / "shared" / "reference" / "variables.csv"
    if not reference.is_file():
        pytest.skip(f"reference table not found at {reference}")
    variables = pl.read_csv(reference)
    chart = read(hospital, "ehr/icu/chartevents").group_by("itemid").len()
    labs = read(hospital, "ehr/hosp/labevents").group_by("itemid").len()
    seen = variables.filter(pl.col("itemid").is_in([*chart["itemid"], *labs["itemid"]]))
    assert set(seen["variable"]) == set(variables["variable"])
    assert {223951, 224308} <= set(chart["itemid"])
    known = chart.join(variables.filter(pl.col("table") == "chartevents"), on="itemid", how="semi")["len"].sum()
    assert 0.2 < known / chart["len"].sum() < 0.7  # most of what is charted feeds no channel, or nearly so
    ours = {item.itemid for item in CHART} | {test.itemid for test in LABS_OF_HOSPITAL}
    assert not (set(chart["itemid"]) | set(labs["itemid"])) - ours


def test_vitals_are_plausible(hospital: Path) -> None:
    chart = read(hospital, "ehr/icu/chartevents").with_columns(pl.col("valuenum").cast(pl.Float64))
    for itemid, low, high in (
        (220045, 70, 110),
        (220181, 65, 95),
        (223761, 97, 100),
        (220277, 93, 99),
        (223835, 25, 80),
    ):
        median = chart.filter(pl.col("itemid") == itemid)["valuenum"].median()
        assert low < median < high, itemid
    scores = chart.filter(pl.col("itemid").is_in([220739, 223900, 223901])).unique(["itemid", "value"])
    said = {(row["itemid"], row["value"]): row["valuenum"] for row in scores.iter_rows(named=True)}
    assert said[220739, "Spontaneously"] == 4
    assert said[220739, "None"] == 1
    assert said[223901, "Obeys Commands"] == 6
    assert said[223900, "Oriented"] == 5
    assert said[223900, "No Response-ETT"] == 1
    assert said.keys() >= {(220739, "To Speech"), (223900, "Confused"), (223901, "Localizes Pain")}
    assert (chart["storetime"].drop_nulls() > chart.filter(pl.col("storetime").is_not_null())["charttime"]).all()
    fractions = chart.filter(pl.col("itemid") == 223835)["valuenum"]
    assert 0 < (fractions <= 1).mean() < 0.3


def test_first_two_days_do_not_know_the_outcome(hospital: Path) -> None:
    """Given the risk, early vitals of the dead and of survivors are alike; after 48 hours they are not."""
    stays = read(hospital, "ehr/icu/icustays").join(
        read(hospital, "ehr/hosp/admissions").select("hadm_id", "deathtime"), on="hadm_id"
    )
    h = admit(STAYS, seed=SEED)
    view = pl.DataFrame({"stay_id": h.stay_id, "severity": h.latent.views["timeseries"]["severity"][h.admission]})
    chart = read(hospital, "ehr/icu/chartevents").filter(pl.col("itemid").is_in([220181, 220052]))
    chart = chart.join(stays.select("stay_id", "intime", "deathtime"), on="stay_id").with_columns(
        pl.col("valuenum").cast(pl.Float64)
    )
    early = chart.filter(pl.col("charttime") < pl.col("intime") + pl.duration(hours=48))
    mean = early.group_by("stay_id").agg(pl.col("valuenum").clip(30, 150).mean()).join(view, on="stay_id")
    mean = mean.join(stays.select("stay_id", "deathtime"), on="stay_id").sort("stay_id")
    slope, offset = np.polyfit(mean["severity"], mean["valuenum"], 1)
    rest = mean["valuenum"].to_numpy() - slope * mean["severity"].to_numpy() - offset
    dead = mean["deathtime"].is_not_null().to_numpy()
    assert slope < -4
    error = rest.std() * np.sqrt(1 / dead.sum() + 1 / (~dead).sum())
    assert abs(rest[dead].mean() - rest[~dead].mean()) < 4 * error
