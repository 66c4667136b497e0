from __future__ import annotations

import warnings
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from picme.errors import DataError
from picme.evaluate import interval
from picme.evaluate.bootstrap import SubjectResamples, auprc_among_others, bootstrap_all
from picme.evaluate.gaps import Gap, gap_to_the_rest, placements, simultaneous
from picme.evaluate.intervals import FEWEST, Estimate, estimated

DISTANCE = sqrt(2) * norm.ppf(0.75)


def true_auprc(prevalence: float) -> float:
    x = np.linspace(-8, 8, 4001)
    hits = prevalence * norm.sf(x)
    return float(np.average(hits / (hits + (1 - prevalence) * norm.sf(x + DISTANCE)), weights=norm.pdf(x)))


def among_others_by_definition(y: np.ndarray, p: np.ndarray, subject: np.ndarray, weight: np.ndarray) -> float:
    found = []
    for stay in np.flatnonzero(y == 1):
        above = (subject != subject[stay]) & (p >= p[stay]) & ~np.isnan(y)
        total = weight[above].sum()
        found.append(weight[above & (y == 1)].sum() / total if total else 1.0)
    return float(np.average(found, weights=weight[y == 1]))


@pytest.mark.parametrize("levels", [None, 6])
def test_auprc_among_others_is_its_definition(levels: int | None) -> None:
    rng = np.random.default_rng(8)
    y = (rng.random((1, 90)) < 0.3).astype(float)
    y[0, :6] = np.nan
    p = rng.random(y.shape) if levels is None else rng.integers(0, levels, y.shape) / levels
    _, subject = np.unique(rng.integers(0, 40, 90), return_inverse=True)
    drawn = SubjectResamples.draw(int(subject.max()) + 1, 20, 0)
    counts = np.concatenate(drawn.blocks, axis=1).astype(float)
    expected = [among_others_by_definition(y[0], p[0], subject, counts[subject, k]) for k in range(20)]
    assert bootstrap_all(y, p, subject, drawn)[2][0] == pytest.approx(expected, abs=1e-8)
    once = among_others_by_definition(y[0], p[0], subject, np.ones(90))
    assert auprc_among_others(y, p, subject)[0] == pytest.approx(once, abs=1e-8)


def test_placements_are_delongs_variance() -> None:
    rng = np.random.default_rng(2)
    y = (rng.random((1, 70)) < 0.4).astype(float)
    p = np.round(rng.random(y.shape) + 0.2 * y, 1)
    roc, parts = placements(y, p, np.arange(70), 70)
    a, b = p[0][y[0] == 1], p[0][y[0] == 0]
    wins = (a[:, None] > b) + (a[:, None] == b) / 2
    variance = wins.mean(1).var(ddof=1) / len(a) + wins.mean(0).var(ddof=1) / len(b)
    assert roc[0] == pytest.approx(roc_auc_score(y[0], p[0]))
    assert (parts**2).sum() == pytest.approx(variance)


def held(stays: int, prevalence: tuple[float, ...], studies: int) -> dict[str, float]:
    """Return the share of simulated studies whose interval holds the true metric, of those that have an interval."""
    rng = np.random.default_rng(3)
    share = np.array(prevalence)[:, None]
    targets = 0.75, float(np.mean([true_auprc(each) for each in prevalence]))
    found: dict[str, list[bool]] = {"auroc": [], "auprc": []}
    for study in range(studies):
        y = (rng.random((len(share), stays)) < share).astype(float)
        p = rng.normal(size=y.shape) + DISTANCE * y
        estimates = estimated(y, p, np.arange(stays), SubjectResamples.draw(stays, 250, study))
        for (metric, estimate), target in zip(estimates.items(), targets, strict=True):
            low, high = estimate.interval(0.95)
            assert (estimate.obstacle is None) == (not np.isnan(low))
            if estimate.obstacle is None:
                assert 0 < low < high < 1
                found[metric].append(low <= target <= high)
    return {metric: float(np.mean(values)) for metric, values in found.items()}


