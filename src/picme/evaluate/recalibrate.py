"""Predictions of new stays, calibrated on what the same models predict for the validation stays of their study."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from picme.evaluate.calibration import apply_calibration, fit_calibration
from picme.finetune.restore import restore
from picme.pretrain.features import open_encoded

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from picme.engine.store import Store
    from picme.finetune.step import Finetune

# Validation stays of the rarer class, below which a pattern of modalities is not calibrated on the stays that have it.
ENOUGH = 20


def recalibrated(seeds: Sequence[Finetune], labels: Sequence[str], store: Store, found: np.ndarray) -> np.ndarray:
    """Return probabilities (row, label) calibrated on the validation stays of the fine-tunings' cell.

    Args:
        seeds: the fine-tunings, whose mean `found` is.
        labels: the labels of the task.
        store: where their artifacts are.
        found: (row, label).
    """
    kept = [np.load(store.path(step) / "predictions.npz") for step in seeds]
    view = open_encoded(seeds[0].cell.prepare, seeds[0].cell.task.name, (), store)
    return _calibrated(found, np.mean([one["val"] for one in kept], axis=0), view.labels(labels)[kept[0]["val_rows"]])


def recalibrated_by_pattern(
    seeds: Sequence[Finetune],
    labels: Sequence[str],
    store: Store,
    device: torch.device,
    found: np.ndarray,
    present: np.ndarray,
) -> np.ndarray:
    """Return probabilities (row, label) calibrated for each pattern of modalities by itself.

    A pattern is calibrated on what is predicted from it, all else withheld, for the validation stays that have all of
    it; where fewer than `ENOUGH` of them have or lack a label, for those that have some of it.

    Args:
        seeds: the fine-tunings, whose mean `found` is, by a strategy that takes any subset.
        labels: the labels of the task.
        store: where their artifacts are.
        device: where models run.
        found: (row, label).
        present: (row, modality) bool, what each was predicted from, of all modalities of the models.
    """
    cell = seeds[0].trained.cell
    view = open_encoded(cell.prepare, cell.task.name, cell.encodings, store)
    patterns, of_row = np.unique(present, axis=0, return_inverse=True)
    rows = view.usable(cell.combination, "val")
    average = np.mean([restore(one, view, device, store).probabilities_within(rows, patterns) for one in seeds], axis=0)
    has, targets = view.present(cell.combination)[rows], view.labels(labels)[rows]
    result = np.empty_like(found)
    for number, pattern in enumerate(patterns):
        whole, some = has[:, pattern].all(axis=1), has[:, pattern].any(axis=1)
        for label in range(len(labels)):
            known = targets[whole, label]
            use = whole if min((known == 1).sum(), (known == 0).sum()) >= ENOUGH else some
            here = np.flatnonzero(of_row.ravel() == number)
            own = slice(label, label + 1)
            result[here, own] = _calibrated(found[here, own], average[number, use, own], targets[use, own])
    return result


def _calibrated(found: NDArray[np.floating], fitted_on: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return probabilities (row, label) by a slope and intercept for each label, fitted on those of other stays."""
    fits = [fit_calibration(p, y) for p, y in zip(fitted_on.T, targets.T, strict=True)]
    return np.stack([apply_calibration(p, *fit) for p, fit in zip(found.T, fits, strict=True)], axis=1)
