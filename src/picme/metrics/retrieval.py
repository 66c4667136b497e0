"""Alignment metrics as single numbers; `picme.align.alignment_table` has all of them in detail.

All take embeddings (modality, stay, dim), raw, and compare by cosine similarity. Ties count as the worst rank.

- `retrieval`: share of stays whose embedding in modality i finds the stay's own one in modality j among its k nearest
  candidates.
- `ovo`: the same from modality i to the mean of the stay's other modalities.
- `neighbour`: share of embeddings that have one of the same stay among their k nearest (themselves excluded) of all
  embeddings of all modalities. This is the sentence of arXiv 2507.03165. Expect about 0: embeddings of one modality lie
  together (the modality gap).
- `same_modality_share`: share of those k nearest that are of the same modality; it measures the modality gap.
- `batch`: retrieval within batches of training size, as that paper's released code measures; chance is k / batch size.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from picme.metrics.scores import Score, batch_scores, neighbour_scores, ovo_scores, retrieval_scores, setting

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Array = np.ndarray | Tensor

__all__ = ["batch", "neighbour", "ovo", "retrieval", "same_modality_share"]


def retrieval(
    embeddings: Array,
    k: int = 5,
    present: Array | None = None,
    gallery: int | None = None,
    draws: int = 5,
    seed: int = 0,
) -> float:
    """Compute recall@k from one modality to another, the mean over all ordered pairs.

    Args:
        embeddings: (modality, stay, dim).
        k: number of nearest candidates that count.
        present: (stay, modality) bool; a pair's queries and candidates are the stays that have both. None for all.
        gallery: most stays that are candidates; None for all. Chance is k / candidates.
        draws: galleries drawn and averaged where there are more stays.
        seed: seed of the draws.

    Returns:
        A share between 0 and 1; NaN where no pair has two stays.

    Raises:
        DataError: if the shapes do not fit.
    """
    return _overall(retrieval_scores(setting(embeddings, present, (k,), gallery=gallery, draws=draws, seed=seed)))


def ovo(
    embeddings: Array,
    k: int = 5,
    present: Array | None = None,
    gallery: int | None = None,
    draws: int = 5,
    seed: int = 0,
) -> float:
    """Compute recall@k from each modality to the mean of the stay's others (raw), the mean over modalities.

    Arguments and result are as in `retrieval`; a modality's queries and candidates are the stays that have it and
    another.
    """
    return _overall(ovo_scores(setting(embeddings, present, (k,), gallery=gallery, draws=draws, seed=seed)))


def neighbour(
    embeddings: Array,
    k: int = 5,
    cross: bool = False,
    present: Array | None = None,
    gallery: int | None = None,
    draws: int = 5,
    seed: int = 0,
) -> float:
    """Compute the share of embeddings whose k nearest, themselves excluded, hold one of the same stay.

    Arguments and result are as in `retrieval`; `cross` leaves candidates of the own modality out. Embeddings whose stay
    has no other modality are candidates, not queries.
    """
    scores = neighbour_scores(setting(embeddings, present, (k,), gallery=gallery, draws=draws, seed=seed))
    return _overall([score for score in scores if score.metric == ("cross_neighbour" if cross else "neighbour")])


def same_modality_share(
    embeddings: Array,
    k: int = 5,
    present: Array | None = None,
    gallery: int | None = None,
    draws: int = 5,
    seed: int = 0,
) -> float:
    """Compute the share of the own modality among the k nearest of all embeddings; arguments are as in `neighbour`."""
    scores = neighbour_scores(setting(embeddings, present, (k,), gallery=gallery, draws=draws, seed=seed))
    return _overall([score for score in scores if score.metric == "same_modality_share"])


def batch(embeddings: Array, k: int = 5, present: Array | None = None, batch_size: int = 32, seed: int = 0) -> float:
    """Compute recall@k within shuffled batches of `batch_size` stays, the mean over ordered pairs.

    The chance level is k / batch_size; the other arguments are as in `retrieval`.
    """
    return _overall(batch_scores(setting(embeddings, present, (k,), batch_size=batch_size, seed=seed)))


def _overall(scores: list[Score]) -> float:
    """Return the value of the row that holds the mean."""
    value = next(score.value for score in scores if score.source is None)
    return math.nan if value is None else value
