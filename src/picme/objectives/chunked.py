"""Contrastive terms of many pairs of matrices at once, computed in blocks with a backward pass of their own.

Let E = exp(L Rᵀ / τ), L and R of unit length. One direction needs a block of rows of E only once: its sums are
complete, so the gradient (two more products) is computed in the forward pass and nothing of E is kept. Two directions
share E: its row sums normalise one, its column sums the other; the gradient has to wait for the last block, and E is
kept or, where it is too large, computed again. Logits lie between −1/τ and 1/τ, hence no maximum is subtracted; where
that span overflows single precision (τ < 1/70), the exponentials are in double precision.
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
    """Compute the InfoNCE terms of each pair: mean over valid k of −log softmax_m(left_k · right_m / τ)[k].

    Args:
        left: (a, batch, dim), unit length (zeros where invalid).
        right: (b, batch, dim), likewise.
        scale: 1/τ, a scalar with gradient.
        pairs: indices into `left` and `right` of each term.
        valid: (term, batch) bool: stays that count, as rows and as candidates; None for all.
        both: compute the other direction as well, with the softmax over the rows of `left`.
        chunk: rows per block; None takes small batches in one go and larger ones in blocks.

    Returns:
        (term,) from left to right, and from right to left (empty without `both`); 0 for a term without a valid stay.
    """
    if both:
        terms: tuple[Tensor, Tensor] = _BothDirections.apply(left, right, scale, valid, pairs, chunk)
        return terms
    rows: Tensor = _OneDirection.apply(left, right, scale, valid, pairs, chunk)
    return rows, rows.new_zeros(0)


class _OneDirection(torch.autograd.Function):
    """Autograd function of the terms from left to right; the forward pass computes the gradient as well."""

    @staticmethod
    def forward(
        ctx: Any,
        left: Tensor,
        right: Tensor,
        scale: Tensor,
        valid: Tensor | None,
        pairs: list[tuple[int, int]],
        chunk: int | None,
    ) -> Tensor:
        terms, batch, dim = len(pairs), left.shape[1], left.shape[2]
        factor, work = float(scale), _precision(left, scale)
        wanted = any(ctx.needs_input_grad[:3])
        sums, diagonal = left.new_zeros(terms, batch, dtype=work), left.new_zeros(terms, batch)
        grad_left, grad_right = (left.new_zeros(terms if wanted else 0, batch, dim) for _ in range(2))
        for which, rows in _blocks(terms, batch, chunk):
            a, b = _pick(left, pairs[which], 0)[:, rows], _pick(right, pairs[which], 1)
            block = _exponentials(a, b, factor, work, valid, which, None)
            torch.sum(block, 2, out=sums[which, rows])
            diagonal[which, rows] = (a * b[:, rows]).sum(2)
            if not wanted:
                continue
            # ∂term/∂logit_ij = E_ij / (sum_i) − [i = j], over the number of valid stays
            share = _over(None, sums[which, rows], None if valid is None else valid[which, rows])[..., None]
            if block.dtype != left.dtype:
                block, share = (block * share).to(left.dtype), (share > 0).to(left.dtype)
            own = 1 if valid is None else valid[which, rows, None]
            torch.mul(torch.bmm(block, b), share, out=grad_left[which, rows])
            grad_left[which, rows] -= own * b[:, rows]
            grad_right[which] += torch.bmm(block.transpose(1, 2), a * share)
            grad_right[which, rows] -= own * a
        count = _count(left, terms, valid)
        ctx.save_for_backward(left, right, scale, count, grad_left, grad_right)
        ctx.pairs = pairs
        return _mean(sums, diagonal, factor, valid, count)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        left, right, scale, count, for_left, for_right = ctx.saved_tensors
        grad_left, grad_right, grad_scale = torch.zeros_like(left), torch.zeros_like(right), torch.zeros_like(scale)
        for term, (i, j) in enumerate(ctx.pairs):
            weight = gradient[term] / count[term]
            grad_left[i].addcmul_(for_left[term], weight * scale)
            grad_right[j].addcmul_(for_right[term], weight * scale)
            grad_scale += weight * torch.dot(for_left[term].flatten(), left[i].flatten())
        return grad_left, grad_right, grad_scale, None, None, None


class _BothDirections(torch.autograd.Function):
    """Autograd function of the terms from left to right and from right to left."""

    @staticmethod
    def forward(
        ctx: Any,
        left: Tensor,
        right: Tensor,
        scale: Tensor,
        valid: Tensor | None,
        pairs: list[tuple[int, int]],
        chunk: int | None,
    ) -> tuple[Tensor, Tensor]:
        terms, batch = len(pairs), left.shape[1]
        factor, work = float(scale), _precision(left, scale)
        keep = any(ctx.needs_input_grad[:3]) and terms * batch * batch <= KEPT
        row_sums, column_sums = (left.new_zeros(terms, batch, dtype=work) for _ in range(2))
        diagonal = left.new_zeros(terms, batch)
        kept = []
        for which, rows in _blocks(terms, batch, chunk):
            a, b = _pick(left, pairs[which], 0)[:, rows], _pick(right, pairs[which], 1)
            block = _exponentials(a, b, factor, work, valid, which, rows)
            torch.sum(block, 2, out=row_sums[which, rows])
            column_sums[which] += block.sum(1)
            diagonal[which, rows] = (a * b[:, rows]).sum(2)
            if keep:
                kept.append(block)
        count = _count(left, terms, valid)
        ctx.save_for_backward(left, right, scale, valid, row_sums, column_sums, count, *kept)
        ctx.pairs, ctx.chunk = pairs, chunk
        rows_mean = _mean(row_sums, diagonal, factor, valid, count)
        return rows_mean, _mean(column_sums, diagonal, factor, valid, count)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_rows: Tensor, grad_columns: Tensor) -> tuple[Tensor | None, ...]:
        left, right, scale, valid, row_sums, column_sums, count, *kept = ctx.saved_tensors
        factor, terms, batch = float(scale), len(ctx.pairs), left.shape[1]
        # ∂loss/∂logit_ij = E_ij (by_row_i + by_column_j) − on_diagonal_i [i = j]
        by_row = _over(grad_rows / count, row_sums, valid)
        by_column = _over(grad_columns / count, column_sums, valid)
        on_diagonal = ((grad_rows + grad_columns) / count)[:, None].expand(terms, batch)
        if valid is not None:
            on_diagonal = on_diagonal * valid
        grad_left, grad_right, grad_scale = torch.zeros_like(left), torch.zeros_like(right), torch.zeros_like(scale)
        for number, (which, rows) in enumerate(_blocks(terms, batch, ctx.chunk)):
            pairs = ctx.pairs[which]
            a, b = _pick(left, pairs, 0)[:, rows], _pick(right, pairs, 1)
            block = kept[number] if kept else _exponentials(a, b, factor, row_sums.dtype, valid, which, rows)
            block = (by_row[which, rows, None] + by_column[which, None, :]).mul_(block).to(left.dtype)
            for_left, for_right = torch.bmm(block, b), torch.bmm(block.transpose(1, 2), a)
            own = on_diagonal[which, rows, None]
            for_left -= own * b[:, rows]
            for_right[:, rows] -= own * a
            grad_scale += (for_left * a).sum()
            for place, (i, j) in enumerate(pairs):
                grad_left[i, rows] += for_left[place]
                grad_right[j] += for_right[place]
        return grad_left.mul_(factor), grad_right.mul_(factor), grad_scale, None, None, None


def _precision(left: Tensor, scale: Tensor) -> torch.dtype:
    """Return the type that holds exp(±1/τ)."""
    return torch.float64 if float(scale) > (70 if left.dtype == torch.float32 else 300) else left.dtype


def _count(left: Tensor, terms: int, valid: Tensor | None) -> Tensor:
    """Return the number of valid stays of each term (term,), at least 1."""
    if valid is None:
        return left.new_full((terms,), left.shape[1])
    return valid.sum(1).to(left.dtype).clamp_min(1)


def _blocks(terms: int, batch: int, chunk: int | None) -> Iterator[tuple[slice, slice]]:
    """Yield slices of terms and of rows: everything at once where it is small, else one term's rows in blocks."""
    if chunk is None:
        if terms * batch * batch <= SMALL:
            yield slice(0, terms), slice(0, batch)
            return
        chunk = max(32, BLOCK // batch)
    for term in range(terms):
        for start in range(0, batch, chunk):
            yield slice(term, term + 1), slice(start, min(start + chunk, batch))


def _pick(stack: Tensor, pairs: list[tuple[int, int]], side: int) -> Tensor:
    """Return the matrices (term, batch, dim) of one side of some pairs, as a view where possible."""
    index = [pair[side] for pair in pairs]
    if len(index) == 1:
        return stack[index[0] : index[0] + 1]
    return stack if index == list(range(len(stack))) else stack[index]


def _exponentials(
    a: Tensor, b: Tensor, factor: float, work: torch.dtype, valid: Tensor | None, which: slice, rows: slice | None
) -> Tensor:
    """Return exp(a bᵀ / τ) of a block, zero in the columns of invalid stays and, if `rows` is given, in their rows."""
    block = torch.bmm(a * factor, b.transpose(1, 2)).to(work).exp_()
    if valid is not None:
        block *= valid[which, None, :]
        if rows is not None:
            block *= valid[which, rows, None]
    return block


def _mean(sums: Tensor, diagonal: Tensor, factor: float, valid: Tensor | None, count: Tensor) -> Tensor:
    """Return the mean over valid stays of log-sum-exp minus the positive's logit, (term,)."""
    if valid is None:
        return (sums.log().to(diagonal.dtype) - factor * diagonal).sum(1) / count
    logarithms = torch.where(valid, sums, 1).log().to(diagonal.dtype)
    return torch.where(valid, logarithms - factor * diagonal, 0).sum(1) / count


def _over(weight: Tensor | None, sums: Tensor, valid: Tensor | None) -> Tensor:
    """Return weight (term,), or 1 without it, over sums (term, batch); 0 for invalid stays, whose sum may be 0."""
    share = 1 / sums if weight is None else weight[:, None] / sums
    return share if valid is None else torch.where(valid, share, 0)
