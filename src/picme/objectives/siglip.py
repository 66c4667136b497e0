"""SigLIP: a sigmoid loss in which every pair of stays is a binary classification of its own."""

from __future__ import annotations

from itertools import combinations
from typing import Any, Unpack

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from picme.objectives.base import Info, Objective, Options, report
from picme.objectives.chunked import BLOCK
from picme.objectives.similarity import unit, without_absent
from picme.objectives.weights import mixture


class SigLIP(Objective):
    """Pairwise sigmoid loss, averaged over the pairs of modalities.

    1/N Σ_k Σ_m −log σ(z_km (cos(x_k^i, x_m^j) / τ + b)),  z_km = 1 if k = m, else −1

    over the N stays that have both modalities of a pair; pairs with fewer than two drop out. Zhai et al. 2023 (arXiv
    2303.15343), which starts from τ = 1/10 and b = −10, so that the many negatives do not dominate the first steps.

    Args:
        n_modalities: K.
        bias: initial value of b, which is trained.
        **options: see `picme.objectives.base.Objective`.

    Inputs:
        embeddings (K, batch, dim); present (batch, K) bool or None.

    Example:
        >>> objective = SigLIP(n_modalities=3)
        >>> embeddings = torch.randn(3, 64, 256, requires_grad=True)
        >>> loss, info = objective(embeddings)
        >>> loss.backward()
    """

    def __init__(self, n_modalities: int = 2, bias: float = -10.0, **options: Unpack[Options]) -> None:
        options.setdefault("temperature", 0.1)
        super().__init__(n_modalities, **options)
        self.bias = nn.Parameter(torch.tensor(bias))
        self.pairs = list(combinations(range(n_modalities), 2))

    def evaluate(self, embeddings: Tensor, present: Tensor | None) -> tuple[Tensor, Info]:  # noqa: D102
        vectors = unit(without_absent(embeddings, present))
        valid = None if present is None else [present[:, i] & present[:, j] for i, j in self.pairs]
        loss, terms, counts = _Pairs.apply(
            vectors, self.scale(embeddings.dtype), self.bias.to(embeddings.dtype), self.pairs, valid, self.chunk
        )
        weights = mixture(None, counts >= 2, terms.dtype)
        return loss, report(terms * (weights > 0), weights, counts)


class _Pairs(torch.autograd.Function):
    """Autograd function of the mean over pairs of modalities.

    Each logit contributes to loss and gradient independently of the others, so one pass computes both.
    """

    @staticmethod
    def forward(
        ctx: Any,
        vectors: Tensor,
        scale: Tensor,
        bias: Tensor,
        pairs: list[tuple[int, int]],
        valid: list[Tensor] | None,
        chunk: int | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        counts = [vectors.shape[1]] * len(pairs) if valid is None else [int(mask.sum()) for mask in valid]
        used = max(sum(count >= 2 for count in counts), 1)
        wanted = any(ctx.needs_input_grad[:3])
        gradient, terms = torch.zeros_like(vectors), vectors.new_zeros(len(pairs))
        grad_scale, grad_bias = torch.zeros_like(scale), torch.zeros_like(bias)
        for place, ((i, j), count) in enumerate(zip(pairs, counts, strict=True)):
            if count < 2:
                continue
            stays = slice(None) if valid is None else valid[place]
            x, y = vectors[i][stays], vectors[j][stays]
            for_x, for_y = torch.zeros_like(x), torch.zeros_like(y)
            rows = chunk or max(32, BLOCK // count)
            for start in range(0, count, rows):
                part = x[start : start + rows]
                logits = torch.addmm(bias, part * scale, y.T)
                # −log σ(−l) = softplus(l) for all; −log σ(l) = softplus(l) − l for the positives.
                terms[place] += functional.softplus(logits).sum() - logits.diagonal(start).sum()
                if wanted:
                    slope = logits.sigmoid_()
                    slope.diagonal(start).sub_(1)
                    for_part = slope @ y
                    for_x[start : start + len(part)] = for_part
                    for_y.addmm_(slope.T, part)
                    grad_bias += slope.sum() / (count * used)
                    grad_scale += (for_part * part).sum() / (count * used)
            terms[place] /= count
            gradient[i][stays] += for_x * (scale / (count * used))
            gradient[j][stays] += for_y * (scale / (count * used))
        ctx.save_for_backward(gradient, grad_scale, grad_bias)
        numbers = torch.tensor(counts, device=vectors.device)
        ctx.mark_non_differentiable(terms, numbers)
        return terms.sum() / used, terms, numbers

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        gradient, grad_scale, grad_bias = ctx.saved_tensors
        return gradient * upstream, grad_scale * upstream, grad_bias * upstream, None, None, None
