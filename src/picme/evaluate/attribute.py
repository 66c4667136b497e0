"""Attribution of a cell's predictions to the modalities: λ, integrated gradients and Shapley values over the seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from picme.config.combinations import label
from picme.evaluate.attribution import agreement_rows, attribution_rows, shapley_rows
from picme.evaluate.by_subset import subsets_of, whole_models
from picme.evaluate.coalitions import coalition_values
from picme.evaluate.integrated_gradients import integrated_gradients
from picme.finetune.classifier import FrozenClassifier
from picme.finetune.restore import restore
from picme.finetune.step import Stacked
from picme.fitting.device import resolve_device
from picme.metrics.classification import areas, macro
from picme.pretrain.features import open_encoded
from picme.results.tables import table
from picme.tasks import build as build_task

if TYPE_CHECKING:
    from pathlib import Path

    from picme.engine.step import Context
    from picme.evaluate.step import Attribute
    from picme.finetune.classifier import Classifier
    from picme.modalities.view import ViewData

# Stays that integrated gradients are taken of, or their baseline: enough for a mean, drawn evenly from the split.
STAYS = 512
# Steps at first; they are doubled until the completeness error is within tolerance. From 8 on shares hardly change.
STEPS = 16
METHODS = ("integrated_gradients", "integrated_gradients_mean")


def attribute(step: Attribute, folder: Path, context: Context) -> dict[str, Any]:
    """Attribute the predictions of a cell to its modalities, over its seeds.

    Writes `attributions.parquet` (methods `lambda`, `integrated_gradients` against zero embeddings,
    `integrated_gradients_mean` against the training stays' mean embeddings, and `shapley` where it is asked for) and
    `agreement.parquet` (Kendall's τ of every pair of methods). The greatest completeness error of integrated gradients
    over seeds and baselines goes into the manifest.
    """
    cell, store = step.finetuned[0].cell, context.store
    task, combination, strategy = cell.task.name, cell.combination, cell.strategy
    name = label(combination)
    view = open_encoded(cell.prepare, task, cell.encodings, store)
    rows = {split: view.usable(combination, split) for split in ("train", "val", "test")}
    targets = view.labels(build_task(task, cell.task.section).labels)
    gradients: dict[str, list[dict[str, float]]] = {method: [] for method in METHODS}
    weights: list[dict[str, float]] = []
    errors: list[float] = []
    # By the embedding artifacts, where there are any: seeds that share them share the coalitions' heads.
    coalitions: dict[tuple[Any, ...], dict[frozenset[str], float]] = {}
    device = resolve_device(context.device)
    for one in step.finetuned:
        if isinstance(one, Stacked):
            if len(rows["test"]):
                coalitions[(one.seed,)] = _withheld(one, view, targets, rows["test"], context)
            continue
        model = restore(one, view, device, store)
        if len(rows["test"]):
            for method, found, error in _gradients(model, rows):
                gradients[method].append(dict(zip(combination, found, strict=True)))
                errors.append(error)
            source: tuple[Any, ...] = one.embedded or (one.seed,)
            if step.shapley and source not in coalitions:
                coalitions[source] = _coalitions(model, view, targets, rows)
        gate = getattr(model.head, "weights", None)
        if callable(gate) and not step.control:
            weights.append(dict(zip(combination, gate().detach().cpu().double().tolist(), strict=True)))
    if not weights and len(combination) > 2:
        pretrained = dict.fromkeys(one.cell.pretrain for one in step.finetuned if one.cell.pretrain is not None)
        given = (store.manifest(one)["weights"] for one in pretrained)
        weights = [dict(zip(combination, values, strict=True)) for values in given if values is not None]
    if all(seed == weights[0] for seed in weights):
        weights = weights[:1]  # given once for all seeds, so it has no spread over them
    attributed: list[dict[str, Any]] = []
    for method, shares in gradients.items():
        attributed += attribution_rows(task, name, strategy, method, shares) if shares else []
    attributed += attribution_rows(task, name, strategy, "lambda", weights) if weights else []
    # A label with one class in training or test leaves nothing to measure.
    defined = [values for values in coalitions.values() if np.isfinite(list(values.values())).all()]
    attributed += shapley_rows(task, name, strategy, defined) if defined else []
    known = [row for row in attributed if row["value"] is not None]
    table("attributions").frame(attributed).write_parquet(folder / "attributions.parquet")
    table("agreement").frame(agreement_rows(known)).write_parquet(folder / "agreement.parquet")
    greatest = float(np.nanmax(errors)) if np.isfinite(errors).any() else None
    return {**cell.place, "combination": list(combination), "completeness_error": greatest}


def _withheld(
    one: Stacked, view: ViewData, targets: np.ndarray, rows: np.ndarray, context: Context
) -> dict[frozenset[str], float]:
    """Return the test AUROC of a stack from every coalition of its modalities, the others withheld from its models."""
    names, y = one.cell.combination, targets[rows].T
    found = {frozenset[str](): 0.5}
    for subset, p in zip(subsets_of(len(names)), whole_models([one], view, rows, context), strict=True):
        inside = frozenset(name for name, kept in zip(names, subset, strict=True) if kept)
        # A label that no model knows has no probability.
        found[inside] = float(macro(areas(np.where(np.isnan(p.T), np.nan, y), np.nan_to_num(p.T))[0]))
    return found


def _gradients(model: Classifier, rows: dict[str, np.ndarray]) -> list[tuple[str, list[float], float]]:
    """Return for each baseline the method, the share of each modality and the completeness error."""
    test = _some(rows["test"])
    embeddings, present = embeddings_of(model, test), model.present[torch.from_numpy(test).to(model.device)]
    mean = training_mean(model, rows["train"])
    zero = integrated_gradients(model.head, embeddings, present, "zero", STEPS)
    # Frozen embeddings are standardised with the training stays: their mean is zero already.
    same = float(mean.abs().max()) < 1e-3
    other = zero if same else integrated_gradients(model.head, embeddings, present, mean, STEPS)
    pairs = zip(METHODS, (zero, other), strict=True)
    return [(method, found.shares.tolist(), found.completeness_error) for method, found in pairs]


def training_mean(model: Classifier, train: np.ndarray) -> torch.Tensor:
    """Return the mean embedding of training stays that have the modality, (modality, dim).

    Trained encoders are run over a sample of these stays.
    """
    chosen = train if isinstance(model, FrozenClassifier) else _some(train)
    seen, there = embeddings_of(model, chosen), model.present[torch.from_numpy(chosen).to(model.device)][..., None]
    return torch.where(there, seen, 0).sum(dim=0) / there.sum(dim=0).clamp_min(1)


def _coalitions(
    model: Classifier, view: ViewData, targets: np.ndarray, rows: dict[str, np.ndarray]
) -> dict[frozenset[str], float]:
    """Return the test AUROC of every coalition of the model's modalities, on its embeddings."""
    every = np.concatenate(list(rows.values()))
    found = embeddings_of(model, every).cpu().numpy()
    embeddings = np.zeros((len(view), *found.shape[1:]), np.float32)
    embeddings[every] = found
    return coalition_values(embeddings, model.present.cpu().numpy(), targets, rows, model.combination)


def _some(rows: np.ndarray) -> np.ndarray:
    return rows if len(rows) <= STAYS else rows[np.linspace(0, len(rows) - 1, STAYS).astype(int)]


@torch.no_grad()
def embeddings_of(model: Classifier, rows: np.ndarray) -> torch.Tensor:
    """Return embeddings (row, modality, dim) in the rows' order; batches hold stays of about equal length."""
    place = torch.full((len(model.view),), -1)
    place[torch.from_numpy(rows)] = torch.arange(len(rows))
    batches = model.view.evaluation_batches(model.combination, rows, 256)
    order = place[torch.from_numpy(np.concatenate(batches))].to(model.device)
    found = torch.cat([model.embeddings(part) for part in batches])
    return torch.empty_like(found).index_copy_(0, order, found)
