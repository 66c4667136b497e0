"""Models without encoders: boosted trees and logistic regression on features, what a user would take without picme.

A model of a label is fitted on training stays alone. So are its settings found: by folds of these stays that hold each
subject whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from picme.errors import ConfigError, near
from picme.finetune import boosting, logistic

if TYPE_CHECKING:
    from types import ModuleType

PRESENCE_ONLY = "presence_only"
"""Name of the model whose features are only which modalities a stay has."""
MODELS: dict[str, ModuleType] = {
    "gradient_boosting": boosting,
    "logistic_regression": logistic,
    PRESENCE_ONLY: logistic,
}
FOLDS = 5
SEARCHED = 10_000
"""Most stays that settings are searched on."""
Fitted = list[dict[str, Any] | None]
"""A model of each label as plain values, and which of the features it reads; None for a label that has none."""


def search(
    name: str, features: np.ndarray, categorical: np.ndarray, targets: np.ndarray, subject: np.ndarray
) -> dict[str, Any]:
    """Return the settings with the least log loss over folds of the stays given.

    Of several labels, the one whose rarer class has most stays tells the settings for all: it tells most.

    Args:
        name: the name of the model, one of `MODELS`.
        features: (stay, feature) of training stays, NaN where unknown.
        categorical: (feature,) bool, whether a feature is the number of a category.
        targets: (stay, label) 0 or 1, NaN where unknown (left out).
        subject: (stay,) whose each stay is; of many stays, those of subjects drawn at random are searched on.

    Raises:
        ConfigError: if there is no model of this name.
    """
    kind = _kind(name)
    target = tells_most(targets)
    rows = _some(np.flatnonzero(np.isfinite(target)), subject)
    reads, (_, some) = np.isfinite(features[rows]).any(axis=0), _with_label(target[rows], subject[rows])
    number = min(FOLDS, int(some.sum()), int((~some).sum()))
    if number < 2 or not reads.any():
        return dict(kind.FEW)
    fold = divided(target[rows], subject[rows], number)
    found: dict[str, Any] = kind.search(features[np.ix_(rows, reads)], target[rows], categorical[reads], fold)
    return found


def fit(
    name: str,
    features: np.ndarray,
    categorical: np.ndarray,
    targets: np.ndarray,
    settings: dict[str, Any],
    seed: int,
) -> Fitted:
    """Fit one model for each label.

    Args:
        name: the name of the model, one of `MODELS`.
        features: (stay, feature) of training stays, NaN where unknown.
        categorical: (feature,) bool, whether a feature is the number of a category.
        targets: (stay, label) 0 or 1, NaN where unknown (left out).
        settings: as `search` returns them.
        seed: the seed of what a model draws: the stays and features that a tree sees.

    Returns:
        The models; None for a label with one class, or without a feature that is ever known.

    Raises:
        ConfigError: if there is no model of this name.
    """
    kind = _kind(name)
    models: Fitted = []
    for target in targets.T:
        known = np.isfinite(target)
        # A feature that is never known in training is of no use, and has no median to fill its gaps with.
        reads = np.isfinite(features[known]).any(axis=0)
        if not reads.any() or len(np.unique(target[known])) < 2:
            models.append(None)
            continue
        model = kind.fit(features[np.ix_(known, reads)], target[known], categorical[reads], settings, seed)
        models.append({"reads": np.flatnonzero(reads).tolist(), "model": model})
    return models


def probabilities(name: str, models: Fitted, features: np.ndarray) -> np.ndarray:
    """Return probabilities (stay, label) of features (stay, feature); NaN for a label without a model."""
    kind, nothing = _kind(name), np.full(len(features), np.nan)
    found = [nothing if one is None else kind.probabilities(one["model"], features[:, one["reads"]]) for one in models]
    return np.stack(found, axis=1)


def divided(y: np.ndarray, subject: np.ndarray, number: int) -> np.ndarray:
    """Divide stays into folds that hold each subject whole, and about equally many subjects with the label.

    Args:
        y: (stay,) 1 where a stay has the label.
        subject: (stay,) whose each stay is.
        number: the number of folds.

    Returns:
        The fold of each stay (stay,), from 0; with fewer subjects than folds, some are empty.
    """
    place, some = _with_label(y, subject)
    order = np.lexsort((np.random.default_rng(0).random(len(some)), some))
    fold = np.empty(len(some), np.int64)
    fold[order] = np.arange(len(some)) % number
    return np.asarray(fold[place])


def _with_label(y: np.ndarray, subject: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of each stay's subject (stay,), and whether a subject has the label (subject,)."""
    _, place = np.unique(subject, return_inverse=True)
    some = np.zeros(int(place.max(initial=-1)) + 1, bool)
    some[place[y == 1]] = True
    return place, some


def tells_most(targets: np.ndarray) -> np.ndarray:
    """Return the label (stay,) of several (stay, label) whose rarer class has most stays."""
    rarer = np.minimum((targets == 0).sum(axis=0), (targets == 1).sum(axis=0))
    return np.asarray(targets[:, int(rarer.argmax())])


def _some(rows: np.ndarray, subject: np.ndarray) -> np.ndarray:
    """Return rows, or those of as many subjects drawn at random as have `SEARCHED` of them."""
    if len(rows) <= SEARCHED:
        return rows
    _, place = np.unique(subject[rows], return_inverse=True)
    drawn = np.random.default_rng(0).permutation(int(place.max()) + 1)[place]
    return rows[drawn <= np.sort(drawn)[SEARCHED - 1]]


def _kind(name: str) -> ModuleType:
    if name not in MODELS:
        raise ConfigError(f"unknown baseline {name!r}{near(name, MODELS)}")
    return MODELS[name]
