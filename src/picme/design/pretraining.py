"""The steps of a study's pretraining and alignment, of every combination of its modalities."""

from __future__ import annotations

from functools import cached_property
from math import ceil
from typing import Any

from picme.align.step import Align
from picme.config.combinations import Combination, combinations, parse
from picme.config.finetune import paper_combinations
from picme.design.data import DataSteps
from picme.pretrain.step import CourseSettings, Pretrain, Pretraining, PretrainSearch, Restricted, SharedPretraining


class PretrainingSteps(DataSteps):
    """The steps of a study up to alignment."""

    @property
    def combinations(self) -> list[Combination]:
        """All combinations of the study's sizes."""
        return combinations(list(self.config.modalities), self.config.study.combination_sizes)

    @cached_property
    def named(self) -> list[Combination] | None:
        """The combinations that fine-tuning names; None where alignment decides."""
        chosen, names = self.config.finetune.combinations, list(self.config.modalities)
        if chosen == "best":
            return None
        if chosen == "all":
            return self.combinations
        return [parse(text, names) for text in (paper_combinations(names) if chosen == "paper" else chosen)]

    @cached_property
    def pretrained_combinations(self) -> list[Combination]:
        """The combinations of the study's sizes, and those that fine-tuning names beside them."""
        return list(dict.fromkeys([*self.combinations, *(self.named or ())]))

    def pretraining(self, combination: Combination) -> Pretraining:
        """Return the pretraining of a combination, but for its seed."""
        section = self.config.pretrain
        objective = section.pair_objective if len(combination) == 2 else section.objective
        series = any(self.encoding(name).reads_series for name in combination)
        return self._once(
            ("pretraining", combination),
            lambda: Pretraining(
                prepare=self.prepare,
                encodings=tuple(self.encoding(name) for name in combination),
                objective=objective,
                code=self._code("objectives", objective.name),
                course=course_settings(section),
                validation=section.validation,
                micro_batch=section.micro_batch,
                reconstruct=section.reconstruct if section.reconstruct and series else None,
            ),
        )

    def pretrain(self, combination: Combination, seed: int = 0) -> Pretrain:
        """Return one pretraining of a combination, or what it gets of the shared one."""
        section = self.config.pretrain
        if section.mode == "shared":
            whole = self._shared(seed)
            if combination == whole.combination:
                return whole
            return self._once(
                ("restricted", combination, seed),
                lambda: Restricted(pretraining=self.pretraining(combination), seed=seed, whole=whole),
            )
        on = combination if section.search_combinations == "all" else tuple(self.config.modalities)[: len(combination)]
        return self._once(
            ("pretrain", combination, seed),
            lambda: Pretrain(
                pretraining=self.pretraining(combination),
                seed=seed,
                search=None
                if section.search == "off"
                else self._once(
                    ("search", on), lambda: PretrainSearch(pretraining=self.pretraining(on), space=section.search)
                ),
            ),
        )

    def _shared(self, seed: int) -> Pretrain:
        """Return the pretraining over all modalities that serves every combination."""
        section, one = self.config.pretrain, self.config.pretrain.pair_objective

        def make() -> Pretrain:
            shared = SharedPretraining(
                **dict(self.pretraining(tuple(self.config.modalities))),
                pair_objective=one,
                pair_code=self._code("objectives", one.name),
                subsets=section.subsets,
            )
            searched = section.search != "off"
            search = PretrainSearch(pretraining=shared, space=section.search) if searched else None
            return Pretrain(pretraining=shared, seed=seed, search=search)

        return self._once(("shared", seed), make)

    def align(self, combination: Combination) -> Align:
        """Return the alignment of a combination's first pretraining."""
        section, pretrain = self.config.align, self.pretrain(combination)
        return self._once(
            ("align", combination),
            lambda: Align(
                pretrain=pretrain,
                ks=section.ks,
                gallery=section.gallery,
                draws=section.draws,
                batch_size=self.config.pretrain.batch_size,
                tsne_stays=section.tsne_stays if self._shows_frames(combination) else 0,
            ),
        )

    def _shows_frames(self, combination: Combination) -> bool:
        wanted = self.config.align.tsne
        if isinstance(wanted, tuple):
            return combination in [parse(text, list(self.config.modalities)) for text in wanted]
        largest = max(map(len, self.pretrained_combinations))
        return wanted == "all" or (wanted == "largest" and len(combination) == largest)


def course_settings(section: Any, longer: float = 1.0) -> CourseSettings:
    """Return the settings of a training's course, so many times as long; what a search finds is left open."""
    searched = section.search != "off"
    return CourseSettings(
        epochs=ceil(longer * section.epochs),
        patience=ceil(longer * section.patience),
        weight_decay=section.weight_decay,
        learning_rate=None if searched else section.learning_rate,
        batch_size=None if searched else section.batch_size,
    )
