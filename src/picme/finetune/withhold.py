"""Modalities that are withheld in training: from the stays of a batch anew, or from a training's stays for good."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Literal

import numpy as np

from picme.modalities.withheld import draws, kept
from picme.pretrain.features import open_encoded

if TYPE_CHECKING:
    from picme.engine.store import Store
    from picme.finetune.step import WithheldFinetune
    from picme.modalities.view import ViewData

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


def training_stays(step: WithheldFinetune, view: ViewData, store: Store) -> ViewData:
    """Return a view in which training and validation stays lack what the step withholds; test stays are as they are."""
    every = open_encoded(step.cell.prepare, step.cell.task.name, step.among, store)
    names = [one.modality for one in step.among]
    present = every.present(names)
    if step.withhold == "complete":
        mask = np.broadcast_to(present.all(axis=1, keepdims=True), present.shape).copy()
    else:
        # One draw for all seeds: their mean prediction shall not have seen what one of them has not.
        mask = kept(present, step.withhold, draws(view.cohort["subject_id"].to_list(), names, seed=0))
    mask[view.splits["test"]] = True
    return view.keeping({name: mask[:, place] for place, name in enumerate(names) if name in view.modalities})
