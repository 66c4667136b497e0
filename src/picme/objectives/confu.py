"""ConFu: pairs of modalities, and fused pairs of modalities against a third."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, ClassVar, Unpack

import torch
from torch import Tensor, nn

from picme.objectives.base import Info, Objective, Options, report
from picme.objectives.chunked import contrast
from picme.objectives.similarity import unit, without_absent
from picme.objectives.weights import mixture

if TYPE_CHECKING:
    from collections.abc import Sequence


class ConFu(Objective):
    """Mean of `InfoNCE` over the pairs of modalities, and over fused pairs against each third modality.

    (1 − φ) mean_{i<j} InfoNCE(x^i, x^j) + φ mean_{i<j, m∉{i,j}} InfoNCE(f_ij(x^i, x^j), x^m)

    where f_ij is a network of two layers for each pair, on both embeddings side by side. A fused pair can hold what
    neither modality says alone, such as an exclusive or; the terms of pairs keep every two modalities comparable.
    Koutoupis et al. 2025 (arXiv 2511.21331), with φ = 0.5 as in the authors' code.

    What differs from that code: the networks take the embeddings, at length √dim so that their numbers are about 1,
    instead of what precedes the encoders' projections, and have neither dropout nor a nonlinearity after their last
    layer; the loss is not halved; τ is trained. With more than three modalities every fused pair meets every modality
    outside it. For K = 2 nothing is fused and the loss is `InfoNCE`.

    A term's candidates are the stays that have all its modalities; a term with fewer than two drops out of its mean,
    and the other mean counts alone if all of one have dropped out.

    Args:
        n_modalities: K.
        embed_dim: size of the embeddings.
        hidden: units of the fusing networks.
        fused: φ.
        **options: see `picme.objectives.base.Objective`.

    Inputs:
        embeddings (K, batch, dim); present (batch, K) bool or None.

    Example:
        >>> objective = ConFu(n_modalities=3, embed_dim=256)
        >>> embeddings = torch.randn(3, 64, 256, requires_grad=True)
        >>> loss, info = objective(embeddings)
        >>> loss.backward()
    """

    takes_embed_dim: ClassVar[bool] = True

    def __init__(
        self,
        n_modalities: int = 3,
        embed_dim: int = 256,
        hidden: int = 256,
        fused: float = 0.5,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(n_modalities, **options)
        self.fused = fused
        self.pairs = list(combinations(range(n_modalities), 2))
        # Places of the fused pairs follow those of the modalities.
        self.terms = self.pairs + [
            (n_modalities + place, third)
            for place, pair in enumerate(self.pairs)
            for third in range(n_modalities)
            if third not in pair
        ]
        if n_modalities == 2:
            return
        self.embed_dim = embed_dim
        count, wide, narrow = len(self.pairs), 1 / math.sqrt(2 * embed_dim), 1 / math.sqrt(hidden)
        self.first = nn.Parameter(torch.empty(count, 2, embed_dim, hidden).uniform_(-wide, wide))
        self.first_bias = nn.Parameter(torch.zeros(count, hidden))
        self.second = nn.Parameter(torch.empty(count, hidden, embed_dim).uniform_(-narrow, narrow))
        self.second_bias = nn.Parameter(torch.zeros(count, embed_dim))

    def evaluate(self, embeddings: Tensor, present: Tensor | None) -> tuple[Tensor, Info]:  # noqa: D102
        vectors = unit(without_absent(embeddings, present))
        left = vectors
        if self.n_modalities > 2:
            left = torch.cat([vectors, self._fuse(vectors, range(len(self.pairs)))])
        valid = None if present is None else self._valid(present)
        rows, columns = contrast(
            left, vectors, self.scale(embeddings.dtype), self.terms, valid, both=True, chunk=self.chunk
        )
        terms = (rows + columns) / 2
        counts = torch.full_like(terms, vectors.shape[1]) if valid is None else valid.sum(1)
        plain = torch.arange(len(self.terms), device=terms.device) < len(self.pairs)
        weights = (1 - self.fused) * mixture(None, (counts >= 2) & plain, terms.dtype)
        weights = weights + self.fused * mixture(None, (counts >= 2) & ~plain, terms.dtype)
        weights = weights / weights.sum().clamp_min(torch.finfo(terms.dtype).tiny)
        return weights @ terms, report(terms * (weights > 0), weights, counts)

    def match_scores(self, stays: Tensor, candidates: Tensor, target: int) -> Tensor:
        """Return the mean cosine of each candidate with the fused pairs of a stay's other modalities.

        For two modalities it is the cosine with the other one. Shapes are those of `Objective.match_scores`.
        """
        if self.n_modalities == 2:
            return unit(stays[1 - target]) @ unit(candidates).T
        without = [place for place, pair in enumerate(self.pairs) if target not in pair]
        return self._fuse(unit(stays), without).mean(0) @ unit(candidates).T

    def restricted(self, members: Sequence[int]) -> dict[str, Tensor]:
        """Return the parameters for a subset of the modalities: the networks of its pairs."""
        values: dict[str, Tensor] = dict(self.named_parameters())
        if self.n_modalities == 2:
            return values
        pairs = list(combinations(members, 2))
        places = [self.pairs.index((min(pair), max(pair))) for pair in pairs]
        sides = torch.tensor([[0, 1] if first < second else [1, 0] for first, second in pairs])
        own = {name: values[name][places] for name in ("first", "first_bias", "second", "second_bias")}
        return values | own | {"first": own["first"][torch.arange(len(pairs))[:, None], sides]}

    def _fuse(self, vectors: Tensor, places: Sequence[int]) -> Tensor:
        """Return the fused unit vectors (pair, stay, dim) of some pairs of unit vectors (modality, stay, dim)."""
        of, places = [self.pairs[place] for place in places], list(places)
        vectors = vectors * math.sqrt(vectors.shape[2])
        first, first_bias, second, second_bias = (
            each[places].to(vectors) for each in (self.first, self.first_bias, self.second, self.second_bias)
        )
        inner = vectors[[one for one, _ in of]] @ first[:, 0] + vectors[[other for _, other in of]] @ first[:, 1]
        return unit((inner + first_bias[:, None]).relu() @ second + second_bias[:, None])

    def _valid(self, present: Tensor) -> Tensor:
        """Return which stays have all modalities of each term (term, batch)."""
        both = torch.stack([present[:, i] & present[:, j] for i, j in self.pairs], 1)
        known = torch.cat([present, both], 1)
        return torch.stack([known[:, left] & present[:, right] for left, right in self.terms])
