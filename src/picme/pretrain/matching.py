"""Recall by which pretraining is stopped and chosen: how often a stay's modalities find one another on validation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from picme.metrics.ranks import TIE
from picme.metrics.retrieval import retrieval

if TYPE_CHECKING:
    import numpy as np

    from picme.objectives import Objective

PUBLISHED_BATCH = 32
BLOCK = 2**20  # scores at a time: 8 MiB


def matches_itself(objective: Objective) -> bool:
    """Return whether an objective has its own score of candidates; otherwise the cosines of pairs are used."""
    from picme.objectives.base import Objective as Base

    return type(objective).match_scores is not Base.match_scores


def validation_recall(objective: Objective, embeddings: np.ndarray, present: np.ndarray, candidates: str) -> float:
    """Compute recall@5 among the candidates that `pretrain.validation` names.

    Args:
        objective: as `matching_recall` takes it.
        embeddings: (modality, stay, dim), raw.
        present: (stay, modality) bool.
        candidates: `split` for all stays, or `batches` for the mean over batches of 32 stays in their order; a last
            batch that is not full is left out unless it is the only one.
    """
    count = len(present)
    size = PUBLISHED_BATCH if candidates == "batches" and count > PUBLISHED_BATCH else count
    parts = [slice(start, start + size) for start in range(0, count - size + 1, size)]
    found = [matching_recall(objective, embeddings[:, part], present[part]) for part in parts]
    defined = [value for value in found if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan


@torch.no_grad()
def matching_recall(objective: Objective, embeddings: np.ndarray, present: np.ndarray, k: int = 5) -> float:
    """Compute recall@k by the objective's own score, the mean over the modalities that are looked for.

    Args:
        objective: its `match_scores` are used if it has its own; for all other objectives, `picme.align.retrieval`
            measures pairs by their cosine.
        embeddings: (modality, stay, dim), raw.
        present: (stay, modality) bool; an objective's own score uses complete stays only.
        k: how many of the best candidates count; a tie counts as the worst rank.

    Returns:
        A share between 0 and 1; NaN where fewer than two stays can be compared.
    """
    if not matches_itself(objective):
        return retrieval(embeddings, k=k, present=present)
    values = torch.from_numpy(embeddings[:, present.all(1)]).double()
    count = values.shape[1]
    if count < 2:
        return math.nan
    rows = max(1, BLOCK // count)
    found = 0
    for target in range(len(values)):
        for start in range(0, count, rows):
            scores = objective.match_scores(values[:, start : start + rows], values[target], target)
            assert scores is not None  # the function is called only where it has scores
            own = scores.diagonal(start)[:, None]
            # NaN counts as better.
            found += int(((~(scores < own - TIE)).sum(1) <= k).sum())
    return found / (len(values) * count)
