"""Models without a fusion head of their own applied to new stays: on summary features, and stacks of several models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from picme.evaluate.shapley import shapley_weights
from picme.finetune.stacked import combined, logits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from picme.finetune.stacked import Weights
    from picme.finetune.without_encoders import FeatureModel
    from picme.modalities.view import ViewData


class Within(Protocol):
    """A model that predicts for stays as if they had nothing outside a subset of the modalities."""

    def probabilities_within(self, rows: np.ndarray, subsets: np.ndarray) -> np.ndarray:
        """Return probabilities (subset, row, label) of rows, for subsets (subset, modality) bool."""
        ...


class OnFeatures:
    """A model on summary features, with the stays of a view.

    Args:
        model: the fitted model.
        view: the stays.
        combination: the modalities.
        present: what the stays have of them and is read (stay, modality) bool.
    """

    def __init__(self, model: FeatureModel, view: ViewData, combination: Sequence[str], present: np.ndarray) -> None:
        self.model, self.view, self.combination, self.kept = model, view, tuple(combination), present

    def probabilities_within(self, rows: np.ndarray, subsets: np.ndarray) -> np.ndarray:
        """Return probabilities (subset, row, label); see `Within`."""
        kept = self.kept[rows] & subsets[:, None]
        return self.model.probabilities(self.view, self.combination, rows, kept)


class StackedModel:
    """The models of several strategies, and the weights by which their predictions are combined.

    Args:
        models: the model of each strategy, on the same stays.
        weights: the weights of each label; None where each model counts the same.
        combination: the modalities.
        present: what the stays have of them and is read (stay, modality) bool.
    """

    def __init__(
        self, models: Sequence[Within], weights: Weights | None, combination: Sequence[str], present: np.ndarray
    ) -> None:
        self.models, self.weights, self.combination = list(models), weights, tuple(combination)
        self.present, self.device = torch.from_numpy(present), torch.device("cpu")

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        """Return probabilities of rows (row, label), in the rows' order."""
        found: np.ndarray = self.probabilities_within(rows, np.ones((1, len(self.combination)), bool))[0]
        return found

    def probabilities_within(self, rows: np.ndarray, subsets: np.ndarray) -> np.ndarray:
        """Return probabilities (subset, row, label); see `Within`."""
        return combined(self.weights, np.stack([one.probabilities_within(rows, subsets) for one in self.models]))

    def contributions(self, rows: np.ndarray) -> np.ndarray:
        """Return the Shapley values of the modalities (label, row, modality), of the logit.

        The value of a subset is the logit with all other modalities withheld. So they add up to the logit minus that
        of a stay without any modality.
        """
        names = self.combination
        subsets = (np.arange(2 ** len(names))[:, None] >> np.arange(len(names)) & 1).astype(bool)
        values = logits(self.probabilities_within(rows, subsets))
        sets = (frozenset(name for name, inside in zip(names, one, strict=True) if inside) for one in subsets)
        game = dict(zip(sets, values, strict=True))
        found = np.zeros((values.shape[2], len(rows), len(names)))
        for place, name in enumerate(names):
            for one, weight in shapley_weights(name, names).items():
                found[:, :, place] += weight * game[one].T
        return found
