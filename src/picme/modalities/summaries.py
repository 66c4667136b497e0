"""Summaries of modalities: a fixed number of plain columns for each stay, the input of models without encoders."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from picme.schema import MASK, SINCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STATISTICS = (
    "count", "first", "last", "min", "max", "mean", "median", "std", "slope", "change", "hours since", "share",
)  # fmt: skip
"""Statistics of a variable in a window of hours: of the hours in which it was measured, their count, the first and
the last value, minimum, maximum, mean, median, standard deviation, slope per hour (least squares), last minus first,
hours from the last of them to the window's end, and their share of the window's hours."""
WINDOWS = ("whole", "last quarter")
# What these statistics are where nothing was measured; the others are unknown.
EMPTY = np.array([0.0 if name in ("count", "share") else np.nan for name in STATISTICS], np.float32)
# Hours read at a time: some tens of megabytes.
CHUNK = 100_000


class Summary(NamedTuple):
    """One modality of some stays summarised in plain columns.

    Attributes:
        values: (stay, feature) float32, NaN where unknown.
        names: the names of the features.
        categorical: (feature,) bool, whether a feature is the number of a category.
        blank: (feature,) what a feature is for a stay that lacks the modality.
    """

    values: np.ndarray
    names: tuple[str, ...]
    categorical: np.ndarray
    blank: np.ndarray


def no_summary(stays: int) -> Summary:
    """Return a summary without features."""
    return Summary(np.empty((stays, 0), np.float32), (), np.empty(0, bool), np.empty(0, np.float32))


def unknown(values: np.ndarray, names: Sequence[str], categorical: np.ndarray | None = None) -> Summary:
    """Return a summary whose features are all unknown for a stay that lacks the modality."""
    blank = np.full(len(names), np.nan, np.float32)
    return Summary(values, tuple(names), np.zeros(len(names), bool) if categorical is None else categorical, blank)


def series_summary(values: np.ndarray, offsets: np.ndarray, columns: Sequence[str]) -> Summary:
    """Summarise each variable of time series by `STATISTICS`, over all hours of a stay and over its last quarter.

    A column `x` or a category `x->y` was measured where `mask->x` is 1; without such a mask, where the value is finite.
    The last quarter is the last fourth of a stay's hours, rounded up.

    Args:
        values: (sum of lengths, column), stays one after the other; read a limited number of hours at a time.
        offsets: (stay + 1,) first row of each stay.
        columns: names of the columns.

    Returns:
        24 features for each variable.
    """
    wanted = [name for name in columns if not name.startswith((MASK, SINCE))]
    places = {name: place for place, name in enumerate(columns)}
    width = len(WINDOWS) * len(STATISTICS)
    found = np.tile(EMPTY, (len(offsets) - 1, len(WINDOWS) * len(wanted)))
    for first, last in _chunks(np.asarray(offsets)):
        start = offsets[first : last + 1] - offsets[first]
        by_column = np.ascontiguousarray(values[offsets[first] : offsets[last]].T)
        lengths = np.diff(start)
        stay = np.repeat(np.arange(last - first), lengths)
        hour = np.arange(len(stay)) - start[stay]
        late = hour >= lengths[stay] - _quarter(lengths)[stay]
        for place, name in enumerate(wanted):
            value = by_column[places[name]].astype(np.float64)
            seen = np.isfinite(value)
            mask = next((places[MASK + x] for x in (name, name.split("->")[0]) if MASK + x in places), None)
            if mask is not None:
                seen &= by_column[mask] > 0
            for number, (inside, hours) in enumerate(((seen, lengths), (seen & late, _quarter(lengths)))):
                rows = np.flatnonzero(inside)
                if len(rows):
                    left = place * width + number * len(STATISTICS)
                    stays, each = _statistics(value[rows], stay[rows], hour[rows], lengths, hours)
                    found[first + stays, left : left + len(STATISTICS)] = each
    names = [f"{name} {window} {one}" for name in wanted for window in WINDOWS for one in STATISTICS]
    blank = np.tile(EMPTY, len(WINDOWS) * len(wanted))
    return Summary(found, tuple(names), np.zeros(len(names), bool), blank)


def _quarter(lengths: np.ndarray) -> np.ndarray:
    return -(-lengths // 4)


def _chunks(offsets: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the first stay and the one after the last of as many stays as have about `CHUNK` hours."""
    first = 0
    while first < len(offsets) - 1:
        last = max(first + 1, int(np.searchsorted(offsets, offsets[first] + CHUNK, side="right")) - 1)
        yield first, last
        first = last


def _statistics(
    value: np.ndarray, stay: np.ndarray, hour: np.ndarray, lengths: np.ndarray, hours: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the statistics of measured values, which are in the order of their stays and hours.

    Args:
        value: (measurement,).
        stay: (measurement,) whose each is.
        hour: (measurement,) since the stay's first hour.
        lengths: (stay,) hours of each stay, at whose end the window ends.
        hours: (stay,) hours of the window.

    Returns:
        The stays that have any (some,), and their statistics (some, statistic).
    """
    starts = np.flatnonzero(np.diff(stay, prepend=-1))
    stays, count = stay[starts], np.diff(starts, append=len(stay))
    ends = starts + count - 1
    segment = np.repeat(np.arange(len(starts)), count)
    mean = np.add.reduceat(value, starts) / count
    time = hour - (np.add.reduceat(hour, starts) / count)[segment]
    apart = value - mean[segment]
    spread, square = np.add.reduceat(time * time, starts), np.add.reduceat(apart * apart, starts)
    with np.errstate(invalid="ignore", divide="ignore"):  # one measurement has no slope
        slope = np.where(count > 1, np.add.reduceat(time * apart, starts) / spread, np.nan)
    ordered = value[np.lexsort((value, segment))]
    median = (ordered[starts + (count - 1) // 2] + ordered[starts + count // 2]) / 2
    columns = [
        count, value[starts], value[ends], np.minimum.reduceat(value, starts), np.maximum.reduceat(value, starts),
        mean, median, np.sqrt(square / count), slope, value[ends] - value[starts],
        lengths[stays] - 1 - hour[ends], count / hours[stays],
    ]  # fmt: skip
    return stays, np.stack(columns, axis=1)
