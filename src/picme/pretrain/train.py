"""Contrastive pretraining of one combination."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from picme.config.combinations import label
from picme.errors import TrainingError
from picme.fitting import group
from picme.fitting.ahead import Ahead
from picme.fitting.component import calling, check_shape
from picme.fitting.course import Fit, fit
from picme.fitting.device import resolve_device
from picme.fitting.epoch_log import EpochLog
from picme.fitting.search import found
from picme.objectives.gradcache import cached_embeddings
from picme.pretrain.artifact import keep, learnt_weights
from picme.pretrain.features import open_encoded
from picme.pretrain.matching import validation_recall
from picme.pretrain.model import ModalityEncoders, embed
from picme.pretrain.reconstruction import Reconstruction, mean_loss
from picme.pretrain.snapshots import Snapshots

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from picme.engine.step import Context
    from picme.modalities.view import ViewData
    from picme.objectives import Objective
    from picme.objectives.subsets import SubsetObjective
    from picme.pretrain.reconstruction import MicroBatch, Part
    from picme.pretrain.step import Pretrain, Pretraining
    from picme.pretrain.subsets import Draw

    Built = tuple[list[MicroBatch], tuple[int, ...], int, list[Part]]
    """The micro-batches of this process's part of a batch, the modalities that it runs over, its stays, and what is
    hidden of them for reconstruction."""


def pretrain(step: Pretrain, folder: Path, context: Context) -> dict[str, Any]:
    """Pretrain the encoders of a step, on several devices if there are; keep weights, λ, history, held-out embeddings.

    Raises:
        TrainingError: if there are too few stays, or training diverges.
    """
    if context.devices:
        found_by_all: dict[str, Any] = group.together(_with_others, context.devices, step, folder, context)
        return found_by_all
    pretraining, course = step.pretraining, step.pretraining.course
    view = open_encoded(pretraining.prepare, "pretrain", pretraining.encodings, context.store)
    values: dict[str, Any] = {"learning_rate": course.learning_rate, "batch_size": course.batch_size}
    if step.search is not None:
        values = found(context.store.path(step.search))
    logs = context.store.run / "logs"
    log = EpochLog(context.loggers, logs, step.combination, step.seed, step.key, **values) if group.leads() else None
    trained = train(pretraining, view, step.seed, resolve_device(context.device), folder=folder, log=log, **values)
    if not group.leads():
        return {}
    kept = keep(trained, view, list(step.combination), folder)
    return {"combination": list(step.combination), "seed": step.seed, **values, **kept}


def _with_others(device: str, step: Pretrain, folder: Path, context: Context) -> dict[str, Any]:
    """Pretrain on one of several devices."""
    return pretrain(step, folder, replace(context, device=device, devices=()))


@dataclass(frozen=True)
class Trained:
    """Encoders and objective with the weights of the best epoch, and how they came about.

    Attributes:
        encoders: the encoders of the combination.
        objective: what was trained with them.
        whole: the objective of all modalities together; the same unless training was shared by all combinations.
        result: history and best epoch.
    """

    encoders: ModalityEncoders
    objective: Objective | SubsetObjective
    whole: Objective
    result: Fit


def train(
    pretraining: Pretraining,
    view: ViewData,
    seed: int,
    device: torch.device,
    *,
    learning_rate: float,
    batch_size: int,
    folder: Path | None = None,
    log: EpochLog | None = None,
    report: Callable[[int, float], None] | None = None,
) -> Trained:
    """Pretrain the encoders of one combination, stopped and chosen by recall@5 on validation.

    A shared pretraining runs each batch over a subset of the modalities, and is validated on all of them. With a weight
    of reconstruction, the series are encoded a second time with a part of them hidden, so that contrast sees all. In a
    group of processes each has a part of every batch and of what is embedded for validation.

    Args:
        pretraining: what is trained, and for how long.
        view: the stays of pretraining.
        seed: the seed of the encoders and of everything drawn.
        device: where it is trained.
        learning_rate: the learning rate of the encoders and the temperature.
        batch_size: stays in a batch.
        folder: where the state to resume from and the snapshots go; None keeps neither.
        log: gets each epoch's numbers.
        report: called with (epoch, recall@5) after each epoch; may raise to stop a hopeless search trial.

    Raises:
        TrainingError: if there are too few stays, or training diverges.
    """
    combination, course = list(pretraining.combination), pretraining.course
    rows = {split: view.usable(combination, split, at_least=2) for split in ("train", "val", "test")}
    if len(rows["train"]) < 2:
        raise TrainingError(
            f"{label(combination)} has {len(rows['train'])} training stays with two of its modalities; "
            "at least 2 are needed"
        )
    present = view.present(combination)
    model = ModalityEncoders(pretraining.encodings, view, seed).to(device)
    if pretraining.micro_batch is not None:
        _check_separate(model, "pretrain.micro_batch")
    if group.size() > 1:
        _check_separate(model, "execution.devices_per_fit")
    chosen = pretraining.objective
    torch.manual_seed(seed)  # for the objective's own parameters
    objective, whole = pretraining.objectives()
    objective.to(device)
    joint = torch.nn.ModuleDict({"encoders": model, "objective": objective})
    weight, reconstruction = pretraining.reconstruct or 0.0, None
    if pretraining.reconstructed:
        joint["reconstruction"] = reconstruction = Reconstruction(pretraining.reconstructed, view, seed).to(device)
    weight_rate = chosen.model_dump().get("weight_learning_rate") or learning_rate
    decaying = [model] if reconstruction is None else [model, reconstruction]
    groups = _groups(torch.nn.ModuleList(decaying), objective, course.weight_decay, weight_rate)
    # The same arithmetic in fewer calls, which count where networks are small, and one more copy of the weights.
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, foreach=None if pretraining.large else True)

    def built(drawn: Draw, epoch: int) -> Built:
        names = [combination[index] for index in drawn.members]
        own = group.part(drawn.rows)
        encoded = own if len(own) else drawn.rows[:1]  # without a stay of its own, a process has gradients of 0
        size = pretraining.micro_batch or len(encoded)
        parts = np.split(encoded, range(size, len(encoded), size))
        masks = [torch.from_numpy(present[part][:, drawn.members]).to(device) for part in parts]
        micro = [(view.batch(names, part, device), mask) for part, mask in zip(parts, masks, strict=True)]
        hidden = []
        if reconstruction is not None:
            hidden = reconstruction.hide(view, drawn.rows, micro, [seed, epoch, 2])
        return micro, drawn.members, len(own), hidden

    def batches(epoch: int) -> Ahead[Draw, Built]:
        parts = view.training_batches(combination, rows["train"], batch_size, seed, epoch)
        return Ahead(pretraining.draws(parts, present, seed, epoch), partial(built, epoch=epoch), device)

    def encoded(part: MicroBatch) -> tuple[Tensor, Tensor]:
        return model(*part), part[1]

    reconstructed: list[Tensor] = []

    def loss_of(batch: Built) -> Tensor:
        parts, members, stays, hidden = batch
        embedded, mask = encoded(parts[0]) if len(parts) == 1 else cached_embeddings(encoded, parts)
        of_subset = partial(objective, members=members) if objective is not whole else objective
        loss = _loss(of_subset, chosen.name, embedded[:, :stays], None if mask is None else mask[:stays])
        if reconstruction is not None and hidden:
            beside = mean_loss(reconstruction.of_batch(model, hidden))
            reconstructed.append(beside.detach())
            loss = loss + weight * beside
        if not torch.isfinite(loss):
            raise TrainingError(f"the loss of objective {chosen.name!r} is not finite; try a smaller learning rate")
        return loss

    snapshots = None
    if folder is not None:
        held_out = rows["test"] if len(rows["test"]) >= 5 else rows["val"]
        snapshots = Snapshots(folder / "snapshots", held_out, rows["val"], present)

    def embedded_by_all(chosen: np.ndarray) -> np.ndarray:
        return group.joined(embed(model, view, group.part(chosen), device), axis=1)

    def snapshot(epoch: int) -> None:
        if snapshots is not None:
            snapshots.keep(epoch, embedded_by_all)

    def validate_epoch(epoch: int) -> dict[str, Any]:
        values = embedded_by_all(rows["val"]) if len(rows["val"]) >= 2 else None
        row: dict[str, Any] = {"val_loss": math.nan, "val_recall5": math.nan}
        if values is not None:
            row["val_loss"] = _mean_loss(whole, chosen.name, values, present[rows["val"]], batch_size, device)
            row["val_recall5"] = validation_recall(whole, values, present[rows["val"]], pretraining.validation)
        if reconstruction is not None:
            row["train_reconstruction"] = float(torch.stack(reconstructed).mean()) if reconstructed else math.nan
            reconstructed.clear()
            row["val_reconstruction"] = reconstruction.validated(model, view, rows["val"], seed, device)
        row["temperature"] = float(whole.log_temperature.detach().exp())
        row["weights"] = learnt_weights(whole)
        # Ties in recall, frequent in small validation sets, go to the lower loss.
        row["score"] = row["val_recall5"] - 1e-4 * math.tanh(row["val_loss"]) if values is not None else math.nan
        snapshot(epoch)
        if report is not None and values is not None:
            report(epoch, row["val_recall5"])
        return row

    snapshot(-1)
    loop = fit
    if pretraining.large:
        from picme.fitting.lightning_loop import fit_lightning as loop
    with log or nullcontext() as logged:
        result = loop(
            joint, optimizer, batches, loss_of, validate_epoch,
            epochs=course.epochs, patience=course.patience, seed=seed,
            state=None if folder is None else folder / "state.pt", log=logged.row if logged else None,
        )  # fmt: skip
    return Trained(model, objective, whole, result)


def _check_separate(model: ModalityEncoders, setting: str) -> None:
    """Check that the encoders treat stays separately, as a setting that divides batches needs.

    Raises:
        TrainingError: if one trains batch normalisation, naming its modality.
    """
    for name, encoder in model.train().encoders.items():
        if any(isinstance(part, torch.nn.modules.batchnorm._BatchNorm) and part.training for part in encoder.modules()):
            raise TrainingError(
                f"{setting}: the encoder of modality {name!r} trains batch normalisation, which would see parts of "
                "batches in place of batches; leave the setting out, or train less of that encoder (its mode)"
            )


def _loss(objective: Callable[..., tuple[Tensor, Any]], name: str, embedded: Tensor, mask: Tensor | None) -> Tensor:
    """Return the objective's loss, a scalar, of embeddings (modality, batch, dim)."""
    what = f"objective {name!r}"
    with calling(what, embeddings=embedded, present=mask):
        loss, _ = objective(embedded, mask)
    check_shape(what, loss, ())
    return loss


