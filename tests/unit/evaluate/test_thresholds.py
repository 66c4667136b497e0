from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import norm
from sklearn.metrics import confusion_matrix, roc_curve

from picme.config.evaluate import EvaluateConfig, ThresholdRule
from picme.evaluate import evaluate
from picme.evaluate.bootstrap import SubjectResamples
from picme.evaluate.thresholds import choose_threshold, operating_point, settle_threshold

SENSITIVE = ThresholdRule(kind="sensitivity_at_specificity", value=0.9)
SPECIFIC = ThresholdRule(kind="specificity_at_sensitivity", value=0.9)
YOUDEN = ThresholdRule(kind="youden")
LESSER = ThresholdRule(kind="min_sensitivity_ppv")


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


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_as_many_are_called_positive_as_are_so_that_sensitivity_equals_ppv(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, _ = sample(seed)
    p = rng.permutation(len(y)) / len(y)  # all different, so that exactly as many can be called
    point = operating_point(y, p, choose_threshold(y, p, LESSER))
    assert point["sensitivity"] == pytest.approx(point["ppv"]) == point["min_sensitivity_ppv"]


def test_the_lesser_of_sensitivity_and_ppv_is_near_the_best_that_any_threshold_gives() -> None:
    y, p = sample(5, n=4000, levels=4000)
    best = max(operating_point(y, p, t)["min_sensitivity_ppv"] for t in np.quantile(p, np.linspace(0, 1, 200)))
    assert operating_point(y, p, choose_threshold(y, p, LESSER))["min_sensitivity_ppv"] == pytest.approx(best, abs=0.01)


def test_somebody_is_called_positive_where_predictions_are_coarse() -> None:
    """Calling nobody, 0 for 60, would be nearer than the first of two levels, 300 for 60."""
    y, p = np.tile([1.0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 60), np.repeat([0.3, 0.1], 300)
    threshold = choose_threshold(y, p, LESSER)
    assert threshold == 0.3
    assert operating_point(y, p, threshold)["min_sensitivity_ppv"] == pytest.approx(0.1)


def by_hand(y: np.ndarray, p: np.ndarray, subject: np.ndarray, rule: ThresholdRule, resamples: int) -> list[float]:
    """Thresholds of resamples whose stays are written out one by one."""
    found = []
    drawn = SubjectResamples.draw(int(subject.max()) + 1, resamples, 0)
    for counts in np.concatenate(drawn.blocks, axis=1).T:
        rows = np.repeat(np.arange(len(y)), counts[subject])
        if len(np.unique(y[rows])) == 2:
            found.append(choose_threshold(y[rows], p[rows], rule))
    return sorted(found)


@pytest.mark.parametrize("rule", [SENSITIVE, SPECIFIC, YOUDEN, LESSER], ids=lambda rule: rule.kind)
def test_a_settled_threshold_is_the_median_over_resamples_of_the_subjects(rule: ThresholdRule) -> None:
    y, p = sample(7)
    subject = np.repeat(np.arange(len(y) // 2), 2)
    found = settle_threshold(y, p, subject, rule, SubjectResamples.draw(len(y) // 2, 100, 0))
    assert found == tuple(np.quantile(by_hand(y, p, subject, rule, 100), [0.5, 0.025, 0.975], method="inverted_cdf"))
    nothing = settle_threshold(np.zeros(4), p[:4], subject[:4], rule, SubjectResamples.draw(2, 100, 0))
    assert np.isnan(nothing).all()


def test_a_settled_threshold_loses_less_on_new_stays_than_the_best_of_one_sample() -> None:
    rng = np.random.default_rng(1)

    def gain(threshold: float) -> float:
        """Sensitivity and specificity that all new stays together would have."""
        return float(norm.sf(threshold - 1.6) + norm.cdf(threshold))

    one, settled = [], []
    for _ in range(300):
        y = (rng.random(300) < 0.14).astype(float)
        p = rng.normal(size=300) + 1.6 * y
        draws = SubjectResamples.draw(300, 100, 0)
        one.append(gain(choose_threshold(y, p, YOUDEN)))
        settled.append(gain(settle_threshold(y, p, np.arange(300), YOUDEN, draws)[0]))
    assert np.mean(settled) > np.mean(one) + 0.001


def test_the_interval_of_the_lesser_of_two_shares_covers_it() -> None:
    rng = np.random.default_rng(2)

    def drawn(n: int) -> tuple[np.ndarray, np.ndarray]:
        y = (rng.random(n) < 0.2).astype(float)
        return y, rng.normal(size=n) + 1.5 * y

    many = drawn(400_000)
    # Where both are equal and where they differ.
    for threshold in (1.2, 0.6):
        truth = operating_point(*many, threshold)["min_sensitivity_ppv"]
        points = [operating_point(*drawn(300), threshold) for _ in range(800)]
        held = np.mean([one["min_sensitivity_ppv_low"] <= truth <= one["min_sensitivity_ppv_high"] for one in points])
        assert held >= 0.92, (threshold, held)


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
    stays_of = {split: cohort.filter(split=split).sort("stay_id")["subject_id"].to_numpy() for split in ("val", "test")}
    for row in table.iter_rows(named=True):
        of_label = mean.filter(pl.col("label") == row["label"]).sort("stay_id")
        validation, test = (of_label.filter(pl.col("split") == split) for split in ("val", "test"))
        y, p = validation["target"].to_numpy(), validation["probability"].to_numpy()
        _, subject = np.unique(stays_of["val"], return_inverse=True)
        draws = SubjectResamples.draw(int(subject.max()) + 1, 100, config.seed)
        ends = (row["threshold"], row["threshold_low"], row["threshold_high"])
        assert ends == pytest.approx(settle_threshold(y, p, subject, SENSITIVE, draws))
        called = test["probability"].to_numpy() >= row["threshold"] - 1e-12
        tn, fp, fn, tp = confusion_matrix(test["target"], called).ravel()
        shown = (row["sensitivity"], row["specificity"], row["ppv"], row["npv"])
        assert shown == pytest.approx((tp / (tp + fn), tn / (tn + fp), tp / (tp + fp), tn / (tn + fn)))


def test_rules_need_their_value() -> None:
    assert SPECIFIC.title == "specificity at 90 % sensitivity"
    assert YOUDEN.title == "youden"
    assert LESSER.title == "min(sensitivity, PPV)"
    with pytest.raises(ValidationError, match="needed"):
        ThresholdRule(kind="sensitivity_at_specificity")
    with pytest.raises(ValidationError, match="take none"):
        ThresholdRule(kind="youden", value=0.5)
    with pytest.raises(ValidationError, match="crossed"):
        EvaluateConfig(crossed=(("gender",),))
