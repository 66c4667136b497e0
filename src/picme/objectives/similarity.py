"""Vectors that the objectives compare: embeddings of unit length, and the mean of a stay's other modalities."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def unit(embeddings: Tensor) -> Tensor:
    """Return embeddings (…, dim) at length 1; a zero vector stays zero, with a gradient of zero."""
    return functional.normalize(embeddings, dim=-1)


def without_absent(embeddings: Tensor, present: Tensor | None) -> Tensor:
    """Return embeddings (modality, batch, dim) with zeros for absent modalities, even where they held NaN."""
    if present is None:
        return embeddings
    return torch.where(present.T[:, :, None], embeddings, embeddings.new_zeros(()))


def others(embeddings: Tensor) -> Tensor:
    """Return for each modality the sum of the other modalities' raw embeddings (modality, batch, dim).

    Absent modalities must be zero. The sum has the direction of the mean over the modalities present, and cosine
    similarity depends on the direction alone. A product with a matrix of ones off the diagonal is used instead of the
    total minus each modality, which would lose digits where one is longer than the rest.
    """
    count, *rest = embeddings.shape
    mixing = 1 - torch.eye(count, dtype=embeddings.dtype, device=embeddings.device)
    return (mixing @ embeddings.reshape(count, -1)).reshape(count, *rest)
