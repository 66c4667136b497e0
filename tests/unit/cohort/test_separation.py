"""Limits, cross-fitting and signs agree with simulation and with counts made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from picme.cohort import separation


def test_the_limit_leaves_a_fortieth_below():
    """Of samples from normal scores with a true AUROC of 0.9, at most about 2.5 % have a limit above it."""
    rng = np.random.default_rng(0)
    shift = np.sqrt(2) * norm.ppf(0.9)
    y = np.repeat([1, 0], [35, 265])
    above = [separation.area(y, rng.normal(size=300) + shift * y)[1] > 0.9 for _ in range(1000)]
    assert 0.002 < np.mean(above) < 0.04


def test_a_perfect_separation_of_few_stays_is_no_certainty():
    low = [separation.area(np.repeat([1, 0], [n, 9 * n]), np.arange(10 * n, 0, -1))[1] for n in (2, 10, 100)]
    assert low[0] < 0.75 and low[0] < low[1] < 0.9 < low[2] < 1
    assert separation.area(np.ones(4), np.arange(4)) == (0.5, 0.0)
    assert separation.lower_limit(0.0, 5, 5) == 0.0


def test_the_area_counts_ties_by_half_and_either_direction():
    rng = np.random.default_rng(1)
    y, scores = rng.integers(0, 2, 200), rng.integers(0, 5, 200)
    assert separation.area(y, scores)[0] == pytest.approx(roc_auc_score(y, scores))
    assert separation.either_way(y, -y)[0] == 1.0


def test_a_subject_is_in_one_fold_and_noise_tells_nothing():
    rng = np.random.default_rng(2)
    subjects = [f"s{n}" for n in rng.integers(0, 80, 300)]
    fold = separation.folds(subjects)
    assert all(len({int(f) for f, one in zip(fold, subjects, strict=True) if one == s}) == 1 for s in set(subjects))
    assert set(fold) == set(range(separation.FOLDS))
    y = np.asarray(rng.random(300) < 0.2, int)
    noise = rng.normal(size=(300, 200))
    assert abs(separation.area(y, separation.cross_fitted(noise, y, fold, 0.1))[0] - 0.5) < 0.15
    noise[:, 0] += 6 * y
    assert separation.area(y, separation.cross_fitted(noise, y, fold, 0.1))[0] > 0.95


def test_a_sign_is_common_among_positives_and_absent_elsewhere():
    having = np.array([35, 18, 60, 40, 4, 100])
    of_positives = np.array([35, 18, 35, 35, 4, 12])
    # All, half, not alone, hardly diluted, too rare, as frequent as anywhere.
    assert separation.signs(having, of_positives, 35, 265).tolist() == [True, True, False, True, False, False]


def test_honest_strong_signs_are_rarely_found():
    """Of 200 words with a likelihood ratio of 10 none is found in at least 90 % of studies."""
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(200):
        a, b = rng.binomial(35, 0.5, 200), rng.binomial(265, 0.05, 200)
        found += bool(separation.signs(a + b, a, 35, 265).any())
    assert found <= 20
