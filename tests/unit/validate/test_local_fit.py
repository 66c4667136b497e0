"""Recalibration on local stays mends what is wrong with calibration, leaves ranking, and its intervals cover."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit

from picme.validate.local import SIZES, local_rows, recalibrated


def sample(generator: np.random.Generator, stays: int, slope: float = 1.0, shift: float = 0.0) -> tuple[Any, Any]:
    """Labels drawn from a true risk, and probabilities whose log odds are off by a slope and a shift."""
    x = generator.normal(-1, 1.2, stays)
    return (generator.random(stays) < expit(x)).astype(float)[None], expit((x - shift) / slope)[None]


def told(rows: Any, kind: str, n_local: int) -> dict[str, dict[str, Any]]:
    return {row["metric"]: row for row, _ in rows if (row["recalibration"], row["n_local"]) == (kind, n_local)}


def test_a_shift_is_mended_by_the_intercept_and_a_slope_by_both() -> None:
    y, p = sample(np.random.default_rng(0), 4000, slope=0.5, shift=1.0)
    rows = list(local_rows(y, p, np.arange(4000), 0.95, 0, (400,)))
    intercept, both = told(rows, "intercept", 400), told(rows, "both", 400)
    assert abs(intercept["calibration_intercept"]["value"]) < 0.15
    assert "calibration_slope" not in intercept, "the intercept leaves the slope"
    assert both["calibration_slope"]["value"] == pytest.approx(1.0, abs=0.12)
    assert abs(both["calibration_intercept"]["value"]) < 0.15
    assert both["brier"]["value"] < intercept["brier"]["value"]
    assert both["auroc"]["value"] == intercept["auroc"]["value"], "ranking is left as it is"
    assert intercept["auroc"]["n"] == 3600


def test_more_local_stays_are_better_and_half_of_all_are_the_most() -> None:
    y, p = sample(np.random.default_rng(1), 500, shift=1.0)
    rows = list(local_rows(y, p, np.arange(500), 0.95, 0))
    sizes = sorted({row["n_local"] for row, _ in rows})
    assert sizes == [size for size in SIZES if size <= 250]
    slopes = [told(rows, "both", size)["calibration_slope"]["value"] for size in sizes]
    assert slopes[-1] > slopes[0] + 0.1, "a slope fitted on few stays is too extreme"


def test_local_stays_of_a_subject_stay_together_and_stays_without_a_label_do_not_count() -> None:
    generator = np.random.default_rng(2)
    y, p = sample(generator, 300)
    y[0, 200:] = np.nan
    subject = np.repeat(np.arange(100), 3)
    rows = list(local_rows(y, p, subject, 0.95, 0, (50, 200)))
    found = told(rows, "intercept", 50)["brier"]
    assert 148 <= found["n"] <= 150, "of 200 labelled stays, whole subjects make 50 to 52"
    assert not told(rows, "intercept", 200)


def test_a_label_that_local_stays_do_not_tell_is_left_alone() -> None:
    y, p = np.array([[0.0, 0, 0], [0, 1, 0]]), np.array([[0.2, 0.3, 0.4], [0.2, 0.3, 0.4]])
    others = np.array([[0.1, 0.9], [0.1, 0.9]])
    found, share = recalibrated(y, p, others, "intercept")
    assert share == 0.5
    assert found[0].tolist() == [0.1, 0.9]
    assert logit(found[1]) - logit(others[1]) == pytest.approx([(logit(found[1]) - logit(others[1]))[0]] * 2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["intercept", "both"])
def test_intervals_cover_what_recalibration_on_so_many_stays_comes_to(kind: str) -> None:
    """Truth: the mean over many hospitals. Metrics of a draw's fit, on stays that it has not seen."""
    generator, trials, size = np.random.default_rng(5), 250, 100
    found: dict[str, list[tuple[float, float, float]]] = {}
    for _ in range(trials):
        y, p = sample(generator, 600, slope=0.7, shift=0.8)
        rows = told(local_rows(y, p, np.arange(600), 0.95, 0, (size,)), kind, size)
        for metric, row in rows.items():
            found.setdefault(metric, []).append((row["value"], row["low"], row["high"]))
    for metric, each in found.items():
        value, low, high = np.array(each).T
        covered = ((low <= value.mean()) & (value.mean() <= high)).mean()
        assert covered >= 0.91, metric
