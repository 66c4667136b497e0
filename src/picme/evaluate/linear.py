"""Statistics with each subject's influence on them, so that an interval of their mean over many splits is cheap.

The error of a statistic is the spread of its influence function over subjects (Hampel, 1974), which is the sandwich
estimator for fits and Obuchowski's (1997) for AUROC: subjects may have several stays. The influence on a mean of
statistics is the mean of the influences, whatever stays each of them is of.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, stdtrit
from scipy.stats import rankdata

from picme.evaluate.calibration import fit_calibration, logit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# An intercept beyond this means that the probabilities are off by more than a probability can be.
_FURTHEST = 40.0


@dataclass(frozen=True)
class Linear:
    """A statistic and how much each subject moves it.

    Attributes:
        value: the value in the sample; NaN where undefined.
        influence: (subject,) that of each subject, 0 for those it is not of; they add up to 0.
    """

    value: float
    influence: NDArray[np.float64] = field(repr=False)

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the ends of the t interval over subjects, NaN where fewer than two tell it."""
        subjects = int((self.influence != 0).sum())
        if np.isnan(self.value) or subjects < 2:
            return float("nan"), float("nan")
        error = np.sqrt(subjects / (subjects - 1) * float((self.influence**2).sum()))
        reach = float(stdtrit(subjects - 1, (1 + confidence) / 2)) * error
        return self.value - reach, self.value + reach


def mean_of(statistics: Sequence[Linear]) -> Linear | None:
    """Return the mean of those statistics that are defined; None where none is."""
    known = [one for one in statistics if not np.isnan(one.value)]
    if not known:
        return None
    return Linear(
        float(np.mean([one.value for one in known])), np.mean([one.influence for one in known], axis=0, dtype=float)
    )


def brier_score(
    y: NDArray[np.floating], p: NDArray[np.floating], subject: NDArray[np.integer], subjects: int
) -> Linear:
    """Return the mean squared difference of probability and label over all labels.

    Args:
        y: labels (label, stay), NaN where undefined.
        p: probabilities (label, stay).
        subject: index of each stay's subject (stay,).
        subjects: their number.
    """
    known = ~np.isnan(y)
    n = int(known.sum())
    if not n:
        return Linear(float("nan"), np.zeros(subjects))
    loss = np.where(known, (p - np.nan_to_num(y)) ** 2, 0.0)
    value = float(loss.sum() / n)
    off = (loss - value * known).sum(axis=0) / n
    return Linear(value, _sums(off, subject, subjects))


def intercept_of(
    y: NDArray[np.floating], p: NDArray[np.floating], subject: NDArray[np.integer], subjects: int
) -> Linear:
    """Return calibration in the large: what added to the log odds makes as many outcomes expected as there are.

    0 is right; below 0 the probabilities are too high. Arguments are as for `brier_score`; NaN where one class is all.
    """
    known = ~np.isnan(y)
    value = fit_intercept(p[known], y[known])
    if np.isnan(value):
        return Linear(value, np.zeros(subjects))
    fitted = expit(value + logit(p))
    off = np.where(known, np.nan_to_num(y) - fitted, 0.0).sum(axis=0)
    return Linear(value, _sums(off, subject, subjects) / float((fitted * (1 - fitted))[known].sum()))


def slope_of(y: NDArray[np.floating], p: NDArray[np.floating], subject: NDArray[np.integer], subjects: int) -> Linear:
    """Return the calibration slope: that of the label's log odds on those of the probability (Cox, 1958).

    1 is right; below 1 the probabilities are too extreme. Arguments are as for `brier_score`; NaN where nothing fits.
    """
    known = ~np.isnan(y)
    slope, intercept = fit_calibration(p[known], y[known])
    if np.isnan(slope):
        return Linear(slope, np.zeros(subjects))
    x = logit(p)
    fitted = expit(intercept + slope * x)
    weight = np.where(known, fitted * (1 - fitted), 0.0)
    total, first, second = weight.sum(), (weight * x).sum(), (weight * x * x).sum()
    # The row of the inverse Hessian that belongs to the slope.
    off = np.where(known, (np.nan_to_num(y) - fitted) * (total * x - first), 0.0) / (total * second - first**2)
    return Linear(slope, _sums(off.sum(axis=0), subject, subjects))


def area_of(y: NDArray[np.floating], p: NDArray[np.floating], subject: NDArray[np.integer], subjects: int) -> Linear:
    """Return the AUROC, of several labels the mean over those with both classes; arguments as for `brier_score`."""
    found = [_area(row, score, subject, subjects) for row, score in zip(y, p, strict=True)]
    return mean_of(found) or Linear(float("nan"), np.zeros(subjects))


def _area(y: NDArray[np.floating], p: NDArray[np.floating], subject: NDArray[np.integer], subjects: int) -> Linear:
    known = ~np.isnan(y)
    positive, p, subject = y[known] == 1, p[known], subject[known]
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        return Linear(float("nan"), np.zeros(subjects))
    ranks, off = rankdata(p), np.empty(len(p))
    # The share of the other class that each stay is ranked rightly against.
    off[positive] = (ranks[positive] - rankdata(p[positive])) / zeros
    off[~positive] = 1 - (ranks[~positive] - rankdata(p[~positive])) / ones
    value = float(off[positive].mean())
    off[positive] = (off[positive] - value) / ones
    off[~positive] = (off[~positive] - value) / zeros
    return Linear(value, _sums(off, subject, subjects))


def fit_intercept(p: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """Return the intercept of logistic recalibration with a slope of 1; NaN where all labels are one class.

    Args:
        p: probabilities (stay,).
        y: labels (stay,), NaN where undefined.
    """
    known = ~np.isnan(y)
    x, y = logit(p[known]), np.asarray(y, dtype=np.float64)[known]
    if not len(y) or y.min() == y.max():
        return float("nan")
    return float(brentq(lambda shift: float(expit(shift + x).sum() - y.sum()), -_FURTHEST, _FURTHEST))


def _sums(off: NDArray[np.float64], subject: NDArray[np.integer], subjects: int) -> NDArray[np.float64]:
    """Return the sum over each subject's stays (subject,)."""
    return np.bincount(subject, off, subjects).astype(np.float64)
