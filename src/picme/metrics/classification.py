"""Area under the ROC and the precision-recall curve, exact with ties, for one label or many rows at once.

Definitions as in scikit-learn: AUROC is the probability that a positive stay is ranked above a negative one,
ties counting half (Hanley and McNeil, 1982); AUPRC is average precision, the sum over distinct thresholds of
(recall_k − recall_{k−1}) · precision_k, without interpolation. A label that is NaN is undefined for that stay,
which is left out. Where a metric has no meaning (one class only, no stay) the result is NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from picme.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# Rows are handled in blocks of about this many elements, so that the working arrays stay in the cache.
_BLOCK = 1 << 19


def auroc(y: ArrayLike, p: ArrayLike) -> float:
    """Compute the area under the ROC curve.

    Args:
        y: labels (stay,), 0 or 1, NaN or None where undefined.
        p: scores or probabilities (stay,), greater means more likely positive.

    Returns:
        A fraction, NaN if the defined labels hold fewer than two classes.

    Raises:
        DataError: if lengths differ, a label is none of 0, 1 and NaN, or a score is NaN where the label is defined.
    """
    return float(areas(_row(y), _row(p))[0][0])


def auprc(y: ArrayLike, p: ArrayLike) -> float:
    """Compute average precision; arguments, NaN and errors are as for `auroc`."""
    return float(areas(_row(y), _row(p))[1][0])


def areas(y: NDArray[np.floating], p: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute AUROC and AUPRC of every row.

    Args:
        y: labels (row, stay), NaN where undefined.
        p: scores (row, stay).

    Returns:
        AUROC (row,), AUPRC (row,); NaN where undefined.

    Raises:
        DataError: as for `auroc`.
    """
    check(y, p)
    rows, stays = y.shape
    roc, prc = np.full(rows, np.nan), np.full(rows, np.nan)
    if stays == 0:
        return roc, prc
    step = max(1, _BLOCK // stays)
    for start in range(0, rows, step):
        block = slice(start, start + step)
        roc[block], prc[block] = _areas(y[block], p[block])
    return roc, prc


def _areas(y: NDArray[np.floating], p: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    undefined = np.isnan(y)
    # A stay without a label weighs nothing in either class, so its place in the order does not matter.
    p = np.where(undefined, -np.inf, p)
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=1)
    positive = np.take_along_axis((y == 1).astype(np.float64), order, axis=1)
    negative = np.take_along_axis((y == 0).astype(np.float64), order, axis=1)
    end = np.ones(y.shape, dtype=bool)
    end[:, :-1] = ranked[:, 1:] != ranked[:, :-1]

    tp, fp = positive.cumsum(axis=1), negative.cumsum(axis=1)
    tp_before, fp_before = _at_previous_end(tp, end), _at_previous_end(fp, end)
    n_positive, n_negative = tp[:, -1], fp[:, -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        trapezoids = np.where(end, (fp - fp_before) * (tp + tp_before) / 2, 0.0)
        roc = trapezoids.sum(axis=1) / (n_positive * n_negative)
        precision = np.where(end & (tp > 0), tp / (tp + fp), 0.0)
        prc = ((tp - tp_before) * precision).sum(axis=1) / n_positive
    meaningless = (n_positive == 0) | (n_negative == 0)
    roc[meaningless] = np.nan
    prc[meaningless] = np.nan
    return roc, prc


def _at_previous_end(cumulative: NDArray[np.float64], end: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the cumulative count at the last tie group's end before each place.

    Counts never fall, so this is a running maximum.
    """
    before = np.zeros_like(cumulative)
    np.maximum.accumulate(np.where(end, cumulative, 0.0)[:, :-1], axis=1, out=before[:, 1:])
    return before


def macro(values: NDArray[np.floating], axis: int = -1) -> NDArray[np.float64]:
    """Return the mean over the labels whose metric is defined, NaN where none is."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=axis)
    total = np.where(defined, values, 0.0).sum(axis=axis, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _row(values: ArrayLike) -> NDArray[np.float64]:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError("labels and scores must be numbers, with NaN or None where undefined") from error
    if array.ndim == 2 and 1 in array.shape:
        array = array.ravel()
    if array.ndim != 1:
        raise DataError(f"labels and scores of one metric must be one-dimensional, not of shape {array.shape}")
    return array[None, :]


def check(y: NDArray[np.floating], p: NDArray[np.floating]) -> None:
    """Raise `DataError` where the shapes differ, a label is not 0 or 1, or a score of a defined label is NaN."""
    if y.shape != p.shape:
        raise DataError(f"labels have the shape {y.shape} but scores {p.shape}: one score per label is expected")
    undefined = np.isnan(y)
    if not ((y == 0) | (y == 1) | undefined).all():
        raise DataError("labels must be 0 or 1 (NaN where undefined); another value was found")
    if np.isnan(p[~undefined]).any():
        raise DataError(f"{int(np.isnan(p[~undefined]).sum())} scores are NaN although their label is defined")
