"""What the fine-tuned models attribute to each modality: λ, integrated gradients and Shapley values over the seeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch

from picme.config.loading import validate
from picme.evaluate.attribution import agreement_rows, attribution_rows, shapley_rows
from picme.evaluate.coalitions import coalition_values
from picme.evaluate.integrated_gradients import integrated_gradients
from picme.finetune.cell import FrozenCell
from picme.finetune.restore import restore
from picme.modalities.combinations import label
from picme.modalities.view import open_view
from picme.plan import Run
from picme.store import Store
from picme.tasks import build as build_task
from picme.training import resolve_device

if TYPE_CHECKING:
    from picme.finetune.cell import Cell
    from picme.modalities.view import ViewData

# Stays that integrated gradients are taken of, or their baseline: enough for a mean, drawn evenly from the split.
STAYS = 512
# Steps at first; they are doubled until the completeness error is within tolerance. From 8 on shares hardly change.
STEPS = 16
METHODS = ("integrated_gradients", "integrated_gradients_mean")
PLACE = {"task": pl.String, "combination": pl.String, "strategy": pl.String}
SCHEMA = {**PLACE, "modality": pl.String, "method": pl.String, "value": pl.Float64, "std": pl.Float64}
AGREEMENT = {**PLACE, "method_a": pl.String, "method_b": pl.String, "tau": pl.Float64, "modalities": pl.Int64}


def attribute(
    run: str,
    config: dict[str, Any],
    task: str,
    combination: list[str],
    strategy: str,
    key: str,
    prepared: str,
    features: dict[str, str],
    pretrained: str | None,
    embedded: list[str],
    cells: list[dict[str, Any]],
) -> None:
    """Attributions of one combination and strategy of a task, over its seeds.

    Writes `attributions.parquet` (methods `lambda`, `integrated_gradients` against zero embeddings,
    `integrated_gradients_mean` against the training stays' mean embeddings, and `shapley` for the combinations that
    `evaluate.shapley` asks for) and `agreement.parquet` (Kendall's τ of every pair of methods). The greatest
    completeness error of integrated gradients over seeds and baselines goes into the manifest.
    """
    study = validate(config)
    view = open_view(Path(prepared), task, study.modalities, {name: Path(path) for name, path in features.items()})
    name = label(combination)
    everything = Run(study, Path(run))
    largest = max(map(len, everything.named or everything.combinations))
    wants_shapley = study.evaluate.wants_shapley(len(combination), largest)
    rows = {split: view.usable(combination, split) for split in ("train", "val", "test")}
    targets = view.labels(build_task(task, study.tasks[task]).labels)
    about: dict[str, Any] = {"task": task, "combination": combination, "strategy": strategy}
    with Store(Path(run)).create("attribute", key, about) as folder:
        gradients: dict[str, list[dict[str, float]]] = {method: [] for method in METHODS}
        weights: list[dict[str, float]] = []
        errors: list[float] = []
        # By the embedding artifacts, where there are any: seeds that share them share the coalitions' heads.
        coalitions: dict[tuple[Any, ...], dict[frozenset[str], float]] = {}
        device = resolve_device(study.execution.device)
        for cell in cells:
            model = restore(study, view, task, combination, strategy, cell, pretrained, device)
            if len(rows["test"]):
                for method, found, error in _gradients(model, rows):
                    gradients[method].append(dict(zip(combination, found, strict=True)))
                    errors.append(error)
                source = tuple(cell["embedded"]) or (cell["seed"],)
                if wants_shapley and source not in coalitions:
                    coalitions[source] = _coalitions(model, view, targets, rows)
            gate = getattr(model.head, "weights", None)
            if callable(gate) and strategy not in study.evaluate.controls:  # a control's λ is set, not found
                weights.append(dict(zip(combination, gate().detach().cpu().double().tolist(), strict=True)))
        if not weights and pretrained is not None:
            values = json.loads((Path(pretrained) / "manifest.json").read_text(encoding="utf-8"))["weights"]
            if values is not None and len(combination) > 2:
                weights = [dict(zip(combination, values, strict=True))]
        if all(seed == weights[0] for seed in weights):
            weights = weights[:1]  # given once for all seeds, so it has no spread over them
        table = []
        for method, shares in gradients.items():
            table += attribution_rows(task, name, strategy, method, shares) if shares else []
        table += attribution_rows(task, name, strategy, "lambda", weights) if weights else []
        # A label with one class in training or test leaves nothing to measure.
        defined = [values for values in coalitions.values() if np.isfinite(list(values.values())).all()]
        table += shapley_rows(task, name, strategy, defined) if defined else []
        _write(table, SCHEMA, folder / "attributions.parquet")
        _write(
            agreement_rows([row for row in table if row["value"] is not None]), AGREEMENT, folder / "agreement.parquet"
        )
        about["completeness_error"] = float(np.nanmax(errors)) if np.isfinite(errors).any() else None


def _gradients(model: Cell, rows: dict[str, np.ndarray]) -> list[tuple[str, list[float], float]]:
    """Method, share of each modality, completeness error."""
    test = _some(rows["test"])
    embeddings, present = embeddings_of(model, test), model.present[torch.from_numpy(test).to(model.device)]
    mean = training_mean(model, rows["train"])
    zero = integrated_gradients(model.head, embeddings, present, "zero", STEPS)
    # Frozen embeddings are standardised with the training stays: their mean is zero already.
    same = float(mean.abs().max()) < 1e-3
    other = zero if same else integrated_gradients(model.head, embeddings, present, mean, STEPS)
    pairs = zip(METHODS, (zero, other), strict=True)
    return [(method, found.shares.tolist(), found.completeness_error) for method, found in pairs]


def training_mean(model: Cell, train: np.ndarray) -> torch.Tensor:
    """Mean embedding of training stays that have the modality, (modality, dim); of trained encoders, over a sample."""
    chosen = train if isinstance(model, FrozenCell) else _some(train)
    seen, there = embeddings_of(model, chosen), model.present[torch.from_numpy(chosen).to(model.device)][..., None]
    return torch.where(there, seen, 0).sum(dim=0) / there.sum(dim=0).clamp_min(1)


def _coalitions(
    model: Cell, view: ViewData, targets: np.ndarray, rows: dict[str, np.ndarray]
) -> dict[frozenset[str], float]:
    """Test AUROC of every coalition of the model's modalities, on its embeddings."""
    every = np.concatenate(list(rows.values()))
    found = embeddings_of(model, every).cpu().numpy()
    embeddings = np.zeros((len(view), *found.shape[1:]), np.float32)
    embeddings[every] = found
    return coalition_values(embeddings, model.present.cpu().numpy(), targets, rows, model.combination)


def _some(rows: np.ndarray) -> np.ndarray:
    return rows if len(rows) <= STAYS else rows[np.linspace(0, len(rows) - 1, STAYS).astype(int)]


@torch.no_grad()
def embeddings_of(model: Cell, rows: np.ndarray) -> torch.Tensor:
    """Embeddings (row, modality, dim) in the rows' order; batches hold stays of about equal length."""
    place = torch.full((len(model.view),), -1)
    place[torch.from_numpy(rows)] = torch.arange(len(rows))
    batches = model.view.evaluation_batches(model.combination, rows, 256)
    order = place[torch.from_numpy(np.concatenate(batches))].to(model.device)
    found = torch.cat([model.embeddings(part) for part in batches])
    return torch.empty_like(found).index_copy_(0, order, found)


def _write(table: list[dict[str, Any]], schema: dict[str, Any], file: Path) -> None:
    frame = pl.DataFrame(table, schema=schema)
    frame.with_columns(pl.selectors.float().fill_nan(None)).write_parquet(file)
