"""One fine-tuning: a task, a combination, a strategy, a seed."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch
from safetensors.torch import save_file

from picme.config.combinations import label
from picme.errors import TrainingError
from picme.finetune.classifier import Classifier, build_classifier
from picme.finetune.labels import with_share
from picme.finetune.losses import build_loss
from picme.finetune.without_encoders import fit_model
from picme.fitting.course import Fit, fit
from picme.fitting.device import peak_memory_mb, resolve_device
from picme.fitting.search import found
from picme.metrics.classification import auroc
from picme.pretrain.features import open_encoded
from picme.tasks import build as build_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from picme.engine.step import Context, Step
    from picme.finetune.cell import Cell
    from picme.finetune.step import Finetune
    from picme.modalities.view import ViewData
    from picme.tasks import Task


def finetune(step: Finetune, folder: Path, context: Context) -> dict[str, Any]:
    """Train the cell of a step with its seed; keep predictions of validation and test stays, weights and history."""
    cell = step.cell
    task = build_task(cell.task.name, cell.task.section)
    view = step.seen(open_encoded(cell.prepare, cell.task.name, cell.encodings, context.store), context.store)
    targets = view.labels(task.labels)
    rows = {split: view.usable(cell.combination, split) for split in ("train", "val", "test")}
    rows["train"] = with_share(view, rows["train"], targets, step.share, step.seed)
    about = {**cell.place, "combination": list(cell.combination), "seed": step.seed}
    about["labelled_stays"] = len(rows["train"])
    if cell.course is None:
        settings = None if step.search is None else found(context.store.path(step.search))
        return about | _baseline(cell, view, task, step.seed, rows, folder, settings)
    values: dict[str, Any] = {"learning_rate": cell.course.learning_rate, "batch_size": cell.course.batch_size}
    if step.search is not None:
        values = found(context.store.path(step.search))
    model, result = train(cell, step.embedded, view, step.seed, context, folder=folder, share=step.share, **values)
    # The final pass: test stays are first looked at here.
    write_predictions(folder, rows, model.probabilities)
    trained = {name for name, p in model.named_parameters() if p.requires_grad} | {n for n, _ in model.named_buffers()}
    save_file(
        {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items() if k in trained},
        folder / "model.safetensors",
    )
    (folder / "state.pt").unlink(missing_ok=True)
    history = [{k: v for k, v in row.items() if k != "score"} for row in result.history]
    pl.DataFrame(history).with_columns(pl.selectors.float().fill_nan(None)).write_parquet(folder / "history.parquet")
    return about | {
        **values,
        "best_epoch": result.best_epoch,
        "epochs": len(result.history),
        "train_seconds": round(result.seconds, 3),
        "peak_memory_mb": round(peak_memory_mb(model.device), 1),
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "device": model.device.type,
    }


def write_predictions(
    folder: Path, rows: Mapping[str, np.ndarray], probabilities: Callable[[np.ndarray], np.ndarray]
) -> None:
    """Write the row numbers of validation and test stays and their probabilities (row, label)."""
    kept: dict[str, Any] = {f"{split}_rows": rows[split] for split in ("val", "test")}
    kept |= {split: probabilities(rows[split]) for split in ("val", "test")}
    np.savez(folder / "predictions.npz", **kept)


def train(
    cell: Cell,
    embedded: Sequence[Step],
    view: ViewData,
    seed: int,
    context: Context,
    *,
    learning_rate: float,
    batch_size: int,
    folder: Path | None,
    share: float = 1.0,
    report: Callable[[int, float], None] | None = None,
) -> tuple[Classifier, Fit]:
    """Train one cell on training stays, stopped and chosen on validation AUROC.

    Args:
        cell: what is trained, and for how long.
        embedded: the steps with the embeddings of frozen encoders.
        view: the task's stays.
        seed: the seed of the weights and of everything drawn.
        context: where the artifacts of earlier steps are, and the device.
        learning_rate: AdamW's.
        batch_size: stays in a batch.
        folder: where the state to resume from goes; None keeps none.
        share: the share of the training stays whose labels are used.
        report: called with (epoch, validation AUROC) after each epoch; may raise to stop a hopeless search trial.

    Raises:
        TrainingError: if the split has too few stays.
    """
    course, device, combination = cell.course, resolve_device(context.device), cell.combination
    assert course is not None and cell.loss is not None and cell.class_weight is not None  # it has encoders
    labels = build_task(cell.task.name, cell.task.section).labels
    targets = view.labels(labels)
    val_rows = view.usable(combination, "val")
    train_rows = with_share(view, view.usable(combination, "train"), targets, share, seed)
    if len(train_rows) < 2:
        raise TrainingError(
            f"task {cell.task.name} has {len(train_rows)} labelled training stays for {label(combination)}; "
            "at least 2 are needed"
        )
    model = build_classifier(cell, embedded, view, len(labels), seed, device, context.store)
    target = torch.from_numpy(targets).to(device)
    loss = build_loss(cell.loss, cell.class_weight, targets[train_rows], device)
    teaching = cell.teaching(model, loss, target, seed)
    parameters = [p for p in model.parameters() if p.requires_grad]
    # The same arithmetic in fewer calls, which count where networks are small, and one more copy of the weights.
    small = None if cell.threaded else True
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=course.weight_decay, foreach=small)

    def batches(epoch: int) -> list[Any]:
        return teaching.draws(view.training_batches(combination, train_rows, batch_size, seed, epoch), epoch)

    def validate_epoch(epoch: int) -> dict[str, Any]:
        judged = teaching.predictions(val_rows)
        value = _mean(_auroc(targets[rows], predicted) for rows, predicted in judged)
        # Where validation has one class only, the loss decides.
        losses = (_log_loss(targets[rows], predicted) for rows, predicted in judged)
        score = -_mean(losses) if math.isnan(value) else value
        if report is not None:
            report(epoch, score)
        return {"val_auroc": value, "score": score}

    result = fit(
        model, optimizer, batches, teaching.loss_of, validate_epoch,
        epochs=course.epochs, patience=course.patience, seed=seed,
        state=None if folder is None else folder / "state.pt",
    )  # fmt: skip
    teaching.end()
    return model, result


def _mean(values: Iterable[float]) -> float:
    """Return the mean of the values that are defined; NaN if none is."""
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan


def _auroc(targets: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean AUROC over the labels for which it is defined."""
    return _mean(auroc(targets[:, j], predicted[:, j]) for j in range(targets.shape[1])) if len(targets) else math.nan


