"""Decision curves: the net benefit of deciding by a prediction at each threshold (Vickers and Elkin, 2006)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtrit

from picme.evaluate.intervals import FEWEST, class_sizes, effective_size
from picme.metrics.net_benefit import benefits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from picme.config.evaluate import EvaluateConfig
    from picme.evaluate.predictions import CellPredictions, SplitStays

GRID = tuple(percent / 100 for percent in range(1, 51))
"""Thresholds of the risk at which a curve is told; acting on a risk beyond a half is rarely in question."""


def mean_benefit(
    found: NDArray[np.float64], subject: NDArray[np.integer], size: float, confidence: float
) -> tuple[float, float, float]:
    """Return a net benefit and its interval.

    The interval is a t interval with the linearised standard error between subjects, scaled for a small sample and
    with degrees of freedom as the intervals of AUROC are.

    Args:
        found: contributions of each stay (label, stay), NaN where undefined; labels are averaged.
        subject: index of each stay's subject (stay,).
        size: subjects of the smaller class, from `effective_size`.
        confidence: coverage.

    Returns:
        (net benefit, low, high); the ends are NaN with fewer subjects than an AUROC needs, or where no stay differs
        from another.
    """
    known = found[~np.isnan(found).all(axis=1)]
    if not len(known):
        return (float("nan"),) * 3
    means = np.nanmean(known, axis=1, keepdims=True)
    counts = (~np.isnan(known)).sum(axis=1, keepdims=True)
    parts = np.nansum((known - means) / counts, axis=0) / len(known)
    error = float(np.sqrt((np.bincount(subject, parts) ** 2).sum()))
    value = float(means.mean())
    if size < FEWEST["auroc"] or error == 0:
        return value, float("nan"), float("nan")
    reach = float(stdtrit(2 * (size - 1), (1 + confidence) / 2)) * error * np.sqrt(size / (size - 1))
    return value, value - reach, value + reach


def decision_rows(cell: CellPredictions, stays: SplitStays, config: EvaluateConfig) -> list[dict[str, Any]]:
    """Return rows of `decision_curve`, of the seed-averaged recalibrated prediction on test.

    Of a task with several labels, the row is the mean of their net benefits at the same threshold.
    """
    y, p = cell.y["test"], cell.calibrated
    known = y[~np.isnan(y).all(axis=1)]
    if not len(known):
        return []
    positive = float(np.nanmean(known, axis=1).mean())
    size = effective_size(class_sizes(y, stays.subject))
    label = cell.labels[0] if len(cell.labels) == 1 else "macro"
    rows = []
    for threshold in GRID:
        ends = mean_benefit(benefits(y, p, threshold), stays.subject, size, config.confidence)
        row = dict(zip(("net_benefit", "low", "high"), ends, strict=True))
        row["treat_all"] = positive - (1 - positive) * threshold / (1 - threshold)
        rows.append({**cell.key, "label": label, "threshold": threshold, **row})
    return rows
