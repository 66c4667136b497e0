"""The greatest of the modalities' values in each dimension."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from picme.config.fusions import FusionConfig
from picme.finetune.heads import FusionHead, classifier


class MaximumConfig(FusionConfig):
    """What a configuration can set; `hidden` and `dropout` come from `FusionConfig`."""

    name: Literal["maximum"] = "maximum"


class MaximumHead(FusionHead):
    """Logits from the maximum over the modalities present of ReLU(W_i x^i + b_i)."""

    Config = MaximumConfig

    def __init__(
        self, n_modalities: int, embed_dim: int, n_labels: int, hidden: int = 256, dropout: float = 0.1
    ) -> None:
        super().__init__(n_modalities, embed_dim, n_labels)
        self.layers = nn.ModuleList(nn.Linear(embed_dim, hidden) for _ in range(n_modalities))
        self.classifier = classifier(hidden, n_labels, dropout)

    def forward(self, embeddings: Tensor, present: Tensor | None = None) -> Tensor:
        """Logits (batch, label) of embeddings (batch, modality, dim)."""
        values = torch.stack([layer(embeddings[:, i]).relu() for i, layer in enumerate(self.layers)], 1)
        if present is not None:
            # Values are 0 or more, so 0 in an absent modality's place never wins.
            values = values.masked_fill(~present.bool()[:, :, None], 0.0)
        logits: Tensor = self.classifier(values.amax(1))
        return logits
