"""Logs of a training's epochs in TensorBoard, MLflow, Weights & Biases or CSV, beside picme's own tables.

An epoch is one row of plain numbers; no row, id or text of a patient is in it. Nothing is read back, so whether and
where training is logged changes no result and is in no key.
"""

from __future__ import annotations

import fcntl
import logging
import math
import os
import shutil
import warnings
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

from picme.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from lightning.pytorch.loggers import Logger

# Package that each logger needs beside Lightning; the extras of picme have the loggers' names.
PACKAGES = {"csv": None, "tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}


def check_loggers(names: Sequence[str]) -> None:
    """Look for the loggers' packages without importing them.

    Raises:
        ConfigError: if one is not installed.
    """
    for name in names:
        package = PACKAGES[name]
        if package is not None and find_spec(package) is None:
            raise ConfigError(
                f"pretrain.loggers names {name!r}, whose package is not installed: pip install 'picme[{name}]'"
            )


class EpochLog:
    """Callable that hands each row of a training's history to the loggers.

    Everything is under `RUN/logs/LOGGER/COMBINATION/`, in a folder named by seed and key, unless the environment says
    otherwise: `MLFLOW_TRACKING_URI`, and for W&B `WANDB_MODE` (`offline` needs no account) and `WANDB_PROJECT`.
    A resumed training writes all its rows again in place of those of the attempt before.

    Args:
        names: names of the loggers; where there are none, nothing is imported or written.
        root: folder of all logs; None logs nothing.
        combination: the modalities.
        seed: seed of the training.
        key: key of the step, which tells this training from others of the combination and seed.
        settings: plain values that are logged once.

    Raises:
        ConfigError: on entering, if a package is not installed or a logger does not start.
    """

    def __init__(
        self,
        names: Sequence[str],
        root: Path | None,
        combination: Sequence[str],
        seed: int,
        key: str,
        **settings: Any,
    ) -> None:
        self._names = names if root is not None else ()
        self._combination = tuple(combination)
        self._loggers: list[tuple[str, Logger]] = []
        if root is not None:
            self._root, self._version = root, f"seed{seed}-{key}"
        self._settings = {"combination": "+".join(combination), "seed": seed, **settings}

    def __enter__(self) -> Self:
        if self._names:
            check_loggers(self._names)
            self._root.mkdir(exist_ok=True)
            for name in self._names:
                try:
                    with _alone(self._root), _silent():
                        logger = BUILDERS[name](self._root / name, self._settings["combination"], self._version)
                        logger.log_hyperparams(dict(self._settings))
                except Exception as error:
                    hint = "; WANDB_MODE=offline needs no account" if name == "wandb" else ""
                    raise ConfigError(
                        f"pretrain.loggers: {name} does not start ({type(error).__name__}){hint}"
                    ) from error
                self._loggers.append((name, logger))
        return self

    def __call__(self, row: dict[str, Any]) -> None:
        """Log one epoch; a logger that fails is left out from then on, so that the training goes on."""
        for name, logger in list(self._loggers):
            try:
                with _silent():
                    logger.log_metrics(numbers(row, self._combination), step=row["epoch"])
            except Exception as error:
                self._loggers.remove((name, logger))
                logging.getLogger(__name__).warning(
                    "%s: logging to %s ended at epoch %s (%s)",
                    self._settings["combination"], name, row["epoch"], type(error).__name__,
                )  # fmt: skip

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        for _, logger in self._loggers:
            with suppress(Exception), _silent():  # a failing logger must not end the training
                logger.finalize("success" if kind is None else "failed")
                if hasattr(logger, "experiment") and hasattr(logger.experiment, "finish"):
                    logger.experiment.finish()  # W&B: the next job of this process starts a run of its own

    @property
    def row(self) -> Callable[[dict[str, Any]], None] | None:
        """Return the function to call with a row of history; None where nothing is logged."""
        return self if self._names else None


def numbers(row: dict[str, Any], combination: Sequence[str]) -> dict[str, float]:
    """Return the numbers in a row of history that are defined, with λ as `lambda/MODALITY`."""
    found = {
        name: float(value)
        for name, value in row.items()
        if isinstance(value, (int, float)) and name not in {"epoch", "score"}
    }
    weights = row.get("weights")
    if weights is not None:
        found |= {f"lambda/{name}": float(weight) for name, weight in zip(combination, weights, strict=True)}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _csv(folder: Path, name: str, version: str) -> Logger:
    from lightning.pytorch.loggers import CSVLogger

    shutil.rmtree(folder / name / version, ignore_errors=True)
    return CSVLogger(folder, name=name, version=version, flush_logs_every_n_steps=1)


def _tensorboard(folder: Path, name: str, version: str) -> Logger:
    from lightning.pytorch.loggers import TensorBoardLogger

    shutil.rmtree(folder / name / version, ignore_errors=True)
    return TensorBoardLogger(folder, name=name, version=version, default_hp_metric=False)


def _mlflow(folder: Path, name: str, version: str) -> Logger:
    from lightning.pytorch.loggers import MLFlowLogger

    folder.mkdir(exist_ok=True)
    place = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}"
    logger = MLFlowLogger(
        "picme", name, place, {"picme.version": version}, artifact_location=(folder / "artifacts").as_uri()
    )
    earlier = f"tags.`picme.version` = '{version}'"
    for run in logger.experiment.search_runs([logger.experiment_id], earlier):
        if run.info.run_id != logger.run_id and run.info.status != "FINISHED":
            logger.experiment.delete_run(run.info.run_id)
    return logger


def _wandb(folder: Path, name: str, version: str) -> Logger:
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    folder.mkdir(exist_ok=True)
    os.environ.setdefault("WANDB_SILENT", "true")
    # Only numbers leave the machine: no code, console output, git state or machine description.
    settings = wandb.Settings(
        silent=True, console="off", disable_git=True, save_code=False, x_disable_stats=True, x_disable_meta=True
    )
    run = wandb.init(
        name=name,
        dir=folder,
        id=version,
        project=os.environ.get("WANDB_PROJECT", "picme"),
        resume="allow",
        reinit="finish_previous",
        settings=settings,
    )
    return WandbLogger(experiment=run)


BUILDERS: dict[str, Callable[[Path, str, str], Logger]] = {
    "csv": _csv,
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "wandb": _wandb,
}


@contextmanager
def _silent() -> Iterator[None]:
    """Silence the loggers' messages, because picme shows the progress itself."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time start a logger; two at once would each create MLflow's experiment."""
    with (folder / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
