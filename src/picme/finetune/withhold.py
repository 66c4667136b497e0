"""Modalities that are withheld from the stays of a batch, and the subsets by which such a training is judged."""

from __future__ import annotations

import random
from typing import Literal

import numpy as np

# Most subsets that a training is validated on: all of five modalities, a sample of more.
VALIDATED = 31


def keep(
    present: np.ndarray, withhold: Literal["uniform"] | float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw what each stay keeps of its modalities, and more of them that holds it; one at least is always kept.

    Args:
        present: (stay, modality) bool.
        withhold: `uniform` draws the number withheld, from none to all but one; a rate withholds each by itself.
        generator: gives what is drawn.

    Returns:
        Two masks (stay, modality) bool, the first within the second, the second within `present`. How many the second
        holds is uniform from those of the first to all.
    """
    score = np.where(present, generator.random(present.shape), -1.0)
    place = (-score).argsort(axis=1).argsort(axis=1)
    count = present.sum(axis=1)
    drawn = generator.random((2, len(count)))
    if withhold == "uniform":
        fewer = count - (drawn[0] * count).astype(int)
    else:
        fewer = np.minimum(count, np.maximum((score >= withhold).sum(axis=1), 1))
    more = fewer + (drawn[1] * (count - fewer + 1)).astype(int)
    return place < fewer[:, None], place < more[:, None]


def validation_subsets(count: int) -> np.ndarray:
    """Return the subsets of `count` modalities that a training is validated on, (subset, modality) bool.

    They are all that are not empty, or always the same sample of `VALIDATED` where there are more.
    """
    every = range(1, 2**count)
    chosen = every if len(every) <= VALIDATED else sorted(random.Random(0).sample(every, VALIDATED))
    return np.array([[number >> place & 1 for place in range(count)] for number in chosen], dtype=bool)
