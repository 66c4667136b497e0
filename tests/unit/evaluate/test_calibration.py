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
from picme.evaluate.calibration import brier, curve, expected_calibration_error, logit, merged


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


def test_bins_are_merged_until_each_has_enough_stays() -> None:
    index = np.array([0, 0, 0, 1, 2, 2, 3, 9, 9, 5])
    stay = np.arange(10)
    assert merged(index, stay, 3).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    # Two are left at the upper end.
    assert merged(index[:8], stay[:8], 3).tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    # Several labels of one stay are one stay.
    assert merged(index, stay // 2, 2).tolist() == [0, 0, 0, 1, 1, 1, 2, 3, 3, 2]
    assert merged(index, stay, 11).tolist() == [0] * 10


def test_few_stays_have_no_bin_to_look_at(study: Any) -> None:
    cohort, predictions = study("mortality", ["mortality"], 60, [("a", "supervised", 1, 1.0)])
    held_out = cohort.filter(pl.col("split") == "test")["stay_id"][:9].to_list()
    few = predictions.filter((pl.col("split") == "val") | pl.col("stay_id").is_in(held_out))
    for least in (9, 10):
        config = EvaluateConfig(resamples=100, interval_resamples=100, min_group=least)
        row = evaluate(few, {"mortality": cohort}, config)["calibration"].row(0, named=True)
        assert row["brier"] is not None
        assert row["n"] == (9 if least == 9 else None)
        assert (row["observed"] is None) == (least == 10)


def test_table(study: Any) -> None:
    cohort, predictions = study("phenotyping", ["x", "y"], 200, [("a", "supervised", 2, 1.0)], undefined=0.1)
    config = EvaluateConfig(resamples=100, interval_resamples=100, ece_bins=5)
    table = evaluate(predictions, {"phenotyping": cohort}, config)["calibration"]
    assert table["bin"].to_list() == list(range(len(table)))
    assert table.filter((pl.col("low") > pl.col("observed")) | (pl.col("high") < pl.col("observed"))).is_empty()
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
    assert table["brier_recalibrated"][0] < table["brier"][0]
