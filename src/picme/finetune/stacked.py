"""Stacking (Wolpert 1992): a model on what other models predict for training stays that they were not trained on.

The training stays are divided into folds that hold each subject whole. Each strategy is trained on all folds but one
and predicts for that one. On the logits of these predictions a ridge-penalised logistic regression is fitted for each
label, its penalty found by the same folds. Its weights then combine the predictions of the study's own fine-tunings,
which are trained on all training stays. Validation stays serve only to stop the trainings, and test stays for nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, logit

from picme.finetune import logistic
from picme.finetune.baselines import divided, tells_most
from picme.finetune.derived import stored
from picme.finetune.labels import with_share
from picme.finetune.train import write_predictions
from picme.pretrain.features import open_encoded
from picme.tasks import build as build_task

if TYPE_CHECKING:
    from pathlib import Path

    from picme.engine.step import Context
    from picme.engine.store import Store
    from picme.finetune.step import Finetune, OutOfFold, Stacked, StackWeights
    from picme.modalities.view import ViewData

WEIGHTS = "weights.json"
# A probability of 0 or 1 has no logit.
LEAST = 1e-7
Weights = list[dict[str, Any] | None]
"""A logistic regression for each label as plain values; None for a label whose weights are equal."""


def without_fold(step: OutOfFold, view: ViewData, store: Store) -> ViewData:
    """Return a view whose training stays are those of the other folds, and whose test stays are those of the fold."""
    rows, fold = _folds(step, step.of.seen(view, store))
    splits = {"train": rows[fold != step.fold], "val": view.splits["val"], "test": rows[fold == step.fold]}
    return step.of.seen(view, store).divided(splits)


def _folds(step: OutOfFold, view: ViewData) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the training stays that are divided, and the fold of each."""
    cell, targets = step.cell, view.labels(build_task(step.cell.task.name, step.cell.task.section).labels)
    rows = with_share(view, view.usable(cell.combination, "train"), targets, step.of.share, step.of.seed)
    subject = view.cohort.get_column("subject_id").to_numpy()[rows]
    return rows, divided(tells_most(targets[rows]), subject, step.folds)


def weigh(step: StackWeights, folder: Path, context: Context) -> dict[str, Any]:
    """Fit the weights of a stack's strategies, and keep them."""
    cell = step.cell
    view = open_encoded(cell.prepare, cell.task.name, cell.encodings, context.store)
    bases: dict[str, list[OutOfFold]] = {}
    for one in step.out_of_fold:
        bases.setdefault(one.cell.strategy, []).append(one)
    targets = view.labels(build_task(cell.task.name, cell.task.section).labels)
    predicted = np.full((len(bases), *targets.shape), np.nan)
    for place, folds in enumerate(bases.values()):
        for one in folds:
            with np.load(context.store.path(one) / "predictions.npz") as saved:
                predicted[place, saved["test_rows"]] = saved["test"]
    first = step.out_of_fold[0]
    rows, fold = _folds(first, first.of.seen(view, context.store))
    weights = fit_weights(predicted[:, rows], targets[rows], fold)
    (folder / WEIGHTS).write_text(json.dumps(weights), encoding="utf-8")
    return {**cell.place, "strategies": list(bases)}


def fit_weights(predicted: np.ndarray, targets: np.ndarray, fold: np.ndarray) -> Weights:
    """Fit a penalised logistic regression of each label on the logits of predictions.

    Args:
        predicted: probabilities (strategy, stay, label) by models that have not seen the stay; NaN where there is none.
        targets: (stay, label) 0 or 1, NaN where unknown (left out).
        fold: (stay,) the folds by which the penalty is found.

    Returns:
        The weights of each label; None where a class or a strategy's predictions are missing in some fold.
    """
    found: Weights = []
    for place, y in enumerate(targets.T):
        x = logits(predicted[:, :, place]).T
        known = np.isfinite(y) & np.isfinite(x).all(axis=1)
        x, y, part = x[known], y[known], fold[known]
        folds = np.unique(part)
        if len(folds) < 2 or any(len(np.unique(y[part != one])) < 2 for one in folds):
            found.append(None)
            continue
        numbers = np.zeros(len(predicted), bool)
        found.append(logistic.fit(x, y, numbers, logistic.search(x, y, numbers, part), seed=0))
    return found


def combined(weights: Weights | None, predicted: np.ndarray) -> np.ndarray:
    """Combine the predictions of several strategies.

    Args:
        weights: the weights of each label; None gives the strategies equal weights, as for a label that has none.
        predicted: probabilities (strategy, …, label); NaN for a label that a strategy has no model of.

    Returns:
        (…, label); NaN for a label that none has a model of.
    """
    found = np.empty(predicted.shape[1:])
    for place in range(predicted.shape[-1]):
        x = logits(predicted[..., place])
        known = np.isfinite(x).reshape(len(x), -1).all(axis=1)
        chosen = None if weights is None else weights[place]
        if chosen is not None and known.all():
            flat = logistic.probabilities(chosen, x.reshape(len(x), -1).T)
            found[..., place] = flat.reshape(x.shape[1:])
        else:
            found[..., place] = expit(x[known].mean(axis=0)) if known.any() else np.nan
    return found


def logits(p: np.ndarray) -> np.ndarray:
    """Return the log odds of probabilities."""
    return np.asarray(logit(np.clip(p, LEAST, 1 - LEAST)), np.float64)


def stored_weights(step: Stacked, store: Store) -> Weights | None:
    """Return the weights that a stack's predictions are combined by."""
    if step.weights is None:
        return None
    found: Weights = json.loads((store.path(step.weights) / WEIGHTS).read_text(encoding="utf-8"))
    return found


def stack(step: Stacked, folder: Path, context: Context) -> dict[str, Any]:
    """Keep what the strategies of a stack predict together for validation and test stays."""
    cell, store = step.cell, context.store
    view = _seen(step, open_encoded(cell.prepare, cell.task.name, cell.encodings, store), store)
    each = np.stack([stored(one, len(view), store) for one in step.bases])
    weights = stored_weights(step, store)
    rows = {split: view.usable(cell.combination, split) for split in ("val", "test")}
    write_predictions(folder, rows, lambda chosen: combined(weights, each[:, chosen]))
    return {**cell.place, "combination": list(cell.combination), "seed": step.seed}


def _seen(step: Stacked, view: ViewData, store: Store) -> ViewData:
    first: Finetune = step.bases[0]
    return first.seen(view, store)