@pytest.mark.parametrize(
    ("stays", "prevalence", "studies"),
    [(120, (0.1,), 400), (120, (0.25,), 400), (500, (0.1,), 300), (300, tuple(np.linspace(0.06, 0.4, 15)), 120)],
)
def test_intervals_hold_the_truth_as_often_as_they_say(stays: int, prevalence: tuple[float, ...], studies: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found = held(stays, prevalence, studies)
    # Within two binomial errors of 93 to 97 %.
    room = 2 * sqrt(0.05 * 0.95 / studies)
    for metric, share in found.items():
        assert 0.93 - room <= share <= min(1.0, 0.97 + room), metric


def test_gaps_between_equal_groups_are_rarely_seen() -> None:
    rng = np.random.default_rng(6)
    studies, stays, false = 200, 800, 0
    for study in range(studies):
        y = (rng.random((1, stays)) < 0.15).astype(float)
        p = rng.normal(size=y.shape) + DISTANCE * y
        gaps = []
        for code in (
            rng.integers(0, 2, stays),
            rng.integers(0, 4, stays),
            rng.choice(4, stays, p=[0.7, 0.2, 0.06, 0.04]),
        ):
            for group in range(4):
                members = code == group
                gap = gap_to_the_rest(y, p, members, ~members, np.arange(stays), stays)
                gaps += [gap] if isinstance(gap, Gap) else []
        drawn = SubjectResamples.draw(stays, 300, study)
        false += any(low > 0 or high < 0 for low, high in simultaneous(gaps, drawn, 0.95))
    assert false / studies <= 0.05 + 2 * sqrt(0.05 * 0.95 / studies)


def test_a_true_gap_is_seen() -> None:
    rng = np.random.default_rng(7)
    y = (rng.random((1, 2000)) < 0.2).astype(float)
    members = np.arange(2000) < 500
    p = rng.normal(size=y.shape) + np.where(members, 0.2, 1.5) * y
    gap = gap_to_the_rest(y, p, members, ~members, np.arange(2000), 2000)
    assert isinstance(gap, Gap)
    ((low, high),) = simultaneous([gap], SubjectResamples.draw(2000, 300, 0), 0.95)
    assert 0 < low < norm.cdf(1.5 / sqrt(2)) - norm.cdf(0.2 / sqrt(2)) < high


@pytest.mark.parametrize("metric", ["auroc", "auprc"])
def test_no_interval_below_the_limit(metric: str) -> None:
    rng = np.random.default_rng(0)
    for positives in (FEWEST[metric] - 1, FEWEST[metric]):
        y = (np.arange(200) < positives).astype(float)
        found = interval(y, rng.random(200) + 0.2 * y, metric=metric)
        assert np.isnan(found).all() == (positives < FEWEST[metric])


def test_interval_of_arrays() -> None:
    rng = np.random.default_rng(1)
    y = (rng.random((300, 3)) < 0.3).astype(float)
    p = rng.random(y.shape) + 0.4 * y
    for metric, score in (("auroc", roc_auc_score), ("auprc", average_precision_score)):
        low, high = interval(y, p, metric=metric)
        assert 0 < low < score(y, p) < high < 1
        wide = interval(y, p, metric=metric, confidence=0.99)
        assert wide[0] < low < high < wide[1]
    # Stays of one subject tell less than as many of others.
    shared = interval(np.repeat(y[:, 0], 2), np.repeat(p[:, 0], 2), np.repeat(np.arange(300), 2))
    apart = interval(np.repeat(y[:, 0], 2), np.repeat(p[:, 0], 2))
    assert shared[1] - shared[0] > 1.2 * (apart[1] - apart[0])
    with pytest.raises(DataError, match="brier"):
        interval(y, p, metric="brier")
    with pytest.raises(DataError, match="between 0 and 1, not 95"):
        interval(y, p, confidence=95)
    with pytest.raises(DataError, match="shape"):
        interval(y, p[:, 0])
    with pytest.raises(DataError, match="one subject per stay"):
        interval(y, p, subject=[1, 2])


def of(metric: str, value: float, drawn: list[float], size: float, difference: bool = True) -> Estimate:
    return Estimate(metric, value, np.array(drawn), size, difference=difference)


def test_why_there_is_no_interval_is_said() -> None:
    spread = [0.7, 0.8, 0.9]
    for estimate, word in (
        (of("auroc", 0.8, spread, 5, False), "5 subjects are in the smaller class, 6 are needed"),
        (of("auprc", 0.8, spread, 9.5, False), "9.5 subjects are in the smaller class, 10 are needed"),
        (of("auprc", 0.1, spread, 5), "6 are needed"),
        (replace(of("auroc", 0.8, spread, 9, False), single=True), "only one subject is in a label's smaller class"),
        (of("auroc", 1.0, spread, 20, False), "does not tell how far"),
        (of("auroc", float("nan"), spread, 20), "undefined"),
        (of("auroc", 1.0, [1.0, 1.0, 1.0], 20), "the same in every resample"),
    ):
        assert estimate.obstacle is not None
        assert word in estimate.obstacle
        assert np.isnan([*estimate.interval(0.95), estimate.p_value()]).all()
        assert estimate.columns(0.95, "x_")["x_no_interval"] == estimate.obstacle
    assert of("auroc", 0.8, spread, 6, False).obstacle is None


def test_differences_stay_between_minus_one_and_one_and_equal_predictions_do_not_differ() -> None:
    low, high = of("auroc", 0.9, [0.1, 0.9, 1.7], 6).interval(0.95)
    assert (low < 0, high) == (True, 1.0)
    same = of("auroc", 0.0, [0.0, 0.0, 0.0], 6)
    assert (*same.interval(0.95), same.p_value()) == (0, 0, 1)


def test_few_resamples_serve_auprc_among_others_only() -> None:
    rng = np.random.default_rng(5)
    y = (rng.random((2, 9000)) < 0.3).astype(float)
    p, subject = rng.random(y.shape), np.arange(9000)
    drawn = SubjectResamples.draw(9000, 150, 0)
    whole, part = bootstrap_all(y, p, subject, drawn), bootstrap_all(y, p, subject, drawn, among=20)
    for one, other in zip(whole[:2], part[:2], strict=True):
        np.testing.assert_array_equal(one, other)
    assert 20 <= part[2].shape[1] < 150
    np.testing.assert_array_equal(part[2], whole[2][:, : part[2].shape[1]])
