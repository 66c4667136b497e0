"""A matrix of logits in blocks of rows, recomputed in backward: for logits that are not a product of two matrices."""

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
    """`block(start, *rows[start:stop], *whole)` of every block of rows.

    Backward holds one block and one gradient of each input at a time. A matrix small enough is one block, whose graph
    is kept as usual.

    Args:
        block: function of nothing but its arguments; gives the same number of tensors each time, no views of a block.
        rows: tensors whose first dimension is the matrix's rows.
        whole: tensors every block needs in full.
        width: numbers that a row of the matrix takes.
        chunk: rows a block; None decides.

    Returns:
        What each block gave.
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
    """`by_rows` with its backward."""

    @staticmethod
    def forward(ctx: Any, block: Block, chunk: int, n_rows: int, *inputs: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(*inputs)
        ctx.block, ctx.chunk, ctx.n_rows = block, chunk, n_rows
        # Room for all results before the blocks: small tensors kept between large ones that come and go would break up
        # the heap, and the process would hold several times what it uses.
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
