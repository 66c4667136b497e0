"""Which fusion head turns a stay's modality embeddings into logits, and how it is set."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from picme.config.base import Component


class FusionConfig(Component):
    """What every fusion head shares."""

    hidden: int = Field(256, ge=1)
    """Hidden units."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Before each linear layer of the head."""


class ConcatConfig(FusionConfig):
    """A multilayer perceptron on the concatenated embeddings and the presence bits."""

    name: Literal["concat"] = "concat"
    layers: int = Field(1, ge=0)
    """Hidden layers; 0 is a linear head."""


class RecurrentConfig(FusionConfig):
    """A head that takes the modalities as steps of a recurrent network."""

    order: tuple[int, ...] | None = None
    """The modalities' indices in the order of the steps; as configured where it is not given."""


class GatedLSTMConfig(RecurrentConfig):
    """The modality-gated LSTM: λ scales what each modality writes into the memory."""

    name: Literal["gated_lstm"] = "gated_lstm"
    gate: Literal["given", "uniform", "learned"] = "given"
    """Where λ comes from: handed over (from pretraining or by the user), 1/K, or trained with the head."""


class LSTMConfig(RecurrentConfig):
    """A plain LSTM over the modalities: the gate's control with λ = 1."""

    name: Literal["lstm"] = "lstm"


class AttentionConfig(FusionConfig):
    """A transformer over the modalities and a class token."""

    name: Literal["attention"] = "attention"
    layers: int = Field(1, ge=1)
    """Transformer layers."""
    heads: int = Field(4, ge=1)
    """Attention heads; divides the embedding size."""


class GatedSumConfig(FusionConfig):
    """A sum of the embeddings, weighted for each stay by a trained gate."""

    name: Literal["gated_sum"] = "gated_sum"


CONFIGS: dict[str, type[Component]] = {
    "concat": ConcatConfig,
    "gated_lstm": GatedLSTMConfig,
    "lstm": LSTMConfig,
    "attention": AttentionConfig,
    "gated_sum": GatedSumConfig,
}
