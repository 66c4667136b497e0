"""The design of a study: every step that its configuration asks for, on every fold of its subjects."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from picme.config.combinations import Combination, combinations, parse
from picme.design.finetuning import FinetuningSteps
from picme.design.heads import order_of, orders
from picme.prepare.step import Fold, Prepare

if TYPE_CHECKING:
    from picme.design.finetuning import Withheld
    from picme.finetune.step import Finetune
    from picme.prepare.step import TaskPart
    from picme.pretrain.features import Features


class Design(FinetuningSteps):
    """The steps of a study, each made once from the configuration.

    Args:
        config: the study.
        made_from: what a finished run recorded of its raw files and of other packages' code (`raw` and `code` of
            `run.json`): these may have changed since. By default both are as they are now.
    """

    @cached_property
    def folds(self) -> tuple[Design, ...]:
        """The design of each fold's study, the first of which is this one; this one alone where there are no folds."""
        unlabelled = getattr(self.config.source, "unlabelled", False)  # new stays are not divided
        number = 1 if unlabelled else self.config.splits.folds or 1
        return (self, *(FoldDesign(self, fold) for fold in range(1, number)))

    @property
    def divisions(self) -> tuple[Prepare, ...]:
        """The cohort as each fold divides it."""
        return tuple(fold.prepare for fold in self.folds)

    def finetunings_of(self, task: str, combination: Combination, withhold: Withheld = None) -> list[list[Finetune]]:
        """Return the fine-tunings of a combination: of each strategy that is defined for it, the seeds."""
        return [
            [
                self.finetune(task, combination, one.name, seed, withhold=withhold)
                for seed in range(self.config.study.seeds if one.seeded else 1)
            ]
            for one in self._strategies(self.config.finetune.strategies, len(combination))
        ]

    def finetunings(self, chosen: list[Combination]) -> list[Finetune]:
        """Return the fine-tunings of the study's cells, of combinations of several modalities and of single ones."""
        names = list(self.config.modalities)
        singles: list[Combination] = combinations(names, [1]) if self.config.finetune.singles else []
        places = [(task, combination) for task in self.tasks for combination in [*singles, *chosen]]
        return [one for place in places for seeds in self.finetunings_of(*place) for one in seeds]

    def variants(self, cells: list[Finetune]) -> list[Finetune]:
        """Return the fine-tunings with fewer labels, and those with other orders of the gate's steps."""
        section, largest = self.config.finetune, max((len(one.cell.encodings) for one in cells), default=0)
        found: list[Finetune] = []
        if section.label_efficiency != "off":
            wanted = self._with_fewer_labels(section.label_efficiency.combinations, cells, largest)
            # A stack would need the folds of each share as well, which costs more than all else together.
            fewer = [
                one for one in cells if one.cell.combination in wanted and not self.strategy(one.cell.strategy).stacks
            ]
            for share in section.label_efficiency.shares:
                found += [self.finetune(*_place(one), one.seed, share=share) for one in fewer]
        for one in cells:
            chosen, combination = self.strategy(one.cell.strategy), one.cell.combination
            gated = chosen.gate == "configured" and not chosen.subsets
            if gated and one.seed == 0 and len(combination) == largest:
                others = orders(combination, section.orders, order_of(section, combination))
                found += [self.finetune(*_place(one), one.seed, order=order) for order in others]
        return found

    def _with_fewer_labels(self, wanted: Any, cells: list[Finetune], largest: int) -> set[Combination]:
        """Return the combinations that are fine-tuned with fewer labels as well."""
        if isinstance(wanted, tuple):
            return {parse(text, list(self.config.modalities)) for text in wanted}
        found = {one.cell.combination for one in cells}
        return found if wanted == "all" else {one for one in found if len(one) == largest}


class FoldDesign(Design):
    """The steps of a study in which another fold of the subjects is test.

    Args:
        first: the study in which fold 0 is.
        number: the number of the fold, from 1.
    """

    def __init__(self, first: Design, number: int) -> None:
        super().__init__(first.config, first._made_from)
        self.first, self.number, self.code = first, number, first.code

    @cached_property
    def prepare(self) -> Prepare:
        """The step that divides the cohort anew."""
        whole = self.first.prepare
        return Fold(**{name: getattr(whole, name) for name in Prepare.model_fields}, whole=whole, number=self.number)

    def features(self, modality: str) -> Features:
        """Return the step that runs the locked part of a modality's encoder, which serves every fold."""
        return self.first.features(modality)

    def task(self, name: str) -> TaskPart:
        """Return a task as steps need to know it."""
        return self.first.task(name)


def _place(one: Finetune) -> tuple[str, Combination, str]:
    """Return the task, combination and strategy of a fine-tuning."""
    return one.cell.task.name, one.cell.combination, one.cell.strategy
