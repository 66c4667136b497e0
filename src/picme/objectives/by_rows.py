"""Evaluation of a matrix of logits in blocks of rows, each computed again in the backward pass.

It serves logits that are not the product of two matrices; `chunked` handles those that are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from picme.objectives.chunked import BLOCK, SMALL

if TYPE_CHECKING:
    from collections.abc import Callable

    Block = Callable[..., tuple[Tensor, ...]]


def by_rows(
    block: Block, rows: list[Tensor], whole: list[Tensor], width: int, chunk: int | None
) -> list[tuple[Tensor, ...]]:
    """Return `block(start, *rows[start:stop], *whole)` for every block of rows.

    The backward pass holds one block and one gradient of each input at a time. A matrix that is small enough is one
    block, whose graph is kept as usual.

    Args:
        block: function that depends on its arguments alone and returns the same number of tensors each time, none of
            them a view of a block.
        rows: tensors whose first dimension is the matrix's rows.
        whole: tensors every block needs in full.
        width: numbers that one row of the matrix takes.
        chunk: rows per block; None chooses by size.

    Returns:
        The tensors that `block` returned, one tuple per block.
    """
    count = len(rows[0])
    if chunk is None:
        # A block's graph holds several arrays of its size.
        chunk = count if count * width <= SMALL else max(1, BLOCK // (4 * width))
    if chunk >= count:
        return [block(0, *rows, *whole)]
    starts = range(0, count, chunk)
    results = _ByRows.apply(block, chunk, len(rows), *rows, *whole)
    each = len(results) // len(starts)
    return [results[place : place + each] for place in range(0, len(results), each)]


class _ByRows(torch.autograd.Function):
    """Autograd function of `by_rows`."""

    @staticmethod
    def forward(ctx: Any, block: Block, chunk: int, n_rows: int, *inputs: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(*inputs)
        ctx.block, ctx.chunk, ctx.n_rows = block, chunk, n_rows
        # The memory of all results is allocated before the blocks: small tensors that stay between large temporary ones
        # would fragment the heap, and the process would hold several times the memory that it uses.
        stores: list[tuple[Tensor, ...]] = []
        starts = range(0, len(inputs[0]), chunk)
        for number, start in enumerate(starts):
            found = block(start, *(part[start : start + chunk] for part in inputs[:n_rows]), *inputs[n_rows:])
            if number == 0:
                stores = [tuple(torch.empty_like(each) for each in found) for _ in starts]
            stores[number] = tuple(
                room.copy_(each) if room.shape == each.shape else each.clone()
                for room, each in zip(stores[number], found, strict=True)
            )
        return tuple(each for store in stores for each in store)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, chunk, n_rows = ctx.saved_tensors, ctx.chunk, ctx.n_rows
        wanted = ctx.needs_input_grad[3:]
        totals = [torch.zeros_like(each) if needed else None for each, needed in zip(inputs, wanted, strict=True)]
        starts = range(0, len(inputs[0]), chunk)
        each = len(gradients) // len(starts)
        for number, start in enumerate(starts):
            parts = [part[start : start + chunk] for part in inputs[:n_rows]]
            leaves = [
                part.detach().requires_grad_(needed)
                for part, needed in zip([*parts, *inputs[n_rows:]], wanted, strict=True)
            ]
            with torch.enable_grad():
                results = ctx.block(start, *leaves)
            found = torch.autograd.grad(
                results,
                [leaf for leaf in leaves if leaf.requires_grad],
                gradients[number * each : (number + 1) * each],
            )
            some = iter(found)
            for place, total in enumerate(totals):
                if total is not None:
                    target = total[start : start + chunk] if place < n_rows else total
                    target += next(some)
        return None, None, None, *totals
