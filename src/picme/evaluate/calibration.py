"""Calibration: Brier score, expected calibration error, calibration curve, and logistic recalibration.

Recalibration is Cox's (1958): logit P(y = 1) = intercept + slope · logit(p), fitted by maximum likelihood on the
validation split. A slope below 1 means that predictions are too extreme, an intercept other than 0 that they are too
high or too low on the whole, as after training with class weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from picme.metrics.shares import share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from picme.config.evaluate import EvaluateConfig
    from picme.evaluate.predictions import CellPredictions, SplitStays

# Probabilities are kept this far from 0 and 1 before the logit.
_EDGE = 1e-7
# A slope beyond this means that the classes are separated, where the likelihood has no maximum.
_STEEPEST = 100.0


def logit(p: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the log odds of probabilities, which are kept off 0 and 1 by 1e-7."""
    clipped = np.clip(np.asarray(p, dtype=np.float64), _EDGE, 1 - _EDGE)
    return np.log(clipped) - np.log1p(-clipped)


def fit_calibration(p: NDArray[np.floating], y: NDArray[np.floating]) -> tuple[float, float]:
    """Fit slope and intercept of logistic recalibration by Newton's method.

    Args:
        p: probabilities on validation (stay,).
        y: labels (stay,), NaN where undefined.

    Returns:
        (slope, intercept); (NaN, NaN) where the likelihood has no maximum: one class, constant predictions, or
        classes that the predictions separate.
    """
    p, y = np.asarray(p, dtype=np.float64), np.asarray(y, dtype=np.float64)
    x, y = logit(p[~np.isnan(y)]), y[~np.isnan(y)]
    undefined = (float("nan"), float("nan"))
    if len(y) == 0 or y.min() == y.max() or x.min() == x.max():
        return undefined
    design = np.column_stack([x, np.ones_like(x)])
    beta = np.array([0.0, np.log(y.mean() / (1 - y.mean()))])
    likelihood = _log_likelihood(design @ beta, y)
    for _ in range(100):
        fitted = _sigmoid(design @ beta)
        gradient = design.T @ (y - fitted)
        hessian = (design * (fitted * (1 - fitted))[:, None]).T @ design
        try:
            step = np.linalg.solve(hessian, gradient)
        except np.linalg.LinAlgError:
            return undefined
        # Halve a step that overshoots, so that the likelihood never falls.
        for _ in range(30):
            reached = _log_likelihood(design @ (beta + step), y)
            if reached >= likelihood - 1e-12 * abs(likelihood):
                break
            step = step / 2
        beta, likelihood = beta + step, reached
        if not np.isfinite(beta).all() or abs(beta[0]) > _STEEPEST:
            return undefined
        if np.abs(step).max() < 1e-10 * max(1.0, np.abs(beta).max()):
            return float(beta[0]), float(beta[1])
    return undefined


def apply_calibration(p: NDArray[np.floating], slope: float, intercept: float) -> NDArray[np.float64]:
    """Return recalibrated probabilities, of any shape; unchanged where slope and intercept are NaN (no fit)."""
    if np.isnan(slope) or np.isnan(intercept):
        return np.asarray(p, dtype=np.float64)
    return _sigmoid(intercept + slope * logit(p))


def brier(p: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """Compute the mean squared difference of probability and label, both (stay,) without NaN; NaN for no stay."""
    return float(np.mean((p - y) ** 2)) if len(y) else float("nan")


def curve(p: NDArray[np.floating], y: NDArray[np.floating], bins: int) -> list[dict[str, Any]]:
    """Compute mean prediction, observed share and count in bins of equal width over [0, 1].

    The upper edge belongs to a bin. Shares are None in an empty bin. `p` and `y` are (stay,) without NaN.
    """
    # Right-closed bins as in scikit-learn's calibration_curve; 0 belongs to the first.
    index = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], p)
    rows = []
    for place in range(bins):
        members = index == place
        count = int(members.sum())
        rows.append(
            {
                "bin": place,
                "mean_predicted": float(p[members].mean()) if count else None,
                "observed": float(y[members].mean()) if count else None,
                "n": count,
            }
        )
    return rows


