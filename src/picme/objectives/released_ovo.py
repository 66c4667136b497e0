"""The loss that the published code calls OvO."""

from __future__ import annotations

from itertools import combinations
from typing import Unpack

import torch
from torch import Tensor, nn

from picme.objectives.base import Info, Objective, Options, report
from picme.objectives.chunked import contrast
from picme.objectives.similarity import unit, without_absent
from picme.objectives.weights import divergence, mixture


class ReleasedOvO(Objective):
    """The λ-weighted sum of one-direction pairwise terms that the code of arXiv 2507.03165 calls "ovo".

    Σ_i λ_i Σ_{j≠i} mean_k −log softmax_m(cos(x_k^i, x_m^j) / τ)[k] + β KL(λ‖uniform)

    It has no averaged "other": with uniform λ it is (K−1) times `AllPairs`. Kept so that runs of that code, which
    leaves τ fixed (`train_temperature=False`) and has β = 0, can be repeated and compared with `OneVersusOthers`.

    A pair's candidates are the stays that have both; pairs with fewer than two drop out of the inner sum, a modality
    without any such pair drops out of the outer one and λ is renormalised.

    Args:
        n_modalities: K.
        weighted: train λ.
        kl: β.
        **options: see `picme.objectives.base.Objective`.

    Inputs:
        embeddings (K, batch, dim); present (batch, K) bool or None.

    Example:
        >>> objective = ReleasedOvO(n_modalities=3)
        >>> embeddings = torch.randn(3, 64, 256, requires_grad=True)
        >>> loss, info = objective(embeddings)
        >>> loss.backward()
    """

    def __init__(
        self, n_modalities: int = 3, weighted: bool = True, kl: float = 0.0, **options: Unpack[Options]
    ) -> None:
        super().__init__(n_modalities, **options)
        self.pairs = list(combinations(range(n_modalities), 2))
        self.kl = kl
        self.weight_logits = nn.Parameter(torch.zeros(n_modalities)) if weighted else None

    def evaluate(self, embeddings: Tensor, present: Tensor | None) -> tuple[Tensor, Info]:  # noqa: D102
        vectors = unit(without_absent(embeddings, present))
        first, second = (torch.tensor(side, device=vectors.device) for side in zip(*self.pairs, strict=True))
        valid = None if present is None else (present[:, first] & present[:, second]).T.contiguous()
        rows, columns = contrast(
            vectors, vectors, self.scale(embeddings.dtype), self.pairs, valid, both=True, chunk=self.chunk
        )
        shared = torch.full_like(rows, vectors.shape[1]) if valid is None else valid.sum(1).to(rows.dtype)
        usable = (shared >= 2).to(rows.dtype)
        square = rows.new_zeros(self.n_modalities, self.n_modalities)
        terms = square.index_put((first, second), rows * usable).index_put((second, first), columns * usable).sum(1)
        # The count of a modality is that of its pair with the most stays.
        counts = square.index_put((first, second), shared).index_put((second, first), shared).amax(1)
        weights = mixture(self.weight_logits, counts >= 2, terms.dtype)
        loss = weights @ terms
        if self.weight_logits is not None and self.kl:
            loss = loss + self.kl * divergence(weights)
        return loss, report(terms, weights, counts)

    def weights(self) -> Tensor:
        """Return λ (modality,), adding up to 1, detached."""
        return super().weights() if self.weight_logits is None else self.weight_logits.detach().softmax(0)

    def weight_parameters(self) -> list[nn.Parameter]:  # noqa: D102
        return [] if self.weight_logits is None else [self.weight_logits]
