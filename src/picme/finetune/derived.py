"""Fine-tunings that train nothing of their own: they take their predictions from other ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from picme.finetune.restore import restore
from picme.finetune.train import write_predictions
from picme.fitting.device import resolve_device
from picme.pretrain.features import open_encoded

if TYPE_CHECKING:
    from pathlib import Path

    from picme.engine.step import Context
    from picme.engine.store import Store
    from picme.finetune.step import Averaged, Finetune, RestrictedFinetune
    from picme.modalities.view import ViewData


def restrict(step: RestrictedFinetune, folder: Path, context: Context) -> dict[str, Any]:
    """Keep what a model of every subset predicts for a combination's stays, with all other modalities withheld."""
    cell, store = step.whole.cell, context.store
    view = open_encoded(cell.prepare, cell.task.name, cell.encodings, store)
    model = restore(step, view, resolve_device(context.device), store)
    write_predictions(folder, _held_out(step, view), model.probabilities)
    return _about(step)


def average(step: Averaged, folder: Path, context: Context) -> dict[str, Any]:
    """Keep the mean probability of the models of single modalities that are fitted for what a stay has."""
    cell = step.cell
    view = open_encoded(cell.prepare, cell.task.name, cell.encodings, context.store)
    alone = np.stack([stored(one, len(view), context.store) for one in step.singles])
    known = ~np.isnan(alone).all(axis=2).T
    # Where modalities are withheld from validation stays, some are predicted by no model.
    rows = {split: each[known[each].any(axis=1)] for split, each in _held_out(step, view).items()}
    write_predictions(folder, rows, lambda rows: mean_of_kept(alone[:, rows], known[rows]))
    return _about(step)


def stored(step: Finetune, stays: int, store: Store) -> np.ndarray:
    """Return what a fine-tuning predicted (stay, label), NaN for stays of training and without its modalities."""
    with np.load(store.path(step) / "predictions.npz") as saved:
        found = np.full((stays, saved["test"].shape[1]), np.nan)
        for split in ("val", "test"):
            found[saved[f"{split}_rows"]] = saved[split]
    return found


def mean_of_kept(alone: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return the mean prediction of the single-modality models whose modality is kept.

    Args:
        alone: (modality, row, label), what each model predicts.
        kept: (…, row, modality) bool.

    Returns:
        (…, row, label); 0 where nothing is kept.
    """
    total = np.where(kept[..., None], alone.transpose(1, 0, 2), 0).sum(axis=-2)
    return np.asarray(total / np.maximum(kept.sum(axis=-1), 1)[..., None])


def _held_out(step: Finetune, view: ViewData) -> dict[str, np.ndarray]:
    return {split: view.usable(step.cell.combination, split) for split in ("val", "test")}


def _about(step: Finetune) -> dict[str, Any]:
    return {**step.cell.place, "combination": list(step.cell.combination), "seed": step.seed}
