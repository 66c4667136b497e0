"""What the objectives compare: unit vectors, and the mean of a stay's other modalities."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def unit(embeddings: Tensor) -> Tensor:
    """Embeddings (…, dim) at length 1; a zero vector stays zero, with a gradient of zero."""
    return functional.normalize(embeddings, dim=-1)


def without_absent(embeddings: Tensor, present: Tensor | None) -> Tensor:
    """Embeddings (modality, batch, dim) with zeros where a modality is absent, whatever stood there (NaN too)."""
    if present is None:
        return embeddings
    return torch.where(present.T[:, :, None], embeddings, embeddings.new_zeros(()))


def others(embeddings: Tensor) -> Tensor:
    """For each modality the sum of the other modalities' raw embeddings (modality, batch, dim), absent ones being zero.

    The mean over those present points the same way, and cosine similarity sees nothing else. The product with a matrix
    of ones off the diagonal does not subtract a modality from the total, which would lose digits where one is longer
    than the rest.
    """
    count, *rest = embeddings.shape
    mixing = 1 - torch.eye(count, dtype=embeddings.dtype, device=embeddings.device)
    return (mixing @ embeddings.reshape(count, -1)).reshape(count, *rest)
