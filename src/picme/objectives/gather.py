"""Gathering of the parts of a batch that several processes hold, with gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed


def gather(embeddings: Tensor, present: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return the stays of all processes, in the order of the ranks; outside a process group, return the input itself.

    Each process then computes the loss of the whole batch. Backward sums every process's gradient of a stay, so that
    the mean over processes that DistributedDataParallel takes is the gradient of one process with the whole batch,
    without a factor for the number of processes.

    Args:
        embeddings: (modality, batch, dim), of any batch size in each process.
        present: (batch, modality) bool, or None where every stay of this process has every modality.

    Returns:
        Embeddings (modality, whole batch, dim) and presence (whole batch, modality), or None if no process has any.
    """
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return embeddings, present
    size = torch.tensor([embeddings.shape[1], int(present is not None)], device=embeddings.device)
    sizes = [torch.zeros_like(size) for _ in range(distributed.get_world_size())]
    distributed.all_gather(sizes, size)
    counts = [int(each[0]) for each in sizes]
    # If one process has a presence mask, all send one, so that every process makes the same collective calls.
    if present is None and any(bool(each[1]) for each in sizes):
        present = torch.ones(embeddings.shape[1], embeddings.shape[0], dtype=torch.bool, device=embeddings.device)
    parts = _AllGather.apply(_padded(embeddings.transpose(0, 1).contiguous(), max(counts)))
    whole = torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)]).transpose(0, 1)
    if present is None:
        return whole, None
    mask = _padded(present.to(torch.uint8).contiguous(), max(counts))
    masks = [torch.zeros_like(mask) for _ in counts]
    distributed.all_gather(masks, mask)
    return whole, torch.cat([part[:count] for part, count in zip(masks, counts, strict=True)]).bool()


def _padded(rows: Tensor, length: int) -> Tensor:
    """Return `rows` padded with zeros to `length`, because collectives move parts of equal size."""
    if rows.shape[0] == length:
        return rows
    return torch.cat([rows, rows.new_zeros(length - rows.shape[0], *rows.shape[1:])])


class _AllGather(torch.autograd.Function):
    """Autograd function of all_gather, whose backward sums over processes; it works on every backend, gloo included."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> tuple[Tensor, ...]:
        parts = [torch.empty_like(part) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, part)
        return tuple(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        stacked = torch.stack(gradients)
        distributed.all_reduce(stacked)
        return stacked[distributed.get_rank()]
