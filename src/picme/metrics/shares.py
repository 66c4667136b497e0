"""Shares of stays with intervals that allow for several stays of one subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

if TYPE_CHECKING:
    from numpy.typing import NDArray


def share(hit: NDArray[np.bool_], subject: NDArray[np.integer], confidence: float = 0.95) -> tuple[float, float, float]:
    """Return a share and its interval by Wilson's score (1927) with the effective number of stays.

    What the stays of one subject have in common makes the variance of a share greater than that of as many independent
    stays, by the design effect (Kish, 1965): the variance between subjects of the linearised share over the binomial
    one, at least 1. The number of stays is divided by it. Where all stays agree the effect is unknown, and subjects are
    counted instead of stays.

    Args:
        hit: (stay,), whether each stay counts.
        subject: index of each stay's subject (stay,), 0 or greater.
        confidence: coverage.

    Returns:
        (share, low, high), NaN without any stay.
    """
    if not len(hit):
        return (float("nan"),) * 3
    n = len(hit)
    of, whose = np.unique(subject, return_inverse=True)
    subjects = len(of)
    value = float(hit.mean())
    size = float(subjects)
    if 0 < value < 1 and subjects > 1:
        off = np.bincount(whose, hit - value)
        variance = subjects / (subjects - 1) * float((off**2).sum()) / n**2
        size = n / max(1.0, variance / (value * (1 - value) / n))
    z2 = float(ndtri((1 + confidence) / 2)) ** 2 / size
    centre, reach = value + z2 / 2, np.sqrt(z2 * value * (1 - value) + z2**2 / 4)
    return value, max(0.0, float((centre - reach) / (1 + z2))), min(1.0, float((centre + reach) / (1 + z2)))
