"""Configuration of the synthetic hospital."""

from __future__ import annotations

from pydantic import Field, field_validator

from picme.config.base import Section
from picme.config.bounds import Seed, Stays
from picme_hospital import check_influence


class SyntheticConfig(Section):
    """A generated hospital in the file formats of MIMIC-IV, MIMIC-IV-Note and MIMIC-CXR-JPG."""

    stays: Stays = Field(default=600, ge=20)
    """ICU stays written; about 90 % of them pass the benchmark's exclusions, about 80 % also last 48 hours."""
    seed: Seed = Field(default=0, ge=0)
    """The same seed and number of stays give the same files, byte for byte."""
    images: bool = True
    """Draw chest X-rays; without them the tables of MIMIC-CXR-JPG are not written either."""
    influence: dict[str, float] | None = None
    """Planted truth for attribution methods: each modality's share of the variance of mortality's logit (they add up
    to 1; a modality left out has 0), each share visible in that modality only. Without it the modalities overlap, as
    in life."""

    @field_validator("influence")
    @classmethod
    def _influence(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        check_influence(value)
        return value
