"""Hourly time series of every view, made from measurements: bins, values carried forward, categories and masks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from picme.cohort.events import Spill, spill_events
from picme.cohort.readings import sortable
from picme.schema import SeriesRows

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence
    from pathlib import Path

    import polars as pl

    from picme.cohort.channel_sets import ChannelSet
    from picme.sources.tables import Tables

HOUR = 3600


@dataclass(frozen=True)
class Observation:
    """The stays of one view, and the time at which observation of each ends.

    Attributes:
        name: name of the view.
        members: indices of its stays, ascending.
        seconds: (member,) its end after ICU admission, which is also the cut-off: measurements later, or stored later,
            are not admitted.
    """

    name: str
    members: np.ndarray
    seconds: np.ndarray


@dataclass
class ViewSeries:
    """The time series of one view.

    Attributes:
        rows: the modality; length 0 for stays without any admitted measurement.
        stored_late: measurements used although they were stored after the cut-off (only where that is not a rule).
        latest: greatest time of use (charted, and stored where that is a rule) minus the cut-off, in seconds; None
            without any measurement.
    """

    rows: SeriesRows
    stored_late: int = 0
    latest: int | None = None


@dataclass
class _Writer:
    """A growing (hour, column) float32 array on disk, written block by block so that it never occupies memory."""

    path: Path
    width: int
    hours: int = 0
    lengths: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.file = self.path.open("wb")

    def add(self, values: np.ndarray, lengths: np.ndarray) -> None:
        self.file.write(np.ascontiguousarray(values, np.float32).data)
        self.hours += len(values)
        self.lengths.append(lengths)

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        self.file.close()
        lengths = np.concatenate(self.lengths) if self.lengths else np.zeros(0, np.int64)
        if self.hours == 0:
            return np.zeros((0, self.width), np.float32), lengths
        return np.memmap(self.path, np.float32, "r", shape=(self.hours, self.width)), lengths


def build_series(
    release: Tables,
    channels: ChannelSet,
    stays: pl.DataFrame,
    windows: Sequence[Observation],
    scratch: Path,
    published: bool = False,
    max_bad: float = 0.05,
    places: Counter[tuple[str, str]] | None = None,
) -> tuple[dict[str, ViewSeries], Counter[str]]:
    """Build the series of all windows in one pass over the event tables.

    Args:
        stays: subject_id, hadm_id, stay_id, intime, outtime of the cohort, in the order of the stay index.
        windows: the views to build series for.
        scratch: folder for spilled measurements (removed) and the arrays (memory-mapped; the caller removes them).
        published: attach rows and ignore storage times as the published extraction does.
        max_bad: largest share of unreadable rows.
        places: gets (table, place) → rows; every row of an event table is in exactly one place.

    Returns:
        window name → series; what was left out, reason → rows.

    Raises:
        DataError: as `spill_events`.
    """
    import polars as pl

    ends = np.zeros(stays.height, np.int64)
    for window in windows:
        np.maximum.at(ends, window.members, window.seconds)
    scratch.mkdir(parents=True, exist_ok=True)
    spill = Spill(scratch / "measurements", np.ceil(ends / HOUR))
    writers = {w.name: _Writer(scratch / f"{w.name}.f32", len(channels.columns)) for w in windows}
    series = {
        w.name: ViewSeries(SeriesRows(np.zeros((0, 0)), np.zeros(0), channels.columns, channels.continuous))
        for w in windows
    }
    try:
        left_out, with_text = spill_events(
            release, channels, stays.with_columns(pl.Series("seconds", ends)), spill, published, max_bad, places
        )
        textual = np.array([channel.same_time == "text" for channel in channels.channels])
        numeric = np.array([channel.kind == "continuous" for channel in channels.channels])
        for part in range(len(spill.files)):
            rows = spill.read(part)
            # A subject all of whose values are numbers is compared by number.
            plain = (textual & numeric)[rows["channel"]] & ~with_text[rows["stay"]]
            if plain.any():
                rows["order"][plain] = sortable(rows["value"][plain])
            for window in windows:
                _add_part(window, spill.bounds[part : part + 2], rows, channels, published, writers, series)
    finally:
        spill.close()
    for name, writer in writers.items():
        series[name].rows.values, series[name].rows.lengths = writer.finish()
    return series, left_out


def _add_part(
    window: Observation,
    bounds: np.ndarray,
    rows: np.ndarray,
    channels: ChannelSet,
    published: bool,
    writers: dict[str, _Writer],
    series: dict[str, ViewSeries],
) -> None:
    """Bin the measurements of one part of the stays for one window."""
    first, last = np.searchsorted(window.members, bounds)
    members, seconds = window.members[first:last], window.seconds[first:last]
    local = np.full(int(bounds[1] - bounds[0]), -1, np.int64)
    local[members - bounds[0]] = np.arange(len(members))
    stay = local[rows["stay"].astype(np.int64) - bounds[0]]
    end = seconds[stay] if len(seconds) else np.zeros(len(stay), np.int64)
    # A stay of no length has no hour to put a measurement in.
    admitted = (stay >= 0) & (rows["seconds"] <= end) & (end > 0)
    if not published:
        admitted &= rows["known"] <= end
    chosen, stay, end = rows[admitted], stay[admitted], end[admitted]
    lengths = -(-seconds // HOUR)
    seen = np.zeros(len(members), bool)
    seen[stay] = True
    lengths = np.where(seen, lengths, 0)
    values = binned(stay, chosen, lengths, channels)
    writers[window.name].add(values, lengths)
    if len(chosen):
        result = series[window.name]
        late = chosen["known"] - end
        used = chosen["seconds"] - end if published else np.maximum(chosen["seconds"] - end, late)
        result.stored_late += int((late > 0).sum())
        result.latest = max(int(used.max()), result.latest if result.latest is not None else int(used.max()))


def winners(cell: np.ndarray, rows: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Choose the measurement that stands for each cell: the latest, and of the same time the greatest order.

    Args:
        cell: (measurement,) index of its hour and channel.
        rows: (measurement,) of dtype MEASUREMENT.
        second: (measurement,) seconds after the begin of the hour, 0 to 3,600.
    """
    key = (cell << 12) | second
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    same = np.zeros(len(key), bool)
    same[1:] = ordered[1:] == ordered[:-1]
    tied = same.copy()
    tied[:-1] |= same[1:]
    if tied.any():
        group = order[tied]
        order[tied] = group[np.lexsort((rows["value"][group], rows["order"][group], key[group]))]
    cells = ordered >> 12
    last = np.ones(len(key), bool)
    last[:-1] = cells[1:] != cells[:-1]
    return order[last]


