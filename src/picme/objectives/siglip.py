"""Sigmoid pairs: every pair of stays is a yes-or-no question of its own."""

from __future__ import annotations

from itertools import combinations
from typing import Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional

from picme.objectives.base import Info, Objective, Options, report
from picme.objectives.by_rows import by_rows
from picme.objectives.similarity import unit, without_absent
from picme.objectives.weights import mixture


class SigLIP(Objective):
    """Pairwise sigmoid loss, averaged over the pairs of modalities.

    1/N Σ_k Σ_m −log σ(z_km (cos(x_k^i, x_m^j) / τ + b)),  z_km = 1 if k = m, else −1

    over the N stays that have both modalities of a pair; pairs with fewer than two drop out. Zhai et al. 2023 (arXiv
    2303.15343), which starts from τ = 1/10 and b = −10, so that the many negatives do not dominate the first steps.

    Args:
        n_modalities: K.
        bias: b at the start, trained.
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
        vectors = unit(without_absent(embeddings, present)).unbind()
        terms, counts = [], []
        for i, j in self.pairs:
            x, y = vectors[i], vectors[j]
            if present is not None:
                both = present[:, i] & present[:, j]
                x, y = x[both], y[both]
            counts.append(len(x))
            terms.append(self._pair(x, y) / max(len(x), 1))
        stacked = torch.stack(terms)
        numbers = torch.tensor(counts, device=stacked.device)
        weights = mixture(None, numbers >= 2, stacked.dtype)
        return weights @ stacked, report(stacked * (weights > 0), weights, numbers)

    def _pair(self, x: Tensor, y: Tensor) -> Tensor:
        """The sum over all stays k and m of two modalities' unit vectors (stay, dim)."""
        scale = self.scale()
        positives = ((x * y).sum(1) * scale + self.bias).sum()
        found = by_rows(_negatives, [x], [y, scale, self.bias], len(y), self.chunk)
        return torch.stack([part for (part,) in found]).sum() - positives


def _negatives(start: int, x: Tensor, y: Tensor, scale: Tensor, bias: Tensor) -> tuple[Tensor]:
    """Sum of −log σ(−l) = softplus(l) over all pairs; a positive's −log σ(l) is softplus(l) − l."""
    return (functional.softplus((x * scale) @ y.T + bias).sum(),)
