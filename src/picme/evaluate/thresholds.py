"""Decision thresholds, settled on validation and judged on test: a stay whose probability reaches it is positive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from picme.metrics.shares import share

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from picme.config.evaluate import EvaluateConfig, ThresholdRule
    from picme.evaluate.bootstrap import SubjectResamples
    from picme.evaluate.predictions import CellPredictions, SplitStays


# Resamples of the validation subjects that a threshold is settled by.
RESAMPLES = 100


def choose_threshold(y: NDArray[np.floating], p: NDArray[np.floating], rule: ThresholdRule) -> float:
    """Return the threshold that a rule chooses among the predicted values.

    Args:
        y: labels (stay,), NaN where undefined.
        p: probabilities (stay,).
        rule: `sensitivity_at_specificity` takes the greatest sensitivity among thresholds with at least that
            specificity, and of equals the more specific; `specificity_at_sensitivity` the reverse; `youden` the
            greatest sensitivity + specificity − 1; `min_sensitivity_ppv` calls as many stays positive as are, or nearly
            so where predictions are equal, and somebody: sensitivity and positive predictive value are equal there,
            and the lesser of them is about as great as it can be.

    Returns:
        The threshold; infinite if only calling nobody positive keeps the specificity; NaN if the labels hold fewer
        than two classes.
    """
    found = _chosen(_curves(y, p, np.ones((len(y), 1))), rule)
    return float(found[0]) if len(found) else float("nan")


def settle_threshold(
    y: NDArray[np.floating],
    p: NDArray[np.floating],
    subject: NDArray[np.integer],
    rule: ThresholdRule,
    resamples: SubjectResamples,
    confidence: float = 0.95,
) -> tuple[float, float, float]:
    """Return the median of the thresholds that a rule chooses in resamples of the subjects, and their interval.

    The point that is best in one sample is partly luck; the median of many resamples is nearer to the best for new
    stays (a test simulates it).

    Args:
        y: labels (stay,), NaN where undefined.
        p: probabilities (stay,).
        subject: index of each stay's subject (stay,).
        rule: as in `choose_threshold`.
        resamples: draws of the subjects, of which the first `RESAMPLES` are used.
        confidence: share of the resamples' thresholds within the interval.

    Returns:
        (threshold, low, high), each of them a predicted value or infinite; NaN if the labels hold fewer than two
        classes.
    """
    return _settled(_resampled(y, p, subject, resamples), rule, confidence)


def _resampled(
    y: NDArray[np.floating], p: NDArray[np.floating], subject: NDArray[np.integer], resamples: SubjectResamples
) -> _Curves:
    """Return the curves of the first `RESAMPLES` resamples, which serve every rule."""
    weights = np.concatenate([block[subject] for block in resamples.first(RESAMPLES).blocks], axis=1)
    return _curves(y, p, weights)


def _settled(curves: _Curves, rule: ThresholdRule, confidence: float) -> tuple[float, float, float]:
    """Return what `settle_threshold` does."""
    found = _chosen(curves, rule)
    if not len(found):
        return (float("nan"),) * 3
    ends = np.quantile(found, [0.5, (1 - confidence) / 2, (1 + confidence) / 2], method="inverted_cdf")
    return float(ends[0]), float(ends[1]), float(ends[2])


class _Curves(NamedTuple):
    """The weight that each threshold calls positive, in each weighting of the stays that has both classes.

    Attributes: `thresholds` (threshold,), from infinity down through the distinct predictions; `true` and `false`
    (threshold, weighting), the weight of the positives and of the negatives that are called positive.
    """

    thresholds: NDArray[np.float64]
    true: NDArray[np.float64]
    false: NDArray[np.float64]


def _curves(y: NDArray[np.floating], p: NDArray[np.floating], weights: NDArray[np.number]) -> _Curves:
    """Return the curves of labels and probabilities (stay,) in weightings (stay, weighting) of the stays."""
    defined = ~np.isnan(y)
    order = np.argsort(-p[defined], kind="stable")
    y, p, weights = y[defined][order], p[defined][order], weights[defined][order].astype(np.float64)
    # A threshold is one of the distinct predictions; above all of them nobody is called positive.
    end = np.flatnonzero(np.append(p[1:] != p[:-1], True)[: len(p)])
    nobody = np.zeros((1, weights.shape[1]))
    true, false = (
        np.concatenate([nobody, np.cumsum(weights * kind[:, None], axis=0)[end]]) for kind in (y == 1, y == 0)
    )
    known = (true[-1] > 0) & (false[-1] > 0)
    return _Curves(np.append(np.inf, p[end]), true[:, known], false[:, known])


def _chosen(curves: _Curves, rule: ThresholdRule) -> NDArray[np.float64]:
    """Return the threshold that a rule chooses in each weighting (weighting,)."""
    thresholds, true, false = curves
    sensitivity, specificity = true / true[-1:], 1 - false / false[-1:]
    if rule.kind == "youden":
        score = sensitivity + specificity
    elif rule.kind == "min_sensitivity_ppv":
        score = -np.abs(true + false - true[-1:])
        score[
            0
        ] = -np.inf  # to call nobody positive, which gives 0 of both, may be as near where predictions are coarse
    else:
        held, wanted = specificity, sensitivity
        if rule.kind == "specificity_at_sensitivity":
            held, wanted = sensitivity, specificity
        # Of equally good ones that which holds more; two different shares of stays are farther apart than this.
        score = np.where(held >= float(rule.value or 0) - 1e-12, wanted + 1e-9 * held, -np.inf)
    found: NDArray[np.float64] = thresholds[np.argmax(score, axis=0)]
    return found


def operating_point(
    y: NDArray[np.floating],
    p: NDArray[np.floating],
    threshold: float,
    subject: NDArray[np.integer] | None = None,
    confidence: float = 0.95,
) -> dict[str, float]:
    """Compute shares of right decisions at a threshold, each with `_low` and `_high` of its interval.

    They are sensitivity, specificity, PPV, NPV, and the lesser of sensitivity and PPV, which is the score of event 1 of
    the PhysioNet challenge 2012 (Silva et al., 2012). The ends of its interval are the lesser of both ends, so it holds
    the truth at least about as often as theirs.

    Args:
        y: labels (stay,), NaN where undefined.
        p: probabilities (stay,).
        threshold: a stay at or above it is called positive.
        subject: whose each stay is (stay,); without it, every stay is of another subject.
        confidence: coverage of the intervals, for which the threshold is given.

    Returns:
        The shares by name; each is NaN where its denominator is zero, but for the lesser, which is then sensitivity.
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
    for end in ("", "_low", "_high"):
        found[f"min_sensitivity_ppv{end}"] = float(np.fmin(found[f"sensitivity{end}"], found[f"ppv{end}"]))
    return found


def threshold_rows(
    cell: CellPredictions,
    stays: Mapping[str, SplitStays],
    resamples: Mapping[str, SubjectResamples],
    config: EvaluateConfig,
) -> list[dict[str, Any]]:
    """Return rows of `thresholds` for every label and rule, of the seed-averaged prediction.

    Stays and resamples of subjects are those of a split. An infinite threshold is null.
    """
    validation, test = cell.ensemble("val"), cell.ensemble("test")
    held_out, judged = stays["val"].subject, stays["test"].subject
    rows = []
    for index, label in enumerate(cell.labels):
        curves = _resampled(cell.y["val"][index], validation[index], held_out, resamples["val"])
        for rule in config.thresholds:
            ends = _settled(curves, rule, config.confidence)
            point = operating_point(cell.y["test"][index], test[index], ends[0], judged, config.confidence)
            shown = (end if np.isfinite(end) else float("nan") for end in ends)
            point |= dict(zip(("threshold", "threshold_low", "threshold_high"), shown, strict=True))
            rows.append({**cell.key, "label": label, "rule": rule.title, **point})
    return rows
