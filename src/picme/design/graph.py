"""The graph of a study's steps, which grows where alignment decides what is fine-tuned, and as fine-tunings end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from picme.align.choose import best_aligned
from picme.config.evaluate import ComparisonsConfig
from picme.design.subsets import add_steps_on_subsets
from picme.engine.graph import Finished, Graph, Growth
from picme.evaluate.folds import in_every_fold
from picme.evaluate.step import Attribute, Ceiling, Evaluate, Score
from picme.finetune.step import RestrictedFinetune, Stacked

if TYPE_CHECKING:
    from collections.abc import Callable

    from picme.config.combinations import Combination
    from picme.design.study import Design
    from picme.engine.store import Store
    from picme.finetune.step import Finetune

# What only other steps read of the section `evaluate`, as it makes nothing of the scores again.
OF_OTHERS = {"shapley": "off", "missing": "off", "margin": 0.01, "decision_thresholds": (0.1, 0.2)}
# What only the comparison of cells reads.
OF_COMPARISON = {"comparisons": ComparisonsConfig(), "controls": ()}
STAGES = ("prepare", "encode", "pretrain", "align", "finetune", "evaluate")


def study_graph(design: Design, store: Store) -> Graph:
    """Return the graph of a study.

    Args:
        design: makes the steps.
        store: where results lie that decide how the graph grows.
    """
    config, graph = design.config, Graph()
    graph.add(*design.divisions, design.availability, design.baseline, *map(design.features, design.locked))
    seeds = range(config.pretrain.seeds)
    graph.add(*(design.pretrain(combination, seed) for combination in design.pretrained_combinations for seed in seeds))
    graph.add(*map(design.align, design.pretrained_combinations))
    if design.hospital is not None:
        tasks = tuple(map(design.task, design.tasks))
        graph.add(Ceiling(hospital=design.hospital, folds=design.divisions, tasks=tasks))
    if design.named is not None:
        _add_finetuning(design, graph, design.named)
        return graph
    aligned = tuple(map(design.align, design.combinations))

    def chosen_by_alignment(graph: Graph, finished: Finished) -> None:
        done = [step for step in aligned if finished(step)]
        if done:
            _add_finetuning(design, graph, best_aligned(done, store, config.finetune.best))

    graph.growths.append(Growth(aligned, chosen_by_alignment, decided=True, stages=("finetune", "evaluate")))
    return graph


def _add_finetuning(design: Design, graph: Graph, chosen: list[Combination]) -> None:
    """Add the fine-tunings of combinations on every fold, and what is to be made of those that finish."""
    first = design.finetunings(chosen)
    cells = [*first, *(one for fold in design.folds[1:] for one in fold.finetunings(chosen))]
    variants = design.variants(first)
    graph.add(*cells, *variants)
    groups: dict[tuple[str, ...], list[Finetune]] = {}
    for one in first:
        groups.setdefault(tuple(one.cell.place.values()), []).append(one)
    for seeds in groups.values():
        own = seeds[0].cell.course is not None and not isinstance(seeds[0], RestrictedFinetune)
        own |= isinstance(seeds[0], Stacked)
        if own and len(seeds[0].cell.encodings) > 1:
            graph.growths.append(Growth(tuple(seeds), _adds_attribution(design, seeds)))
    for task in design.tasks:
        of_task, others = ([one for one in each if one.cell.task.name == task] for each in (cells, variants))
        _add_evaluation(design, graph, of_task, others)
    add_steps_on_subsets(design, graph, cells)


def _adds_attribution(design: Design, seeds: list[Finetune]) -> Callable[[Graph, Finished], None]:
    section, cell = design.config.evaluate, seeds[0].cell
    largest = max(map(len, design.named or design.combinations))

    def add(graph: Graph, finished: Finished) -> None:
        done, shapley = tuple(filter(finished, seeds)), section.wants_shapley(len(cell.encodings), largest)
        # A stack has no embeddings, so nothing but Shapley values.
        if done and (shapley or not isinstance(done[0], Stacked)):
            graph.add(Attribute(finetuned=done, shapley=shapley, control=cell.strategy in section.controls))

    return add


def _add_evaluation(design: Design, graph: Graph, finetuned: list[Finetune], variants: list[Finetune]) -> None:
    """Add the judgement of a task's cells: of each as soon as its fine-tunings are over, and of all together."""
    config = design.config
    # Columns that own data names as groups are subgroups without being named again.
    named = dict.fromkeys([*config.evaluate.groups, *getattr(config.source, "groups", ())])
    settings = config.evaluate.model_copy(update={**OF_OTHERS, "groups": tuple(named)})
    alone = settings.model_copy(update=OF_COMPARISON)
    if not settings.comparisons.families:
        alone = alone.model_copy(update={"resamples": settings.interval_resamples})
    draws = min(config.pretrain.seeds, config.study.seeds)
    cells: dict[tuple[str, ...], list[Finetune]] = {}
    for one in finetuned:
        cells.setdefault(tuple(one.cell.place.values()), []).append(one)

    def scores(cell: list[Finetune], finished: Finished) -> list[Score]:
        done = tuple(in_every_fold(list(filter(finished, cell)), len(design.folds)))
        return [Score(finetuned=done, settings=alone, draws=draws)] if done else []

    def adds_scores(cell: list[Finetune]) -> Callable[[Graph, Finished], None]:
        return lambda graph, finished: graph.add(*scores(cell, finished))

    def add_comparison(graph: Graph, finished: Finished) -> None:
        found = tuple(one for cell in cells.values() for one in scores(cell, finished))
        if found:
            others = tuple(filter(finished, variants))
            graph.add(Evaluate(cells=found, variants=others, settings=settings))

    graph.growths += [Growth(tuple(cell), adds_scores(cell)) for cell in cells.values()]
    graph.growths.append(Growth((*finetuned, *variants), add_comparison))
