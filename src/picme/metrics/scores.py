"""Alignment metrics for each modality or ordered pair, at several k, with their chance levels.

Where more stays take part than a gallery holds, galleries of that size are drawn and their scores averaged; queries and
candidates are the stays of the gallery.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from picme.errors import DataError
from picme.metrics.ranks import neighbourhoods, ranks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class Score:
    """Value of one metric at one k, from one modality (to another); the mean over them has neither source nor target.

    `value` and `chance` are None where fewer than two stays take part.
    """

    metric: str
    source: int | None
    target: int | None
    k: int
    candidates: int
    chance: float | None
    value: float | None


@dataclass(frozen=True)
class Setting:
    """Embeddings ready to be compared, and the way galleries are drawn.

    Attributes:
        raw: (modality, stay, dim) in double precision, zeros where absent.
        present: (stay, modality) bool.
        ks: values of k.
        gallery: most stays in a gallery; None for all.
        draws: number of galleries drawn where there are more.
        batch_size: stays of a training batch.
        seed: seed of the galleries and batches.
    """

    raw: Tensor
    present: Tensor
    ks: tuple[int, ...]
    gallery: int | None = None
    draws: int = 5
    batch_size: int = 32
    seed: int = 0
    unit: Tensor = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit", functional.normalize(self.raw, dim=-1))

    def galleries(self, stays: Tensor, *key: int) -> Iterator[Tensor]:
        """Yield the stays as they are, or `draws` galleries of them; `key` varies the draws between metrics."""
        if self.gallery is None or len(stays) <= self.gallery:
            yield stays
            return
        generator = np.random.default_rng([self.seed, *key])
        for _ in range(self.draws):
            yield stays[torch.from_numpy(generator.permutation(len(stays))[: self.gallery])]


def setting(
    embeddings: np.ndarray | Tensor,
    present: np.ndarray | Tensor | None,
    ks: tuple[int, ...],
    *,
    gallery: int | None = None,
    draws: int = 5,
    batch_size: int = 32,
    seed: int = 0,
) -> Setting:
    """Return the `Setting` of embeddings (modality, stay, dim) and presence (stay, modality).

    Raises:
        DataError: if the shapes do not fit.
    """
    raw = torch.as_tensor(np.asarray(embeddings.detach().cpu() if isinstance(embeddings, Tensor) else embeddings))
    if raw.ndim != 3 or raw.shape[0] < 2:
        raise DataError(f"embeddings must be (modality, stay, dim) of two modalities or more, not {tuple(raw.shape)}")
    modalities, stays, _ = raw.shape
    if present is None:
        mask = torch.ones(stays, modalities, dtype=torch.bool)
    else:
        mask = torch.as_tensor(np.asarray(present.cpu() if isinstance(present, Tensor) else present, dtype=bool))
    if mask.shape != (stays, modalities):
        raise DataError(f"presence must be (stay, modality) = {(stays, modalities)}, not {tuple(mask.shape)}")
    raw = torch.where(mask.T[:, :, None], raw.double(), 0.0)
    return Setting(raw, mask, tuple(ks), gallery, draws, batch_size, seed)


def retrieval_scores(data: Setting) -> list[Score]:
    """Compute recall@k from each modality i to each j ≠ i, over the stays with both."""
    scores = []
    for i, j in combinations(range(len(data.raw)), 2):
        stays = (data.present[:, i] & data.present[:, j]).nonzero().squeeze(1)
        found = [ranks(data.unit[i, some], data.unit[j, some]) for some in data.galleries(stays, 0, i, j)]
        forward, backward = zip(*found, strict=True)
        scores += _recalls("retrieval", i, j, forward, len(forward[0]), data.ks)
        scores += _recalls("retrieval", j, i, backward, len(forward[0]), data.ks)
    return scores + _means(scores, data.ks)


def batch_scores(data: Setting) -> list[Score]:
    """Compute recall@k between each ordered pair within batches of training size, incomplete ones left out."""
    scores = []
    for i, j in combinations(range(len(data.raw)), 2):
        stays = (data.present[:, i] & data.present[:, j]).nonzero().squeeze(1)
        size = max(1, min(data.batch_size, len(stays)))
        generator = np.random.default_rng([data.seed, 1, i, j])
        order = stays[torch.from_numpy(generator.permutation(len(stays))[: len(stays) // size * size])]
        groups = order.view(-1, size)
        forward, backward = ranks(data.unit[i, groups], data.unit[j, groups])
        scores += _recalls("batch", i, j, [forward.flatten()], min(size, len(stays)), data.ks)
        scores += _recalls("batch", j, i, [backward.flatten()], min(size, len(stays)), data.ks)
    return scores + _means(scores, data.ks)


def ovo_scores(data: Setting) -> list[Score]:
    """Compute recall@k from each modality to the mean of the stay's others, over the stays that have it and another."""
    scores = []
    mixing = 1 - torch.eye(len(data.raw), dtype=data.raw.dtype)
    means = functional.normalize(torch.einsum("ij,jnd->ind", mixing, data.raw), dim=-1)
    for i in range(len(data.raw)):
        stays = (data.present[:, i] & (data.present.sum(1) >= 2)).nonzero().squeeze(1)
        found = [ranks(data.unit[i, some], means[i, some])[0] for some in data.galleries(stays, 2, i)]
        scores += _recalls("ovo", i, None, found, len(found[0]), data.ks)
    return scores + _means(scores, data.ks)


