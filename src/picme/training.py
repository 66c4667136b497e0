"""The training loop of short fits: epochs, early stopping, resume at epoch boundaries, deterministic.

A fit on cached features takes seconds, so this is a plain loop; what is drawn at random in an epoch depends on the seed
and the epoch alone, so a killed and resumed fit ends with the same weights as one that was left alone.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from picme.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import numpy as np
    from torch import Tensor, nn

# An interrupted fit loses at most about this much work.
SAVE_EVERY_SECONDS = 20.0


@dataclass
class Fit:
    """What a training left: the history by epoch, which epoch is in use, and how long it took."""

    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = -1
    best_score: float = -math.inf
    seconds: float = 0.0


def epoch_seed(seed: int, epoch: int) -> int:
    """A seed for one epoch of one fit."""
    return (seed * 1_000_003 + epoch * 7_919 + 17) % 2**31


def resolve_device(name: str) -> torch.device:
    """`auto` as the best device there is.

    Raises:
        TrainingError: if the named device is not available.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    if not available[name]:
        raise TrainingError(f"execution.device is {name!r}, which this machine does not have")
    return torch.device(name)


def fit(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Callable[[int], Iterable[np.ndarray]],
    loss_of: Callable[[np.ndarray], Tensor],
    validate: Callable[[int], dict[str, Any]],
    *,
    epochs: int,
    patience: int,
    seed: int,
    state: Path | None = None,
    clip: float = 1.0,
) -> Fit:
    """Trains a model and leaves it with the weights of its best epoch.

    Args:
        model: whose trainable parameters are kept and restored.
        optimizer: over those parameters.
        batches: epoch → arrays of row numbers; must depend on nothing but the epoch.
        loss_of: rows → scalar loss.
        validate: epoch → a row of history; its key `score` is greater for better, NaN for undefined.
        epochs: at most.
        patience: epochs without a better score before it stops.
        seed: of everything drawn in an epoch.
        state: file to resume from; written at epoch boundaries of long fits.
        clip: gradient norm at most.

    Raises:
        TrainingError: if the loss is not finite; the state of the last good epoch stays on disk.
    """
    torch.set_flush_denormal(True)
    weights = [p for p in model.parameters() if p.requires_grad]
    # Buffers too: batch normalisation learns in them.
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad} | dict(model.named_buffers())
    result, best = Fit(), _copy(trained)
    stale, first, earlier = 0, 0, 0.0
    if state is not None and state.is_file():
        saved = torch.load(state, weights_only=True)
        _restore(trained, saved["now"])
        optimizer.load_state_dict(saved["optimizer"])
        best, stale, first, earlier = saved["best"], saved["stale"], saved["epoch"] + 1, saved["seconds"]
        result = Fit(saved["history"], saved["best_epoch"], saved["best_score"])
    start = saved_at = time.perf_counter()
    for epoch in range(first, epochs):
        if stale >= patience:
            break
        torch.manual_seed(epoch_seed(seed, epoch))
        model.train()
        began, losses = time.perf_counter(), []
        for rows in batches(epoch):
            try:
                loss = loss_of(rows)
            except TrainingError as error:
                raise TrainingError(f"epoch {epoch}: {error}") from error
            if not torch.isfinite(loss):
                raise TrainingError(f"the loss is not finite in epoch {epoch}; try a smaller learning rate")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, clip)
            optimizer.step()
            losses.append(loss.detach())
        model.eval()
        with torch.no_grad():
            row = validate(epoch)
        train_loss = float(torch.stack(losses).mean()) if losses else math.nan
        row = {"epoch": epoch, "train_loss": train_loss, **row, "seconds": time.perf_counter() - began}
        result.history.append(row)
        if row["score"] > result.best_score or result.best_epoch < 0:
            if not math.isnan(row["score"]):
                result.best_score = row["score"]
            result.best_epoch, best, stale = epoch, _copy(trained), 0
        else:
            stale += 1
        if state is not None and time.perf_counter() - saved_at > SAVE_EVERY_SECONDS:
            saved_at = time.perf_counter()
            _save(
                state,
                now=_copy(trained),
                optimizer=optimizer.state_dict(),
                best=best,
                stale=stale,
                epoch=epoch,
                history=result.history,
                best_epoch=result.best_epoch,
                best_score=result.best_score,
                seconds=earlier + saved_at - start,
            )
    _restore(trained, best)
    model.eval()
    result.seconds = earlier + time.perf_counter() - start
    return result


def _copy(parameters: dict[str, Any]) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}


def _restore(parameters: dict[str, Any], values: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(values[name])


def _save(path: Path, **state: Any) -> None:
    temporary = path.with_suffix(".writing")
    torch.save(state, temporary)
    temporary.replace(path)


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory of this process (CPU) or of the device (CUDA) in megabytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
