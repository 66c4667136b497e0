"""Decision thresholds, chosen on validation and judged on test: a stay whose probability reaches it is positive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from picme.metrics.shares import share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from picme.config.evaluate import EvaluateConfig, ThresholdRule
    from picme.evaluate.predictions import CellPredictions, SplitStays


def choose_threshold(y: NDArray[np.floating], p: NDArray[np.floating], rule: ThresholdRule) -> float:
    """Return the threshold that a rule chooses among the predicted values.

    Args:
        y: labels (stay,), NaN where undefined.
        p: probabilities (stay,).
        rule: `sensitivity_at_specificity` takes the greatest sensitivity among thresholds with at least that
            specificity, and of equals the more specific; `specificity_at_sensitivity` the reverse; `youden` the
            greatest sensitivity + specificity − 1.

    Returns:
        The threshold; infinite if only calling nobody positive keeps the specificity; NaN if the labels hold fewer
        than two classes.
    """
    thresholds, sensitivity, specificity = _curve(y, p)
    if len(thresholds) == 0:
        return float("nan")
    if rule.kind == "youden":
        return float(thresholds[np.argmax(sensitivity + specificity)])
    held, wanted = (
        (specificity, sensitivity) if rule.kind == "sensitivity_at_specificity" else (sensitivity, specificity)
    )
    allowed = np.flatnonzero(held >= float(rule.value or 0) - 1e-12)
    # Greatest wanted value first, then the greatest held one.
    best = allowed[np.lexsort((held[allowed], wanted[allowed]))[-1]]
    return float(thresholds[best])


def _curve(y: NDArray[np.floating], p: NDArray[np.floating]) -> tuple[NDArray, NDArray, NDArray]:
    """Return thresholds from infinity down through the distinct predictions, with their sensitivity and specificity."""
    defined = ~np.isnan(y)
    y, p = y[defined], p[defined]
    positives, negatives = int((y == 1).sum()), int((y == 0).sum())
    if positives == 0 or negatives == 0:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    order = np.argsort(-p, kind="stable")
    p, y = p[order], y[order]
    end = np.append(p[1:] != p[:-1], True)
    sensitivity = np.append(0.0, np.cumsum(y)[end] / positives)
    specificity = np.append(1.0, 1 - np.cumsum(1 - y)[end] / negatives)
    return np.append(np.inf, p[end]), sensitivity, specificity


def operating_point(
    y: NDArray[np.floating],
    p: NDArray[np.floating],
    threshold: float,
    subject: NDArray[np.integer] | None = None,
    confidence: float = 0.95,
) -> dict[str, float]:
    """Compute sensitivity, specificity, PPV and NPV at a threshold, each with `_low` and `_high` of its interval.

    Args:
        y: labels (stay,), NaN where undefined.
        p: probabilities (stay,).
        threshold: a stay at or above it is called positive.
        subject: whose each stay is (stay,); without it, every stay is of another subject.
        confidence: coverage of the intervals, for which the threshold is given.

    Returns:
        The shares by name; each is NaN where its denominator is zero.
    """
    defined = ~np.isnan(y) & ~np.isnan(threshold)
    whose = np.arange(len(y)) if subject is None else subject
    truth, called, whose = y[defined] == 1, p[defined] >= threshold, whose[defined]
    found: dict[str, float] = {}
    for name, among, hit in (
        ("sensitivity", truth, called),
        ("specificity", ~truth, ~called),
        ("ppv", called, truth),
        ("npv", ~called, ~truth),
    ):
        ends = share(hit[among], whose[among], confidence)
        found |= dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
    return found


def threshold_rows(cell: CellPredictions, stays: SplitStays, config: EvaluateConfig) -> list[dict[str, Any]]:
    """Return rows of `thresholds` for every label and rule, of the seed-averaged prediction.

    An infinite threshold is null.
    """
    validation, test = cell.ensemble("val"), cell.ensemble("test")
    rows = []
    for index, label in enumerate(cell.labels):
        for rule in config.thresholds:
            threshold = choose_threshold(cell.y["val"][index], validation[index], rule)
            point = operating_point(cell.y["test"][index], test[index], threshold, stays.subject, config.confidence)
            shown = threshold if np.isfinite(threshold) else float("nan")
            rows.append({**cell.key, "label": label, "rule": rule.title, "threshold": shown, **point})
    return rows
