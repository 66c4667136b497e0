from __future__ import annotations

import time
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from picme.errors import DataError
from picme.evaluate.bootstrap import SubjectResamples, _cumulative, bootstrap_areas
from picme.evaluate.intervals import estimated


def simulate(seed: int, labels: int, stays: int, levels: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random((labels, stays)) < rng.uniform(0.05, 0.6, (labels, 1))).astype(float)
    y[rng.random(y.shape) < 0.1] = np.nan
    p = rng.random(y.shape) if levels is None else rng.integers(0, levels, y.shape) / levels
    _, subject = np.unique(rng.integers(0, max(1, int(0.7 * stays)), stays), return_inverse=True)
    return y, p, subject


def by_loop(
    y: np.ndarray, p: np.ndarray, subject: np.ndarray, drawn: SubjectResamples
) -> tuple[np.ndarray, np.ndarray]:
    counts = np.concatenate(drawn.blocks, axis=1)
    roc, prc = np.full((2, len(y), drawn.resamples), np.nan)
    for label in range(len(y)):
        for resample in range(drawn.resamples):
            weights = counts[subject, resample]
            use = ~np.isnan(y[label]) & (weights > 0)
            truth, score, weight = y[label][use], p[label][use], weights[use].astype(float)
            if 0 < truth.sum() < len(truth):
                roc[label, resample] = roc_auc_score(truth, score, sample_weight=weight)
                prc[label, resample] = average_precision_score(truth, score, sample_weight=weight)
    return roc, prc


@pytest.mark.parametrize("levels", [None, 2, 15])
@pytest.mark.parametrize("stays", [12, 150, 900])
def test_equal_a_loop_of_scikit_learn(stays: int, levels: int | None) -> None:
    y, p, subject = simulate(stays, 3, stays, levels)
    drawn = SubjectResamples.draw(int(subject.max()) + 1, 40, seed=1)
    expected = by_loop(y, p, subject, drawn)
    np.testing.assert_allclose(bootstrap_areas(y, p, subject, drawn), expected, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 100_000), st.integers(2, 25), st.integers(1, 4))
def test_equal_a_loop_on_small_tied_input(seed: int, stays: int, levels: int) -> None:
    y, p, subject = simulate(seed, 2, stays, levels)
    drawn = SubjectResamples.draw(int(subject.max()) + 1, 5, seed)
    np.testing.assert_allclose(
        bootstrap_areas(y, p, subject, drawn), by_loop(y, p, subject, drawn), atol=1e-9, equal_nan=True
    )


def test_repeating_stays_equals_weighting_them() -> None:
    y, p, subject = simulate(5, 1, 80, 20)
    drawn = SubjectResamples.draw(int(subject.max()) + 1, 3, seed=0)
    use = ~np.isnan(y[0])
    for resample in range(3):
        repeated = np.repeat(np.flatnonzero(use), drawn.blocks[0][subject[use], resample])
        expected = roc_auc_score(y[0][repeated], p[0][repeated])
        assert bootstrap_areas(y, p, subject, drawn)[0][0, resample] == pytest.approx(expected, abs=1e-12)


def test_draws() -> None:
    drawn = SubjectResamples.draw(300, 5000, seed=3)
    counts = np.concatenate(drawn.blocks, axis=1)
    assert counts.shape == (300, 5000)
    assert (counts.sum(axis=0) == 300).all()
    # A multinomial count has mean 1 and variance 1 - 1/300.
    assert counts.mean() == 1
    assert counts.astype(float).var() == pytest.approx(1 - 1 / 300, abs=0.01)
    again = np.concatenate(SubjectResamples.draw(300, 5000, seed=3).blocks, axis=1)
    other = np.concatenate(SubjectResamples.draw(300, 5000, seed=4).blocks, axis=1)
    assert np.array_equal(counts, again)
    assert not np.array_equal(counts, other)


@pytest.mark.parametrize("few", [1, 100, 2048, 3000])
def test_a_shorter_run_is_the_beginning_of_a_longer_one(few: int) -> None:
    long = SubjectResamples.draw(50, 5000, seed=0)
    short = SubjectResamples.draw(50, few, seed=0)
    for first in (short, long.first(few)):
        assert first.resamples == few
        assert np.array_equal(np.concatenate(first.blocks, axis=1), np.concatenate(long.blocks, axis=1)[:, :few])


@pytest.mark.parametrize("rows", [1, 5, 127, 128, 500, 5000])
def test_cumulative_equals_cumsum(rows: int) -> None:
    values = np.random.default_rng(rows).integers(0, 5, (rows, 7)).astype(np.float32)
    assert np.array_equal(_cumulative(values), values.cumsum(axis=0, dtype=np.float64))


def test_one_class_and_no_stay_are_nan() -> None:
    drawn = SubjectResamples.draw(3, 10, seed=0)
    roc, prc = bootstrap_areas(np.array([[1.0, 1, 1], [np.nan] * 3]), np.zeros((2, 3)), np.arange(3), drawn)
    assert roc.shape == (2, 10)
    assert np.isnan(roc).all()
    assert np.isnan(prc).all()
    nobody = SubjectResamples.draw(0, 10, seed=0)
    assert np.isnan(bootstrap_areas(np.zeros((1, 0)), np.zeros((1, 0)), np.zeros(0, int), nobody)[0]).all()


def test_bad_scores_are_said() -> None:
    drawn = SubjectResamples.draw(2, 3, seed=0)
    with pytest.raises(DataError, match="NaN"):
        bootstrap_areas(np.array([[0.0, 1.0]]), np.array([[0.3, np.nan]]), np.arange(2), drawn)


def clustered(rng: np.random.Generator, subjects: int, distance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three stays per subject, who share label and most of the score's noise; the true AUROC is Φ(distance / √2)."""
    label = (rng.random(subjects) < 0.3).astype(float)
    shared, own = rng.normal(size=subjects), rng.normal(size=(subjects, 3))
    score = distance * label[:, None] + sqrt(0.7) * shared[:, None] + sqrt(0.3) * own
    return np.repeat(label, 3)[None], score.reshape(1, -1), np.repeat(np.arange(subjects), 3)


@pytest.mark.slow
def test_coverage_is_that_of_the_interval() -> None:
    distance, subjects, runs = 1.0, 200, 1500
    truth = norm.cdf(distance / sqrt(2))
    rng = np.random.default_rng(11)
    by_subject = by_stay = 0
    for run in range(runs):
        y, p, subject = clustered(rng, subjects, distance)
        drawn = SubjectResamples.draw(subjects, 500, run)
        low, high = estimated(y, p, subject, drawn, others=False)["auroc"].interval(0.95)
        by_subject += low <= truth <= high
        if run < 300:
            naive = SubjectResamples.draw(len(subject), 500, run)
            low, high = estimated(y, p, np.arange(len(subject)), naive, others=False)["auroc"].interval(0.95)
            by_stay += low <= truth <= high
    assert 0.93 <= by_subject / runs <= 0.97
    # Stays of one subject taken for independent ones give intervals that are too narrow.
    assert by_stay / 300 < 0.88


@pytest.mark.slow
def test_a_thousand_resamples_of_25_labels_over_10000_stays_in_5_seconds() -> None:
    y, p, subject = simulate(0, 25, 10_000, None)
    start = time.process_time()
    bootstrap_areas(y, p, subject, SubjectResamples.draw(int(subject.max()) + 1, 1000, seed=0))
    assert time.process_time() - start < 5
