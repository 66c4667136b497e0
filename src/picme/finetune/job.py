"""One fine-tuning: a task, a combination, a strategy, a seed."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch
from safetensors.torch import save_file

from picme.config.loading import validate
from picme.config.study import BASELINES
from picme.errors import TrainingError
from picme.evaluate.metrics import auroc
from picme.finetune.baselines import fit_predict, summary_features
from picme.finetune.cell import Cell, build_cell
from picme.finetune.labels import with_share
from picme.finetune.losses import build_loss
from picme.modalities.view import ViewData, open_view
from picme.store import Store
from picme.tasks import Task
from picme.tasks import build as build_task
from picme.training import Fit, fit, peak_memory_mb, resolve_device

if TYPE_CHECKING:
    from torch import Tensor

    from picme.config.study import Config


def finetune(
    run: str,
    config: dict[str, Any],
    task: str,
    combination: list[str],
    strategy: str,
    seed: int,
    key: str,
    prepared: str,
    features: dict[str, str],
    pretrained: str | None,
    embedded: list[str],
    searched: str | None,
    share: float = 1.0,
    order: list[str] | None = None,
) -> None:
    """Trains one cell with one seed and keeps its predictions of validation and test stays, weights and history.

    Args:
        share: of the training stays' labels that it is given.
        order: of the gate's steps, where it is not the configuration's.
    """
    study = validate(config)
    if order:
        section = study.finetune.model_copy(update={"order": tuple(order)})
        study = study.model_copy(update={"finetune": section})
    view = open_view(Path(prepared), task, study.modalities, {name: Path(path) for name, path in features.items()})
    about: dict[str, Any] = {"task": task, "combination": combination, "strategy": strategy, "seed": seed}
    with Store(Path(run)).create("finetune", key, about) as folder:
        targets = view.labels(build_task(task, study.tasks[task]).labels)
        rows = {split: view.usable(combination, split) for split in ("train", "val", "test")}
        rows["train"] = with_share(view, rows["train"], targets, share, seed)
        about["labelled_stays"] = len(rows["train"])
        if strategy in BASELINES:
            about |= _baseline(
                study, view, build_task(task, study.tasks[task]), combination, strategy, seed, rows, folder
            )
            return
        section = study.finetune
        values: dict[str, Any] = {"learning_rate": section.learning_rate, "batch_size": section.batch_size}
        if searched is not None:
            values = json.loads((Path(searched) / "best.json").read_text(encoding="utf-8"))
        cell, result = train(
            study, view, task, combination, strategy, seed,
            pretrained=Path(pretrained) if pretrained else None,
            embedded=[Path(path) for path in embedded],
            folder=folder,
            share=share,
            **values,
        )  # fmt: skip
        # The final pass: test stays are first looked at here.
        np.savez(
            folder / "predictions.npz",
            val_rows=rows["val"],
            val=cell.probabilities(rows["val"]),
            test_rows=rows["test"],
            test=cell.probabilities(rows["test"]),
        )
        trained = {name for name, p in cell.named_parameters() if p.requires_grad} | {
            n for n, _ in cell.named_buffers()
        }
        save_file(
            {k: v.detach().cpu().contiguous() for k, v in cell.state_dict().items() if k in trained},
            folder / "model.safetensors",
        )
        (folder / "state.pt").unlink(missing_ok=True)
        history = [{k: v for k, v in row.items() if k != "score"} for row in result.history]
        pl.DataFrame(history).with_columns(pl.selectors.float().fill_nan(None)).write_parquet(
            folder / "history.parquet"
        )
        about |= {
            **values,
            "best_epoch": result.best_epoch,
            "epochs": len(result.history),
            "train_seconds": round(result.seconds, 3),
            "peak_memory_mb": round(peak_memory_mb(cell.device), 1),
        }


def train(
    study: Config,
    view: ViewData,
    task: str,
    combination: list[str],
    strategy: str,
    seed: int,
    *,
    learning_rate: float,
    batch_size: int,
    pretrained: Path | None,
    embedded: list[Path],
    folder: Path | None,
    share: float = 1.0,
    report: Any = None,
) -> tuple[Cell, Fit]:
    """Trains one cell on training stays, stopped and chosen on validation AUROC.

    Args:
        share: of the training stays' labels that it is given.
        report: called with (epoch, validation AUROC) after each epoch; may raise to stop a hopeless search trial.

    Raises:
        TrainingError: if the split has too few stays.
    """
    section, device = study.finetune, resolve_device(study.execution.device)
    labels = build_task(task, study.tasks[task]).labels
    targets = view.labels(labels)
    val_rows = view.usable(combination, "val")
    train_rows = with_share(view, view.usable(combination, "train"), targets, share, seed)
    if len(train_rows) < 2:
        raise TrainingError(
            f"task {task} has {len(train_rows)} labelled training stays for {'+'.join(combination)}; "
            "at least 2 are needed"
        )
    cell = build_cell(
        study, view, combination, strategy, len(labels), seed, device,
        pretrained=pretrained, embedded=embedded, weights=_gate(study, combination, strategy, pretrained),
    )  # fmt: skip
    parameters = [p for p in cell.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=section.weight_decay)
    target = torch.from_numpy(targets).to(device)
    loss = build_loss(section.loss, section.class_weight, targets[train_rows], device)

    def loss_of(rows: np.ndarray) -> Tensor:
        return loss(cell(rows), target[torch.from_numpy(rows).to(device)])

    def batches(epoch: int) -> list[np.ndarray]:
        return view.training_batches(combination, train_rows, batch_size, seed, epoch)

    def validate_epoch(epoch: int) -> dict[str, Any]:
        predicted = cell.probabilities(val_rows)
        scores = [auroc(targets[val_rows, j], predicted[:, j]) for j in range(len(labels))] if len(val_rows) else []
        defined = [score for score in scores if not math.isnan(score)]
        # Where validation has one class only, the loss decides.
        value = float(np.mean(defined)) if defined else math.nan
        score = value if defined else -_log_loss(targets[val_rows], predicted)
        if report is not None:
            report(epoch, score)
        return {"val_auroc": value, "score": score}

    result = fit(
        cell, optimizer, batches, loss_of, validate_epoch,
        epochs=section.epochs, patience=section.patience, seed=seed,
        state=None if folder is None else folder / "state.pt",
    )  # fmt: skip
    return cell, result


def _gate(study: Config, combination: list[str], strategy: str, pretrained: Path | None) -> list[float] | None:
    """λ of the gate where it is given: that combination's from pretraining, or the user's."""
    if strategy != "gated" or study.finetune.gate == "learned":
        return None
    if isinstance(study.finetune.gate, tuple):
        given = dict(zip(study.modalities, study.finetune.gate, strict=True))
        total = sum(given[name] for name in combination)
        if total == 0:
            raise TrainingError(f"finetune.gate gives no weight to any modality of {'+'.join(combination)}")
        return [given[name] / total for name in combination]
    if pretrained is None:
        return None
    manifest = json.loads((pretrained / "manifest.json").read_text(encoding="utf-8"))
    weights: list[float] | None = manifest["weights"]
    return weights


def _log_loss(targets: np.ndarray, predicted: np.ndarray) -> float:
    known = ~np.isnan(targets)
    if not known.any():
        return math.nan
    p = np.clip(predicted[known], 1e-7, 1 - 1e-7)
    y = targets[known]
    return float(-np.mean(y * np.log(p) + (1 - y) * np.log1p(-p)))


def _baseline(
    study: Config, view: ViewData, task: Task, combination: list[str], strategy: str, seed: int,
    rows: dict[str, np.ndarray], folder: Path,
) -> dict[str, Any]:  # fmt: skip
    """A reference a user would pick instead: scikit-learn on summary features."""
    start = time.perf_counter()
    split = np.full(len(view), None, dtype=object)
    for name, chosen in rows.items():
        split[chosen] = name
    inside = np.concatenate(list(rows.values()))
    features = baseline_features(view, combination, split == "train")
    predicted = np.full((len(view), len(task.labels)), np.nan)
    predicted[inside] = fit_predict(strategy, features[inside], view.labels(task.labels)[inside], split[inside], seed)
    np.savez(
        folder / "predictions.npz",
        val_rows=rows["val"], val=predicted[rows["val"]], test_rows=rows["test"], test=predicted[rows["test"]],
    )  # fmt: skip
    return {
        "train_seconds": round(time.perf_counter() - start, 3),
        "peak_memory_mb": round(peak_memory_mb(torch.device("cpu")), 1),
    }


def baseline_features(view: ViewData, combination: list[str], train: np.ndarray) -> np.ndarray:
    """Summaries of series and tables, and what locked trunks make of texts and images, (stay, feature).

    Raises:
        TrainingError: if no modality of the combination has any.
    """
    parts, _, _ = summary_features({name: view.folder / name for name in combination}, train)
    found = [parts]
    for name in combination:
        cached = getattr(view.modalities[name], "features", None)
        if isinstance(cached, np.ndarray) and cached.ndim == 2:
            index = np.asarray(view.modalities[name].index)
            values = np.full((len(view), cached.shape[1]), np.nan, dtype=np.float32)
            values[index >= 0] = cached[index[index >= 0]]
            found.append(values)
    features = np.concatenate(found, axis=1)
    if not features.shape[1]:
        raise TrainingError(
            f"{'+'.join(combination)} has neither series, tables nor a locked encoder to make summary features of"
        )
    return features
