"""Combinations of modalities: tuples of names in the configuration's order, written `a+b+c`."""

from __future__ import annotations

from itertools import combinations as choose
from typing import TYPE_CHECKING, Literal

from picme.errors import ConfigError, near

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Combination = tuple[str, ...]


def combinations(names: Sequence[str], sizes: Literal["all"] | Iterable[int] = "all") -> list[Combination]:
    """All combinations of the given sizes, small ones first; sizes above the number of names give none.

    Five modalities have 10 + 10 + 5 + 1 = 26 combinations, of two to five.
    """
    if sizes == "all":
        sizes = range(2, len(names) + 1)
    return [chosen for size in sorted(set(sizes)) for chosen in choose(names, size)]


def label(combination: Iterable[str]) -> str:
    """Return a combination as it is written in tables: `a+b+c`."""
    return "+".join(combination)


def parse(text: str, names: Sequence[str]) -> Combination:
    """The combination written as `a+b`, in the order of `names`.

    Raises:
        ConfigError: if a name is unknown, given twice, or missing.
    """
    parts = [part.strip() for part in text.split("+")]
    for part in parts:
        if part not in names:
            raise ConfigError(f"combination {text!r} names an unknown modality {part!r}{near(part, names)}")
        if parts.count(part) > 1:
            raise ConfigError(f"combination {text!r} names modality {part!r} twice")
    return tuple(name for name in names if name in parts)
