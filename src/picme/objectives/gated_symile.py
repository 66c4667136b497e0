"""Gated Symile: the multilinear inner product, in which a stay's unreliable or absent modalities become neutral."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Unpack

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from picme.objectives.base import Info, Objective, Options, report
from picme.objectives.by_rows import by_rows
from picme.objectives.infonce import both_directions
from picme.objectives.similarity import unit, without_absent
from picme.objectives.weights import mixture

if TYPE_CHECKING:
    from collections.abc import Sequence

GATE_TEMPERATURE, WARMEST = 0.7, 0.1  # at the start T = log(1 + 0.7) + 0.1
GATE_STRENGTH = -3.0  # at the start α = σ(−3) = 0.05: nearly Symile
FLOOR = 1e-12  # least squared length: at 0 the slope of the square root is infinite


class GatedSymile(Objective):
    """Symile with gates that draw a stay's factors towards learnt neutral directions, candidate by candidate.

    1/K Σ_t mean_k −log softmax_n(s_t(k, n) / τ)[k],  s_t(k, n) = dim^{(K−2)/2} ⟨x_n^t, ∏_{m≠t} g_kn^m⟩

    g_kn^m = unit((1 − α) x_k^m + α (w x_k^m + (1 − w) η^m)),
    w = σ(cos(Q_t x_n^t, K_m x_k^m) / T) · (1 − σ((null(x_n^t) + b_t) / T))

    Candidates n are other stays' modality t. η^m is the neutral direction of modality m (of unit length), null a small
    network whose output closes all gates of a candidate, α the gate's strength and T its temperature; all are trained
    with Q, K and b. Rheude et al. 2026 (arXiv 2604.05834), with the constants of the authors' code.

    What differs from that code: an absent modality is η^m itself (its gate is closed); candidates are all stays of the
    batch that have modality t and another one, not a sample of 128; the power of dim is that of `Symile`, smaller by
    1/2; K is any number; two modalities are `InfoNCE` without gates, because no third could do without a closed
    one. The penalty on the distance between gated and raw embeddings in later versions of the code is left out.

    A modality with fewer than two stays that have it and another one drops out of the mean over t.

    Args:
        n_modalities: K.
        embed_dim: size of the embeddings.
        hidden: size of queries and keys, and units of the null network.
        **options: see `picme.objectives.base.Objective`.

    Inputs:
        embeddings (K, batch, dim); present (batch, K) bool or None.

    Example:
        >>> objective = GatedSymile(n_modalities=3, embed_dim=256)
        >>> embeddings = torch.randn(3, 64, 256, requires_grad=True)
        >>> loss, info = objective(embeddings)
        >>> loss.backward()
    """

    takes_embed_dim: ClassVar[bool] = True

    def __init__(
        self, n_modalities: int = 3, embed_dim: int = 256, hidden: int = 256, **options: Unpack[Options]
    ) -> None:
        super().__init__(n_modalities, **options)
        if n_modalities == 2:
            return
        self.embed_dim = embed_dim
        bound = 1 / math.sqrt(embed_dim)
        self.queries = nn.Parameter(torch.empty(n_modalities, embed_dim, hidden).uniform_(-bound, bound))
        self.keys = nn.Parameter(torch.empty(n_modalities, embed_dim, hidden).uniform_(-bound, bound))
        self.neutral = nn.Parameter(unit(torch.randn(n_modalities, embed_dim)))
        self.null = nn.Sequential(
            nn.LayerNorm(embed_dim), nn.Linear(embed_dim, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )
        self.null_bias = nn.Parameter(torch.zeros(n_modalities))
        self.gate_temperature = nn.Parameter(torch.tensor(math.log(GATE_TEMPERATURE)))
        self.gate_strength = nn.Parameter(torch.tensor(GATE_STRENGTH))

    def evaluate(self, embeddings: Tensor, present: Tensor | None) -> tuple[Tensor, Info]:  # noqa: D102
        if self.n_modalities == 2:
            terms, count = both_directions(embeddings, present, self.scale(embeddings.dtype), self.chunk)
            counts = count.expand(2)
        else:
            vectors, parts = unit(without_absent(embeddings, present)), []
            for target in range(self.n_modalities):
                taking = slice(None) if present is None else present[:, target] & (present.sum(1) >= 2)
                parts.append(vectors[:, taking])
            terms = torch.stack([self._term(part, target) for target, part in enumerate(parts)])
            counts = torch.tensor([part.shape[1] for part in parts], device=terms.device)
        weights = mixture(None, counts >= 2, terms.dtype)
        return weights @ terms, report(terms, weights, counts)

    def match_scores(self, stays: Tensor, candidates: Tensor, target: int) -> Tensor:
        """Return s_t(stay, candidate) of the class's formula; for two modalities, the cosine.

        An absent modality of a stay is a row of zeros. Shapes are those of `Objective.match_scores`.
        """
        stays, candidates = unit(stays), unit(candidates)
        if self.n_modalities == 2:
            return stays[1 - target] @ candidates.T
        rows, whole = self._inputs(stays, candidates, target)
        return _scores(*rows, *whole) * math.sqrt(candidates.shape[1]) ** (self.n_modalities - 2)

    def restricted(self, members: Sequence[int]) -> dict[str, Tensor]:
        """Return the parameters for a subset of the modalities: of those of each modality, its members'."""
        values: dict[str, Tensor] = dict(self.named_parameters())
        own = ("queries", "keys", "neutral", "null_bias") if self.n_modalities > 2 else ()
        return values | {name: values[name][list(members)] for name in own}

    def _term(self, stays: Tensor, target: int) -> Tensor:
        """Compute the term of one modality from the unit vectors (modality, stay, dim) of the stays that have it."""
        count, dim = stays.shape[1:]
        scale = self.scale(stays.dtype) * math.sqrt(dim) ** (self.n_modalities - 2)
        if count < 2:
            return (stays.sum() + sum(each.sum() for each in self.parameters())) * 0.0
        rows, whole = self._inputs(stays, stays[target], target)
        width = count * 2**self.n_modalities
        return torch.cat([part for (part,) in by_rows(_losses, rows, [*whole, scale], width, self.chunk)]).mean()

    def _inputs(self, stays: Tensor, candidates: Tensor, target: int) -> tuple[list[Tensor], list[Tensor]]:
        """Return what `_scores` takes of each stay, and of all candidates, from unit vectors."""
        others = [index for index in range(self.n_modalities) if index != target]
        vectors = stays[others].transpose(0, 1)
        temperature = functional.softplus(self.gate_temperature.to(vectors)) + WARMEST
        keys = unit(torch.einsum("nod,odh->noh", vectors, self.keys[others].to(vectors))) / temperature
        queries = unit(candidates @ self.queries[target].to(candidates))
        network = {name: value.to(candidates) for name, value in self.null.named_parameters()}
        null = functional_call(self.null, network, (candidates,)).squeeze(1) + self.null_bias[target].to(candidates)
        neutral = unit(self.neutral[others].to(vectors))
        strength = self.gate_strength.to(vectors).sigmoid()
        return [vectors, keys], [candidates, queries, (-null / temperature).sigmoid(), neutral, strength]


