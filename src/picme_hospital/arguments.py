"""Checks of the arguments with which a hospital is written."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from difflib import get_close_matches

MODALITIES: tuple[str, ...] = ("discharge", "radiology", "image", "timeseries", "demographics")
"""The five modalities that show a synthetic patient."""

FEWEST_STAYS = 20
MISSING = 0.03
RECORDS = ("timeseries", "discharge", "radiology", "image")
"""The modalities whose records can be absent; demographics cannot."""


@dataclass(frozen=True)
class Absence:
    """The records of an admission that do not exist.

    Attributes:
        shares: For a modality, the share of admissions without its records; 3 % for one that is not named.
        slope: The change of the log odds of absence for each standard deviation of the logit of death. Below 0 the
            less severely ill lack more records, so that absence tells the outcome (missing not at random).
    """

    shares: dict[str, float] = field(default_factory=dict)
    slope: float = 0.0

    def every(self) -> dict[str, float]:
        """Return the share of each modality that can be absent."""
        return {name: self.shares.get(name, MISSING) for name in RECORDS}


LATENTS = ("severity", "heart", "lung", "kidney", "liver", "infection", "brain", "metabolic", "chronic", "age")
"""The latent states of health that a case mix can shift."""
MORTALITY_RATE = 0.20
STYLE = ("exposure", "contrast", "grain")


@dataclass(frozen=True)
class CaseMix:
    """The kind of patients that a hospital has, and how many of them die.

    Attributes:
        shifts: For a latent state of health, by how many standard deviations the hospital's patients differ from
            others; a shift above 0 is worse, and older for `age`.
        mortality: The share of admissions that die in hospital, whatever the shifts.
    """

    shifts: dict[str, float] = field(default_factory=dict)
    mortality: float = MORTALITY_RATE


@dataclass(frozen=True)
class ImageStyle:
    """The look of the films from a hospital's machines, which tells nothing of the patient.

    Attributes:
        exposure: What is added to the brightness of every film, as a share of white.
        contrast: The factor by which differences from mid-grey are multiplied.
        grain: The factor by which the noise is multiplied.
    """

    exposure: float = 0.0
    contrast: float = 1.0
    grain: float = 1.0


class ArgumentError(ValueError):
    """An argument with which no hospital can be written; the message is one sentence that names the argument."""


@dataclass(frozen=True)
class Planted:
    """The information of each modality on death, as shares of the variance of its logit that add up to 1.

    Attributes:
        influence: For a modality, the share that is visible in it only; 0 for one that is not named.
        redundancy: The share of a finding that the image and the radiology report both show, each with its own noise.
        synergy: The share of a part that depends on whether exactly one of two signs is there: one in the image and one
            in the time series. Neither sign alone tells anything of death.
    """

    influence: dict[str, float]
    redundancy: float = 0.0
    synergy: float = 0.0


def check(
    stays: int,
    seed: int,
    planted: Planted | None,
    absence: Absence,
    case_mix: CaseMix | None = None,
    style: ImageStyle | None = None,
) -> None:
    """Raise an ArgumentError if `write_hospital` cannot work with these arguments."""
    for name, value, least in (("stays", stays, FEWEST_STAYS), ("seed", seed, 0)):
        if value < least:
            raise ArgumentError(f"synthetic hospital, {name}: {value} should be greater than or equal to {least}")
    try:
        if planted:
            check_influence(planted.influence, planted.redundancy, planted.synergy)
    except ArgumentError as error:
        raise ArgumentError(f"synthetic hospital, influence: {error}") from error
    try:
        check_absence(absence.shares)
    except ArgumentError as error:
        raise ArgumentError(f"synthetic hospital, absence: {error}") from error
    try:
        if case_mix:
            check_case_mix(case_mix.shifts, case_mix.mortality, planted is not None)
        if style:
            check_style(vars(style))
    except ArgumentError as error:
        raise ArgumentError(f"synthetic hospital, {error}") from error
    if not math.isfinite(absence.slope):
        raise ArgumentError(f"synthetic hospital, absence: the slope is {absence.slope}: it must be a number")


def check_influence(influence: dict[str, float] | None, redundancy: float = 0.0, synergy: float = 0.0) -> None:
    """Raise an ArgumentError unless nothing is planted, or shares of the known modalities that add up to 1."""
    for name, share in (("redundancy", redundancy), ("synergy", synergy)):
        if not 0 <= share <= 1:
            raise ArgumentError(f"{name} is {share}: it must be between 0 and 1")
    if influence is None:
        if redundancy or synergy:
            raise ArgumentError("redundancy and synergy need influence, whose shares say what else carries the risk")
        return
    for name, share in influence.items():
        if name not in MODALITIES:
            raise ArgumentError(f"unknown modality {name!r}{_hint(name)}")
        if not (math.isfinite(share) and share >= 0):
            raise ArgumentError(f"the share of {name!r} is {share}: it must be 0 or more")
    total = sum(influence.values()) + redundancy + synergy
    if abs(total - 1) > 1e-6:
        beside = ", redundancy and synergy among them," if redundancy or synergy else ""
        raise ArgumentError(f"the shares{beside} add up to {total:g}: they must add up to 1")


def check_absence(shares: dict[str, float]) -> None:
    """Raise an ArgumentError unless `shares` holds shares of modalities whose records can be absent."""
    for name, share in shares.items():
        if name not in RECORDS:
            raise ArgumentError(f"unknown modality {name!r}{_hint(name, RECORDS)}")
        if not 0 <= share <= 1:
            raise ArgumentError(f"the share of {name!r} is {share}: it must be between 0 and 1")


def check_case_mix(shifts: dict[str, float], mortality: float = MORTALITY_RATE, planted: bool = False) -> None:
    """Raise an ArgumentError unless shifts are of known latents and some, but not all, admissions die."""
    for name, shift in shifts.items():
        if name not in LATENTS:
            raise ArgumentError(f"case mix: unknown state {name!r}{_hint(name, LATENTS)}")
        if not abs(shift) <= 3:
            raise ArgumentError(f"case mix: the shift of {name!r} is {shift}: it must be between -3 and 3")
    if shifts and planted:
        raise ArgumentError(
            "case mix: states of health carry no risk where influence is planted, so shifts mean nothing"
        )
    if not 0.01 <= mortality <= 0.99:
        raise ArgumentError(f"mortality is {mortality}: it must be between 0.01 and 0.99")


def check_style(style: dict[str, float]) -> None:
    """Raise an ArgumentError unless a style of films has known parts within what can be drawn."""
    limits = {"exposure": (-0.5, 0.5), "contrast": (0.1, 3.0), "grain": (0.0, 10.0)}
    for name, value in style.items():
        if name not in limits:
            raise ArgumentError(f"image style: unknown part {name!r}{_hint(name, STYLE)}")
        low, high = limits[name]
        if not low <= value <= high:
            raise ArgumentError(f"image style: {name} is {value}: it must be between {low:g} and {high:g}")


def _hint(name: str, known: tuple[str, ...] = MODALITIES) -> str:
    """Return a hint for a misspelt modality: the closest known name, or all of them."""
    match = get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {match[0]!r}?" if match else f"; known: {', '.join(sorted(known))}"
