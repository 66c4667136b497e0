"""Search of learning rate and batch size for one cell, on validation AUROC; resumable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from picme.config.loading import validate
from picme.config.study import SearchConfig
from picme.finetune.job import train
from picme.modalities.view import open_view
from picme.search import search_trials
from picme.store import Store

if TYPE_CHECKING:
    from picme.search import Report


def search(
    run: str,
    config: dict[str, Any],
    task: str,
    combination: list[str],
    strategy: str,
    key: str,
    prepared: str,
    features: dict[str, str],
    pretrained: str | None,
    embedded: list[str],
) -> None:
    """Finds learning rate and batch size with seed 0; leaves `best.json` and the trials. Test stays are not read."""
    study = validate(config)
    space = study.finetune.search
    assert isinstance(space, SearchConfig)  # only planned where a search is configured
    view = open_view(Path(prepared), task, study.modalities, {name: Path(path) for name, path in features.items()})

    def score(learning_rate: float, batch_size: int, report: Report) -> float:
        _, result = train(
            study, view, task, combination, strategy, 0,
            pretrained=Path(pretrained) if pretrained else None,
            embedded=[Path(path) for path in embedded],
            folder=None,
            report=report,
            learning_rate=learning_rate,
            batch_size=batch_size,
        )  # fmt: skip
        return result.best_score

    about = {"task": task, "combination": combination, "strategy": strategy}
    with Store(Path(run)).create("search", key, about) as folder:
        search_trials(folder, space, score)
