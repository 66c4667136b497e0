"""The steps of a study's fine-tuning: its cells, what trains and combines their models, and the searches before it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from picme.design.heads import gate_weights, head_section
from picme.design.pretraining import PretrainingSteps, course_settings
from picme.finetune.cell import FROZEN, AnySubsetCell, Cell
from picme.finetune.step import (
    Averaged,
    EmbedPretrained,
    EmbedUntrained,
    Finetune,
    FinetuneSearch,
    OutOfFold,
    RestrictedFinetune,
    Stacked,
    StackWeights,
    WithheldFinetune,
)
from picme.strategies import of_fusion, resolve, strategy
from picme.strategies.built_in import EQUAL, STACKED

if TYPE_CHECKING:
    from collections.abc import Callable

    from picme.config.combinations import Combination
    from picme.engine.step import Step
    from picme.pretrain.features import Encoding
    from picme.strategies import Strategy


Withheld = Literal["complete"] | float | None
"""The modalities that training stays lack, as `WithheldFinetune.withhold` says; None where they lack none."""


class FinetuningSteps(PretrainingSteps):
    """The steps of a study up to fine-tuning."""

    def strategy(self, name: str) -> Strategy:
        """Return a strategy of the study, declared or made by a fusion head of the configuration."""
        fusion = self.config.finetune.fusions.get(name)
        return strategy(name) if fusion is None else of_fusion(name, fusion.name)

    def _draw(self, seed: int) -> int:
        """Return which draw of encoders a fine-tuning's seed uses: pretrained and untrained ones are as many."""
        return seed % self.config.pretrain.seeds

    def cell(self, task: str, combination: Combination, name: str, order: Combination = (), seed: int = 0) -> Cell:
        """Return a cell as a seed trains it; `order` is that of the gate's steps, if not the configuration's."""
        place = (task, combination, name, order, self._draw(seed))
        return self._once(("cell", *place), lambda: self._cell(*place))

    def _cell(self, task: str, combination: Combination, name: str, order: Combination, draw: int) -> Cell:
        section = self.config.finetune
        chosen = self.strategy(name)
        common: dict[str, Any] = {"prepare": self.prepare, "task": self.task(task), "strategy": name}
        if chosen.encoders == "none":
            encodings = tuple(self.encoding(one, encoder=bool(chosen.stacks)) for one in combination)
            return Cell(**common, encoders="none", encodings=encodings, head=chosen.head)
        gated = chosen.gate == "configured"
        reads_weights = gated and section.gate == "pretraining"
        head = section.fusions.get(name) or head_section(section, chosen, combination, order)
        made = partial(AnySubsetCell, any_subset=section.any_subset) if chosen.subsets else Cell
        return made(
            **common,
            encoders=chosen.encoders,
            encodings=tuple(self.encoding(one) for one in combination),
            head=head,
            head_code=self._code("fusions", head.name),
            weights=gate_weights(self.config, combination) if gated else None,
            pretrain=self.pretrain(combination, draw) if chosen.starts_from_pretraining or reads_weights else None,
            course=course_settings(section, section.any_subset.longer if chosen.subsets else 1.0),
            loss=section.loss,
            class_weight=section.class_weight,
            standardise=section.standardise if chosen.encoders in FROZEN else None,
        )

    def finetune(
        self,
        task: str,
        combination: Combination,
        name: str,
        seed: int,
        share: float = 1.0,
        order: Combination = (),
        withhold: Withheld = None,
    ) -> Finetune:
        """Return one fine-tuning; `withhold` is what its training stays lack, if anything."""

        def make() -> Finetune:
            chosen, every = self.strategy(name), tuple(self.config.modalities)
            if chosen.subsets and combination != every:
                whole = self.finetune(task, every, name, seed, share)
                part = whole.cell.model_copy(update={"encodings": tuple(map(self.encoding, combination))})
                return RestrictedFinetune(cell=part, seed=seed, share=share, whole=whole)
            cell: Cell = self.cell(task, combination, name, order, seed)
            if chosen.averages is not None:
                singles = (
                    self.finetune(task, (one,), chosen.averages, seed, share, withhold=withhold) for one in combination
                )
                return Averaged(cell=cell, seed=seed, share=share, singles=tuple(singles))
            if chosen.stacks:
                return self._stacked(cell, seed, share, withhold)
            search = self._search(self.cell(task, combination, name, order), share == 1 and withhold is None)
            embedded = self._embedded(cell, self._draw(seed))
            made: Callable[..., Finetune] = Finetune
            if withhold is not None:
                among = tuple(self.encoding(one, encoder=False) for one in every)
                made = partial(WithheldFinetune, withhold=withhold, among=among)
            return made(cell=cell, seed=seed, embedded=embedded, search=search, share=share, order=order)

        return self._once(("finetune", task, combination, name, seed, share, order, withhold), make)

    def _search(self, cell: Cell, all_labels: bool) -> FinetuneSearch | None:
        """Return the search of a cell's settings, if there is one; `all_labels` is of a training that lacks none."""
        space: Any = None
        if cell.course is not None:
            space = self.config.finetune.search
        elif not all_labels or not self.strategy(cell.strategy).seeded:
            return None  # fewer labels or stays tell of other settings, and one model searches them by itself
        return None if space == "off" else FinetuneSearch(cell=cell, embedded=self._embedded(cell, 0), space=space)

    def _stacked(self, cell: Cell, seed: int, share: float, withhold: Withheld) -> Stacked:
        """Return a fine-tuning that combines those of other strategies; its weights, of seed 0, serve every seed."""
        place = (cell.task.name, cell.combination)
        names = [one.name for one in self.stacks(cell.strategy, len(cell.combination))]
        each = [1 if self.strategy(one).seeded else 0 for one in names]  # what depends on no seed has one fine-tuning
        bases = tuple(
            self.finetune(*place, one, seed * seeded, share, withhold=withhold)
            for one, seeded in zip(names, each, strict=True)
        )
        folds = self.config.finetune.stacked.folds

        def weigh() -> StackWeights:
            firsts = [self.finetune(*place, one, 0, share, withhold=withhold) for one in names]
            fits = [self.out_of_fold(one, fold, folds) for one in firsts for fold in range(folds)]
            return StackWeights(cell=cell, out_of_fold=tuple(fits))

        key = ("weights", *place, cell.strategy, share, withhold)
        weights = None if cell.head == EQUAL else self._once(key, weigh)
        return Stacked(cell=cell, seed=seed, share=share, bases=bases, weights=weights)

    def out_of_fold(self, of: Finetune, fold: int, folds: int) -> OutOfFold:
        """Return a fine-tuning on all but one of so many folds of another's training stays."""
        same = {"cell": of.cell, "seed": of.seed, "embedded": of.embedded, "search": of.search, "order": of.order}
        return self._once(
            ("out of fold", of.key, fold, folds), lambda: OutOfFold(**same, of=of, fold=fold, folds=folds)
        )

    def stacks(self, name: str, size: int) -> list[Strategy]:
        """Return the strategies that one which combines others takes for a combination of so many modalities."""
        declared = self.strategy(name).stacks
        names = self.config.finetune.stacked.strategies if declared == STACKED.stacks else declared
        return self._strategies(names, size)

    def _strategies(self, names: tuple[str, ...], size: int) -> list[Strategy]:
        """Return those of some strategies that are defined for a combination of so many modalities.

        One that combines others is not, where fewer than two of these are.
        """
        found = resolve(names, self.config.finetune.heads, size, len(self.config.modalities))
        return [one for one in found if not one.stacks or len(self.stacks(one.name, size)) > 1]

    def _embedded(self, cell: Cell, draw: int) -> tuple[Step, ...]:
        """Return the steps that make the embeddings of a cell's frozen encoders, of one draw of them."""
        if cell.encoders == "pretrained" and cell.pretrain is not None:
            pretrain = cell.pretrain
            key = ("embed", cell.task.name, pretrain.combination, draw)
            return (self._once(key, lambda: EmbedPretrained(pretrain=pretrain, task=cell.task.name)),)
        if cell.encoders != "untrained":
            return ()
        return tuple(self._untrained(cell.task.name, one, draw) for one in cell.encodings)

    def _untrained(self, task: str, encoding: Encoding, seed: int) -> EmbedUntrained:
        return self._once(
            ("embed", task, encoding.modality, seed),
            lambda: EmbedUntrained(prepare=self.prepare, encoding=encoding, task=task, seed=seed),
        )
