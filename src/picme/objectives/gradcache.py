"""Cached gradients, for contrastive batches that are larger than the encoders' memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from picme.objectives.base import Info, Objective

Encoded = Tensor | tuple[Tensor, Tensor | None]


def cached_backward(
    encode: Callable[[Any], Encoded], batches: Iterable[Any], objective: Objective
) -> tuple[Tensor, Info]:
    """Run the backward pass of the loss of all micro-batches together, with the memory of one.

    Each micro-batch is encoded without a graph, and the loss of all embeddings gives the gradient of each embedding.
    Then each micro-batch is encoded again, with the same random numbers, and its gradient is propagated into the
    encoders (Gao et al. 2021, arXiv 2101.06983). Gradients add to those the parameters have, as in `loss.backward()`.
    They equal those of one large batch as long as the encoders treat stays separately; batch normalisation sees
    micro-batches.

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
    batches = list(batches)
    states, parts, masks = [], [], []
    with torch.no_grad():
        for batch in batches:
            states.append(_random_state())
            embeddings, present = _pair(encode(batch))
            parts.append(embeddings)
            masks.append(present)
    whole = torch.cat(parts, 1).requires_grad_()
    loss, info = objective(whole, _joined(masks, parts))
    loss.backward()
    assert whole.grad is not None
    gradients = whole.grad.split([part.shape[1] for part in parts], 1)
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    for batch, state, gradient in zip(batches, states, gradients, strict=True):
        with torch.random.fork_rng(devices):
            _restore(state)
            embeddings, _ = _pair(encode(batch))
        embeddings.backward(gradient)
    return loss.detach(), info


def _pair(encoded: Encoded) -> tuple[Tensor, Tensor | None]:
    return encoded if isinstance(encoded, tuple) else (encoded, None)


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


def _random_state() -> tuple[Tensor, list[Tensor]]:
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []


def _restore(state: tuple[Tensor, list[Tensor]]) -> None:
    torch.set_rng_state(state[0])
    if state[1]:
        torch.cuda.set_rng_state_all(state[1])
