"""Rank of the right candidate: the number of other candidates that are at least as near.

A tie counts as the worst rank, so a constant embedding finds nothing. Similarities are in double precision and tie
within 1e-9: the rounding of a product must not break a tie. NaN counts as nearer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TIE = 1e-9
BLOCK = 2**20  # similarities at a time: 8 MiB


def ranks(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Rank, for each stay k, the other side's vector of k among all of that side, from left to right and back.

    Args:
        left: unit vectors (stay, dim), or (batch, stay, dim) to compare within each batch.
        right: likewise, with the same stays.

    Returns:
        Two arrays of ranks, (stay,) or (batch, stay); 0 is best.
    """
    count = left.shape[-2]
    own = (left * right).sum(-1) - TIE
    rows = max(1, BLOCK // max(count, 1))
    forward, backward = [], torch.full(own.shape, -1)
    for start in range(0, count, rows):
        similarity = left[..., start : start + rows, :] @ right.transpose(-1, -2)
        forward.append((~(similarity < own[..., start : start + rows, None])).sum(-1) - 1)
        backward += (~(similarity < own[..., None, :])).sum(-2)
    return torch.cat(forward, -1) if forward else backward, backward


@dataclass
class Neighbourhood:
    """Surroundings of each query, that is, of each embedding whose stay has another modality.

    Attributes:
        modality: (query,) index of the query's modality.
        partners: (query,) number of other embeddings of its stay.
        own: (query,) number of other embeddings of its modality.
        rank: (query,) number of other stays' embeddings at least as near as the nearest one of its stay.
        cross_rank: the same without candidates of its own modality.
        share: (query, k) share of its own modality among the k nearest, ties in proportion.
        total: number of embeddings.
    """

    modality: Tensor
    partners: Tensor
    own: Tensor
    rank: Tensor
    cross_rank: Tensor
    share: Tensor
    total: int


def neighbourhoods(vectors: Tensor, present: Tensor, ks: tuple[int, ...]) -> Neighbourhood:
    """Describe the surroundings of every query among the embeddings of all stays and modalities, itself excluded.

    Args:
        vectors: unit vectors (modality, stay, dim).
        present: (stay, modality) bool.
        ks: numbers of nearest neighbours for `share`.
    """
    modalities, stays, _ = vectors.shape
    here = present.sum(1)
    modality, stay = (present & (here >= 2)[:, None]).T.nonzero(as_tuple=True)
    absent = ~present.T.flatten()
    points = vectors.flatten(0, 1)
    rank, cross, share = [], [], []
    rows = max(1, BLOCK // max(len(points), 1))
    for start in range(0, len(stay), rows):
        of, at = modality[start : start + rows], stay[start : start + rows]
        row = torch.arange(len(of))
        similarity = (vectors[of, at] @ points.T).masked_fill_(absent, -torch.inf)
        similarity[row, of * stays + at] = -torch.inf
        cube = similarity.view(len(of), modalities, stays)
        siblings = cube[row, :, at]
        best = siblings.amax(1, keepdim=True) - TIE
        # NaN counts as nearer; an absent embedding does not, because its −∞ is below every threshold.
        nearer = (~(cube < best[:, :, None])).sum(2) - (~(siblings < best)).long()
        rank.append(nearer.sum(1))
        cross.append(nearer.sum(1) - nearer[row, of])
        share.append(_shares(similarity, of, stays, ks))
    empty = torch.zeros(0, dtype=torch.long)
    return Neighbourhood(
        modality=modality,
        partners=here[stay] - 1,
        own=present.sum(0)[modality] - 1,
        rank=torch.cat(rank) if rank else empty,
        cross_rank=torch.cat(cross) if cross else empty,
        share=torch.cat(share) if share else torch.zeros(0, len(ks)),
        total=int(present.sum()),
    )


def _shares(similarity: Tensor, modality: Tensor, stays: int, ks: tuple[int, ...]) -> Tensor:
    """Return the share (query, k) of the query's modality among the k most similar, with ties in proportion."""
    available = int((similarity > -torch.inf).sum(1).min())
    nearest = similarity.topk(min(max(ks) + 1, similarity.shape[1]), 1)
    same = (nearest.indices // stays == modality[:, None]).double()
    columns = []
    for wanted in ks:
        k = min(wanted, available)
        share = same[:, :k].mean(1)
        tied = (nearest.values[:, k - 1] - nearest.values[:, min(k, nearest.values.shape[1] - 1)] <= TIE).nonzero()
        for row in tied.squeeze(1).tolist() if k < available else ():
            border, mine = nearest.values[row, k - 1], torch.arange(similarity.shape[1]) // stays == modality[row]
            above = similarity[row] > border + TIE
            level = (similarity[row] >= border - TIE) & ~above
            room = (k - above.sum()) / level.sum()
            share[row] = ((above & mine).sum() + room * (level & mine).sum()) / k
        columns.append(share)
    return torch.stack(columns, 1)
