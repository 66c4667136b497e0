"""The steps that read predictions of every subset of the modalities: the value of each, and the missingness grid."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from picme.engine.graph import Finished, Graph, Growth
from picme.evaluate.folds import in_every_fold
from picme.evaluate.step import Missing, Severity, Value
from picme.finetune.cell import AnySubsetCell
from picme.strategies.built_in import LOGISTIC_REGRESSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from picme.design.study import Design
    from picme.engine.step import Step
    from picme.finetune.step import Finetune


def add_steps_on_subsets(design: Design, graph: Graph, cells: list[Finetune]) -> None:
    """Add to a study's graph what is made of the predictions of every subset.

    Args:
        design: makes the fine-tunings.
        graph: the graph of the study.
        cells: the fine-tunings of the study's cells.
    """
    dedicated, folds = _dedicated(design, cells), len(design.folds)
    _grow(graph, dedicated, folds, partial(value, design, dedicated=True), whole=True)
    _grow(graph, _shared(cells), folds, partial(value, design, dedicated=False))
    if design.config.evaluate.missing != "off":
        _grow(graph, _of_all_modalities(design), folds, partial(missing, design, dedicated=False))
        _grow(graph, dedicated, folds, partial(missing, design, dedicated=True), whole=True)


def _grow(
    graph: Graph,
    groups: list[list[Finetune]],
    folds: int,
    make: Callable[[list[Finetune]], Step],
    whole: bool = False,
) -> None:
    """Add fine-tunings, and for each group of them a step on those that finish in every one of so many folds.

    If `whole`, the step is added only once all have.
    """

    def adds(seeds: list[Finetune]) -> Callable[[Graph, Finished], None]:
        def add(graph: Graph, finished: Finished) -> None:
            done = in_every_fold(list(filter(finished, seeds)), folds)
            if done and (len(done) == len(seeds) or not whole):
                graph.add(make(done))

        return add

    for seeds in groups:
        graph.add(*seeds)
        graph.growths.append(Growth(tuple(seeds), adds(seeds)))


def _dedicated(design: Design, cells: list[Finetune]) -> list[list[Finetune]]:
    """Return the fine-tunings of each strategy that trains a model for every subset of the modalities."""
    groups: dict[tuple[str, str], list[Finetune]] = {}
    for one in cells:
        if one.kind in ("finetune", "stack"):
            groups.setdefault((one.cell.task.name, one.cell.strategy), []).append(one)
    subsets = 2 ** len(design.config.modalities) - 1
    return [each for each in groups.values() if len({one.cell.combination for one in each}) == subsets]


def _shared(cells: list[Finetune]) -> list[list[Finetune]]:
    """Return the trainings that predict for every subset: of each task and strategy, the seeds."""
    groups: dict[tuple[str, str], dict[Finetune, None]] = {}
    for one in cells:
        if isinstance(one.trained.cell, AnySubsetCell):
            groups.setdefault((one.cell.task.name, one.cell.strategy), {})[one.trained] = None
    return [list(each) for each in groups.values()]


def _of_all_modalities(design: Design) -> list[list[Finetune]]:
    """Return the fine-tunings of all modalities: of each strategy and choice of training stays, the seeds and folds."""
    every, choices = tuple(design.config.modalities), (None, *design.config.study.withhold)

    def by_strategy(task: str, choice: Literal["complete"] | float | None) -> list[list[Finetune]]:
        found = zip(*(fold.finetunings_of(task, every, choice) for fold in design.folds), strict=True)
        return [[one for seeds in strategy for one in seeds] for strategy in found]

    by_choice = ([by_strategy(task, one) for one in choices] for task in design.tasks)
    return [seeds for found in by_choice for strategy in zip(*found, strict=True) for seeds in strategy]


def value(design: Design, finetuned: list[Finetune], dedicated: bool) -> Value:
    """Return the step that says what each modality is worth to a strategy."""
    config = design.config
    return Value(
        **_judged(design, finetuned, dedicated),
        margin=config.evaluate.margin,
        draws=min(config.pretrain.seeds, config.study.seeds),
        thresholds=config.evaluate.decision_thresholds,
        costs={name: section.cost for name, section in config.modalities.items()},
    )


def missing(design: Design, finetuned: list[Finetune], dedicated: bool) -> Missing:
    """Return the missingness grid of a strategy's fine-tunings."""
    section = design.config.evaluate
    return Missing(
        **_judged(design, finetuned, dedicated),
        missing=section.missing,
        severity=_severity(design, finetuned[0].cell.task.name),
        ece_bins=section.ece_bins,
    )


def _judged(design: Design, finetuned: list[Finetune], dedicated: bool) -> dict[str, Any]:
    """Return the fields of a step on every subset that all such steps have."""
    section = design.config.evaluate
    return {
        "finetuned": tuple(finetuned),
        "dedicated": dedicated,
        "confidence": section.confidence,
        "interval_resamples": section.interval_resamples,
        "seed": section.seed,
    }


def _severity(design: Design, task: str) -> tuple[Severity, ...]:
    """Return the steps that say how severely ill stays look, one for each fold, where the grid goes by it."""
    section, name = design.config.evaluate.missing, design.config.severity
    if section == "off" or "mar" not in section.mechanisms or name is None:
        return ()
    return tuple(Severity(cell=fold.cell(task, (name,), LOGISTIC_REGRESSION.name)) for fold in design.folds)
