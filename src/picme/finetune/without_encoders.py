"""The model of a cell without encoders: fitted, kept, and applied to stays that keep some of their modalities."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from safetensors.numpy import load_file, save_file

from picme.finetune import baselines
from picme.finetune.features import Features, Learnt, features, learn, presence

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from picme.finetune.cell import Cell
    from picme.modalities.view import ViewData

MODEL, LEARNT = "model.json", "features.safetensors"


class FeatureModel(NamedTuple):
    """A fitted model on summary features.

    Attributes:
        name: one of `baselines.MODELS`.
        learnt: what training stays told of how the features are made.
        models: the model of each label.
    """

    name: str
    learnt: Learnt
    models: baselines.Fitted

    def probabilities(
        self, view: ViewData, combination: Sequence[str], wanted: np.ndarray, kept: np.ndarray
    ) -> np.ndarray:
        """Predict for stays that keep only some of their modalities.

        Args:
            view: the stays.
            combination: the modalities.
            wanted: row numbers of what to predict.
            kept: (case, row, modality) bool, what these keep, in any number of cases.

        Returns:
            Probabilities (case, row, label), NaN for a label with one class in training.
        """
        found = _features(self.name, view, combination, self.learnt)
        each = [baselines.probabilities(self.name, self.models, found.of(wanted, case)) for case in kept]
        return np.stack(each)

    def save(self, folder: Path) -> None:
        """Write the model into a folder."""
        (folder / MODEL).write_text(json.dumps({"name": self.name, "models": self.models}), encoding="utf-8")
        arrays = {f"{name}/{part}": array for name, parts in self.learnt.items() for part, array in parts.items()}
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / LEARNT)

    @classmethod
    def load(cls, folder: Path, combination: Sequence[str]) -> FeatureModel:
        """Read a model that `save` wrote."""
        kept = json.loads((folder / MODEL).read_text(encoding="utf-8"))
        learnt: Learnt = {name: {} for name in combination}
        for place, array in load_file(folder / LEARNT).items():
            name, _, part = place.rpartition("/")
            learnt[name][part] = array
        return cls(kept["name"], learnt, kept["models"])


def search_settings(cell: Cell, view: ViewData, labels: Sequence[str], train: np.ndarray) -> dict[str, Any]:
    """Return the settings of a cell's model, found by folds of the training stays (their row numbers)."""
    found = _features(cell.head, view, cell.combination, learn(view, cell.combination, train))
    subject = view.cohort.get_column("subject_id").to_numpy()[train]
    return baselines.search(cell.head, found.values[train], found.categorical, view.labels(labels)[train], subject)


def fit_model(
    cell: Cell,
    view: ViewData,
    labels: Sequence[str],
    seed: int,
    train: np.ndarray,
    settings: dict[str, Any] | None = None,
) -> FeatureModel:
    """Fit a cell's model without encoders.

    Args:
        cell: its `head` names the model.
        view: the stays as the training sees them.
        labels: the labels of the task.
        seed: the seed of the model.
        train: row numbers of the training stays.
        settings: the settings of the model; searched if not given.
    """
    if settings is None:
        settings = search_settings(cell, view, labels, train)
    learnt = learn(view, cell.combination, train)
    found = _features(cell.head, view, cell.combination, learnt)
    targets = view.labels(labels)[train]
    models = baselines.fit(cell.head, found.values[train], found.categorical, targets, settings, seed)
    return FeatureModel(cell.head, learnt, models)


def _features(name: str, view: ViewData, combination: Sequence[str], learnt: Learnt) -> Features:
    return presence(view, combination) if name == baselines.PRESENCE_ONLY else features(view, combination, learnt)
