"""Net benefit of deciding at a threshold of the predicted risk: true positives less false ones, weighted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def benefits(y: NDArray[np.floating], p: NDArray[np.floating], threshold: float) -> NDArray[np.float64]:
    """Return what each stay contributes to the net benefit, whose mean over stays is the net benefit.

    Args:
        y: labels 0 and 1, NaN where undefined, of any shape.
        p: probabilities of a shape that broadcasts with `y`.
        threshold: the threshold of the probability, above 0 and below 1; a stay at or above it is acted on.

    Returns:
        1 for a true positive, −t / (1 − t) for a false one, 0 for a stay that is not acted on, NaN where `y` is.
    """
    contribution = np.where(y > 0.5, 1.0, -threshold / (1 - threshold))
    return np.where(np.isnan(y), np.nan, np.where(p >= threshold, contribution, 0.0))


def net_benefit(y: NDArray[np.floating], p: NDArray[np.floating], threshold: float) -> float:
    """Return TP/n − FP/n · t/(1 − t) at a threshold t (Vickers and Elkin, 2006).

    Args:
        y: labels 0 and 1 (stay,), NaN where undefined.
        p: probabilities (stay,).
        threshold: the threshold of the probability, above 0 and below 1.

    Returns:
        The net benefit in true positives per stay; NaN if no label is defined. Acting on nobody has 0.
    """
    found = benefits(y, p, threshold)
    return float(np.nanmean(found)) if not np.isnan(found).all() else float("nan")
