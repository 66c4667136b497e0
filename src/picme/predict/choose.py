"""The choice of the fine-tunings of a finished study whose models are applied to new stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from picme.config.combinations import label, parse
from picme.errors import ConfigError, DataError, near
from picme.results.record import result_table

if TYPE_CHECKING:
    from picme.finetune.step import Finetune
    from picme.pipeline import Run
    from picme.strategies import Strategy


def keeps_models(strategy: Strategy) -> bool:
    """Return whether fine-tunings by a strategy keep models that can be applied to new stays."""
    return strategy.averages is None


def chosen_finetunings(study: Run, task: str, wanted: str | None, combination: str | None) -> list[Finetune]:
    """Return the finished fine-tunings of one combination and strategy, one for each seed.

    Args:
        study: the finished study.
        task: the task of the study.
        wanted: the strategy; without it and `combination` those of the cell that validation selected are taken, and
            baselines only where they are named.
        combination: the modalities, as a+b; with one of the two alone, the best on validation of those that it names.

    Raises:
        ConfigError: if no cell that keeps models fits.
        DataError: if the models of a seed are not there.
    """
    summary = result_table(study.folder, "summary").filter(pl.col("task") == task)
    names = list(study.config.modalities)
    without = [name for name in summary["strategy"].unique() if not keeps_models(study.design.strategy(name))]
    if wanted is None:
        without += [name for name in summary["strategy"].unique() if study.design.strategy(name).baseline]
    if combination is not None:
        summary = summary.filter(pl.col("combination") == label(parse(combination, names)))
    if wanted is not None:
        if wanted in without:
            raise ConfigError(f"{wanted} keeps no model to predict with")
        if wanted not in (known := summary["strategy"].unique()):
            of = f" of {combination}" if combination else ""
            raise ConfigError(f"task {task} has no model{of} by strategy {wanted!r}{near(wanted, known)}")
        summary = summary.filter(pl.col("strategy") == wanted)
    summary = summary.filter(~pl.col("strategy").is_in(without))
    if not summary.height:
        raise ConfigError(
            f"no model of task {task} fits strategy {wanted or 'any'} and combination {combination or 'any'}; "
            "see the table summary"
        )
    if wanted is None and combination is None and summary.get_column("selected").any():
        summary = summary.filter(pl.col("selected"))
    best = summary.sort("validation_auroc", descending=True, nulls_last=True).row(0, named=True)
    whole = combination is None and wanted is not None and study.design.strategy(wanted).subsets
    place = (task, tuple(names) if whole else parse(best["combination"], names), best["strategy"])
    seeds = study.config.study.seeds if study.design.strategy(best["strategy"]).seeded else 1
    steps = [study.design.finetune(*place, seed) for seed in range(seeds)]
    found = [step for step in steps if study.store.done(step) and study.store.done(step.trained)]
    if not found:
        raise DataError(
            f"{study.folder} has results, but no models of {best['combination']} by {best['strategy']} that this "
            "version of picme would make of its configuration; `picme plan` shows what has changed"
        )
    if len(found) < len(steps):
        raise DataError(
            f"{study.folder} has the models of {len(found)} of {len(steps)} seeds of {best['combination']} by "
            f"{best['strategy']}; probabilities are the mean over all, so run `picme finetune` again, which makes "
            "what is missing"
        )
    return found
