"""Search for learning rate and batch size by Optuna, for pretraining and fine-tuning; a search can be resumed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import optuna
import polars as pl

from picme.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from picme.config.search import SearchConfig

    Report = Callable[[int, float], None]
    """Function to call with (epoch, score) after each epoch; it raises where the trial is hopeless."""
    Score = Callable[[float, int, Report], float]
    """Function (learning rate, batch size, report) → score, which the search maximises."""

ENDED = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
BEST, TRIALS = "best.json", "trials.parquet"


def search_trials(folder: Path, space: SearchConfig, score: Score) -> None:
    """Run the trials that are still to be done; leave `best.json` and `trials.parquet` in `folder`.

    A tree-structured Parzen estimator proposes trials, and a trial below the median of those before is pruned. Trials
    are stored in `trials.sqlite` as they end, so that a kill loses only the one under way. A trial that diverges counts
    as pruned.

    Raises:
        TrainingError: if no trial was completed.
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
    # The study is in memory and stored trial by trial: writing a file in every epoch can take longer than the epoch.
    study = optuna.create_study(
        direction="maximize",
        # A resumed search gets another seed, so that it does not repeat the random numbers it has used.
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


def keep_settings(settings: dict[str, Any], folder: Path) -> None:
    """Write the settings that a search without trials chose, where `found` reads them."""
    (folder / BEST).write_text(json.dumps(settings), encoding="utf-8")


def found(artifact: Path) -> dict[str, Any]:
    """Return the settings that a finished search chose, such as `learning_rate` and `batch_size`."""
    chosen: dict[str, Any] = json.loads((artifact / BEST).read_text(encoding="utf-8"))
    return chosen


def trials_table(folder: Path, stage: str, **place: str) -> dict[str, pl.DataFrame]:
    """Return what a finished search contributes to the table `search`.

    Args:
        folder: the folder of the artifact.
        stage: `pretrain` or `finetune`.
        place: the columns task, combination and strategy, as far as they apply.
    """
    file = folder / TRIALS
    if not file.is_file():
        return {}
    named = {"stage": stage, **{name: place.get(name) for name in ("task", "combination", "strategy")}}
    columns = [pl.lit(value, pl.String).alias(name) for name, value in named.items()]
    return {"search": pl.read_parquet(file).select(*columns, "trial", "learning_rate", "batch_size", "value")}
