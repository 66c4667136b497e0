"""Weights of an objective's terms, which add up to 1 over the terms that exist in a batch."""

from __future__ import annotations

import torch
from torch import Tensor


def mixture(logits: Tensor | None, valid: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the weights (term,): the softmax of `logits` over the valid terms, uniform without logits, else 0.

    All weights are 0 if no term is valid. Invalid terms are left out before the softmax: a term of 0 would attract the
    weights.

    Args:
        logits: (term,) or None.
        valid: (term,) bool.
        dtype: type of the terms.
    """
    if logits is None:
        share = valid.to(dtype)
        return share / share.sum().clamp_min(1)
    return logits.to(dtype).masked_fill(~valid, torch.finfo(dtype).min).softmax(0) * valid


def divergence(weights: Tensor) -> Tensor:
    """Return KL(weights‖uniform over the terms with a weight above 0), in nats."""
    tiny = torch.finfo(weights.dtype).tiny
    count = (weights > 0).sum().clamp_min(1)
    return (weights * (weights.clamp_min(tiny) * count).log()).sum()
