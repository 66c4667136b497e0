"""Fusion head: a sum over the modalities, weighted for each stay."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from picme.finetune.heads import FusionHead, classifier, without_absent


class GatedSumHead(FusionHead):
    """Fusion head that reads logits from Σ_i z_i tanh(W_i x^i + b_i).

    The weights z are the softmax, over the modalities present, of v_i · x^i + c_i. The head extends the gated
    multimodal unit (Arevalo et al. 2017, arXiv 1702.01992) to any number of modalities.

    Args:
        n_modalities: K.
        embed_dim: size of the embeddings.
        n_labels: number of logits of a stay.
        hidden: size of the sum.
        dropout: dropout before the linear layer.
    """

    def __init__(
        self, n_modalities: int, embed_dim: int, n_labels: int, hidden: int = 256, dropout: float = 0.1
    ) -> None:
        super().__init__(n_modalities, embed_dim, n_labels)
        bound = 1 / math.sqrt(embed_dim)
        self.transforms = nn.Parameter(torch.empty(n_modalities, embed_dim, hidden).uniform_(-bound, bound))
        self.biases = nn.Parameter(torch.zeros(n_modalities, hidden))
        # With scores of zero the sum starts as the mean.
        self.gates = nn.Parameter(torch.zeros(n_modalities, embed_dim))
        self.gate_biases = nn.Parameter(torch.zeros(n_modalities))
        self.classifier = classifier(hidden, n_labels, dropout)

    def forward(self, embeddings: Tensor, present: Tensor | None = None) -> Tensor:
        """Compute logits (batch, label) from embeddings (batch, modality, dim) and presence (batch, modality)."""
        embeddings, present = without_absent(embeddings, present)
        transformed = (torch.einsum("bkd,kdh->bkh", embeddings, self.transforms) + self.biases).tanh()
        scores = (embeddings * self.gates).sum(2) + self.gate_biases
        # With a finite floor, a stay without any modality has weights of zero, not NaN.
        weights = scores.masked_fill(~present, torch.finfo(scores.dtype).min).softmax(1) * present
        logits: Tensor = self.classifier((weights[:, :, None] * transformed).sum(1))
        return logits
