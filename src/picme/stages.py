"""Which jobs each stage consists of, in phases: what is in one phase can run side by side.

Torch-free, so that planning a study is instant; a phase may look at the artifacts of the phases before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from picme.config.study import BASELINES, FROZEN
from picme.executor import Job
from picme.modalities.combinations import Combination, label
from picme.plan import Cell, attribution_key, cost, evaluate_key, search_key, shows_frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from picme.plan import Run


def prepare(run: Run) -> Iterator[list[Job]]:
    """Raw tables to a cohort and arrays."""
    keys = run.keys
    base = {"run": str(run.folder), "config": run.tree}
    if run.config.source.kind == "synthetic":
        yield [
            Job(
                "hospital",
                keys.hospital,
                "synthetic hospital",
                "picme.prepare:hospital",
                {**base, "key": keys.hospital},
            )
        ]
    hospital = str(run.store.path("hospital", keys.hospital)) if run.config.source.kind == "synthetic" else None
    yield [
        Job(
            "prepare",
            keys.prepare,
            "cohort",
            "picme.prepare:prepare",
            {**base, "key": keys.prepare, "hospital": hospital},
        )
    ]


def encode(run: Run) -> Iterator[list[Job]]:
    """The locked part of every encoder over the cohort's texts and images, once for the whole study.

    One modality after the other: a job that is alone in its phase has all cores, and spreads its batches over them.
    """
    for name in run.locked:
        key = run.keys.features(name)
        arguments = {"run": str(run.folder), "config": run.tree, "modality": name, "key": key}
        function = "picme.pretrain.features:features"
        yield [
            Job("features", key, f"locked encoder of {name}", function, {**arguments, "prepared": str(run.prepared)})
        ]


def pretrain(run: Run) -> Iterator[list[Job]]:
    """The search of learning rate and batch size, and one contrastive pretraining for each combination and seed."""
    keys, searching = run.keys, run.config.pretrain.search != "off"
    if searching:
        yield [
            Job(
                "search",
                keys.pretrain_search(combination),
                label(combination),
                "picme.pretrain.search:search",
                {**_pretraining(run, combination), "key": keys.pretrain_search(combination)},
                weight=cost(run.config, combination),
            )
            for combination in dict.fromkeys(map(keys.searched_combination, run.pretrained_combinations))
        ]
    yield [
        Job(
            "pretrain",
            keys.pretrain(combination, seed),
            label(combination) + (f" seed {seed}" if seed else ""),
            "picme.pretrain.job:pretrain",
            {
                **_pretraining(run, combination),
                "seed": seed,
                "key": keys.pretrain(combination, seed),
                "searched": str(run.store.path("search", keys.pretrain_search(combination))) if searching else None,
            },
            weight=cost(run.config, combination),
        )
        for combination in run.pretrained_combinations
        # A combination whose search failed is left out.
        if not searching or run.store.done("search", keys.pretrain_search(combination))
        for seed in range(run.config.pretrain.seeds)
    ]


def align(run: Run) -> Iterator[list[Job]]:
    """How well each combination's modalities find one another."""
    yield [
        Job(
            "align",
            run.keys.align(combination),
            label(combination),
            "picme.align.job:align",
            {
                "run": str(run.folder), "config": run.tree, "combination": list(combination),
                "key": run.keys.align(combination), "tsne": shows_frames(run, combination),
                "pretrained": str(run.store.path("pretrain", run.keys.pretrain(combination))),
                "prepared": str(run.prepared),
            },
        )
        for combination in run.pretrained_combinations
        if run.store.done("pretrain", run.keys.pretrain(combination))
    ]  # fmt: skip


def finetune(run: Run) -> Iterator[list[Job]]:
    """Frozen embeddings, the search of hyperparameters, and then every cell with every seed."""
    cells = [*(run.cells() or []), *run.variants()]
    ready = [cell for cell in cells if _pretrained_ready(run, cell)]
    yield list({job.key: job for cell in ready for job in _embeddings(run, cell)}.values())
    ready = [cell for cell in ready if all(run.store.done("embed", job.key) for job in _embeddings(run, cell))]
    if run.config.finetune.search != "off":
        yield list(
            {job.key: job for cell in ready if cell.strategy not in BASELINES for job in [_search(run, cell)]}.values()
        )
    yield [
        Job(
            "finetune",
            run.finetune_key(cell),
            " ".join([cell.task, label(cell.combination), cell.strategy, f"seed {cell.seed}", *_said(cell)]),
            "picme.finetune.job:finetune",
            {
                **cell_arguments(run, cell),
                **cell.variant,
                "seed": cell.seed,
                "key": run.finetune_key(cell),
                "searched": str(run.store.path("search", _search(run, cell).key))
                if run.config.finetune.search != "off" and cell.strategy not in BASELINES
                else None,
            },
            weight=0.05 if cell.strategy in FROZEN else cost(run.config, cell.combination),
        )
        for cell in ready
    ]