def expected_calibration_error(rows: list[dict[str, Any]]) -> float:
    """Compute mean |observed − mean prediction| over the bins of a curve, weighted by count (Naeini et al., 2015)."""
    total = sum(row["n"] for row in rows)
    gaps = sum(row["n"] * abs(row["observed"] - row["mean_predicted"]) for row in rows if row["n"])
    return gaps / total if total else float("nan")


def merged(index: NDArray[np.integer], stay: NDArray[np.integer], least: int) -> NDArray[np.intp]:
    """Return the merged bin of each prediction: neighbouring bins are joined until each holds enough stays.

    Args:
        index: bin of each prediction (prediction,).
        stay: the stay it is of (prediction,).
        least: the number of different stays that a bin has to hold; what is left at the upper end joins the last bin.

    Returns:
        (prediction,), counted from 0 without gaps.
    """
    found = np.zeros(len(index), dtype=np.intp)
    current, members = 0, np.zeros(len(index), dtype=bool)
    for place in np.unique(index):
        members |= index == place
        found[index == place] = current
        if len(np.unique(stay[members])) >= least:
            current, members = current + 1, np.zeros(len(index), dtype=bool)
    found[members] = max(0, current - 1)
    return found


def calibration_rows(cell: CellPredictions, stays: SplitStays, config: EvaluateConfig) -> list[dict[str, Any]]:
    """Return rows of `calibration`, one per bin, of the seed-averaged prediction on test.

    All labels of a task are pooled. The errors are over bins of equal width; those of the rows are merged until each
    has `min_group` stays.

    `slope` and `intercept` are fitted on validation; `brier_recalibrated` and `ece_recalibrated` are the scores on test
    after applying them.
    """
    y, p = _pooled(cell, "test")
    if len(y) == 0:
        return []
    y_validation, p_validation = _pooled(cell, "val")
    slope, intercept = fit_calibration(p_validation, y_validation)
    rows = curve(p, y, config.ece_bins)
    shared = {
        "brier": brier(p, y),
        "ece": expected_calibration_error(rows),
        "slope": slope,
        "intercept": intercept,
    }
    if not np.isnan(slope):
        recalibrated = apply_calibration(p, slope, intercept)
        shared["brier_recalibrated"] = brier(recalibrated, y)
        shared["ece_recalibrated"] = expected_calibration_error(curve(recalibrated, y, config.ece_bins))
    return [{**cell.key, **shared, **row} for row in _merged_rows(cell, stays, config)]


def _merged_rows(cell: CellPredictions, stays: SplitStays, config: EvaluateConfig) -> list[dict[str, Any]]:
    """Return the merged bins with the interval of what was observed; without values where even all are too few."""
    y, p = _pooled(cell, "test")
    stay = np.nonzero(~np.isnan(cell.y["test"]))[1]
    index = np.searchsorted(np.linspace(0, 1, config.ece_bins + 1)[1:-1], p)
    bins = merged(index, stay, config.min_group)
    rows: list[dict[str, Any]] = []
    for place in range(int(bins.max()) + 1):
        members = bins == place
        row: dict[str, Any] = {"bin": place}
        if len(np.unique(stay[members])) >= config.min_group:
            ends = share(y[members] == 1, stays.subject[stay[members]], config.confidence)
            names = ("observed", "low", "high")
            row |= {"mean_predicted": float(p[members].mean()), "n": int(members.sum())}
            row |= dict(zip(names, ends, strict=True))
        rows.append(row)
    return rows


def _pooled(cell: CellPredictions, split: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    defined = ~np.isnan(cell.y[split])
    return cell.y[split][defined], cell.ensemble(split)[defined]


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-np.logaddexp(0, -x))


def _log_likelihood(x: NDArray[np.float64], y: NDArray[np.floating]) -> float:
    return float(-np.logaddexp(0, np.where(y == 1, -x, x)).sum())
