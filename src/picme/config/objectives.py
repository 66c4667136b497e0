"""Configuration of the contrastive objectives."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from picme.config.base import Component
from picme.config.bounds import Number, Seed, Width


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


class GatedSymileConfig(ObjectiveConfig):
    """Gated Symile: Symile with gates that replace unreliable modalities by neutral directions."""

    name: Literal["gated_symile"] = "gated_symile"
    hidden: Width = Field(256, ge=1)
    """Size of the gates' queries and keys."""


class GRAMConfig(ObjectiveConfig):
    """GRAM: the volume of the parallelotope that a stay's embeddings span."""

    name: Literal["gram"] = "gram"
    anchor: Number | None = Field(None, ge=0)
    """Index of the modality that is exchanged between stays; each in turn if not given."""


class ConFuConfig(ObjectiveConfig):
    """ConFu: all pairs of modalities, and fused pairs against each third modality."""

    name: Literal["confu"] = "confu"
    hidden: Width = Field(256, ge=1)
    """Units of the networks that fuse two modalities."""
    fused: float = Field(0.5, ge=0, lt=1)
    """Weight of the fused pairs; the rest is that of the pairs."""


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
    "gated_symile": GatedSymileConfig,
    "gram": GRAMConfig,
    "confu": ConFuConfig,
    "siglip": SigLIPConfig,
}
