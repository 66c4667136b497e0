"""What is withheld from stays: at which rate, from whom, and the same for everything that is compared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from picme.evaluate.bootstrap import SubjectResamples
from picme.evaluate.by_subset import place, subsets_of
from picme.evaluate.intervals import Estimate, estimated, weighted
from picme.evaluate.missing import Mean, judge
from picme.evaluate.withholding import order_of, shares
from picme.modalities.withheld import draws, kept

NAMES = ("labs", "notes", "image")
# Torch may have set the processor to take subnormal numbers as 0.
RATES = st.floats(0, 1, allow_subnormal=False)


def test_draws_are_uniform_and_of_the_subject_alone() -> None:
    subjects = [f"s{number // 2}" for number in range(4000)]
    found = draws(subjects, NAMES, seed=0)
    np.testing.assert_array_equal(found[::2], found[1::2])
    for column in found[::2].T:
        assert kstest(column, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(found[::2].T)[np.triu_indices(3, 1)]).max() < 0.06
    part = draws(subjects[100:50:-1], ("image", "labs"), seed=0)
    np.testing.assert_array_equal(part, found[100:50:-1][:, [2, 0]])
    assert not np.isin(draws(subjects, NAMES, seed=1), found).any()


@given(st.integers(0, 2**32 - 1), RATES, RATES)
def test_stays_keep_one_and_what_is_withheld_stays_so_at_greater_rates(seed: int, one: float, other: float) -> None:
    rng = np.random.default_rng(seed)
    present, drawn = rng.random((20, 4)) < 0.6, rng.random((20, 4))
    less, more = (kept(present, rate, drawn) for rate in sorted((one, other)))
    assert not (less & ~present).any() and not (more & ~less).any()
    np.testing.assert_array_equal(more.any(axis=1), present.any(axis=1))
    np.testing.assert_array_equal(kept(present, 0.0, drawn), present)


@pytest.mark.parametrize("slope", [0.0, 4.0, 50.0])
@pytest.mark.parametrize("rate", [0.05, 0.2, 0.8])
def test_shares_have_the_rate_as_their_mean_and_the_slope_as_log_odds(rate: float, slope: float) -> None:
    order = order_of(np.random.default_rng(0).normal(size=501))
    found = shares(order, rate, slope)
    assert found.mean() == pytest.approx(rate, abs=1e-9)
    if slope == 4:
        odds = np.log(found / (1 - found))
        first, last = order.argmin(), order.argmax()
        assert odds[first] - odds[last] == pytest.approx(slope * (order[last] - order[first]))
    assert (np.diff(found[order.argsort()]) <= 0).all()


def test_places_go_from_0_to_1_and_ties_and_what_is_unknown_lie_between() -> None:
    np.testing.assert_allclose(order_of(np.array([0.0, 0.0, 1.0, 0.0, np.nan])), [0, 0, 1, 0, 0.5])
    np.testing.assert_allclose(order_of(np.array([3.0, 1.0, 2.0, 2.0, 9.0])), [0.75, 0, 0.375, 0.375, 1])
    np.testing.assert_allclose(order_of(np.array([2.0, 2.0, np.nan])), [0.5, 0.5, 0.5])


def test_a_stay_with_the_outcome_has_the_slope_less_of_the_log_odds_than_one_without() -> None:
    died = np.random.default_rng(0).random(500) < 0.12
    found = shares(order_of(died.astype(float)), 0.4, 4.0)
    odds = np.log(found / (1 - found))
    assert odds[~died].min() - odds[died].max() == pytest.approx(4, abs=1e-6)
    assert found.mean() == pytest.approx(0.4)


def test_places_are_those_of_the_subsets() -> None:
    subsets = subsets_of(5)
    assert len(subsets) == 31 and len(np.unique(subsets, axis=0)) == 31
    np.testing.assert_array_equal(place(subsets), np.arange(31))


def test_metrics_equal_plain_formulas() -> None:
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, (3, 80)).astype(float), rng.random((3, 80))
    y[0, :10], p[2, 7] = np.nan, np.nan  # one label unknown for some stays, one that the model does not know
    subject = np.arange(80) // 2
    resamples = SubjectResamples.draw(40, 200, 0)
    found = judge(y, p, subject, resamples, bins=10)
    known = ~np.isnan(y[:2])
    assert isinstance(found["brier"], Mean) and isinstance(found["auroc"], Estimate)
    assert found["brier"].value == pytest.approx(np.mean((p[:2] - y[:2])[known] ** 2))
    counts = np.concatenate(resamples.blocks, axis=1)[:, 0][subject]
    again = np.repeat(np.arange(80), counts)
    resampled = (p[:2, again] - y[:2, again])[~np.isnan(y[:2, again])] ** 2
    assert found["brier"].drawn[0] == pytest.approx(resampled.mean())
    assert found["auroc"].value == estimated(y[:2], p[:2], subject, resamples)["auroc"].value


def test_the_interval_of_a_mean_covers() -> None:
    """Brier score of 100 subjects with two stays each whose errors are alike, 600 studies."""
    rng = np.random.default_rng(0)
    inside = 0
    resamples = SubjectResamples.draw(100, 400, 0)
    truth = 0.3 * 0.7  # of a probability that is right
    for _ in range(600):
        risk = np.full(200, 0.3)
        y = np.repeat(rng.random(100) < 0.3, 2).astype(float)
        made = judge(y[None], risk[None], np.arange(200) // 2, resamples, 10)["brier"]
        assert isinstance(made, Mean)
        ends = made.columns(0.95)
        inside += bool(ends["low"] <= truth <= ends["high"])  # type: ignore[operator]
    assert 0.93 <= inside / 600 <= 0.97


def test_a_weighted_mean_of_estimates_is_linear() -> None:
    rng = np.random.default_rng(0)
    y, resamples = rng.integers(0, 2, (1, 90)).astype(float), SubjectResamples.draw(90, 200, 0)
    each = [estimated(y, rng.random((1, 90)), np.arange(90), resamples)["auroc"] for _ in range(3)]
    weights = np.array([0.5, 0.3, 0.2])
    mean = weighted(each, weights)
    assert mean.value == pytest.approx(sum(w * one.value for w, one in zip(weights, each, strict=True)))
    np.testing.assert_allclose(mean.drawn, sum(w * one.drawn for w, one in zip(weights, each, strict=True)))
    low, high = mean.interval(0.95)
    assert low < mean.value < high and high - low < max(b - a for a, b in (one.interval(0.95) for one in each))
