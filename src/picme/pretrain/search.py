"""Search of pretraining's learning rate and batch size on validation recall@5."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from picme.config.loading import validate
from picme.config.study import SearchConfig
from picme.modalities.view import open_view
from picme.pretrain.job import train
from picme.search import search_trials
from picme.store import Store

if TYPE_CHECKING:
    from picme.search import Report


def search(
    run: str, config: dict[str, Any], combination: list[str], key: str, prepared: str, features: dict[str, str]
) -> None:
    """Pretrains a combination once a trial, with seed 0. Test stays are not read.

    Raises:
        TrainingError: if no trial ends with a validation score.
    """
    study = validate(config)
    space = study.pretrain.search
    assert isinstance(space, SearchConfig)  # only planned where a search is configured
    view = open_view(
        Path(prepared), "pretrain", study.modalities, {name: Path(path) for name, path in features.items()}
    )

    def score(learning_rate: float, batch_size: int, report: Report) -> float:
        result = train(
            study, view, combination, 0, learning_rate=learning_rate, batch_size=batch_size, report=report
        ).result
        return float(result.history[result.best_epoch]["val_recall5"])

    with Store(Path(run)).create("search", key, {"combination": combination}) as folder:
        search_trials(folder, space, score)
