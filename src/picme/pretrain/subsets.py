"""Subsets of the modalities that the batches of a shared pretraining run over."""

from __future__ import annotations

from math import comb
from typing import Literal, NamedTuple

import numpy as np


class Draw(NamedTuple):
    """The stays of a batch and the modalities that it runs over.

    Attributes:
        rows: (stay,) row numbers.
        members: indices of the modalities, ascending.
    """

    rows: np.ndarray
    members: tuple[int, ...]


def draw_subsets(
    batches: list[np.ndarray], present: np.ndarray, subsets: Literal["by_size", "uniform"], seed: int, epoch: int
) -> list[Draw]:
    """Draw a subset for each batch of an epoch, and leave to the batch the stays with two of its modalities.

    A subset that fewer than two stays of the batch have two modalities of is drawn anew. What is drawn depends on the
    batches, the seed and the epoch alone.

    Args:
        batches: row numbers of two stays or more, each with at least two modalities.
        present: (stay, modality) bool.
        subsets: `by_size` draws a size from 2 to K, then one of the subsets of that size; `uniform` one of all subsets.
        seed: seed of the training.
        epoch: number of the epoch.
    """
    generator = np.random.default_rng(
        np.random.SeedSequence([seed, epoch, 1])
    )  # the batches are drawn from [seed, epoch]
    count = present.shape[1]
    sizes = np.arange(2, count + 1)
    shares = np.array([comb(count, int(size)) if subsets == "uniform" else 1 for size in sizes], dtype=float)
    shares /= shares.sum()
    found = []
    for rows in batches:
        taking = rows[:0]
        while len(taking) < 2:  # ends, since all modalities together suit every batch
            members = np.sort(generator.permutation(count)[: generator.choice(sizes, p=shares)])
            taking = rows[present[rows][:, members].sum(axis=1) >= 2]
        found.append(Draw(taking, tuple(members.tolist())))
    return found
