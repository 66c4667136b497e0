"""OvO: an objective that compares each modality with the mean of the others, with or without trained weights."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor, nn

from picme.objectives.base import Info, Objective, Options, report
from picme.objectives.chunked import contrast
from picme.objectives.infonce import both_directions
from picme.objectives.similarity import others, unit, without_absent
from picme.objectives.weights import divergence, mixture


class OneVersusOthers(Objective):
    """OvO loss: each modality against the mean of the others, in K terms instead of K(K−1)/2 pairs.

    Σ_i λ_i · mean_k −log softmax_m(cos(x_k^i, x̄_m^{¬i}) / τ)[k] + β KL(λ‖uniform)

    where x̄_k^{¬i} is the mean of the raw embeddings of stay k's other modalities; arXiv 2507.03165, equations 3–4, and
    5–6 with λ the softmax of trained logits, started uniform. Unless weights are trained, λ = 1/K. For K = 2 the loss
    equals `InfoNCE`.

    Term i runs over the stays that have modality i and at least one other; the same stays are its candidates, and the
    mean is over the others present. A modality with fewer than two such stays drops out and λ is renormalised.

    λ follows which modality is easiest to align; it is not a measure of clinical importance.

    Args:
        n_modalities: K.
        weighted: train λ.
        kl: β; has no effect on a uniform λ.
        **options: see `picme.objectives.base.Objective`.

    Inputs:
        embeddings (K, batch, dim), raw, because their lengths matter in the mean; present (batch, K) bool or None.

    Example:
        >>> objective = OneVersusOthers(n_modalities=5, weighted=True)
        >>> embeddings = torch.randn(5, 64, 256, requires_grad=True)
        >>> loss, info = objective(embeddings)
        >>> loss.backward()
    """

    def __init__(
        self, n_modalities: int = 3, weighted: bool = True, kl: float = 1.0, **options: Unpack[Options]
    ) -> None:
        super().__init__(n_modalities, **options)
        self.kl = kl
        self.weight_logits = nn.Parameter(torch.zeros(n_modalities)) if weighted else None

    def evaluate(self, embeddings: Tensor, present: Tensor | None) -> tuple[Tensor, Info]:  # noqa: D102
        if self.n_modalities == 2:
            terms, count = both_directions(embeddings, present, self.scale(embeddings.dtype), self.chunk)
            counts = count.expand(2)
        else:
            terms, counts = self._terms(embeddings, present)
        weights = mixture(self.weight_logits, counts >= 2, terms.dtype)
        loss = weights @ terms
        if self.weight_logits is not None and self.kl:
            loss = loss + self.kl * divergence(weights)
        return loss, report(terms * (weights > 0), weights, counts)

    def _terms(self, embeddings: Tensor, present: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compute the K terms and the number of stays in each."""
        clean = without_absent(embeddings, present)
        valid = None if present is None else (present & (present.sum(1, keepdim=True) >= 2)).T.contiguous()
        pairs = [(i, i) for i in range(self.n_modalities)]
        terms, _ = contrast(
            unit(clean), unit(others(clean)), self.scale(embeddings.dtype), pairs, valid, chunk=self.chunk
        )
        return terms, torch.full_like(terms, embeddings.shape[1]) if valid is None else valid.sum(1)

    def weights(self) -> Tensor:
        """Return λ (modality,), adding up to 1, detached."""
        return super().weights() if self.weight_logits is None else self.weight_logits.detach().softmax(0)

    def weight_parameters(self) -> list[nn.Parameter]:  # noqa: D102
        return [] if self.weight_logits is None else [self.weight_logits]
