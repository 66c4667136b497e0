"""Summary features of a view's stays: the input of models without encoders."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from picme.errors import TrainingError
from picme.finetune.baselines import PRESENCE_ONLY, STATISTICS, fit, summary_features

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from picme.finetune.step import Cell
    from picme.modalities.view import ViewData


class Features(NamedTuple):
    """Features of stays, and what each is of.

    Attributes:
        values: (stay, feature) float32, NaN where unknown.
        owner: (feature,) the place in the combination of the modality that a feature is of.
        blank: (feature,) what a feature is for a stay that lacks the modality.
    """

    values: np.ndarray
    owner: np.ndarray
    blank: np.ndarray

    def of(self, rows: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """Return the features of rows that keep only some of their modalities, (row, modality) bool."""
        return np.where(kept[:, self.owner], self.values[rows], self.blank)


def features(view: ViewData, combination: Sequence[str], train: np.ndarray) -> Features:
    """Return summaries of series and tables, and what locked trunks make of texts and images.

    Args:
        view: the stays.
        combination: the modalities.
        train: (stay,) bool, the training stays.

    Raises:
        TrainingError: if no modality of the combination has any.
    """
    parts, blanks = [], []
    for name in combination:
        folder = view.folder / name
        found = [summary_features({name: folder}, train)[0]]
        blank = np.full(found[0].shape[1], np.nan, np.float32)
        if (folder / "offsets.npy").is_file():  # of a series, of which nothing was measured
            blank[len(STATISTICS) - 1 :: len(STATISTICS)] = 0
        cached = getattr(view.modalities[name], "features", None)
        if isinstance(cached, np.ndarray) and cached.ndim == 2:
            index = np.asarray(view.modalities[name].index)
            values = np.full((len(view), cached.shape[1]), np.nan, dtype=np.float32)
            values[index >= 0] = cached[index[index >= 0]]
            found.append(values)
        parts.append(np.concatenate(found, axis=1))
        blanks.append(np.pad(blank, (0, parts[-1].shape[1] - len(blank)), constant_values=np.nan))
    owner = np.repeat(np.arange(len(parts)), [part.shape[1] for part in parts])
    made = Features(np.concatenate(parts, axis=1), owner, np.concatenate(blanks))
    if not len(owner):
        raise TrainingError(
            f"{'+'.join(combination)} has neither series, tables nor a locked encoder to make summary features of"
        )
    return made._replace(values=made.of(np.arange(len(view)), view.present(combination)))


def fit_model(
    cell: Cell,
    view: ViewData,
    labels: Sequence[str],
    seed: int,
    rows: Mapping[str, np.ndarray],
    wanted: np.ndarray,
    kept: np.ndarray,
) -> np.ndarray:
    """Fit a cell's model without encoders and predict for stays that keep only some of their modalities.

    Args:
        cell: its `head` names the model.
        view: the stays as the training sees them.
        labels: of the task.
        seed: of the model.
        rows: the row numbers of `train` and `val`.
        wanted: row numbers of what to predict.
        kept: (case, row, modality) bool, what these keep, in any number of cases.

    Returns:
        Probabilities (case, row, label), NaN for a label with one class in training.
    """
    fitted = np.concatenate([rows["train"], rows["val"]])
    split = np.repeat(["train", "val"], [len(rows["train"]), len(rows["val"])])
    targets = view.labels(labels)[fitted]
    if cell.head == PRESENCE_ONLY:
        predict = fit(cell.head, view.present(cell.combination)[fitted].astype(np.float32), targets, split, seed)
        return np.stack([predict(case.astype(np.float32)) for case in kept])
    found = features(view, cell.combination, np.isin(np.arange(len(view)), rows["train"]))
    predict = fit(cell.head, found.values[fitted], targets, split, seed)
    return np.stack([predict(found.of(wanted, case)) for case in kept])
