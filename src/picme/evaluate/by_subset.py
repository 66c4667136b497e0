"""Predictions of test stays from every subset of their modalities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from picme.finetune.derived import mean_of_kept, stored
from picme.finetune.restore import restore
from picme.finetune.stacked import combined, stored_weights
from picme.finetune.step import Averaged, Stacked
from picme.finetune.without_encoders import FeatureModel
from picme.fitting.device import resolve_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from picme.engine.step import Context
    from picme.finetune.step import Finetune
    from picme.modalities.view import ViewData


def subsets_of(count: int) -> np.ndarray:
    """Return all subsets of `count` modalities that are not empty, (subset, modality) bool, in the order of `place`."""
    return (np.arange(1, 2**count)[:, None] >> np.arange(count) & 1).astype(bool)


def place(kept: np.ndarray) -> np.ndarray:
    """Return the place in `subsets_of` of what stays keep (stay, modality); −1 where they keep nothing."""
    return kept @ (1 << np.arange(kept.shape[1])) - 1


def whole_models(seeds: Sequence[Finetune], view: ViewData, rows: np.ndarray, context: Context) -> np.ndarray:
    """Return the mean over seeds of what models of all modalities predict from every subset.

    Args:
        seeds: fine-tunings of one cell.
        view: its stays, with all its modalities.
        rows: what to predict.
        context: where the artifacts are, and the device.

    Returns:
        Probabilities (subset, row, label); what they are for a row that has nothing of a subset is not defined.
    """
    subsets = subsets_of(len(seeds[0].cell.combination))
    total: np.ndarray | float = 0.0
    for one in seeds:
        total = total + _whole_model(one, view, rows, subsets, context)
    return np.asarray(total / len(seeds), dtype=np.float64)


def _whole_model(one: Finetune, view: ViewData, rows: np.ndarray, subsets: np.ndarray, context: Context) -> np.ndarray:
    cell = one.cell
    has = view.present(cell.combination)[rows]
    if isinstance(one, Averaged):
        alone = np.stack([stored(single, len(view), context.store)[rows] for single in one.singles])
        return mean_of_kept(alone, has & subsets[:, None])
    if isinstance(one, Stacked):
        each = np.stack([_whole_model(base, view, rows, subsets, context) for base in one.bases])
        return combined(stored_weights(one, context.store), each)
    if cell.course is not None:
        model = restore(one, view, resolve_device(context.device), context.store)
        return model.probabilities_within(rows, subsets)
    fitted = FeatureModel.load(context.store.path(one), cell.combination)
    return fitted.probabilities(view, cell.combination, rows, has & subsets[:, None])


def dedicated_models(finetuned: Sequence[Finetune], view: ViewData, rows: np.ndarray, context: Context) -> np.ndarray:
    """Return what the models of each combination predict, the mean over their seeds, as `whole_models` does."""
    names = list(view.modalities)
    groups: dict[tuple[str, ...], list[Finetune]] = {}
    for one in finetuned:
        groups.setdefault(one.cell.combination, []).append(one)
    found = []
    for subset in subsets_of(len(names)):
        seeds = groups[tuple(name for name, inside in zip(names, subset, strict=True) if inside)]
        found.append(sum(stored(one, len(view), context.store)[rows] for one in seeds) / len(seeds))
    return np.stack(found)
