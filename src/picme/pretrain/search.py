"""The search of a pretraining's learning rate and batch size on validation recall@5."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from picme.fitting.device import resolve_device
from picme.fitting.search import search_trials
from picme.pretrain.features import open_encoded
from picme.pretrain.train import train

if TYPE_CHECKING:
    from pathlib import Path

    from picme.engine.step import Context
    from picme.fitting.search import Report
    from picme.pretrain.step import PretrainSearch


def search(step: PretrainSearch, folder: Path, context: Context) -> dict[str, Any]:
    """Pretrain a combination once for each trial, with seed 0. Test stays are not read.

    Raises:
        TrainingError: if no trial ends with a validation score.
    """
    pretraining, device = step.pretraining, resolve_device(context.device)
    view = open_encoded(pretraining.prepare, "pretrain", pretraining.encodings, context.store)

    def score(learning_rate: float, batch_size: int, report: Report) -> float:
        trained = train(
            pretraining, view, 0, device, learning_rate=learning_rate, batch_size=batch_size, report=report
        ).result
        return float(trained.history[trained.best_epoch]["val_recall5"])

    search_trials(folder, step.space, score)
    return {"combination": list(pretraining.combination)}