def evaluate(run: Run) -> Iterator[list[Job]]:
    """What the models looked at, and all tables from predictions alone."""
    cells = [cell for cell in run.cells() or [] if run.store.done("finetune", run.finetune_key(cell))]
    groups: dict[tuple[str, Combination, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.task, cell.combination, cell.strategy), []).append(cell)
    yield [
        Job(
            "attribute",
            attribution_key(run, group),
            f"{task} {label(combination)} {strategy}",
            "picme.evaluate.attribute:attribute",
            {
                **cell_arguments(run, group[0]),
                "key": attribution_key(run, group),
                "cells": [
                    {
                        "seed": cell.seed,
                        "path": str(run.store.path("finetune", run.finetune_key(cell))),
                        "embedded": [str(run.store.path("embed", job.key)) for job in _embeddings(run, cell)],
                    }
                    for cell in group
                ],
            },
            weight=len(combination) * len(group),
        )
        for (task, combination, strategy), group in groups.items()
        if len(combination) > 1 and strategy not in BASELINES
    ]
    yield [
        Job(
            "evaluate",
            evaluate_key(run, cells),
            "scores, intervals, comparisons",
            "picme.evaluate.job:evaluate",
            {
                "run": str(run.folder), "config": run.tree,
                "key": evaluate_key(run, cells), "prepared": str(run.prepared),
                "cells": [
                    {
                        "task": cell.task, "combination": label(cell.combination), "strategy": cell.strategy,
                        "seed": cell.seed, "path": str(run.store.path("finetune", run.finetune_key(cell))),
                    }
                    for cell in cells
                ],
                "variants": [
                    {
                        "task": cell.task, "combination": label(cell.combination), "strategy": cell.strategy,
                        "seed": cell.seed, "path": str(run.store.path("finetune", run.finetune_key(cell))),
                        **cell.variant,
                    }
                    for cell in run.variants() if run.store.done("finetune", run.finetune_key(cell))
                ],
            },
        )
    ] if cells else []  # fmt: skip


STAGES = {
    "prepare": prepare,
    "encode": encode,
    "pretrain": pretrain,
    "align": align,
    "finetune": finetune,
    "evaluate": evaluate,
}


def _said(cell: Cell) -> list[str]:
    """A variant in the words of the progress."""
    return [f"{cell.share:.0%} of labels"] * (cell.share < 1) + ["order " + ">".join(cell.order)] * bool(cell.order)


def _pretraining(run: Run, combination: Combination) -> dict[str, Any]:
    """What every job that pretrains a combination has to know."""
    return {
        "run": str(run.folder), "config": run.tree, "combination": list(combination),
        "prepared": str(run.prepared), "features": run.features,
    }  # fmt: skip


def _pretrained_ready(run: Run, cell: Cell) -> bool:
    """A cell whose pretraining failed is left out."""
    needs = run.keys.reads_pretraining(cell.strategy, cell.combination)
    return not needs or run.store.done("pretrain", run.keys.pretrain(cell.combination))


def _embeddings(run: Run, cell: Cell) -> list[Job]:
    """The embeddings that a frozen strategy reads."""
    keys = run.keys
    base: dict[str, Any] = {
        "run": str(run.folder), "config": run.tree, "task": cell.task,
        "prepared": str(run.prepared), "features": run.features,
    }  # fmt: skip
    if cell.strategy == "contrastive":
        key = keys.embed(cell.task, cell.combination)
        pretrained = str(run.store.path("pretrain", keys.pretrain(cell.combination)))
        arguments = {**base, "combination": list(cell.combination), "key": key, "pretrained": pretrained}
        name = f"{cell.task} {label(cell.combination)}"
        return [
            Job(
                "embed",
                key,
                name,
                "picme.finetune.embed:embed_pretrained",
                arguments,
                cost(run.config, cell.combination),
            )
        ]
    if cell.strategy != "random":
        return []
    jobs = []
    for name in cell.combination:
        key = keys.embed_random(cell.task, name, cell.seed)
        arguments = {**base, "modality": name, "key": key, "seed": cell.seed}
        jobs.append(Job("embed", key, f"{cell.task} {name} untrained", "picme.finetune.embed:embed_random", arguments))
    return jobs


def cell_arguments(run: Run, cell: Cell) -> dict[str, Any]:
    """What a job about one cell has to know."""
    reads = run.keys.reads_pretraining(cell.strategy, cell.combination)
    return {
        "run": str(run.folder),
        "config": run.tree,
        "task": cell.task,
        "combination": list(cell.combination),
        "strategy": cell.strategy,
        "prepared": str(run.prepared),
        "features": run.features,
        "pretrained": str(run.store.path("pretrain", run.keys.pretrain(cell.combination))) if reads else None,
        "embedded": [str(run.store.path("embed", job.key)) for job in _embeddings(run, cell)],
    }


def _search(run: Run, cell: Cell) -> Job:
    """The search is done with seed 0 and serves every seed."""
    first = Cell(cell.task, cell.combination, cell.strategy, 0)
    key = search_key(run, cell)
    name = f"{cell.task} {label(cell.combination)} {cell.strategy}"
    return Job(
        "search",
        key,
        name,
        "picme.finetune.search:search",
        {**cell_arguments(run, first), "key": key},
        cost(run.config, cell.combination),
    )