def _gates(keys: Tensor, queries: Tensor, opened: Tensor) -> Tensor:
    """Return w (stay, other modality, candidate) of keys (stay, other, hidden) over T and queries (candidate, hidden).

    `opened` (candidate,) is the probability that a candidate is not null.
    """
    return torch.einsum("noh,ch->noc", keys, queries).sigmoid() * opened


def _scores(
    vectors: Tensor,
    keys: Tensor,
    candidates: Tensor,
    queries: Tensor,
    opened: Tensor,
    neutral: Tensor,
    strength: Tensor,
) -> Tensor:
    """Return ⟨x_n^t, ∏ g_kn^m⟩ (stay, candidate).

    Each g is a x + b η with numbers a and b for each pair of stay and candidate. Multiplied out, the product is 2^{K−1}
    products of matrices; an array (stay, candidate, dim) is never made.

    Args:
        vectors: (stay, other modality, dim), unit length, zeros where absent.
        keys: (stay, other, hidden).
        candidates: (candidate, dim), unit length.
        queries: (candidate, hidden).
        opened: (candidate,).
        neutral: (other, dim), unit length.
        strength: α.
    """
    drawn = strength * (1 - _gates(keys, queries, opened))
    drawn = torch.where((vectors == 0).all(2)[:, :, None], 1.0, drawn)
    overlap = (vectors * neutral).sum(2)[:, :, None]
    squared = (1 - drawn).square() + drawn.square() + 2 * drawn * (1 - drawn) * overlap
    length = squared.clamp_min(FLOOR).sqrt()
    kept, added = (1 - drawn) / length, drawn / length
    one = vectors.new_ones(())
    products = [(one, one)]
    for other in range(vectors.shape[1]):
        factors = ((kept[:, other], vectors[:, other]), (added[:, other], neutral[other]))
        products = [(number * a, product * x) for number, product in products for a, x in factors]
    return torch.stack([number * (product @ candidates.T) for number, product in products]).sum(0)


def _losses(start: int, *inputs: Tensor) -> tuple[Tensor]:
    """Compute −log softmax of some stays' scores at their own candidates; the last input is the scale."""
    logits = _scores(*inputs[:-1]) * inputs[-1]
    return (logits.logsumexp(1) - logits.diagonal(start),)
