"""Contrastive terms of many pairs of matrices at once, in blocks, with a backward of their own.

With E = exp(L Rᵀ / τ), L and R of unit length, the two directions of a pair share E: its row sums normalise one, its
column sums the other. The gradient needs nothing but E, those sums, L and R. So the forward pass does one matrix
product, one exponential and two sums, block by block; the backward pass two products, and a third if E was too
large to keep. Logits lie between −1/τ and 1/τ, hence no maximum is subtracted; where that span overflows single
precision (τ < 1/70), the exponentials are in double.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = 2**21  # logits up to which all pairs are one batched product
BLOCK = 2**22  # logits of a block beyond it: 16 MiB, few enough blocks that threads seldom wait for one another
KEPT = 2**26  # logits that are kept for backward: 256 MiB, the matrices of one pair of 8,192 or four of 4,096


def contrast(
    left: Tensor,
    right: Tensor,
    scale: Tensor,
    pairs: list[tuple[int, int]],
    valid: Tensor | None = None,
    *,
    both: bool = False,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """InfoNCE terms of each pair: mean over valid k of −log softmax_m(left_k · right_m / τ)[k].

    Args:
        left: (a, batch, dim), unit length (zeros where invalid).
        right: (b, batch, dim), likewise.
        scale: 1/τ, a scalar with gradient.
        pairs: indices into `left` and `right` of each term.
        valid: (term, batch) bool: stays that count, as rows and as candidates; None for all.
        both: also the other direction, softmax over the rows of `left`.
        chunk: rows a block; None decides: small batches in one go, larger ones in blocks.

    Returns:
        (term,) from left to right, and from right to left (empty without `both`); 0 for a term without a valid stay.
    """
    terms: tuple[Tensor, Tensor] = _Contrast.apply(left, right, scale, valid, pairs, both, chunk)
    return terms


class _Contrast(torch.autograd.Function):
    """`contrast` with its backward; see the module."""

    @staticmethod
    def forward(
        ctx: Any,
        left: Tensor,
        right: Tensor,
        scale: Tensor,
        valid: Tensor | None,
        pairs: list[tuple[int, int]],
        both: bool,
        chunk: int | None,
    ) -> tuple[Tensor, Tensor]:
        terms, batch = len(pairs), left.shape[1]
        factor = float(scale)
        span = 70 if left.dtype == torch.float32 else 300
        work = torch.float64 if factor > span else left.dtype
        keep = any(ctx.needs_input_grad[:3]) and terms * batch * batch <= KEPT
        row_sums = left.new_zeros(terms, batch, dtype=work)
        column_sums = left.new_zeros(terms if both else 0, batch, dtype=work)
        diagonal = left.new_zeros(terms, batch)
        kept = []
        for which, rows in _blocks(terms, batch, chunk):
            a, b = _pick(left, pairs[which], 0)[:, rows], _pick(right, pairs[which], 1)
            block = _exponentials(a, b, factor, work, valid, which, rows if both else None)
            torch.sum(block, 2, out=row_sums[which, rows])
            if both:
                column_sums[which] += block.sum(1)
            diagonal[which, rows] = (a * b[:, rows]).sum(2)
            if keep:
                kept.append(block)
        count = torch.full((terms,), batch, dtype=left.dtype) if valid is None else valid.sum(1).to(left.dtype)
        count = count.to(left.device).clamp_min(1)
        ctx.save_for_backward(left, right, scale, valid, row_sums, column_sums, count, *kept)
        ctx.pairs, ctx.both, ctx.chunk, ctx.work = pairs, both, chunk, work
        rows_mean = _mean(row_sums, diagonal, factor, valid, count)
        return rows_mean, _mean(column_sums, diagonal, factor, valid, count) if both else rows_mean.new_zeros(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_rows: Tensor, grad_columns: Tensor) -> tuple[Tensor | None, ...]:
        left, right, scale, valid, row_sums, column_sums, count, *kept = ctx.saved_tensors
        factor, dtype = float(scale), left.dtype
        terms, batch = len(ctx.pairs), left.shape[1]
        # ∂loss/∂logit_ij = E_ij (by_row_i + by_column_j) − on_diagonal_i [i = j]
        by_row = _over(grad_rows, count, row_sums, valid)
        by_column = _over(grad_columns, count, column_sums, valid) if ctx.both else None
        on_diagonal = (((grad_rows + grad_columns) if ctx.both else grad_rows) / count)[:, None].expand(terms, batch)
        if valid is not None:
            on_diagonal = on_diagonal * valid
        grad_left, grad_right = torch.zeros_like(left), torch.zeros_like(right)
        grad_scale = left.new_zeros(())
        for number, (which, rows) in enumerate(_blocks(terms, batch, ctx.chunk)):
            pairs = ctx.pairs[which]
            a, b = _pick(left, pairs, 0)[:, rows], _pick(right, pairs, 1)
            if kept:
                block = kept[number]
            else:
                block = _exponentials(a, b, factor, ctx.work, valid, which, rows if ctx.both else None)
            own, of_row = on_diagonal[which, rows, None], by_row[which, rows, None]
            weight: Tensor | int = 1
            if by_column is not None:
                block = (of_row + by_column[which, None, :]).mul_(block)
            elif block.dtype != dtype:
                block = block * of_row
            else:
                # Rows alone are scaled outside the products, which spares a pass over the block.
                weight = of_row
            block = block.to(dtype)
            for_left = torch.bmm(block, b) * weight
            for_right = torch.bmm(block.transpose(1, 2), a * weight)
            for_left -= own * b[:, rows]
            for_right[:, rows] -= own * a
            grad_scale += (for_left * a).sum()
            _add(grad_left, pairs, 0, rows, for_left)
            _add(grad_right, pairs, 1, slice(0, batch), for_right)
        return grad_left.mul_(factor), grad_right.mul_(factor), grad_scale.to(scale.dtype), None, None, None, None


def _blocks(terms: int, batch: int, chunk: int | None) -> Iterator[tuple[slice, slice]]:
    """Slices of terms and of rows: everything at once where it is small, else one term's rows in blocks."""
    if chunk is None:
        if terms * batch * batch <= SMALL:
            yield slice(0, terms), slice(0, batch)
            return
        chunk = max(32, BLOCK // batch)
    for term in range(terms):
        for start in range(0, batch, chunk):
            yield slice(term, term + 1), slice(start, min(start + chunk, batch))


def _pick(stack: Tensor, pairs: list[tuple[int, int]], side: int) -> Tensor:
    """The matrices (term, batch, dim) of one side of some pairs; a view where it can be."""
    index = [pair[side] for pair in pairs]
    if len(index) == 1:
        return stack[index[0] : index[0] + 1]
    return stack if index == list(range(len(stack))) else stack[index]


def _add(total: Tensor, pairs: list[tuple[int, int]], side: int, rows: slice, part: Tensor) -> None:
    """Adds each pair's part to its matrix; an index may occur in several pairs."""
    for number, pair in enumerate(pairs):
        total[pair[side], rows] += part[number]


def _exponentials(
    a: Tensor, b: Tensor, factor: float, work: torch.dtype, valid: Tensor | None, which: slice, rows: slice | None
) -> Tensor:
    """exp(a bᵀ / τ) of a block, zero in the columns of invalid stays, and in their rows where `rows` says which."""
    block = torch.bmm(a * factor, b.transpose(1, 2)).to(work).exp_()
    if valid is not None:
        block *= valid[which, None, :]
        if rows is not None:
            block *= valid[which, rows, None]
    return block


def _mean(sums: Tensor, diagonal: Tensor, factor: float, valid: Tensor | None, count: Tensor) -> Tensor:
    """Mean over valid stays of log-sum-exp minus the positive's logit, (term,)."""
    if valid is None:
        return (sums.log().to(diagonal.dtype) - factor * diagonal).sum(1) / count
    logarithms = torch.where(valid, sums, 1).log().to(diagonal.dtype)
    return torch.where(valid, logarithms - factor * diagonal, 0).sum(1) / count


def _over(gradient: Tensor, count: Tensor, sums: Tensor, valid: Tensor | None) -> Tensor:
    """gradient / (count · sums) as (term, batch), 0 where a stay is invalid and its sum may be 0."""
    share = (gradient / count)[:, None] / sums
    return share if valid is None else torch.where(valid, share, 0)
