"""Configuration of the fusion heads, which turn a stay's modality embeddings into logits."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from picme.config.base import Component
from picme.config.bounds import Depth, Width


class FusionConfig(Component):
    """Settings shared by all fusion heads."""

    hidden: Width = Field(256, ge=1)
    """Hidden units."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout before each linear layer of the head."""


class ConcatConfig(FusionConfig):
    """A multilayer perceptron on the concatenated embeddings and the presence bits."""

    name: Literal["concat"] = "concat"
    layers: Depth = Field(1, ge=0)
    """Hidden layers; 0 is a linear head."""


class ConcatTokensConfig(FusionConfig):
    """A multilayer perceptron as `concat`, with a learnt vector in place of an absent modality's embedding."""

    name: Literal["concat_tokens"] = "concat_tokens"
    layers: Depth = Field(1, ge=0)
    """Hidden layers; 0 is a linear head."""


class RecurrentConfig(FusionConfig):
    """A head that takes the modalities as steps of a recurrent network."""

    order: tuple[int, ...] | None = None
    """Indices of the modalities in the order of the steps; the combination's order if not given."""


class GatedLSTMConfig(RecurrentConfig):
    """The modality-gated LSTM: λ scales what each modality writes into the memory."""

    name: Literal["gated_lstm"] = "gated_lstm"
    gate: Literal["given", "uniform", "learned"] = "given"
    """Source of λ: `given` by pretraining or by the user, `uniform` (1/K), or `learned` with the head."""


class LSTMConfig(RecurrentConfig):
    """A plain LSTM over the modalities: the gate's control with λ = 1."""

    name: Literal["lstm"] = "lstm"


class AttentionConfig(FusionConfig):
    """A transformer over the modalities and a class token."""

    name: Literal["attention"] = "attention"
    layers: Depth = Field(1, ge=1)
    """Transformer layers."""
    heads: Depth = Field(4, ge=1)
    """Attention heads; divides the embedding size."""


class GatedSumConfig(FusionConfig):
    """A sum of the embeddings, weighted for each stay by a trained gate."""

    name: Literal["gated_sum"] = "gated_sum"


CONFIGS: dict[str, type[Component]] = {
    "concat": ConcatConfig,
    "concat_tokens": ConcatTokensConfig,
    "gated_lstm": GatedLSTMConfig,
    "lstm": LSTMConfig,
    "attention": AttentionConfig,
    "gated_sum": GatedSumConfig,
}
