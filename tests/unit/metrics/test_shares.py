from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from picme.metrics.shares import share


def test_one_stay_each_is_wilsons_interval() -> None:
    hit = np.arange(50) < 12
    low, high = proportion_confint(12, 50, method="wilson")
    # Of independent stays the design effect is 50/49.
    assert share(hit, np.arange(50)) == pytest.approx((0.24, low, high), abs=2e-3)
    assert share(hit[:12], np.arange(12))[1:] == pytest.approx(proportion_confint(12, 12, method="wilson"))
    assert np.isnan(share(hit[:0], np.arange(0))).all()


def test_copies_of_a_stay_add_nothing() -> None:
    hit, subject = np.arange(40) < 9, np.arange(40)
    once, thrice = share(hit, subject), share(np.tile(hit, 3), np.tile(subject, 3))
    assert thrice == pytest.approx(once, abs=1e-12)


@pytest.mark.parametrize(("subjects", "rate"), [(30, 0.3), (60, 0.1), (100, 0.9)])
def test_coverage_with_several_stays_of_a_subject(subjects: int, rate: float) -> None:
    rng = np.random.default_rng(0)
    within = 0
    for _ in range(1500):
        stays = rng.integers(1, 5, subjects)
        own = rng.beta(2 * rate, 2 * (1 - rate), subjects)
        subject = np.repeat(np.arange(subjects), stays)
        _, low, high = share(rng.random(len(subject)) < own[subject], subject)
        within += low <= rate <= high
    assert 0.93 <= within / 1500 <= 0.975
