"""Trials of learning rate and batch size: Optuna's part of the searches of pretraining and fine-tuning; resumable."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import optuna
import polars as pl

from picme.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from picme.config.study import SearchConfig

    Report = Callable[[int, float], None]
    """Called with (epoch, score) after each epoch; raises where the trial is hopeless."""
    Score = Callable[[float, int, Report], float]
    """(learning rate, batch size, report) → what is to be as great as possible."""

ENDED = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
BEST, TRIALS = "best.json", "trials.parquet"


def search_trials(folder: Path, space: SearchConfig, score: Score) -> None:
    """Runs the trials that are still to be done; leaves `best.json` and `trials.parquet` in `folder`.

    A tree-structured Parzen estimator with seed 0 proposes, the median of the trials before prunes. Trials are kept in
    `trials.sqlite` as they end, so that after a kill only the one under way is lost. A trial that diverges counts as
    pruned.

    Raises:
        TrainingError: if no trial came to its end.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    failures: list[TrainingError] = []

    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("learning_rate", *space.learning_rates, log=True)
        size = trial.suggest_categorical("batch_size", list(space.batch_sizes))

        def report(epoch: int, value: float) -> None:
            trial.report(value, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        try:
            return score(rate, size, report)
        except TrainingError as error:
            failures.append(error)
            raise optuna.TrialPruned from error

    kept = optuna.create_study(
        study_name="search", storage=f"sqlite:///{folder / 'trials.sqlite'}", load_if_exists=True, direction="maximize"
    )
    done = kept.get_trials(states=ENDED)
    # In memory, and kept trial by trial: a file that is written in every epoch takes longer than many an epoch.
    study = optuna.create_study(
        direction="maximize",
        # A resumed search goes on with another part of the random sequence than the one it has used.
        sampler=optuna.samplers.TPESampler(seed=len(done)),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=5),
    )
    study.add_trials(done)

    def keep(_: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        if trial.state in ENDED:
            kept.add_trial(trial)

    study.optimize(objective, n_trials=max(0, space.trials - len(done)), callbacks=[keep])
    if not study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)):
        raise TrainingError(
            str(failures[-1]) if failures else f"none of the {space.trials} trials of the search has a validation score"
        )
    (folder / BEST).write_text(json.dumps(study.best_params), encoding="utf-8")
    pl.DataFrame(
        [{"trial": t.number, **t.params, "value": t.value} for t in study.trials if t.params],
        schema={"trial": pl.Int64, "learning_rate": pl.Float64, "batch_size": pl.Int64, "value": pl.Float64},
    ).write_parquet(folder / TRIALS)


def found(artifact: Path) -> dict[str, float | int]:
    """The `learning_rate` and `batch_size` that a finished search chose."""
    chosen: dict[str, float | int] = json.loads((artifact / BEST).read_text(encoding="utf-8"))
    return chosen
