from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from picme.config.evaluate import EvaluateConfig
from picme.evaluate import apply_calibration, evaluate, fit_calibration
from picme.evaluate.decision import GRID, mean_benefit
from picme.metrics.net_benefit import benefits

CONFIG = EvaluateConfig(resamples=100, interval_resamples=100)


def test_curve_is_of_the_recalibrated_prediction(study: Any) -> None:
    cohort, predictions = study("mortality", ["mortality"], 300, [("a", "supervised", 2, 1.5)])
    table = evaluate(predictions, {"mortality": cohort}, CONFIG)["decision_curve"]
    assert table["threshold"].to_list() == pytest.approx(GRID)
    assert table["label"].unique().to_list() == ["mortality"]
    mean = predictions.group_by("split", "stay_id").agg(pl.col("probability").mean(), pl.col("target").first())
    validation, test = (mean.filter(pl.col("split") == split) for split in ("val", "test"))
    fit = fit_calibration(validation["probability"].to_numpy(), validation["target"].to_numpy())
    p, y = apply_calibration(test["probability"].to_numpy(), *fit), test["target"].to_numpy()
    for row in table.iter_rows(named=True):
        weight = row["threshold"] / (1 - row["threshold"])
        called = p >= row["threshold"]
        by_hand = (called & (y == 1)).mean() - (called & (y == 0)).mean() * weight
        assert row["net_benefit"] == pytest.approx(by_hand, abs=1e-9)
        assert row["treat_all"] == pytest.approx(y.mean() - (1 - y.mean()) * weight)
        if row["low"] is not None:
            assert row["low"] < row["net_benefit"] < row["high"]


def test_several_labels_are_averaged(study: Any) -> None:
    cohort, predictions = study("phenotyping", ["x", "y"], 300, [("a", "supervised", 2, 1.5)], undefined=0.1)
    both = evaluate(predictions, {"phenotyping": cohort}, CONFIG)["decision_curve"]
    assert both["label"].unique().to_list() == ["macro"]
    alone = [
        evaluate(predictions.filter(pl.col("label") == label), {"phenotyping": cohort}, CONFIG)["decision_curve"]
        for label in ("x", "y")
    ]
    for name in ("net_benefit", "treat_all"):
        mean = (alone[0][name] + alone[1][name]) / 2
        assert both[name].to_list() == pytest.approx(mean.to_list(), abs=1e-9)


@pytest.mark.parametrize(("threshold", "stays"), [(0.1, 80), (0.3, 200)])
def test_coverage(threshold: float, stays: int) -> None:
    rng = np.random.default_rng(2)

    def drawn(subjects: int) -> tuple[np.ndarray, np.ndarray]:
        own = np.repeat(rng.normal(-1.5, 1, subjects), 2)
        risk = 1 / (1 + np.exp(-own))
        return (rng.random(len(own)) < risk).astype(float), np.clip(risk * rng.uniform(0.5, 1.5, len(own)), 0, 1)

    truth = float(benefits(*drawn(400_000), threshold).mean())
    within = 0
    for _ in range(1000):
        y, p = drawn(stays)
        size = min(len(np.unique(np.flatnonzero(y == value) // 2)) for value in (0, 1))
        _, low, high = mean_benefit(benefits(y, p, threshold)[None], np.arange(len(y)) // 2, size, 0.95)
        within += low <= truth <= high
    assert 0.93 <= within / 1000 <= 0.97


def test_too_few_subjects_have_no_interval() -> None:
    y, p = np.array([[1.0, 0, 0, 1]]), np.array([[0.9, 0.1, 0.8, 0.2]])
    value, low, high = mean_benefit(benefits(y, p, 0.5), np.arange(4), 2, 0.95)
    assert value == 0
    assert np.isnan([low, high]).all()
