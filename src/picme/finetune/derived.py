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
    total: Any = 0
    for one in step.singles:
        with np.load(context.store.path(one) / "predictions.npz") as saved:
            found = np.zeros((len(view), 1 + saved["val"].shape[1]))  # how many models, and the sum of what they say
            for split in ("val", "test"):
                found[saved[f"{split}_rows"]] = np.pad(saved[split], ((0, 0), (1, 0)), constant_values=1)
        total = total + found
    # Where modalities are withheld from validation stays, some are predicted by no model.
    rows = {split: each[total[each, 0] > 0] for split, each in _held_out(step, view).items()}
    write_predictions(folder, rows, lambda rows: total[rows, 1:] / total[rows, :1])
    return _about(step)


def _held_out(step: Finetune, view: ViewData) -> dict[str, np.ndarray]:
    return {split: view.usable(step.cell.combination, split) for split in ("val", "test")}


def _about(step: Finetune) -> dict[str, Any]:
    return {**step.cell.place, "combination": list(step.cell.combination), "seed": step.seed}