def binned(stay: np.ndarray, rows: np.ndarray, lengths: np.ndarray, channels: ChannelSet) -> np.ndarray:
    """Bin measurements by hour: row k holds what was charted in (k, k+1] hours, and row 0 also time 0.

    Args:
        stay: (measurement,) index into `lengths`.
        rows: (measurement,) of dtype MEASUREMENT, within the lengths.
        lengths: (stay,) hours.
    """
    width = len(channels.channels)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    seconds = rows["seconds"].astype(np.int64)
    hour = np.maximum(-(-seconds // HOUR) - 1, 0)
    cell = (starts[stay] + hour) * width + rows["channel"]
    chosen = winners(cell, rows, seconds - hour * HOUR)

    hours = int(starts[-1])
    grid = np.zeros((hours, width), np.float32)
    observed = np.zeros((hours, width), bool)
    grid.reshape(-1)[cell[chosen]] = rows["value"][chosen]
    observed.reshape(-1)[cell[chosen]] = True

    # Carry forward: each cell looks back to the last row that has something, which is never before the stay's first.
    first = starts[:-1][lengths > 0]
    source = np.where(observed, np.arange(hours)[:, None], 0)
    source[first] = first[:, None]
    grid[first] = np.where(observed[first], grid[first], channels.starts)
    np.maximum.accumulate(source, axis=0, out=source)
    grid = np.take_along_axis(grid, source, axis=0)

    values = np.zeros((hours, len(channels.columns)), np.float32)
    column = 0
    for index, channel in enumerate(channels.channels):
        if channel.kind == "continuous":
            values[:, column] = grid[:, index]
        else:
            values[np.arange(hours), column + grid[:, index].astype(np.int64)] = 1
        column += channel.width
    values[:, column:] = observed
    return values
