"""Fusion head: attention over the modalities with a class token."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from picme.errors import ConfigError
from picme.finetune.heads import FusionHead, classifier, without_absent


class AttentionHead(FusionHead):
    """Fusion head that reads logits from the class token of a transformer over the modalities.

    A trained vector is added to each modality's embedding, which tells it from the others; absent modalities are
    masked.

    Args:
        n_modalities: K.
        embed_dim: size of the embeddings.
        n_labels: number of logits of a stay.
        hidden: units of the transformer's feed-forward layers.
        layers: transformer layers (pre-norm).
        heads: attention heads.
        dropout: dropout in the transformer and before the linear layer.

    Raises:
        ConfigError: if `heads` does not divide `embed_dim`.
    """

    def __init__(
        self,
        n_modalities: int,
        embed_dim: int,
        n_labels: int,
        hidden: int = 256,
        layers: int = 1,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(n_modalities, embed_dim, n_labels)
        if embed_dim % heads:
            raise ConfigError(f"heads must divide the embedding size {embed_dim}, which {heads} does not")
        self.token = nn.Parameter(torch.randn(1, 1, embed_dim) * 0.02)
        self.kinds = nn.Parameter(torch.randn(1, n_modalities, embed_dim) * 0.02)
        layer = nn.TransformerEncoderLayer(embed_dim, heads, hidden, dropout, batch_first=True, norm_first=True)
        self.transformer = nn.TransformerEncoder(layer, layers, nn.LayerNorm(embed_dim), enable_nested_tensor=False)
        self.classifier = classifier(embed_dim, n_labels, dropout)

    def forward(self, embeddings: Tensor, present: Tensor | None = None) -> Tensor:
        """Compute logits (batch, label) from embeddings (batch, modality, dim) and presence (batch, modality)."""
        embeddings, present = without_absent(embeddings, present)
        tokens = torch.cat([self.token.expand(len(embeddings), -1, -1), embeddings + self.kinds], 1)
        absent = torch.cat([present.new_zeros(len(present), 1), ~present], 1)
        logits: Tensor = self.classifier(self.transformer(tokens, src_key_padding_mask=absent)[:, 0])
        return logits
