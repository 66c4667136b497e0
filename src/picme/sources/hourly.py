"""Hourly series made from measurements at any time: the value, whether it was measured, and how long ago."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from picme.schema import SeriesRows

if TYPE_CHECKING:
    from collections.abc import Sequence

Reduce = Literal["last", "mean", "sum"]

# The time since the last measurement counts up to here, where "long ago" and "never" become the same.
MAX_SINCE = 48.0
# Days keep the unscaled column in the range of the standardised values beside it.
SINCE_UNIT = 24.0


def hourly(
    stay: np.ndarray,
    hours: np.ndarray,
    variable: np.ndarray,
    value: np.ndarray,
    lengths: np.ndarray,
    reduce: Sequence[Reduce],
) -> np.ndarray:
    """Bin measurements into one row for each hour of each stay; NaN where nothing was measured in that hour.

    Args:
        stay: (measurement,) index of the stay, 0 … len(lengths) - 1.
        hours: (measurement,) hours after the start, in the order of time within a stay; a measurement on the very
            end of a stay's last hour belongs to that hour, and one before the start or after the end is left out.
        variable: (measurement,) index of the variable.
        value: (measurement,) numbers, none NaN.
        lengths: (stay,) hours of each stay; measurements of stays of length 0 are left out.
        reduce: for each variable, the rule by which several measurements in one hour become one value.

    Returns:
        (sum of lengths, variable) float32, stays one after the other.
    """
    starts = np.concatenate([[0], np.cumsum(lengths)])
    # A row outside its own stay would be written into the stay before or after.
    inside = (hours >= 0) & (hours <= lengths[stay])
    inside &= lengths[stay] > 0
    stay, hours, variable, value = stay[inside], hours[inside], variable[inside], value[inside]
    rows = starts[stay] + np.minimum(hours.astype(np.int64), lengths[stay] - 1)

    width = len(reduce)
    grid = np.full((int(starts[-1]), width), np.nan, np.float32)
    summed = np.isin(variable, [index for index, how in enumerate(reduce) if how != "last"])
    grid[rows[~summed], variable[~summed]] = value[~summed]
    if summed.any():
        cells, inverse, counts = np.unique(
            rows[summed] * width + variable[summed], return_inverse=True, return_counts=True
        )
        sums = np.bincount(inverse, weights=value[summed])
        mean = np.array([how == "mean" for how in reduce])[cells % width]
        grid.reshape(-1)[cells] = np.where(mean, sums / counts, sums)
    return grid


def series(
    grid: np.ndarray, lengths: np.ndarray, names: Sequence[str], start: np.ndarray, since: bool = True
) -> SeriesRows:
    """Make the time-series modality from an hourly grid.

    Each variable `x` becomes two columns or three: `x` (the last measured value, carried forward), `mask->x` (1 in
    hours with a measurement) and, with `since`, `since->x` (days since the last measurement: 0 in its hour, 2 at most
    and before the first).

    Args:
        grid: (sum of lengths, variable) from `hourly`.
        lengths: (stay,) hours.
        names: the variables.
        start: (variable,) the value before the first measurement; NaN is a gap, which normalisation turns into the
            training stays' mean.
        since: True adds the third column.
    """
    hours, width = grid.shape
    row = np.arange(hours, dtype=np.int64)
    first = np.repeat(np.concatenate([[0], np.cumsum(lengths)])[:-1], lengths)
    values = np.empty((hours, (3 if since else 2) * width), np.float32)
    for index in range(width):
        observed = ~np.isnan(grid[:, index])
        latest = np.maximum.accumulate(np.where(observed, row, -1))
        known = latest >= first
        values[:, index] = np.where(known, grid[np.maximum(latest, 0), index], start[index])
        values[:, width + index] = observed
        if since:
            ago = np.where(known, np.minimum(row - latest, MAX_SINCE), MAX_SINCE)
            values[:, 2 * width + index] = ago / SINCE_UNIT
    extra = [f"since->{name}" for name in names] if since else []
    return SeriesRows(
        values=values,
        lengths=np.asarray(lengths, np.int64),
        columns=[*names, *(f"mask->{name}" for name in names), *extra],
        continuous=[index < width for index in range(values.shape[1])],
    )
