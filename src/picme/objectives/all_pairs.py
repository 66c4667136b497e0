"""InfoNCE averaged over all pairs of modalities."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Unpack

import torch
from torch import Tensor, nn

from picme.objectives.base import Info, Objective, Options, report
from picme.objectives.chunked import contrast
from picme.objectives.similarity import unit, without_absent
from picme.objectives.weights import divergence, mixture

if TYPE_CHECKING:
    from collections.abc import Sequence


class AllPairs(Objective):
    """Mean of `InfoNCE` over the K(K−1)/2 pairs of modalities.

    Σ_{i<j} w_ij InfoNCE(x^i, x^j) + β KL(w‖uniform)

    with w uniform, or the softmax of trained logits (as the code of arXiv 2507.03165 has it). A pair's candidates are
    the stays that have both; a pair with fewer than two drops out and w is renormalised over the rest.

    Args:
        n_modalities: K.
        weighted: train the pairs' weights.
        kl: β.
        **options: see `picme.objectives.base.Objective`.

    Inputs:
        embeddings (K, batch, dim); present (batch, K) bool or None.

    Example:
        >>> objective = AllPairs(n_modalities=3)
        >>> embeddings = torch.randn(3, 64, 256, requires_grad=True)
        >>> loss, info = objective(embeddings)
        >>> loss.backward()
    """

    def __init__(
        self, n_modalities: int = 3, weighted: bool = False, kl: float = 1.0, **options: Unpack[Options]
    ) -> None:
        super().__init__(n_modalities, **options)
        self.pairs = list(combinations(range(n_modalities), 2))
        self.kl = kl
        self.weight_logits = nn.Parameter(torch.zeros(len(self.pairs))) if weighted else None

    def evaluate(self, embeddings: Tensor, present: Tensor | None) -> tuple[Tensor, Info]:  # noqa: D102
        vectors = unit(without_absent(embeddings, present))
        valid = None if present is None else torch.stack([present[:, i] & present[:, j] for i, j in self.pairs])
        rows, columns = contrast(
            vectors, vectors, self.scale(embeddings.dtype), self.pairs, valid, both=True, chunk=self.chunk
        )
        terms = (rows + columns) / 2
        counts = torch.full_like(terms, vectors.shape[1]) if valid is None else valid.sum(1)
        weights = mixture(self.weight_logits, counts >= 2, terms.dtype)
        loss = weights @ terms
        if self.weight_logits is not None and self.kl:
            loss = loss + self.kl * divergence(weights)
        return loss, report(terms * (weights > 0), weights, counts)

    def restricted(self, members: Sequence[int]) -> dict[str, Tensor]:
        """Return the parameters for a subset of the modalities: of the weights' logits those of its pairs."""
        values: dict[str, Tensor] = dict(self.named_parameters())
        if self.weight_logits is None:
            return values
        pairs = [self.pairs.index((min(pair), max(pair))) for pair in combinations(members, 2)]
        return values | {"weight_logits": self.weight_logits[pairs]}

    def weight_parameters(self) -> list[nn.Parameter]:  # noqa: D102
        return [] if self.weight_logits is None else [self.weight_logits]
