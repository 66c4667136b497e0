"""What is planted is visible in the pixels, the series and the reports that ought to show it, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from written import read

from picme_hospital import Planted, write_hospital
from picme_hospital.discharge import discharge_summary
from picme_hospital.films import draw, finding, noise_tile
from picme_hospital.patients import Hospital, admit
from picme_hospital.radiology import radiology_report
from picme_hospital.studies import schedule

if TYPE_CHECKING:
    from pathlib import Path

PLANTED = Planted({"timeseries": 0.4}, redundancy=0.3, synergy=0.3)
STAYS, SEED = 100, 4


@pytest.fixture
def drawn() -> Hospital:
    return admit(STAYS, SEED, PLANTED)


def texts(h: Hospital) -> tuple[list[str], list[str]]:
    studies = schedule(h)
    reports = [radiology_report(h, studies, int(s)) for s in np.flatnonzero(studies.chest)]
    return reports, [discharge_summary(h, a) for a in range(len(h.hadm_id))]


def test_the_sign_of_the_image_is_in_its_pixels(drawn: Hospital) -> None:
    rng = np.random.default_rng(0)
    grain, there = noise_tile(rng), drawn.latent.views["image"]["pads"] > 0
    films = np.stack([draw(finding(drawn, a, rng), "AP", (48, 48), rng, grain) for a in range(len(there))])
    # A film with the upper electrode is bright throughout where that lies; one without is dark there somewhere.
    darkest = films[:, 13:18, 9:15].min(axis=(1, 2))
    assert darkest[there].min() > darkest[~there].max()


def test_the_sign_of_the_series_is_in_the_heart_rate(drawn: Hospital, tmp_path: Path) -> None:
    write_hospital(tmp_path, STAYS, SEED, images=False, planted=PLANTED)
    chart = read(tmp_path, "ehr/icu/chartevents").filter(pl.col("itemid") == 220045)
    rate = chart.group_by("stay_id").agg(pl.col("valuenum").cast(pl.Float64, strict=False).median())
    sign = pl.DataFrame({"stay_id": drawn.stay_id, "sign": drawn.latent.views["timeseries"]["rhythm"][drawn.admission]})
    seen = rate.join(sign, on="stay_id")
    fast, slow = (seen.filter(pl.col("sign") == one)["valuenum"] for one in (1.0, -1.0))
    assert fast.mean() - slow.mean() == pytest.approx(50, abs=8)
    assert np.mean([a > b for a in fast for b in slow]) > 0.98


def test_no_text_mentions_a_sign(drawn: Hospital) -> None:
    before = texts(drawn)
    for modality, sign in (("image", "pads"), ("timeseries", "rhythm")):
        drawn.latent.views[modality][sign] *= -1
    assert texts(drawn) == before


def test_only_the_report_tells_the_finding_in_words(drawn: Hospital) -> None:
    reports, summaries = texts(drawn)
    drawn.latent.views["radiology"]["heart"] *= -1
    other_reports, other_summaries = texts(drawn)
    assert other_summaries == summaries
    assert np.mean([one != other for one, other in zip(reports, other_reports, strict=True)]) > 0.7
