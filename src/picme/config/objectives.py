"""Configuration of the contrastive objectives."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from picme.config.base import Component
from picme.config.bounds import Number, Seed


class ObjectiveConfig(Component):
    """Settings shared by all objectives: the temperature and the size of blocks."""

    temperature: float = Field(0.07, gt=0)
    """Temperature τ at the start."""
    temperature_range: tuple[float, float] = (0.01, 1.0)
    """Smallest and largest value of τ."""
    train_temperature: bool = True
    """Train τ; otherwise it stays as given."""
    chunk: Number | None = Field(None, ge=1)
    """Rows of the similarity matrix evaluated at a time; chosen from the size of the batch if not given."""

    @model_validator(mode="after")
    def _inside(self) -> ObjectiveConfig:
        low, high = self.temperature_range
        if not 0 < low <= self.temperature <= high:
            raise ValueError(f"temperature {self.temperature} is outside temperature_range {low} to {high}")
        return self


class WeightedConfig(ObjectiveConfig):
    """An objective whose terms are weighted by trained weights, a softmax that starts uniform."""

    weighted: bool = True
    """Train the weights; otherwise they are uniform."""
    kl: float = Field(1.0, ge=0)
    """β of the penalty β·KL(weights‖uniform). Weights settle near softmax(−term / β): at 0 they end on the easiest
    term alone, at 1 a term that is lower by 1 weighs e times as much."""
    weight_learning_rate: float | None = Field(1e-2, gt=0)
    """Learning rate of the weights, which would hardly move with that of the encoders; null takes that."""


class InfoNCEConfig(ObjectiveConfig):
    """InfoNCE between two modalities, in both directions."""

    name: Literal["infonce"] = "infonce"


class AllPairsConfig(WeightedConfig):
    """The mean of InfoNCE over all pairs of modalities."""

    name: Literal["all_pairs"] = "all_pairs"
    weighted: bool = False
    """Train a weight for each pair; otherwise they are uniform."""


class OneVersusOthersConfig(WeightedConfig):
    """OvO: each modality against the mean of the others."""

    name: Literal["ovo"] = "ovo"


class ReleasedOvOConfig(WeightedConfig):
    """The loss that the published code calls OvO: one-direction pairs, summed over the partners."""

    name: Literal["released_ovo"] = "released_ovo"
    kl: float = Field(0.0, ge=0)
    """β of the penalty β·KL(weights‖uniform); the published code has none."""


class SymileConfig(ObjectiveConfig):
    """Symile: the multilinear inner product of all modalities at once."""

    name: Literal["symile"] = "symile"
    negatives: Literal["auto", "all", "sampled"] = "auto"
    """`all` takes every triple of the batch (three modalities at most); `sampled` shuffles the partners once a step;
    `auto` is `all` for up to three modalities and `sampled` beyond."""
    seed: Seed = 0
    """Seed of the sampled negatives."""


class GRAMConfig(ObjectiveConfig):
    """GRAM: the volume of the parallelotope that a stay's embeddings span."""

    name: Literal["gram"] = "gram"
    anchor: Number | None = Field(None, ge=0)
    """Index of the modality that is exchanged between stays; each in turn if not given."""


class SigLIPConfig(ObjectiveConfig):
    """SigLIP: a sigmoid for each pair of stays instead of a softmax over the batch."""

    name: Literal["siglip"] = "siglip"
    temperature: float = Field(0.1, gt=0)
    """Temperature τ at the start."""
    bias: float = -10.0
    """Bias of the logits at the start; it is trained."""


CONFIGS: dict[str, type[Component]] = {
    "infonce": InfoNCEConfig,
    "all_pairs": AllPairsConfig,
    "ovo": OneVersusOthersConfig,
    "released_ovo": ReleasedOvOConfig,
    "symile": SymileConfig,
    "gram": GRAMConfig,
    "siglip": SigLIPConfig,
}
