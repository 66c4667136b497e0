"""The latent states: true risks, what is planted, and views."""

from __future__ import annotations

import numpy as np
import pytest

from picme_hospital import Planted
from picme_hospital.codes import PHENOTYPES
from picme_hospital.latent import LATENTS, VISIBILITY, intercept, sigmoid
from picme_hospital.patients import admit


def test_risk_is_true() -> None:
    h = admit(20_000, seed=2)
    risk, died = h.latent.risk, h.latent.died
    assert 0.18 < died.mean() < 0.22
    for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.6), (0.6, 1)):
        within = (risk >= low) & (risk < high)
        error = np.sqrt(risk[within].mean() * (1 - risk[within].mean()) / within.sum())
        assert abs(died[within].mean() - risk[within].mean()) < 4 * error
    for i in range(len(PHENOTYPES)):
        p, y = h.latent.phenotype_risk[:, i], h.latent.phenotypes[:, i]
        assert abs(y.mean() - p.mean()) < 4 * np.sqrt(p.mean() / len(p))
        high = p > np.quantile(p, 0.8)
        assert abs(y[high].mean() - p[high].mean()) < 4 * np.sqrt(0.25 / high.sum())


def test_intercept_gives_the_rate() -> None:
    logit = np.random.default_rng(0).normal(size=1000) * 3
    assert sigmoid(intercept(logit, 0.2) + logit).mean() == pytest.approx(0.2, abs=1e-9)


def test_influence_is_the_share_of_the_logit() -> None:
    shares = {"timeseries": 0.6, "discharge": 0.25, "image": 0.1, "radiology": 0.05}
    h = admit(20_000, seed=1, planted=Planted(shares))
    logit = np.log(h.latent.risk / (1 - h.latent.risk))
    shown = {
        "timeseries": "severity",
        "discharge": "chronic",
        "image": "lung",
        "radiology": "lung",
        "demographics": "age",
    }
    for modality, latent in shown.items():
        share = np.corrcoef(h.latent.views[modality][latent], logit)[0, 1] ** 2
        assert share == pytest.approx(shares.get(modality, 0) / (1 + 0.25**2), abs=0.03), modality
    # Nothing else that a modality shows carries risk.
    for modality, latent in (("demographics", "severity"), ("timeseries", "lung"), ("discharge", "liver")):
        assert abs(np.corrcoef(h.latent.views[modality][latent], logit)[0, 1]) < 0.03


def test_redundancy_is_a_finding_that_image_and_report_show() -> None:
    h = admit(20_000, seed=1, planted=Planted({"timeseries": 0.7}, redundancy=0.3))
    logit = np.log(h.latent.risk / (1 - h.latent.risk))
    film, report = (h.latent.views[name]["heart"] for name in ("image", "radiology"))
    assert np.corrcoef(film, report)[0, 1] == pytest.approx(1 / 1.25, abs=0.02)
    for view in (film, report):
        assert np.corrcoef(view, logit)[0, 1] ** 2 == pytest.approx(0.3 / 1.25, abs=0.02)
    # The views' noise is independent, so that both together tell more: 8 of 9 parts of the finding.
    assert np.corrcoef(film + report, logit)[0, 1] ** 2 == pytest.approx(0.3 * 8 / 9, abs=0.02)
    assert not np.any(h.latent.views["image"]["pads"])
    assert not np.any(h.latent.views["timeseries"]["rhythm"])


def test_synergy_is_told_by_both_signs_and_by_neither_alone() -> None:
    h = admit(20_000, seed=1, planted=Planted({"timeseries": 0.7}, synergy=0.3))
    logit = np.log(h.latent.risk / (1 - h.latent.risk))
    film, series = h.latent.views["image"]["pads"], h.latent.views["timeseries"]["rhythm"]
    assert np.mean(film != series) == pytest.approx(0.25, abs=0.01)
    for sign in (film, series):
        assert abs(np.corrcoef(sign, logit)[0, 1]) < 0.03
    assert set(film) == set(series) == {-1.0, 1.0}
    exactly_one = film != series
    assert np.corrcoef(exactly_one, logit)[0, 1] ** 2 == pytest.approx(0.3, abs=0.02)
    assert h.latent.risk[exactly_one].mean() > 2 * h.latent.risk[~exactly_one].mean()


@pytest.mark.parametrize("planted", [None, Planted({"timeseries": 0.5}, redundancy=0.3, synergy=0.2)])
def test_views_have_unit_variance(planted: Planted | None) -> None:
    h = admit(20_000, seed=1, planted=planted)
    for modality, visible in VISIBILITY.items():
        for latent in visible:
            assert h.latent.views[modality][latent].std() == pytest.approx(1, abs=0.03), (modality, latent)
    assert set().union(*VISIBILITY.values()) == set(LATENTS)
