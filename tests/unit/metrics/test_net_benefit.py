"""Net benefit against counts of true and false positives."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from picme.metrics.net_benefit import net_benefit


@pytest.mark.parametrize("threshold", [0.05, 0.2, 0.5, 0.9])
def test_net_benefit_equals_the_counts_of_a_confusion_matrix(threshold):
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, 300).astype(float), rng.random(300)
    _, false, _, true = confusion_matrix(y, p >= threshold).ravel()
    expected = true / 300 - false / 300 * threshold / (1 - threshold)
    assert net_benefit(y, p, threshold) == pytest.approx(expected)


def test_acting_on_everybody_has_the_known_net_benefit_and_on_nobody_none():
    y = np.array([1.0, 0.0, 0.0, 0.0, 1.0])
    assert net_benefit(y, np.ones(5), 0.25) == pytest.approx(0.4 - 0.6 / 3)
    assert net_benefit(y, np.zeros(5), 0.25) == 0.0


def test_undefined_labels_do_not_count():
    y, p = np.array([1.0, np.nan, 0.0]), np.array([0.9, 0.9, 0.1])
    assert net_benefit(y, p, 0.5) == pytest.approx(0.5)
    assert np.isnan(net_benefit(np.array([np.nan]), np.array([0.3]), 0.5))


# 20 stays, and what the package dcurves 1.1.7 gives for them: the column `net_benefit` of its function `dca`.
OUTCOMES = [1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 1, 1, 0, 0, 1, 0, 1]
RISKS = [
    0.85, 0.35, 0.71, 0.2, 0.02, 0.64, 0.51, 0.01, 0.1, 0.08, 0.37, 0.51, 0.21, 0.54, 0.19, 0.03, 0.18, 0.4, 0.17, 0.43,
]  # fmt: skip
DCURVES = {0.05: 0.42894736842105263, 0.1: 0.4111111111111111, 0.2: 0.35, 0.35: 0.34615384615384615, 0.5: 0.3}


@pytest.mark.parametrize(("threshold", "expected"), DCURVES.items())
def test_net_benefit_equals_that_of_dcurves(threshold, expected):
    assert net_benefit(np.array(OUTCOMES, dtype=float), np.array(RISKS), threshold) == pytest.approx(expected)
