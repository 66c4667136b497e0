from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.metrics import confusion_matrix, roc_curve

from picme.config.evaluate import EvaluateConfig, ThresholdRule
from picme.evaluate import evaluate
from picme.evaluate.thresholds import choose_threshold, operating_point

SENSITIVE = ThresholdRule(kind="sensitivity_at_specificity", value=0.9)
SPECIFIC = ThresholdRule(kind="specificity_at_sensitivity", value=0.9)
YOUDEN = ThresholdRule(kind="youden")


def sample(seed: int, n: int = 120, levels: int = 30) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.3).astype(float)
    y[:2] = [0, 1]
    return y, np.clip(rng.integers(0, levels, n) / levels + 0.2 * y, 0, 1)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40))
def test_rules_reach_the_best_that_the_roc_curve_offers(seed: int, levels: int) -> None:
    y, p = sample(seed, levels=levels)
    fpr, tpr, _ = roc_curve(y, p, drop_intermediate=False)
    point = {rule.kind: operating_point(y, p, choose_threshold(y, p, rule)) for rule in (SENSITIVE, SPECIFIC, YOUDEN)}
    held = point["sensitivity_at_specificity"]
    assert held["specificity"] >= 0.9 - 1e-9
    assert held["sensitivity"] == pytest.approx(tpr[1 - fpr >= 0.9 - 1e-12].max())
    assert held["specificity"] == pytest.approx((1 - fpr)[tpr == held["sensitivity"]].max())
    held = point["specificity_at_sensitivity"]
    assert held["sensitivity"] >= 0.9 - 1e-9
    assert held["specificity"] == pytest.approx((1 - fpr)[tpr >= 0.9 - 1e-12].max())
    youden = point["youden"]
    assert youden["sensitivity"] + youden["specificity"] - 1 == pytest.approx((tpr - fpr).max())


def test_operating_point_against_the_confusion_matrix() -> None:
    y, p = sample(3)
    tn, fp, fn, tp = confusion_matrix(y, p >= 0.6).ravel()
    expected = {
        "sensitivity": tp / (tp + fn),
        "specificity": tn / (tn + fp),
        "ppv": tp / (tp + fp),
        "npv": tn / (tn + fn),
    }
    point = operating_point(y, p, 0.6)
    assert {name: point[name] for name in expected} == pytest.approx(expected)
    assert all(point[f"{name}_low"] < point[name] < point[f"{name}_high"] for name in expected)
    undefined = np.append(y, np.nan), np.append(p, 0.99)
    assert operating_point(*undefined, 0.6) == pytest.approx(point)


def test_intervals_of_an_operating_point_cover_with_several_stays_of_a_subject() -> None:
    rng = np.random.default_rng(0)
    names, n = ("sensitivity", "specificity", "ppv", "npv"), 200
    subject = np.repeat(np.arange(n // 2), 2)

    def drawn(n: int, subject: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # The two stays of a subject have a risk in common; scores of them are alike.
        own = rng.normal(size=subject.max() + 1)[subject]
        y = (rng.random(n) < 1 / (1 + np.exp(1 - own))).astype(float)
        return y, own + y + rng.normal(size=n)

    many = 400_000
    truth = operating_point(*drawn(many, np.repeat(np.arange(many // 2), 2)), 0.8)
    within = dict.fromkeys(names, 0)
    for _ in range(800):
        point = operating_point(*drawn(n, subject), 0.8, subject)
        for name in names:
            within[name] += point[f"{name}_low"] <= truth[name] <= point[f"{name}_high"]
    assert all(0.93 <= hits / 800 <= 0.98 for hits in within.values()), within


def test_undefined_shares_are_nan() -> None:
    y, p = np.array([0.0, 1.0]), np.array([0.2, 0.8])
    point = operating_point(y, p, np.inf)
    assert (point["sensitivity"], point["specificity"]) == (0, 1)
    assert np.isnan(point["ppv"])
    assert np.isnan(list(operating_point(y, p, float("nan")).values())).all()
    assert np.isnan(choose_threshold(np.zeros(3), np.array([0.1, 0.2, 0.3]), YOUDEN))
    # The greatest probability is a negative's: calling nobody positive is all that keeps the specificity.
    assert np.isinf(choose_threshold(y, np.array([0.8, 0.2]), SENSITIVE))


def test_chosen_on_validation_judged_on_test(study: Any) -> None:
    cohort, predictions = study("phenotyping", ["x", "y"], 300, [("a", "supervised", 2, 1.5)])
    config = EvaluateConfig(resamples=100, interval_resamples=100, thresholds=(SENSITIVE,))
    table = evaluate(predictions, {"phenotyping": cohort}, config)["thresholds"]
    assert table["label"].to_list() == ["x", "y"]
    assert table["rule"].unique().to_list() == ["sensitivity at 90 % specificity"]
    mean = predictions.group_by("split", "stay_id", "label").agg(pl.col("probability").mean(), pl.col("target").first())
    for row in table.iter_rows(named=True):
        of_label = mean.filter(pl.col("label") == row["label"])
        validation, test = (of_label.filter(pl.col("split") == split) for split in ("val", "test"))
        y, p = validation["target"].to_numpy(), validation["probability"].to_numpy()
        assert row["threshold"] == pytest.approx(choose_threshold(y, p, SENSITIVE))
        called = test["probability"].to_numpy() >= row["threshold"] - 1e-12
        tn, fp, fn, tp = confusion_matrix(test["target"], called).ravel()
        shown = (row["sensitivity"], row["specificity"], row["ppv"], row["npv"])
        assert shown == pytest.approx((tp / (tp + fn), tn / (tn + fp), tp / (tp + fp), tn / (tn + fn)))


def test_rules_need_their_value() -> None:
    assert SPECIFIC.title == "specificity at 90 % sensitivity"
    assert YOUDEN.title == "youden"
    with pytest.raises(ValidationError, match="needed"):
        ThresholdRule(kind="sensitivity_at_specificity")
    with pytest.raises(ValidationError, match="takes none"):
        ThresholdRule(kind="youden", value=0.5)
    with pytest.raises(ValidationError, match="crossed"):
        EvaluateConfig(crossed=(("gender",),))
