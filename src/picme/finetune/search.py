"""The search of learning rate and batch size for one cell, on validation AUROC; resumable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from picme.finetune.train import train
from picme.fitting.search import search_trials
from picme.pretrain.features import open_encoded

if TYPE_CHECKING:
    from pathlib import Path

    from picme.engine.step import Context
    from picme.finetune.step import FinetuneSearch
    from picme.fitting.search import Report


def search(step: FinetuneSearch, folder: Path, context: Context) -> dict[str, Any]:
    """Find learning rate and batch size with seed 0; leave `best.json` and the trials. Test stays are not read."""
    cell = step.cell
    view = open_encoded(cell.prepare, cell.task.name, cell.encodings, context.store)

    def score(learning_rate: float, batch_size: int, report: Report) -> float:
        _, result = train(
            cell, step.embedded, view, 0, context,
            folder=None, report=report, learning_rate=learning_rate, batch_size=batch_size,
        )  # fmt: skip
        return result.best_score

    search_trials(folder, step.space, score)
    return {**cell.place, "combination": list(cell.combination)}
