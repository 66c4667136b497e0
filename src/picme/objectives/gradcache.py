"""Cached gradients, for contrastive batches that are larger than the encoders' memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from picme.objectives.base import Info, Objective

Encoded = Tensor | tuple[Tensor, Tensor | None]


def cached_embeddings(encode: Callable[[Any], Encoded], batches: Iterable[Any]) -> tuple[Tensor, Tensor | None]:
    """Encode a batch in micro-batches, such that its backward pass takes the memory of one of them.

    Of each micro-batch only the embeddings are kept. The backward pass of their loss gives the gradient of each
    embedding; then each micro-batch is encoded again, with the same random numbers, and its gradient is propagated into
    the encoders (Gao et al. 2021, arXiv 2101.06983). Gradients equal those of one large batch as long as the encoders
    treat stays separately; batch normalisation sees micro-batches, and each of them twice.

    Args:
        encode: micro-batch → embeddings (modality, batch, dim), alone or with presence (batch, modality) bool.
        batches: the micro-batches; each is encoded twice. Random numbers are drawn again on the devices of their
            tensors.

    Returns:
        Embeddings (modality, whole batch, dim), and presence (whole batch, modality), or None if none has it.
    """
    parts, masks = [], []
    # A second encoding that were ended early, by an exception, would look like a failure of the encoder.
    with set_checkpoint_early_stop(False):
        for batch in batches:
            encoded = checkpoint(encode, batch, use_reentrant=False)
            embeddings, present = encoded if isinstance(encoded, tuple) else (encoded, None)
            parts.append(embeddings)
            masks.append(present)
    return torch.cat(parts, 1), _joined(masks, parts)


def cached_backward(
    encode: Callable[[Any], Encoded], batches: Iterable[Any], objective: Objective
) -> tuple[Tensor, Info]:
    """Run the backward pass of the loss of all micro-batches together, with the memory of one.

    Gradients add to those the parameters have, as in `loss.backward()`; see `cached_embeddings`.

    Args:
        encode: micro-batch → embeddings (modality, batch, dim), alone or with presence (batch, modality) bool.
        batches: the micro-batches; each is encoded twice.
        objective: loss of the whole batch.

    Returns:
        The loss, detached, and the objective's diagnostics.

    Example:
        >>> encoder, objective = torch.nn.Linear(8, 4), InfoNCE()
        >>> batches = torch.randn(2, 64, 8).split(16, dim=1)
        >>> loss, info = cached_backward(encoder, batches, objective)
        >>> encoder.weight.grad.shape
    """
    loss, info = objective(*cached_embeddings(encode, batches))
    loss.backward()
    return loss.detach(), info


def _joined(masks: list[Tensor | None], parts: list[Tensor]) -> Tensor | None:
    """Return the presence of the whole batch; micro-batches without a mask have every modality."""
    if all(mask is None for mask in masks):
        return None
    return torch.cat(
        [
            torch.ones(part.shape[1], part.shape[0], dtype=torch.bool, device=part.device) if mask is None else mask
            for mask, part in zip(masks, parts, strict=True)
        ]
    )
