"""What a study consists of: its combinations, its fine-tunings, and where the artifacts of each lie.

Torch-free, so that planning a study is instant.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations
from typing import TYPE_CHECKING, Any

from picme.config.encoders import has_locked_trunk
from picme.config.study import BASELINES, PAPER_COMBINATIONS
from picme.keys import Keys
from picme.modalities.combinations import Combination, combinations, label, parse
from picme.store import Store, key_of

if TYPE_CHECKING:
    from pathlib import Path

    from picme.config.study import Config


@dataclass(frozen=True)
class Cell:
    """One fine-tuning to be done."""

    task: str
    combination: Combination
    strategy: str
    seed: int
    share: float = 1.0
    """Of the training labels."""
    order: Combination = ()
    """Of the gate's steps, where it is not the configuration's."""

    @property
    def variant(self) -> dict[str, Any]:
        """What it does otherwise than the configuration says."""
        return ({"share": self.share} if self.share < 1 else {}) | ({"order": list(self.order)} if self.order else {})


class Run:
    """A configuration and the folder it runs in.

    Args:
        config: the study.
        folder: of the run.
        raw: fingerprints of the raw files; by default those of the files as they are now.
    """

    def __init__(self, config: Config, folder: Path, raw: list[dict[str, Any]] | None = None) -> None:
        self.config = config
        self.folder = folder
        self.store = Store(folder)
        self.keys = Keys(config, raw)
        self._finetune_keys: dict[Cell, str] = {}

    @classmethod
    def opened(cls, config: Config, folder: Path) -> Run:
        """A run to be looked at, with the raw files it was made from: these may have moved or changed since."""
        made = folder / "run.json"
        return cls(config, folder, json.loads(made.read_text(encoding="utf-8"))["raw"] if made.is_file() else None)

    @cached_property
    def tree(self) -> dict[str, Any]:
        """The configuration as plain values, for jobs."""
        return self.config.model_dump(mode="json")

    @property
    def combinations(self) -> list[Combination]:
        """All of the study's sizes."""
        return combinations(list(self.config.modalities), self.config.study.combination_sizes)

    @property
    def pretrained_combinations(self) -> list[Combination]:
        """Those of the study's sizes, and those that fine-tuning or t-SNE name beside them."""
        return list(dict.fromkeys([*self.combinations, *(self.named or ())]))

    @property
    def locked(self) -> list[str]:
        """Modalities whose encoder has a part that is run once."""
        return [name for name, section in self.config.modalities.items() if has_locked_trunk(section.encoder)]

    @property
    def prepared(self) -> Path:
        """The prepare artifact."""
        return self.store.path("prepare", self.keys.prepare)

    @cached_property
    def features(self) -> dict[str, str]:
        """Trunk caches by modality."""
        return {name: str(self.store.path("features", self.keys.features(name)) / "cache") for name in self.locked}

    @property
    def named(self) -> list[Combination] | None:
        """The combinations that fine-tuning names; None where alignment decides."""
        chosen, names = self.config.finetune.combinations, list(self.config.modalities)
        if chosen == "best":
            return None
        if chosen == "all":
            return self.combinations
        return [parse(text, names) for text in (PAPER_COMBINATIONS if chosen == "paper" else chosen)]

    def finetuned_combinations(self) -> list[Combination] | None:
        """Combinations that go on to fine-tuning; None as long as alignment has yet to decide."""
        if self.named is not None:
            found = self.named
        else:
            from picme.align.choose import best_aligned

            best = best_aligned(self)
            if best is None:
                return None
            found = best
        return [(name,) for name in self.config.modalities] * self.config.finetune.singles + found

    def cells(self) -> list[Cell] | None:
        """All fine-tunings; None as long as alignment has yet to decide."""
        chosen = self.finetuned_combinations()
        if chosen is None:
            return None
        found = []
        for task in self.config.tasks:
            for combination in chosen:
                for strategy in strategies_for(self.config.finetune.strategies, combination):
                    seeds = 1 if strategy == "logistic_regression" else self.config.study.seeds
                    found += [Cell(task, combination, strategy, seed) for seed in range(seeds)]
        return found

    def variants(self) -> list[Cell]:
        """Fine-tunings beside the study's cells: with fewer labels, and with other orders of the gate's steps."""
        return [*self._fewer_labels(), *self._other_orders()]

    def _fewer_labels(self) -> list[Cell]:
        section = self.config.finetune.label_efficiency
        cells = self.cells()
        if section == "off" or not cells:
            return []
        if isinstance(section.combinations, tuple):
            wanted = {parse(text, list(self.config.modalities)) for text in section.combinations}
        else:
            largest = max(len(cell.combination) for cell in cells)
            everything = section.combinations == "all"
            wanted = {cell.combination for cell in cells if everything or len(cell.combination) == largest}
        return [replace(cell, share=share) for share in section.shares for cell in cells if cell.combination in wanted]

    def _other_orders(self) -> list[Cell]:
        wanted, cells = self.config.finetune.orders, self.cells()
        if not wanted or not cells:
            return []
        largest = max(len(cell.combination) for cell in cells)
        found = []
        for cell in cells:
            if cell.strategy == "gated" and cell.seed == 0 and len(cell.combination) == largest:
                found += [replace(cell, order=order) for order in orders(cell.combination, wanted)]
        return found

    def finetune_key(self, cell: Cell) -> str:
        """Key of one cell, made once: a plan asks for each many times."""
        if cell not in self._finetune_keys:
            self._finetune_keys[cell] = self.keys.finetune(
                cell.task, cell.combination, cell.strategy, cell.seed, cell.variant
            )
        return self._finetune_keys[cell]