def _log_loss(targets: np.ndarray, predicted: np.ndarray) -> float:
    known = ~np.isnan(targets)
    if not known.any():
        return math.nan
    p = np.clip(predicted[known], 1e-7, 1 - 1e-7)
    y = targets[known]
    return float(-np.mean(y * np.log(p) + (1 - y) * np.log1p(-p)))


def _baseline(
    cell: Cell,
    view: ViewData,
    task: Task,
    seed: int,
    rows: dict[str, np.ndarray],
    folder: Path,
    settings: dict[str, Any] | None,
) -> dict[str, Any]:
    """Fit a model on summary features, the reference that a user would pick instead; keep it and its predictions."""
    start = time.perf_counter()
    model = fit_model(cell, view, task.labels, seed, rows["train"], settings)
    model.save(folder)
    wanted = np.concatenate([rows["val"], rows["test"]])
    kept = view.present(cell.combination)[wanted][None]
    predicted = np.full((len(view), len(task.labels)), np.nan)
    predicted[wanted] = model.probabilities(view, cell.combination, wanted, kept)[0]
    write_predictions(folder, rows, lambda chosen: predicted[chosen])
    return {
        "train_seconds": round(time.perf_counter() - start, 3),
        "peak_memory_mb": round(peak_memory_mb(torch.device("cpu")), 1),
    }
