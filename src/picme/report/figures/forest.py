"""Places of a forest plot: what each modality adds and what it scores by itself, as intervals on one axis in points."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from picme.report.facts import Row
    from picme.report.told import Told

_MOST_TICKS = 7


@dataclass(frozen=True)
class Axis:
    """The axis that all intervals of a forest plot share.

    Attributes:
        low, high: its ends, fractions.
        step: the distance from one number on it to the next, a fraction.
    """

    low: float
    high: float
    step: float

    @property
    def ticks(self) -> list[float]:
        """Return where it has numbers."""
        return [self.step * k for k in range(math.ceil(self.low / self.step), math.floor(self.high / self.step) + 1)]

    def at(self, value: float) -> str:
        """Return the place of a value as a length in CSS and SVG."""
        return f"{100 * (value - self.low) / (self.high - self.low):.2f}%"

    def span(self, length: float) -> str:
        """Return a difference of two values as a length in CSS and SVG."""
        return f"{100 * length / (self.high - self.low):.2f}%"

    @property
    def digits(self) -> int:
        """Return the decimals that tell the ticks apart, in points."""
        return max(0, math.ceil(-math.log10(100 * self.step) - 1e-9))

    def ends(self, row: Row) -> tuple[str, str]:
        """Return the places of a row's interval; where it has none, twice that of its value."""
        low, high = (row["value"] if row[end] is None else row[end] for end in ("low", "high"))
        return self.at(low), self.at(high)


def axis(one: Told) -> Axis:
    """Return an axis that holds zero, the margin on both sides, and every interval."""
    rows = [row for each in one.worth for row in (each.added, each.alone) if row]
    ends = [row[name] for row in rows for name in ("value", "low", "high") if row[name] is not None]
    low, high = min(-one.margin, *ends), max(one.margin, *ends)
    room = 0.03 * (high - low)
    low, high = low - room, high + room
    return Axis(low, high, _step((high - low) / _MOST_TICKS))


def _step(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20, … points that is not below a distance."""
    size = 10.0 ** math.floor(math.log10(least))
    return next(size * factor for factor in (1, 2, 5, 10) if size * factor >= least * (1 - 1e-9))