def neighbour_scores(data: Setting) -> list[Score]:
    """Compute `neighbour`, `cross_neighbour` and `same_modality_share` from the k nearest of all embeddings.

    The mean is over all queries, which are the embeddings whose stay has another modality.
    """
    stays = data.present.any(1).nonzero().squeeze(1)
    drawn = [neighbourhoods(data.unit[:, some], data.present[some], data.ks) for some in data.galleries(stays, 3)]
    modality = torch.cat([each.modality for each in drawn])
    partners = torch.cat([each.partners for each in drawn])
    own = torch.cat([each.own for each in drawn])
    total = torch.cat([torch.full_like(each.modality, each.total - 1) for each in drawn])
    rank = torch.cat([each.rank for each in drawn])
    cross_rank = torch.cat([each.cross_rank for each in drawn])
    share = torch.cat([each.share for each in drawn])
    scores = []
    for source in [*range(len(data.raw)), None]:
        chosen = torch.ones_like(modality, dtype=torch.bool) if source is None else modality == source
        if len(stays) < 2:
            chosen = torch.zeros_like(chosen)
        for place, k in enumerate(data.ks):
            for metric, values, candidates, chance in (
                ("neighbour", rank < k, total, _chance_of_any(total, partners, k)),
                ("cross_neighbour", cross_rank < k, total - own, _chance_of_any(total - own, partners, k)),
                ("same_modality_share", share[:, place], total, own / total),
            ):
                mean = [_mean(each[chosen]) for each in (candidates, chance, values)]
                scores.append(Score(metric, source, None, k, round(mean[0] or 0), mean[1], mean[2]))
    return scores


def _mean(values: Tensor) -> float | None:
    return float(values.double().mean()) if len(values) else None


def _chance_of_any(candidates: Tensor, right: Tensor, k: int) -> Tensor:
    """Return the chance (query,) that k of the candidates, drawn at random, hold one of the right ones."""
    # Each distinct kind of query is computed once; the base exceeds any number of modalities.
    base = 1000
    kinds, place = (candidates * base + right).unique(return_inverse=True)
    drawn = [(kind // base, kind % base) for kind in kinds.tolist()]
    chances = [1 - math.comb(n - r, k) / math.comb(n, k) if n > k else 1.0 for n, r in drawn]
    return torch.tensor(chances, dtype=torch.float64)[place]


def _recalls(
    metric: str, source: int, target: int | None, drawn: Sequence[Tensor], candidates: int, ks: tuple[int, ...]
) -> list[Score]:
    """Compute recall at each k from the ranks of one or more galleries of equal size."""
    rank = torch.cat(list(drawn))
    if candidates < 2:
        return [Score(metric, source, target, k, candidates, None, None) for k in ks]
    return [
        Score(metric, source, target, k, candidates, min(1.0, k / candidates), float((rank < k).double().mean()))
        for k in ks
    ]


def _means(scores: list[Score], ks: tuple[int, ...]) -> list[Score]:
    """Compute the mean over sources and targets at each k, of those that are defined."""
    means = []
    for k in ks:
        some = [score for score in scores if score.k == k and score.value is not None]
        candidates, chance, value = (
            float(np.mean([getattr(score, name) for score in some])) if some else None
            for name in ("candidates", "chance", "value")
        )
        means.append(Score(scores[0].metric, None, None, k, round(candidates or 0), chance, value))
    return means