def _mean_loss(
    objective: Objective, name: str, values: np.ndarray, present: np.ndarray, batch_size: int, device: torch.device
) -> float:
    """Return the mean loss of embeddings (modality, stay, dim) in parts of about a batch, each counted by its stays."""
    total, counted = 0.0, 0
    for part in np.array_split(np.arange(len(present)), max(1, len(present) // batch_size)):
        if len(part) >= 2:
            own = group.part(part)  # the objective gathers the others
            embedded, mask = torch.from_numpy(values[:, own]), torch.from_numpy(present[own])
            total += float(_loss(objective, name, embedded.to(device), mask.to(device))) * len(part)
            counted += len(part)
    return total / max(1, counted)


def _groups(
    model: torch.nn.Module, objective: Objective | SubsetObjective, weight_decay: float, weight_rate: float
) -> list[dict[str, Any]]:
    """Return the optimizer's groups of parameters.

    λ has a learning rate of its own: with the encoders' it hardly moves. Neither λ nor the temperature decays.
    """
    weights = objective.weight_parameters()
    known = {id(parameter) for parameter in weights}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in model.parameters() if p.requires_grad], "weight_decay": weight_decay},
        {"params": [p for p in objective.parameters() if id(p) not in known], "weight_decay": 0.0},
    ]
    if weights:
        groups.append({"params": weights, "weight_decay": 0.0, "lr": weight_rate})
    return [group for group in groups if group["params"]]
