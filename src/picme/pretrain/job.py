"""Contrastive pretraining of one combination."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import polars as pl
import torch
from safetensors.torch import load_file, save_file

from picme.config.loading import validate
from picme.epoch_log import EpochLog
from picme.errors import TrainingError
from picme.modalities.view import open_view
from picme.objectives import build as build_objective
from picme.pretrain.matching import matches_itself, matching_recall
from picme.pretrain.model import ModalityEncoders, embed
from picme.search import found
from picme.store import Store
from picme.training import Fit, fit, peak_memory_mb, resolve_device

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from picme.config.study import Config
    from picme.modalities.view import ViewData
    from picme.objectives import Objective

# A weight above this means that λ has all but chosen one modality.
DOMINANT = 0.8
# Stays whose embeddings are kept over the epochs.
SNAPSHOT_STAYS = 400


def pretrain(
    run: str,
    config: dict[str, Any],
    combination: list[str],
    key: str,
    prepared: str,
    features: dict[str, str],
    seed: int,
    searched: str | None = None,
) -> None:
    """Pretrains the encoders of one combination and keeps their weights, λ, history and snapshots.

    `searched` is the search that chose learning rate and batch size; the configuration's are taken without it.

    Raises:
        TrainingError: if there are too few stays, or training diverges.
    """
    study = validate(config)
    view = open_view(
        Path(prepared), "pretrain", study.modalities, {name: Path(path) for name, path in features.items()}
    )
    values: dict[str, Any] = {
        "learning_rate": study.pretrain.learning_rate,
        "batch_size": study.pretrain.batch_size,
    } | (found(Path(searched)) if searched else {})
    about = {"combination": combination, "seed": seed, **values}
    with Store(Path(run)).create("pretrain", key, about) as folder:
        trained = train(study, view, combination, seed, folder=folder, **values)
        about |= _keep(trained, view, combination, folder)


@dataclass(frozen=True)
class Trained:
    """Encoders and objective with the weights of the best epoch, and how they came about."""

    encoders: ModalityEncoders
    objective: Objective
    result: Fit


def train(
    study: Config,
    view: ViewData,
    combination: list[str],
    seed: int,
    *,
    learning_rate: float,
    batch_size: int,
    folder: Path | None = None,
    report: Callable[[int, float], None] | None = None,
) -> Trained:
    """Pretrains the encoders of one combination, stopped and chosen by recall@5 on validation.

    Args:
        folder: where the state to resume from and the snapshots go; None keeps neither.
        report: called with (epoch, recall@5) after each epoch; may raise to stop a hopeless search trial.

    Raises:
        TrainingError: if there are too few stays, or training diverges.
    """
    section, device = study.pretrain, resolve_device(study.execution.device)
    rows = {split: view.usable(combination, split, at_least=2) for split in ("train", "val", "test")}
    if len(rows["train"]) < 2:
        raise TrainingError(
            f"{'+'.join(combination)} has {len(rows['train'])} training stays with two of its modalities; "
            "at least 2 are needed"
        )
    present = view.present(combination)
    model = ModalityEncoders(combination, study, view, seed).to(device)
    chosen = section.pair_objective if len(combination) == 2 else section.objective
    objective = build_objective(chosen, len(combination)).to(device)
    joint = torch.nn.ModuleDict({"encoders": model, "objective": objective})
    weight_rate = chosen.model_dump().get("weight_learning_rate") or learning_rate
    groups = _groups(model, objective, section.weight_decay, weight_rate)
    optimizer = torch.optim.AdamW(groups, lr=learning_rate)

    def embeddings(chosen: np.ndarray) -> tuple[Tensor, Tensor]:
        mask = torch.from_numpy(present[chosen]).to(device)
        return model(view.batch(combination, chosen, device), mask), mask

    def batches(epoch: int) -> list[np.ndarray]:
        return view.training_batches(combination, rows["train"], batch_size, seed, epoch)

    def loss_of(part: np.ndarray) -> Tensor:
        return cast("Tensor", objective(*embeddings(part))[0])

    snapshots = None
    if folder is not None:
        held_out = rows["test"] if len(rows["test"]) >= 5 else rows["val"]
        snapshots = Snapshots(folder / "snapshots", held_out, rows["val"])

    def snapshot(epoch: int) -> None:
        if snapshots is not None and snapshots.due(epoch):
            snapshots.keep(epoch, lambda chosen: embed(model, view, chosen, device))

    def validate_epoch(epoch: int) -> dict[str, Any]:
        values = embed(model, view, rows["val"], device) if len(rows["val"]) >= 2 else None
        row: dict[str, Any] = {"val_loss": math.nan, "val_recall5": math.nan}
        if values is not None:
            row["val_loss"] = _mean_loss(objective, values, present[rows["val"]], batch_size, device)
            row["val_recall5"] = matching_recall(objective, values, present[rows["val"]], k=5)
        row["temperature"] = float(objective.log_temperature.detach().exp())
        row["weights"] = _weights(objective)
        # Ties in recall, frequent in small validation sets, go to the lower loss.
        row["score"] = row["val_recall5"] - 1e-4 * math.tanh(row["val_loss"]) if values is not None else math.nan
        snapshot(epoch)
        if report is not None and values is not None:
            report(epoch, row["val_recall5"])
        return row

    snapshot(-1)
    loop = fit
    if any(getattr(study.modalities[name].encoder, "large", False) for name in combination):
        from picme.training_lightning import fit_lightning as loop
    logged = EpochLog(section.loggers, folder, combination, seed, learning_rate=learning_rate, batch_size=batch_size)
    with logged as log:
        result = loop(
            joint, optimizer, batches, loss_of, validate_epoch,
            epochs=section.epochs, patience=section.patience, seed=seed,
            state=None if folder is None else folder / "state.pt", log=log.row,
        )  # fmt: skip
    return Trained(model, objective, result)


def _keep(trained: Trained, view: ViewData, combination: list[str], folder: Path) -> dict[str, Any]:
    """Writes weights, history and held-out embeddings; returns what the manifest says of them."""
    model, objective, result = trained.encoders, trained.objective, trained.result
    device = objective.log_temperature.device
    save_file(model.trainable_state(), folder / "encoders.safetensors")
    save_file(
        {k: v.detach().cpu().contiguous() for k, v in objective.state_dict().items()}, folder / "objective.safetensors"
    )
    _write_history(result.history, result.best_epoch, combination, folder)
    held_out = np.concatenate([view.usable(combination, split, at_least=2) for split in ("val", "test")])
    np.save(folder / "rows.npy", held_out)
    np.save(folder / "embeddings.npy", embed(model, view, held_out, device))
    (folder / "state.pt").unlink(missing_ok=True)
    weights, warning = _weights(objective), None
    if weights is not None and len(combination) > 2 and max(weights) > DOMINANT:
        top = combination[int(np.argmax(weights))]
        warning = f"{'+'.join(combination)}: λ of {top} is {max(weights):.2f}; the objective all but ignores the others"
    return {
        "encoders": model.manifest(),
        "weights": weights,
        "warning": warning,
        "best_epoch": result.best_epoch,
        "epochs": len(result.history),
        "val_recall5": result.history[result.best_epoch]["val_recall5"],
        "matched_by": "objective" if matches_itself(objective) else "pairs",
        "train_seconds": round(result.seconds, 3),
        "earlier_seconds": 0.0,
        "peak_memory_mb": round(peak_memory_mb(device), 1),
    }


def _mean_loss(
    objective: Objective, values: np.ndarray, present: np.ndarray, batch_size: int, device: torch.device
) -> float:
    """The objective of embeddings (modality, stay, dim) in parts of about a batch, each counted by its stays."""
    total, counted = 0.0, 0
    for part in np.array_split(np.arange(len(present)), max(1, len(present) // batch_size)):
        if len(part) >= 2:
            embedded, mask = torch.from_numpy(values[:, part]), torch.from_numpy(present[part])
            total += float(objective(embedded.to(device), mask.to(device))[0]) * len(part)
            counted += len(part)
    return total / max(1, counted)


def _groups(
    model: torch.nn.Module, objective: Objective, weight_decay: float, weight_rate: float
) -> list[dict[str, Any]]:
    """λ has its own learning rate: with the encoders' it hardly moves. Neither λ nor the temperature decays."""
    weights = objective.weight_parameters()
    known = {id(parameter) for parameter in weights}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in model.parameters() if p.requires_grad], "weight_decay": weight_decay},
        {"params": [p for p in objective.parameters() if id(p) not in known], "weight_decay": 0.0},
    ]
    if weights:
        groups.append({"params": weights, "weight_decay": 0.0, "lr": weight_rate})
    return [group for group in groups if group["params"]]


