"""The difference between two independent groups: its interval is made of the two, and covers."""

from __future__ import annotations

from math import hypot, isnan, nan

import numpy as np
import pytest
from scipy.stats import norm

from picme.evaluate.bootstrap import SubjectResamples
from picme.evaluate.independent import Told, difference
from picme.evaluate.intervals import estimated


def test_of_symmetric_intervals_it_is_the_root_of_the_sum_of_squares() -> None:
    found = difference(Told(0.8, 0.75, 0.85), Told(0.7, 0.58, 0.82))
    assert found.value == pytest.approx(0.1)
    assert (found.low, found.high) == pytest.approx((0.1 - hypot(0.05, 0.12), 0.1 + hypot(0.05, 0.12)))


def test_newcombe_s_example_of_two_proportions() -> None:
    """56/70 and 48/80 by Wilson's intervals: Newcombe (Statistics in Medicine 1998, 17:873), method 10, case (a)."""

    def wilson(hits: int, of: int) -> Told:
        z2, share = 1.959964**2 / of, hits / of
        reach = np.sqrt(z2 * share * (1 - share) + z2**2 / 4)
        return Told(share, (share + z2 / 2 - reach) / (1 + z2), (share + z2 / 2 + reach) / (1 + z2))

    found = difference(wilson(56, 70), wilson(48, 80))
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_what_has_no_interval_gives_none_and_a_centre_of_its_own_counts() -> None:
    lacking = difference(Told(0.8, nan, nan), Told(0.7, 0.6, 0.8))
    assert lacking.value == pytest.approx(0.1) and isnan(lacking.low) and isnan(lacking.high)
    found = difference(Told(0.5, 0.3, 0.5, centre=0.4), Told(0.3, 0.2, 0.4))
    assert found.value == pytest.approx(0.2)
    assert (found.low + found.high) / 2 == pytest.approx(0.1)


@pytest.mark.parametrize("metric", ["auroc", "auprc"])
def test_the_interval_of_a_difference_covers(metric: str) -> None:
    """One hospital is small, the other larger, and models do better in the second."""
    generator = np.random.default_rng(3)
    true = {"auroc": norm.cdf(1.2 / np.sqrt(2)) - norm.cdf(0.9 / np.sqrt(2))}

    def drawn(stays: int, shift: float, rate: float) -> tuple[np.ndarray, np.ndarray]:
        y = (generator.random(stays) < rate).astype(float)
        return y[None], (generator.normal(size=stays) + shift * y)[None]

    def told(y: np.ndarray, p: np.ndarray, resamples: SubjectResamples) -> Told:
        found = estimated(y, p, np.arange(y.shape[1]), resamples)[metric]
        return Told(found.value, *found.interval(0.95), found.centre)

    sizes = (
        ((150, 1.2, 0.25), SubjectResamples.draw(150, 200, 0)),
        ((300, 0.9, 0.15), SubjectResamples.draw(300, 200, 1)),
    )
    if metric == "auprc":
        large = [drawn(400_000, *of[1:]) for of, _ in sizes]
        values = [
            estimated(y, p, np.arange(y.shape[1]), SubjectResamples(y.shape[1], 0, []))["auprc"].value for y, p in large
        ]
        true["auprc"] = values[0] - values[1]
    trials, hit = 300, 0
    for _ in range(trials):
        one, other = (told(*drawn(*of), resamples) for of, resamples in sizes)
        found = difference(one, other)
        hit += found.low <= true[metric] <= found.high
    assert 0.91 <= hit / trials <= 0.99
