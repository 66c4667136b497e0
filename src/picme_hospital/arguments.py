"""Checks of the arguments with which a hospital is written."""

from __future__ import annotations

import math
from difflib import get_close_matches

MODALITIES: tuple[str, ...] = ("discharge", "radiology", "image", "timeseries", "demographics")
"""The five modalities that show a synthetic patient."""

FEWEST_STAYS = 20


class ArgumentError(ValueError):
    """An argument with which no hospital can be written; the message is one sentence that names the argument."""


def check(stays: int, seed: int, influence: dict[str, float] | None) -> None:
    """Raise an ArgumentError if `write_hospital` cannot work with these arguments."""
    for name, value, least in (("stays", stays, FEWEST_STAYS), ("seed", seed, 0)):
        if value < least:
            raise ArgumentError(f"synthetic hospital, {name}: {value} should be greater than or equal to {least}")
    try:
        check_influence(influence)
    except ArgumentError as error:
        raise ArgumentError(f"synthetic hospital, influence: {error}") from error


def check_influence(influence: dict[str, float] | None) -> None:
    """Raise an ArgumentError unless `influence` is None or holds shares of known modalities that add up to 1."""
    if influence is None:
        return
    for name, share in influence.items():
        if name not in MODALITIES:
            raise ArgumentError(f"unknown modality {name!r}{_hint(name)}")
        if not (math.isfinite(share) and share >= 0):
            raise ArgumentError(f"the share of {name!r} is {share}: it must be 0 or more")
    if abs(sum(influence.values()) - 1) > 1e-6:
        raise ArgumentError(f"the shares add up to {sum(influence.values()):g}: they must add up to 1")


def _hint(name: str) -> str:
    """Return a hint for a misspelt modality: the closest known name, or all of them."""
    match = get_close_matches(name, sorted(MODALITIES), n=1, cutoff=0.6)
    return f"; did you mean {match[0]!r}?" if match else f"; known: {', '.join(sorted(MODALITIES))}"
