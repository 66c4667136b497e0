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
