"""Base class of the fusion heads, functions that they share, and the head on concatenated embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from picme.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from picme.config.base import Component


class FusionHead(nn.Module):
    """Base class of the fusion heads: `head(embeddings, present) -> logits`.

    Args:
        n_modalities: number of modalities of the combination.
        embed_dim: size of their embeddings.
        n_labels: number of logits of a stay.
    """

    def __init__(self, n_modalities: int, embed_dim: int, n_labels: int) -> None:
        super().__init__()
        self.n_modalities, self.embed_dim, self.n_labels = n_modalities, embed_dim, n_labels

    @classmethod
    def from_config(
        cls,
        config: Component,
        n_modalities: int,
        embed_dim: int,
        n_labels: int,
        weights: Sequence[float] | None = None,
    ) -> Self:
        """Build the head from a configuration, whose fields are the constructor's arguments; λ is not used here."""
        return cls(n_modalities, embed_dim, n_labels, **config.model_dump(exclude={"name"}))


def without_absent(embeddings: Tensor, present: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return embeddings (batch, modality, dim) with zeros where absent, and presence (batch, modality), never None."""
    if present is None:
        return embeddings, torch.ones(embeddings.shape[:2], dtype=torch.bool, device=embeddings.device)
    present = present.bool()
    return torch.where(present[:, :, None], embeddings, embeddings.new_zeros(())), present


def classifier(inputs: int, n_labels: int, dropout: float) -> nn.Sequential:
    """Return dropout and a linear layer, from a fused vector (batch, inputs) to logits."""
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(inputs, n_labels))


class ConcatHead(FusionHead):
    """Fusion head: a multilayer perceptron on the concatenated embeddings.

    An absent modality is a vector of zeros; K presence bits beside the embeddings tell it from a real one.

    Args:
        n_modalities: K.
        embed_dim: size of the embeddings.
        n_labels: number of logits of a stay.
        hidden: units of each hidden layer.
        layers: hidden layers; 0 is a linear head.
        dropout: dropout before each linear layer.
    """

    def __init__(
        self,
        n_modalities: int,
        embed_dim: int,
        n_labels: int,
        hidden: int = 256,
        layers: int = 1,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(n_modalities, embed_dim, n_labels)
        size, blocks = n_modalities * (embed_dim + 1), []
        for _ in range(layers):
            blocks += [nn.Dropout(dropout), nn.Linear(size, hidden), nn.ReLU()]
            size = hidden
        self.network = nn.Sequential(*blocks, classifier(size, n_labels, dropout))

    def forward(self, embeddings: Tensor, present: Tensor | None = None) -> Tensor:
        """Compute logits (batch, label) from embeddings (batch, modality, dim) and presence (batch, modality)."""
        embeddings, present = without_absent(embeddings, present)
        logits: Tensor = self.network(torch.cat([embeddings.flatten(1), present.to(embeddings.dtype)], 1))
        return logits


class ConcatTokensHead(ConcatHead):
    """Fusion head: the perceptron of `ConcatHead` with a trained vector in place of an absent modality's embedding.

    The vectors start at zero, so that the untrained head is a `ConcatHead`, which is its control.
    """

    def __init__(self, n_modalities: int, embed_dim: int, n_labels: int, **settings: Any) -> None:
        super().__init__(n_modalities, embed_dim, n_labels, **settings)
        self.tokens = nn.Parameter(torch.zeros(n_modalities, embed_dim))

    def forward(self, embeddings: Tensor, present: Tensor | None = None) -> Tensor:
        """Compute logits (batch, label) from embeddings (batch, modality, dim) and presence (batch, modality)."""
        embeddings, present = without_absent(embeddings, present)
        filled = torch.where(present[:, :, None], embeddings, self.tokens)
        logits: Tensor = self.network(torch.cat([filled.flatten(1), present.to(filled.dtype)], 1))
        return logits


def steps(order: Sequence[int] | None, n_modalities: int) -> list[int]:
    """Return the modalities' indices in the order of a recurrent head's steps.

    Raises:
        ConfigError: if `order` does not name each modality once.
    """
    chosen = list(range(n_modalities)) if order is None else list(order)
    if sorted(chosen) != list(range(n_modalities)):
        raise ConfigError(f"order must name each modality index 0 to {n_modalities - 1} once, not {chosen}")
    return chosen