def _weights(objective: torch.nn.Module) -> list[float] | None:
    """λ where the objective has it."""
    weights = getattr(objective, "weights", None)
    return [round(float(value), 8) for value in weights().detach().cpu()] if callable(weights) else None


def _write_history(history: list[dict[str, Any]], best: int, combination: list[str], folder: Path) -> None:
    rows = [
        {k: v for k, v in row.items() if k not in {"weights", "score"}} | {"selected": row["epoch"] == best}
        for row in history
    ]
    pl.DataFrame(rows).with_columns(pl.selectors.float().fill_nan(None)).write_parquet(folder / "history.parquet")
    lambdas = [
        {"epoch": row["epoch"], "modality": name, "weight": weight, "selected": row["epoch"] == best}
        for row in history
        if row["weights"] is not None and len(combination) > 2
        for name, weight in zip(combination, row["weights"], strict=True)
    ]
    schema = {"epoch": pl.Int64, "modality": pl.String, "weight": pl.Float64, "selected": pl.Boolean}
    pl.DataFrame(lambdas, schema=schema).write_parquet(folder / "lambdas.parquet")


class Snapshots:
    """Embeddings of some held-out stays before training and after epochs 0, 1, 2, 4, 8, …, for t-SNE frames.

    The schedule does not depend on how long training lasts, so a resumed training leaves the same snapshots.
    """

    def __init__(self, folder: Path, test: np.ndarray, val: np.ndarray) -> None:
        self.folder = folder
        self.rows = np.concatenate([test, val])[:SNAPSHOT_STAYS]
        folder.mkdir(exist_ok=True)

    def due(self, epoch: int) -> bool:
        """Whether an epoch (-1 is before training) is on the schedule."""
        return epoch < 1 or epoch & (epoch - 1) == 0

    def keep(self, epoch: int, embedded: Any) -> None:
        """Keeps an epoch that is due; `embedded` maps rows to embeddings."""
        if self.due(epoch) and len(self.rows):
            np.savez(
                self.folder / f"{epoch + 1:04d}.npz",
                epoch=epoch,
                rows=self.rows,
                values=embedded(self.rows).astype(np.float16),
            )


def load_encoders(artifact: Path, combination: list[str], study: Config, view: ViewData) -> ModalityEncoders:
    """The pretrained encoders of a finished pretraining."""
    model = ModalityEncoders(combination, study, view, seed=0)
    model.load_trainable(load_file(artifact / "encoders.safetensors"))
    return model.eval()
