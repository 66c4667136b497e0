"""Fusion head: a plain LSTM over the modalities, the control of the gated one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from picme.finetune.gated_lstm import ModalityGatedLSTM
from picme.finetune.heads import FusionHead, classifier, steps

if TYPE_CHECKING:
    from collections.abc import Sequence


class LSTMHead(FusionHead):
    """Fusion head that reads logits from the last output of an LSTM whose steps are the modalities (λ = 1).

    MedFuse (Hayat et al. 2022, arXiv 2207.07027) fuses this way. Absent modalities are skipped.

    Args:
        n_modalities: K.
        embed_dim: size of the embeddings.
        n_labels: number of logits of a stay.
        hidden: size of memory and output.
        dropout: dropout before the linear layer.
        order: the modalities' indices in the order of the steps.
    """

    def __init__(
        self,
        n_modalities: int,
        embed_dim: int,
        n_labels: int,
        hidden: int = 256,
        dropout: float = 0.1,
        order: Sequence[int] | None = None,
    ) -> None:
        super().__init__(n_modalities, embed_dim, n_labels)
        self.order = steps(order, n_modalities)
        self.lstm = ModalityGatedLSTM(embed_dim, hidden)
        self.classifier = classifier(hidden, n_labels, dropout)

    def forward(self, embeddings: Tensor, present: Tensor | None = None) -> Tensor:
        """Compute logits (batch, label) from embeddings (batch, modality, dim) and presence (batch, modality)."""
        if self.order != sorted(self.order):
            embeddings = embeddings[:, self.order]
            present = None if present is None else present[:, self.order]
        ones = torch.ones(self.n_modalities, dtype=embeddings.dtype, device=embeddings.device)
        logits: Tensor = self.classifier(self.lstm(embeddings, ones, present))
        return logits
