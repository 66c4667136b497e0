"""The training loop with PyTorch Lightning, for fits of a large network; its result is that of the plain loop.

Lightning handles the device, the optimizer's step and its hooks, and interruption. The state of the fit, its history
and its best epoch are kept by `picme.fitting.course.Course`, as in the plain loop: a checkpoint of Lightning's own
does not hold the order of the data, so a fit resumed from one within an epoch would not end with the same weights.

Importing Lightning takes seconds, so this module is imported only by a job that needs it.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.plugins.environments import LightningEnvironment

from picme.fitting.course import Batch, Batches, Course, Fit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import torch
    from torch import Tensor, nn

ACCELERATORS = {"cpu": "cpu", "cuda": "gpu", "mps": "mps"}


def fit_lightning(
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
    """Train a model with Lightning and leave it, on its device, with the weights of its best epoch.

    Arguments, result and `state` file are those of `picme.fitting.course.fit`; a fit begun by either loop can be
    resumed by the other. Nothing is printed, and no file but `state` is written.

    Raises:
        TrainingError: if the loss, an embedding or the gradient is not finite; the last good epoch stays in `state`.
        KeyboardInterrupt: if interrupted.
    """
    device = next(model.parameters()).device
    with Course(
        model, optimizer, validate, epochs=epochs, patience=patience, seed=seed, state=state, clip=clip, log=log
    ) as course:
        if course.over or course.first >= epochs:
            return course.result
        with _silent():
            trainer = Trainer(
                accelerator=ACCELERATORS[device.type],
                devices=[device.index or 0] if device.type == "cuda" else 1,
                max_epochs=epochs - course.first,
                reload_dataloaders_every_n_epochs=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
                use_distributed_sampler=False,
                # picme's executor distributes jobs: a cluster's own variables must not be read as one joint training.
                plugins=[LightningEnvironment()],
            )
            try:
                trainer.fit(_Steps(course, batches, loss_of))
            except SystemExit as ended:
                # Lightning ends the process at an interruption; whether to end it is the caller's decision.
                raise KeyboardInterrupt from ended
            finally:
                model.to(device)
    return course.result


class _Steps(LightningModule):
    """Lightning module of one fit.

    Mixed precision is left to the encoders: only the large ones use autocast.
    """

    def __init__(
        self,
        course: Course,
        batches: Callable[[int], Batches[Any]],
        loss_of: Callable[[Any], Tensor],
    ) -> None:
        super().__init__()
        self.model = course.model
        self._course, self._batches, self._loss_of = course, batches, loss_of

    def train_dataloader(self) -> _Batches:
        """Return the epoch's batches."""
        return _Batches(self._batches(self._course.first + self.current_epoch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer that the fit was given."""
        return self._course.optimizer

    def on_train_epoch_start(self) -> None:
        """Seed the epoch."""
        self._course.begin(self._course.first + self.current_epoch)

    def training_step(self, batch: Any, index: int) -> Tensor:
        """Return the loss of a batch."""
        return self._course.loss(self._loss_of, batch)

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *limits: Any, **named: Any) -> None:
        """Clip the gradient of all trained weights together."""
        self._course.clip()

    def on_train_epoch_end(self) -> None:
        """Validate, and stop where no epoch was better for long enough."""
        self._course.end()
        self.trainer.should_stop = self._course.over


class _Batches:
    """Batches in the order given.

    Lightning would take a bare list for many loaders, and torch's loader draws random numbers.
    """

    def __init__(self, batches: Batches[Any]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._batches)


@contextmanager
def _silent() -> Iterator[None]:
    """Silence what Lightning says about itself; messages of the model are still shown."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
