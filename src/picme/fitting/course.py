"""The plain training loop, for short fits, and what both loops share: epochs, early stopping, exact resume.

A fit on stored features takes seconds, so its loop is a plain one; `picme.fitting.lightning_loop` has the loop of fits
that train a large network. Everything drawn at random in an epoch depends on the seed and the epoch alone, so in either
loop a fit that is killed and resumed ends with the same weights as an uninterrupted one. Either loop also trains in a
group of processes (`picme.fitting.group`): the one that leads writes, and all go on with its validation.
"""

from __future__ import annotations

import json
import math
import time
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import torch

from picme.engine.store import left_by, write_json
from picme.errors import TrainingError
from picme.fitting import group
from picme.fitting.size import check_training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import Tensor, nn

# An interrupted fit loses at most about this much work.
SAVE_EVERY_SECONDS = 20.0

Batch = TypeVar("Batch")
Each = TypeVar("Each", covariant=True)


class Batches(Protocol[Each]):
    """The batches of an epoch in order, which may be built one by one."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Each]: ...


@dataclass
class Fit:
    """Result of a training: its history by epoch, the best epoch (whose weights are in use) and its duration."""

    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = -1
    best_score: float = -math.inf
    seconds: float = 0.0


def epoch_seed(seed: int, epoch: int) -> int:
    """Return the seed of one epoch of one fit."""
    return (seed * 1_000_003 + epoch * 7_919 + 17) % 2**31


def fit(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Callable[[int], Batches[Batch]],
    loss_of: Callable[[Batch], Tensor],
    validate: Callable[[int], dict[str, Any]],
    *,
    epochs: int,
    patience: int,
    seed: int,
    state: Path | None = None,
    clip: float = 1.0,
    log: Callable[[dict[str, Any]], None] | None = None,
) -> Fit:
    """Train a model and leave it with the weights of its best epoch.

    Args:
        model: the model, whose trainable parameters and buffers are kept and restored.
        optimizer: over those parameters.
        batches: epoch → its batches, such as arrays of row numbers; must depend on nothing but the epoch.
        loss_of: batch → scalar loss.
        validate: epoch → a row of history; its key `score` is greater for better, NaN for undefined.
        epochs: most epochs.
        patience: epochs without a better score before training stops.
        seed: seed of everything drawn in an epoch.
        state: file to resume from; written at epoch boundaries of long fits, and of the last good epoch at a failure.
        clip: largest norm of the gradient; a greater gradient is scaled down.
        log: called with each row of history, those before a resume first.

    Returns:
        The history and the best epoch.

    Raises:
        TrainingError: if the loss, an embedding or the gradient is not finite; the last good epoch stays in `state`.
    """
    with Course(
        model, optimizer, validate, epochs=epochs, patience=patience, seed=seed, state=state, clip=clip, log=log
    ) as course:
        for epoch in course.left():
            course.begin(epoch)
            for batch in batches(epoch):
                loss = course.loss(loss_of, batch)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                course.clip()
                optimizer.step()
            course.end()
    return course.result


class Course:
    """State of one fit, for either loop: the current epoch, the best epoch, and the file to resume from.

    A loop takes the epochs of `left`, calls `begin`, for every batch `loss` and (after the backward pass) `clip`, and
    then `end`. Leaving the `with` block puts the best epoch's weights into the model. Leaving it by an exception writes
    the last good epoch into `state`, and the number of the failed epoch beside it, so that a later attempt that fails
    in the same epoch says so. The arguments are those of `fit`.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        validate: Callable[[int], dict[str, Any]],
        *,
        epochs: int,
        patience: int,
        seed: int,
        state: Path | None,
        clip: float,
        log: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        torch.set_flush_denormal(True)
        check_training(model)
        self.model, self.optimizer, self.validate = model, optimizer, validate
        self.epochs, self.patience, self.seed, self.state, self.norm, self.log = (
            epochs, patience, seed, state, clip, log,
        )  # fmt: skip
        self._weights = [p for p in model.parameters() if p.requires_grad]
        # Buffers are kept too: batch normalisation learns its statistics in them.
        self._trained: dict[str, Tensor] = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._trained |= dict(model.named_buffers())
        self.result, self._best = Fit(), _copy(self._trained)
        self.epoch, self.first, self._stale, self._earlier = -1, 0, 0, 0.0
        self._losses: list[Tensor] = []
        self._unsaved: dict[str, Any] | None = None
        if state is not None and state.is_file():
            saved = torch.load(state, weights_only=True)
            _restore(self._trained, saved["now"])
            optimizer.load_state_dict(saved["optimizer"])
            self._best, self._stale = saved["best"], saved["stale"]
            self.first, self._earlier = saved["epoch"] + 1, saved["seconds"]
            self.result = Fit(saved["history"], saved["best_epoch"], saved["best_score"])
        self._failure = None if state is None else state.with_suffix(".failed.json")
        self._failed_before = None
        if self._failure is not None and self._failure.is_file():
            self._failed_before = json.loads(self._failure.read_text(encoding="utf-8"))["epoch"]
        self._began = self._start = self._saved_at = time.perf_counter()

    def __enter__(self) -> Self:
        for row in self.result.history if self.log is not None else ():
            self.log(row)  # type: ignore[misc]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *trace: object) -> None:
        if error is None:
            _restore(self._trained, self._best)
            self.model.eval()
            self.result.seconds = self._earlier + time.perf_counter() - self._start
        elif self.state is not None and self._unsaved is not None:  # whoever fails in a group, as all have it
            _save(self.state, **self._unsaved)
        if self._failure is not None:
            if error is None:
                self._failure.unlink(missing_ok=True)
            elif isinstance(error, TrainingError):
                write_json(self._failure, {"epoch": self.epoch})

    @property
    def over(self) -> bool:
        """Return whether the last `patience` epochs brought no better score."""
        return self._stale >= self.patience

    def left(self) -> Iterator[int]:
        """Yield the epochs that are still to be trained."""
        for epoch in range(self.first, self.epochs):
            if self.over:
                return
            yield epoch

    def begin(self, epoch: int) -> None:
        """Start an epoch: seed it, and put the model into training mode."""
        self.epoch, self._began, self._losses = epoch, time.perf_counter(), []
        torch.manual_seed(epoch_seed(self.seed, epoch) + group.rank())
        self.model.train()

    def loss(self, loss_of: Callable[[Batch], Tensor], batch: Batch) -> Tensor:
        """Compute the loss of one batch.

        Raises:
            TrainingError: if it is not finite, naming the epoch.
        """
        try:
            loss = loss_of(batch)
        except TrainingError as error:
            raise self._stopped(f"epoch {self.epoch}: {error}") from error
        if not torch.isfinite(loss):
            raise self._stopped(f"the loss is not finite in epoch {self.epoch}; try a smaller learning rate")
        self._losses.append(loss.detach())
        return loss

    def clip(self) -> None:
        """Scale the gradient, in a group its mean over the processes, down to the largest norm allowed.

        Raises:
            TrainingError: if it is not finite, naming the epoch.
        """
        group.average_gradients(self._weights)
        norm = torch.nn.utils.clip_grad_norm_(self._weights, self.norm)
        if not torch.isfinite(norm):
            named = ((name, p.grad) for name, p in self.model.named_parameters() if p.grad is not None)
            bad = next((name for name, gradient in named if not torch.isfinite(gradient).all()), "all together")
            raise self._stopped(
                f"the gradient of {bad} is not finite in epoch {self.epoch}; try a smaller learning rate"
            )

    def end(self) -> None:
        """Finish an epoch: validate, extend the history, and keep the weights if they are the best or a save is due.

        Raises:
            TrainingError: if an embedding is not finite, naming the epoch.
        """
        self.model.eval()
        with torch.no_grad():
            try:
                row = group.agreed(self.validate(self.epoch))
            except TrainingError as error:
                raise self._stopped(f"epoch {self.epoch}: {error}") from error
        train_loss = float(torch.stack(self._losses).mean()) if self._losses else math.nan
        row = {"epoch": self.epoch, "train_loss": train_loss, **row, "seconds": time.perf_counter() - self._began}
        result = self.result
        result.history.append(row)
        if row["score"] > result.best_score or result.best_epoch < 0:
            if not math.isnan(row["score"]):
                result.best_score = row["score"]
            result.best_epoch, self._best, self._stale = self.epoch, _copy(self._trained), 0
        else:
            self._stale += 1
        if self.log is not None:
            self.log(row)
        if self.state is not None:
            self._keep(self.state)

    def _keep(self, state: Path) -> None:
        """Write what a resume needs or, where no save is due, hold it in memory in case the next epoch fails."""
        now = time.perf_counter()
        # In a group the one that leads saves; the others hold the epoch, for the one that fails may be any of them.
        due = group.leads() and now - self._saved_at > SAVE_EVERY_SECONDS
        optimizer = self.optimizer.state_dict()
        kept: dict[str, Any] = {
            "now": self._best if self.result.best_epoch == self.epoch else _copy(self._trained),
            "optimizer": optimizer if due else deepcopy(optimizer),
            "best": self._best,
            "stale": self._stale,
            "epoch": self.epoch,
            "history": list(self.result.history),
            "best_epoch": self.result.best_epoch,
            "best_score": self.result.best_score,
            "seconds": self._earlier + now - self._start,
        }
        self._unsaved = None if due else kept
        if due:
            self._saved_at = now
            _save(state, **kept)

    def _stopped(self, reason: str) -> TrainingError:
        """Return the error for an epoch that cannot go on; it names what is left of the fit."""
        if self.state is not None and self.result.history:
            last = self.result.history[-1]["epoch"]
            kept = left_by(self.state.parent) / self.state.name
            reason += f" (the weights of epoch {last} are kept in {'/'.join(kept.parts[-4:])})"
        if self._failed_before == self.epoch:
            reason += "; the attempt before ended in the same epoch: without a change of the configuration all will"
        return TrainingError(reason)


def _copy(parameters: dict[str, Any]) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}


def _restore(parameters: dict[str, Any], values: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(values[name])


def _save(path: Path, **state: Any) -> None:
    temporary = path.with_suffix(f".writing{group.rank()}")
    torch.save(state, temporary)
    temporary.replace(path)
