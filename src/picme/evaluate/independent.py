"""The difference of one statistic between two groups that have no subject in common.

Its interval is made of the intervals of the two (MOVER: Zou and Donner, Statistics in Medicine 2008, 27:1693), so it
has their coverage and is as asymmetric as they are.
"""

from __future__ import annotations

from math import isnan, sqrt
from typing import NamedTuple


class Told(NamedTuple):
    """A statistic with the ends of its interval, which are NaN where it has none.

    Attributes:
        value: as it is reported.
        low, high: the ends.
        centre: what the interval is around, where it is not the value: that of AUPRC, which a small sample overrates.
    """

    value: float
    low: float
    high: float
    centre: float | None = None

    @property
    def middle(self) -> float:
        """The value that the interval lies around."""
        return self.value if self.centre is None else self.centre


def difference(first: Told, second: Told) -> Told:
    """Return the first statistic minus the second, of independent groups."""
    value, middle = first.value - second.value, first.middle - second.middle
    if any(isnan(end) for end in (first.low, first.high, second.low, second.high)):
        return Told(value, float("nan"), float("nan"))
    below = sqrt((first.middle - first.low) ** 2 + (second.high - second.middle) ** 2)
    above = sqrt((first.high - first.middle) ** 2 + (second.middle - second.low) ** 2)
    return Told(value, middle - below, middle + above, middle)
