"""The interval of one prediction's metric, by the method that the reports use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from picme.errors import DataError
from picme.evaluate import bootstrap
from picme.evaluate.metrics import macro

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# Resamples and their seed, those of a study by default.
_RESAMPLES, _SEED = 10_000, 0


def interval(
    y: ArrayLike,
    p: ArrayLike,
    subject: ArrayLike | None = None,
    metric: str = "auroc",
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Compute the interval of AUROC or AUPRC, or of its mean over several labels.

    Args:
        y: labels (stay,) or (stay, label), 0 or 1, NaN where undefined.
        p: scores or probabilities of the same shape.
        subject: whose each stay is (stay,); without it, every stay is of another subject.
        metric: `auroc` or `auprc`.
        confidence: coverage.

    Returns:
        (low, high); (NaN, NaN) with too few subjects of one class for any interval to be right. The interval of AUPRC
        may lie below the average precision, which is too high in a small sample.

    Raises:
        DataError: for another metric, shapes that do not match, labels other than 0, 1 and NaN, or NaN scores.
    """
    if metric not in bootstrap.FEWEST:
        raise DataError(f"an interval is of 'auroc' or 'auprc', not of {metric!r}")
    labels, scores = (np.asarray(values, dtype=np.float64) for values in (y, p))
    if labels.ndim not in (1, 2) or labels.shape != scores.shape:
        raise DataError(
            f"labels {labels.shape} and scores {scores.shape} must both be of shape (stay,) or (stay, label)"
        )
    labels, scores = (values.reshape(len(values), -1).T for values in (labels, scores))
    whose = np.arange(labels.shape[1]) if subject is None else np.unique(np.asarray(subject), return_inverse=True)[1]
    if whose.shape != labels.shape[1:]:
        raise DataError(
            f"there are {labels.shape[1]} stays but {whose.size} subjects: one subject per stay is expected"
        )
    drawn = bootstrap.SubjectResamples.draw(int(whose.max(initial=-1)) + 1, _RESAMPLES, _SEED)
    roc, prc, among = bootstrap.bootstrap_all(labels, scores, whose, drawn)
    size = bootstrap.effective_size(bootstrap.class_sizes(labels, whose))
    if metric == "auroc":
        point = float(macro(bootstrap.placements(labels, scores, whose, drawn.n_subjects)[0]))
        return bootstrap.interval(macro(roc, axis=0), confidence, bootstrap.Judged(metric, point, size))
    point = float(macro(bootstrap.auprc_among_others(labels, scores, whose)))
    judged = bootstrap.Judged(metric, point, size, among_others=macro(among, axis=0))
    return bootstrap.interval(macro(prc, axis=0), confidence, judged)
