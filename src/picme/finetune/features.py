"""Summary features of a view's stays: the input of models without encoders, picme's own and others.

Series give statistics over the whole window and over its last quarter, tables their cells, texts and images the first
principal components of what the locked part of their encoder makes of them, and every modality whether it is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from picme.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from picme.modalities.view import ViewData

Learnt = dict[str, dict[str, np.ndarray]]
"""All that is learnt from training stays to summarise a modality, by modality and name."""


class Features(NamedTuple):
    """Summary features of stays, with the modality that each is of.

    Attributes:
        values: (stay, feature) float32, NaN where unknown.
        names: the names of the features, such as `labs: Lactate whole slope`.
        categorical: (feature,) bool, whether a feature is the number of a category.
        owner: (feature,) the place in the combination of the modality that a feature is of.
        blank: (feature,) what a feature is for a stay that lacks the modality.
    """

    values: np.ndarray
    names: tuple[str, ...]
    categorical: np.ndarray
    owner: np.ndarray
    blank: np.ndarray

    def of(self, rows: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """Return the features of rows that keep only some of their modalities, (row, modality) bool."""
        return np.where(kept[:, self.owner], self.values[rows], self.blank)


def learn(view: ViewData, combination: Sequence[str], train: np.ndarray) -> Learnt:
    """Return what training stays tell of how the modalities of a combination are summarised.

    Args:
        view: the stays.
        combination: the modalities.
        train: row numbers of the training stays; no other stay has any influence.
    """
    present = view.present(combination)
    having = {name: train[present[train, place]] for place, name in enumerate(combination)}
    return {name: view.modalities[name].learn_summary(rows) for name, rows in having.items()}


def features(view: ViewData, combination: Sequence[str], learnt: Mapping[str, Mapping[str, np.ndarray]]) -> Features:
    """Return the features of all stays of a view.

    Args:
        view: the stays.
        combination: the modalities.
        learnt: what `learn` returned of the training stays.

    Raises:
        TrainingError: if no modality of the combination has any.
    """
    there = presence(view, combination)
    found = [view.modalities[name].summary(learnt[name]) for name in combination]
    if not any(one.names for one in found):
        raise TrainingError(
            f"{'+'.join(combination)} has neither series, tables nor a locked encoder to make summary features of"
        )
    named = zip(combination, found, strict=True)
    made = Features(
        np.concatenate([*(one.values for one in found), there.values], axis=1),
        (*(f"{name}: {feature}" for name, one in named for feature in one.names), *there.names),
        np.concatenate([*(one.categorical for one in found), there.categorical]),
        np.concatenate([np.repeat(np.arange(len(found)), [len(one.names) for one in found]), there.owner]),
        np.concatenate([*(one.blank for one in found), there.blank]),
    )
    return made._replace(values=made.of(np.arange(len(view)), view.present(combination)))


def presence(view: ViewData, combination: Sequence[str]) -> Features:
    """Return which modalities the stays of a view have, 1 or 0, and nothing of what is in them."""
    number = len(combination)
    return Features(
        view.present(combination).astype(np.float32),
        tuple(f"{name}: present" for name in combination),
        np.zeros(number, bool),
        np.arange(number),
        np.zeros(number, np.float32),
    )
