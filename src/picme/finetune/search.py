"""Search of learning rate and batch size for one cell, on validation AUROC; resumable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import polars as pl

from picme.config.loading import validate
from picme.config.study import SearchConfig
from picme.finetune.job import train
from picme.modalities.view import open_view
from picme.store import Store


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
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: optuna.Trial) -> float:
        chosen = {
            "learning_rate": trial.suggest_float("learning_rate", *space.learning_rates, log=True),
            "batch_size": trial.suggest_categorical("batch_size", list(space.batch_sizes)),
        }

        def report(epoch: int, score: float) -> None:
            trial.report(score, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        _, result = train(
            study, view, task, combination, strategy, 0,
            pretrained=Path(pretrained) if pretrained else None,
            embedded=[Path(path) for path in embedded],
            folder=None,
            report=report,
            **chosen,
        )  # fmt: skip
        return result.best_score

    with Store(Path(run)).create(
        "search", key, {"task": task, "combination": combination, "strategy": strategy}
    ) as folder:
        storage = f"sqlite:///{folder / 'trials.sqlite'}"
        done = 0
        if (folder / "trials.sqlite").is_file():
            done = len(
                optuna.load_study(study_name="search", storage=storage).get_trials(
                    states=(optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
                )
            )
        trials = optuna.create_study(
            study_name="search",
            storage=storage,
            load_if_exists=True,
            direction="maximize",
            # A resumed search goes on with another part of the random sequence than the one it has used.
            sampler=optuna.samplers.TPESampler(seed=done),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=5),
        )
        trials.optimize(objective, n_trials=max(0, space.trials - done), catch=())
        (folder / "best.json").write_text(json.dumps(trials.best_params), encoding="utf-8")
        pl.DataFrame(
            [{"trial": t.number, **t.params, "value": t.value} for t in trials.trials if t.params],
            schema={"trial": pl.Int64, "learning_rate": pl.Float64, "batch_size": pl.Int64, "value": pl.Float64},
        ).write_parquet(folder / "trials.parquet")
