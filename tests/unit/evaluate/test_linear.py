"""Statistics by influence: as other libraries have them, and with the coverage that their intervals claim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit
from sklearn.metrics import brier_score_loss, roc_auc_score

from picme.evaluate.linear import (
    Linear,
    area_of,
    brier_score,
    fit_intercept,
    intercept_of,
    mean_of,
    slope_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def sample(generator: np.random.Generator, subjects: int, stays: int = 1) -> tuple[Any, Any, Any]:
    """Labels, probabilities that are too high and too extreme, and subjects with so many stays each."""
    own = generator.normal(size=subjects)
    x = np.repeat(own, stays) + 0.5 * generator.normal(size=subjects * stays)
    frail = np.repeat(generator.normal(size=subjects), stays)
    y = (generator.random(len(x)) < expit(-1 + 0.8 * x + 0.7 * frail)).astype(float)
    return y[None], expit(-0.5 + 1.4 * x)[None], np.repeat(np.arange(subjects), stays)


@pytest.fixture(scope="module")
def data() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    return sample(np.random.default_rng(0), 150, 2)


def test_values_are_those_of_other_libraries(data: Any) -> None:
    y, p, subject = data
    design = sm.add_constant(logit(p[0]))
    fit = sm.GLM(y[0], design, family=sm.families.Binomial()).fit()
    large = sm.GLM(y[0], design[:, :1], offset=logit(p[0]), family=sm.families.Binomial()).fit()
    assert brier_score(y, p, subject, 150).value == pytest.approx(brier_score_loss(y[0], p[0]))
    assert area_of(y, p, subject, 150).value == pytest.approx(roc_auc_score(y[0], p[0]))
    assert slope_of(y, p, subject, 150).value == pytest.approx(fit.params[1])
    assert intercept_of(y, p, subject, 150).value == pytest.approx(large.params[0])
    assert fit_intercept(p[0], y[0]) == pytest.approx(large.params[0])


def test_errors_are_the_sandwich_over_subjects(data: Any) -> None:
    y, p, subject = data
    design = sm.add_constant(logit(p[0]))
    how: dict[str, Any] = {"cov_type": "cluster", "cov_kwds": {"groups": subject, "use_correction": False}}
    fit = sm.GLM(y[0], design, family=sm.families.Binomial()).fit(**how)
    large = sm.GLM(y[0], design[:, :1], offset=logit(p[0]), family=sm.families.Binomial()).fit(**how)
    slope, shift = slope_of(y, p, subject, 150), intercept_of(y, p, subject, 150)
    assert np.sqrt((slope.influence**2).sum()) == pytest.approx(fit.bse[1], rel=1e-6)
    assert np.sqrt((shift.influence**2).sum()) == pytest.approx(large.bse[0], rel=1e-6)


@pytest.mark.parametrize("measure", [brier_score, area_of, slope_of, intercept_of])
def test_influence_is_what_a_little_more_weight_on_a_subject_changes(measure: Any, data: Any) -> None:
    y, p, subject = data
    found = measure(y, p, subject, 150)
    assert abs(found.influence.sum()) < 1e-9
    times = 60
    for one in (0, 7):
        again = np.concatenate([np.tile(np.arange(len(subject)), times), np.flatnonzero(subject == one)])
        moved = measure(y[:, again], p[:, again], subject[again], 150).value - found.value
        assert moved == pytest.approx(found.influence[one] / times, rel=0.15, abs=2e-6)


def test_several_labels_and_gaps() -> None:
    y = np.array([[1.0, 0, 1, np.nan], [0, 0, 1, 1], [0, 0, 0, np.nan]])
    p = np.array([[0.9, 0.2, 0.1, 0.5], [0.1, 0.4, 0.8, 0.6], [0.5, 0.5, 0.5, 0.5]])
    subject = np.arange(4)
    assert area_of(y, p, subject, 4).value == pytest.approx((0.5 + 1.0) / 2), "a label of one class has none"
    known = ~np.isnan(y)
    assert brier_score(y, p, subject, 4).value == pytest.approx(((p - y)[known] ** 2).mean())
    none = np.full((1, 4), np.nan)
    for measure in (brier_score, area_of, slope_of, intercept_of):
        assert np.isnan(measure(none, p[:1], subject, 4).value)
        assert np.isnan(measure(none, p[:1], subject, 4).interval(0.95)).all()
    assert np.isnan(fit_intercept(p[0], np.ones(4)))


def test_a_mean_leaves_out_what_is_undefined() -> None:
    one, other = Linear(1.0, np.array([0.5, -0.5])), Linear(3.0, np.array([-0.5, 0.5]))
    assert mean_of([Linear(float("nan"), np.zeros(2))]) is None
    both = mean_of([one, Linear(float("nan"), np.zeros(2)), other])
    assert both is not None
    assert (both.value, both.influence.tolist()) == (2.0, [0.0, 0.0])


TRIALS = 400


@pytest.mark.parametrize(("subjects", "stays"), [(200, 1), (120, 3)])
@pytest.mark.parametrize("measure", [brier_score, area_of, slope_of, intercept_of])
def test_intervals_cover(measure: Callable[..., Linear], subjects: int, stays: int) -> None:
    truth = measure(*sample(np.random.default_rng(99), 60_000, stays), 60_000).value
    generator, hit = np.random.default_rng(1), 0
    for _ in range(TRIALS):
        low, high = measure(*sample(generator, subjects, stays), subjects).interval(0.95)
        hit += low <= truth <= high
    assert 0.92 <= hit / TRIALS <= 0.985