def orders(combination: Combination, number: int) -> list[Combination]:
    """So many orders of a combination's modalities other than its own, drawn without repetition; at most all."""
    others = list(permutations(combination))[1:]
    return random.Random(0).sample(others, min(number, len(others)))


def strategies_for(strategies: tuple[str, ...], combination: Combination) -> list[str]:
    """The strategies that apply to a combination.

    One modality has nothing to fuse, so it is fine-tuned as `supervised` and `random` (and the baselines). λ exists
    from three modalities on, so `gated` with two runs as `gated_uniform`.
    """
    if len(combination) == 1:
        return [name for name in strategies if name in ("supervised", "random", *BASELINES)]
    if len(combination) == 2:
        strategies = tuple("gated_uniform" if name == "gated" else name for name in strategies)
    return list(dict.fromkeys(strategies))


def evaluate_key(run: Run, cells: list[Cell]) -> str:
    """Key of the tables made from the given cells and what is finished of the variants."""
    variants = [run.finetune_key(cell) for cell in run.variants() if run.store.done("finetune", run.finetune_key(cell))]
    judged = [(*_plain(cell), run.finetune_key(cell)) for cell in cells]
    return key_of("evaluate", run.tree["evaluate"], judged, *([variants] if variants else []))


def attribution_key(run: Run, group: list[Cell]) -> str:
    """Key of the attributions of a combination and strategy, over its seeds."""
    largest = max(map(len, run.named or run.combinations))
    shapley = run.config.evaluate.wants_shapley(len(group[0].combination), largest)
    return key_of("attribute", [run.finetune_key(cell) for cell in group], {"shapley": shapley})


def search_key(run: Run, cell: Cell) -> str:
    """Key of the search that serves every seed of a cell."""
    return key_of("search", run.finetune_key(Cell(cell.task, cell.combination, cell.strategy, 0)))


def cost(config: Config, combination: Combination) -> float:
    """Relative cost of training a combination: what is not locked dominates."""
    return sum(0.1 if has_locked_trunk(config.modalities[name].encoder) else 1.0 for name in combination)


def shows_frames(run: Run, combination: Combination) -> bool:
    """Whether t-SNE frames of a combination are wanted."""
    wanted = run.config.align.tsne
    if isinstance(wanted, tuple):
        return combination in [parse(text, list(run.config.modalities)) for text in wanted]
    return wanted == "all" or (wanted == "largest" and len(combination) == max(map(len, run.pretrained_combinations)))


def _plain(cell: Cell) -> tuple[str, str, str, int]:
    return cell.task, label(cell.combination), cell.strategy, cell.seed
