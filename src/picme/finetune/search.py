"""The search of settings for one cell: by folds of the training stays for a model without encoders, else of learning
rate and batch size on validation AUROC, resumable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from picme.finetune.train import train
from picme.finetune.without_encoders import search_settings
from picme.fitting.search import keep_settings, search_trials
from picme.pretrain.features import open_encoded
from picme.tasks import build as build_task

if TYPE_CHECKING:
    from pathlib import Path

    from picme.engine.step import Context
    from picme.finetune.step import FinetuneSearch
    from picme.fitting.search import Report


def search(step: FinetuneSearch, folder: Path, context: Context) -> dict[str, Any]:
    """Find a cell's settings with seed 0; leave `best.json`, and any trials. Test stays are not read."""
    cell = step.cell
    view = open_encoded(cell.prepare, cell.task.name, cell.encodings, context.store)
    if cell.course is None:
        train_rows, labels = (
            view.usable(cell.combination, "train"),
            build_task(cell.task.name, cell.task.section).labels,
        )
        keep_settings(search_settings(cell, view, labels, train_rows), folder)
        return {**cell.place, "combination": list(cell.combination)}

    def score(learning_rate: float, batch_size: int, report: Report) -> float:
        _, result = train(
            cell, step.embedded, view, 0, context,
            folder=None, report=report, learning_rate=learning_rate, batch_size=batch_size,
        )  # fmt: skip
        return result.best_score

    search_trials(folder, step.space, score)
    return {**cell.place, "combination": list(cell.combination)}
