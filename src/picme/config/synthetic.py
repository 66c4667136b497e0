"""Configuration of the synthetic hospital."""

from __future__ import annotations

from pydantic import Field, FiniteFloat, field_validator, model_validator

from picme.config.base import Section
from picme.config.bounds import Seed, Stays
from picme_hospital import check_absence, check_case_mix, check_influence, check_style


class SyntheticConfig(Section):
    """A generated hospital in the file formats of MIMIC-IV, MIMIC-IV-Note and MIMIC-CXR-JPG."""

    stays: Stays = Field(default=600, ge=20)
    """ICU stays written; about 90 % of them pass the benchmark's exclusions, about 80 % also last 48 hours."""
    seed: Seed = Field(default=0, ge=0)
    """The same seed and number of stays give the same files, byte for byte."""
    images: bool = True
    """Draw chest X-rays; without them the tables of MIMIC-CXR-JPG are not written either."""
    influence: dict[str, float] | None = None
    """Planted truth: each modality's share of the variance of mortality's logit (they add up
    to 1; a modality left out has 0), each share visible in that modality only. Without it the modalities overlap, as
    in life."""
    redundancy: float = 0.0
    """Share of a planted finding that the image and the radiology report both show, each with its own noise; it is one
    of the shares that add up to 1 with those of `influence`."""
    synergy: float = 0.0
    """Share of a planted part that depends on whether exactly one of two signs is there, one in the image and one in
    the time series; neither tells anything alone, and no text mentions them. It too adds up to 1 with the shares of
    `influence`."""
    absence: dict[str, float] = Field(default_factory=dict)
    """Share of admissions without the records of a modality (timeseries, discharge, radiology, image); 3 % of each that
    is not named."""
    absence_slope: FiniteFloat = 0.0
    """Change of the log odds of absence for each standard deviation of the logit of death. Below 0 the less severely
    ill lack more records: absence then tells the outcome."""

    mortality: float = 0.2
    """Share of admissions that die in hospital, whatever the case mix."""
    case_mix: dict[str, float] = Field(default_factory=dict)
    """Standard deviations by which the patients' states of health (severity, heart, lung, kidney, liver, infection,
    brain, metabolic, chronic, age) differ from those of another synthetic hospital; above 0 they are worse, and
    older."""
    image_style: dict[str, float] = Field(default_factory=dict)
    """How films are drawn, which tells nothing of the patient: `exposure` (share of white that is added), `contrast` (a
    factor) and `grain` (factor of the noise)."""

    @field_validator("absence")
    @classmethod
    def _absence(cls, value: dict[str, float]) -> dict[str, float]:
        check_absence(value)
        return value

    @field_validator("image_style")
    @classmethod
    def _style(cls, value: dict[str, float]) -> dict[str, float]:
        check_style(value)
        return value

    @model_validator(mode="after")
    def _planted(self) -> SyntheticConfig:
        check_influence(self.influence, self.redundancy, self.synergy)
        check_case_mix(self.case_mix, self.mortality, self.influence is not None)
        return self
