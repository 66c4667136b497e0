from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from picme.config.evaluate import EvaluateConfig
from picme.evaluate import apply_calibration, auroc, evaluate, fit_calibration
from picme.evaluate.calibration import brier, curve, expected_calibration_error, logit


def sample(seed: int, n: int, slope: float = 1.0, intercept: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities whose true recalibration has this slope and intercept."""
    rng = np.random.default_rng(seed)
    x = rng.normal(scale=1.5, size=n)
    y = (rng.random(n) < 1 / (1 + np.exp(-(intercept + slope * x)))).astype(float)
    return 1 / (1 + np.exp(-x)), y


@pytest.mark.parametrize("seed", range(3))
def test_fit_maximises_the_likelihood(seed: int) -> None:
    p, y = sample(seed, 300, 0.6, -0.8)
    x = logit(p)

    def loss(beta: np.ndarray) -> float:
        z = beta[0] * x + beta[1]
        return float(np.logaddexp(0, z).sum() - (y * z).sum())

    best = minimize(loss, np.zeros(2), method="BFGS", options={"gtol": 1e-8}).x
    assert fit_calibration(p, y) == pytest.approx(tuple(best), abs=1e-4)


def test_fit_finds_what_was_planted_and_improves() -> None:
    # As after training with class weights: everybody's odds are multiplied.
    p, y = sample(0, 50_000, 0.5, -1.5)
    slope, intercept = fit_calibration(p, y)
    assert (slope, intercept) == pytest.approx((0.5, -1.5), abs=0.05)
    better = apply_calibration(p, slope, intercept)
    assert brier(better, y) < brier(p, y) - 0.02
    assert expected_calibration_error(curve(better, y, 10)) < 0.02 < expected_calibration_error(curve(p, y, 10))
    assert auroc(y, better) == pytest.approx(auroc(y, p), abs=1e-12)
    assert better.mean() == pytest.approx(y.mean(), abs=1e-6)


def test_apply() -> None:
    p = np.array([[0.0, 0.2], [0.5, 1.0]])
    np.testing.assert_allclose(apply_calibration(p, 1, 0), p, atol=1e-6)
    np.testing.assert_allclose(apply_calibration(np.array([0.5]), 3.0, np.log(3)), [0.75])
    assert np.array_equal(apply_calibration(p, float("nan"), float("nan")), p)


@pytest.mark.parametrize(
    ("p", "y"),
    [
        ([], []),
        ([0.2, 0.4], [0, 0]),
        ([0.3, 0.3, 0.3], [0, 1, 0]),
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1]),
        ([0.4, 0.6], [np.nan, np.nan]),
    ],
)
def test_no_maximum_is_nan(p: list[float], y: list[float]) -> None:
    assert np.isnan(fit_calibration(np.array(p), np.array(y))).all()


def test_undefined_labels_are_left_out_and_extremes_survive() -> None:
    p, y = sample(1, 400)
    expected = fit_calibration(p, y)
    more = np.append(p, [0.9] * 30), np.append(y, [np.nan] * 30)
    assert fit_calibration(*more) == pytest.approx(expected)
    slope, intercept = fit_calibration(np.append(p, [0.0, 1.0]), np.append(y, [1.0, 0.0]))
    assert np.isfinite([slope, intercept]).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 15))
def test_curve_equals_scikit_learn(seed: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    p = np.append(rng.integers(0, 21, 60) / 20, rng.random(40))
    y = (rng.random(100) < p).astype(float)
    rows = [row for row in curve(p, y, bins) if row["n"]]
    observed, mean = calibration_curve(y, p, n_bins=bins)
    np.testing.assert_allclose([row["observed"] for row in rows], observed, atol=1e-12)
    np.testing.assert_allclose([row["mean_predicted"] for row in rows], mean, atol=1e-12)
    assert sum(row["n"] for row in rows) == 100
    assert brier(p, y) == pytest.approx(brier_score_loss(y, p), abs=1e-12)


def test_ece_by_hand() -> None:
    p, y = np.array([0.1, 0.3, 0.8, 0.9]), np.array([0, 1, 1, 1])
    # Two bins: |0.5 − 0.2| and |1 − 0.85|, two stays in each.
    assert expected_calibration_error(curve(p, y, 2)) == pytest.approx(0.5 * 0.3 + 0.5 * 0.15)
    assert np.isnan(expected_calibration_error(curve(p[:0], y[:0], 2)))


def test_table(study: Any) -> None:
    cohort, predictions = study("phenotyping", ["x", "y"], 200, [("a", "supervised", 2, 1.0)], undefined=0.1)
    config = EvaluateConfig(resamples=100, interval_resamples=100, ece_bins=5)
    table = evaluate(predictions, {"phenotyping": cohort}, config)["calibration"]
    assert table["bin"].to_list() == list(range(5))
    mean = (
        predictions.drop_nulls("target")
        .group_by("split", "stay_id", "label")
        .agg(pl.col("probability").mean(), pl.col("target").first())
    )
    test, validation = (mean.filter(pl.col("split") == split) for split in ("test", "val"))
    assert table["n"].sum() == len(test)
    assert table["brier"][0] == pytest.approx(brier_score_loss(test["target"], test["probability"]))
    fitted = fit_calibration(validation["probability"].to_numpy(), validation["target"].to_numpy())
    assert (table["slope"][0], table["intercept"][0]) == pytest.approx(fitted)
    empty = table.filter(pl.col("n") == 0)
    assert empty["observed"].is_null().all()
    assert table["brier_recalibrated"][0] < table["brier"][0]
