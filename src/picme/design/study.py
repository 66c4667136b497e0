"""The design of a study: every step that its configuration asks for."""

from __future__ import annotations

import random
from functools import cache, cached_property, partial
from itertools import permutations
from math import ceil
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from picme.align.step import Align
from picme.config.combinations import Combination, combinations, label, parse
from picme.config.encoders import EncoderConfig, has_locked_trunk, trunk_identity
from picme.config.finetune import paper_combinations
from picme.config.fusions import CONFIGS as FUSIONS
from picme.engine.code import code_of
from picme.engine.store import fingerprint
from picme.errors import ConfigError
from picme.finetune.step import (
    FROZEN,
    AnySubsetCell,
    Averaged,
    Cell,
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
from picme.prepare.raw import listed_files, raw_files
from picme.prepare.step import Availability, Baseline, Fold, Hospital, Prepare, PretrainWindow, TaskPart
from picme.pretrain.features import Encoding, Features
from picme.pretrain.step import (
    CourseSettings,
    Pretrain,
    Pretraining,
    PretrainSearch,
    Restricted,
    SharedPretraining,
)
from picme.registry import Registry
from picme.strategies import of_fusion, resolve, strategy
from picme.strategies.built_in import EQUAL, STACKED

if TYPE_CHECKING:
    from collections.abc import Callable

    from picme.config.study import Config
    from picme.engine.step import Step
    from picme.strategies import Strategy

T = TypeVar("T")


class Design:
    """The steps of a study, each made once from the configuration.

    Args:
        config: the study.
        made_from: what a finished run recorded of its raw files and of other packages' code (`raw` and `code` of
            `run.json`): these may have changed since. By default both are as they are now.
    """

    def __init__(self, config: Config, made_from: dict[str, Any] | None = None) -> None:
        self.config = config
        self._made_from = made_from
        self.code: dict[str, str] = {} if made_from is None else dict(made_from.get("code", {}))
        self._made: dict[Any, Any] = {}

    # ---- data

    @cached_property
    def raw(self) -> list[dict[str, Any]]:
        """Fingerprints of the raw files."""
        if self._made_from is not None:
            return list(self._made_from["raw"])
        content = getattr(self.config.source, "fingerprint", None) == "content"
        return fingerprint(raw_files(self.config), listed_files(self.config), content)

    @cached_property
    def hospital(self) -> Hospital | None:
        """The synthetic hospital, where the source is one."""
        return Hospital(source=self.config.source) if self.config.source.kind == "synthetic" else None

    @cached_property
    def prepare(self) -> Prepare:
        """The cohort and its arrays."""
        config = self.config
        named = [("sources", config.source.kind), *(("tasks", name) for name in config.tasks)]
        named += [("modalities", section.kind) for section in config.modalities.values()]
        code = {f"{group}: {name}": self._code(group, name) for group, name in named}
        return Prepare(
            source=config.source,
            cohort=config.cohort,
            require=config.require,
            modalities={
                name: {key: value for key, value in dict(section).items() if key not in ("encoder", "cost")}
                for name, section in config.modalities.items()
            },
            tasks=config.tasks,
            splits=config.splits,
            pretrain=PretrainWindow(window=config.pretrain.window),
            raw=tuple(self.raw),
            code={name: value for name, value in code.items() if value is not None},
            hospital=self.hospital,
        )

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

    @property
    def tasks(self) -> list[str]:
        """The tasks by name: each is judged by itself, so their order in the configuration is only that of rows."""
        return sorted(self.config.tasks)

    @cached_property
    def availability(self) -> Availability:
        """What the stays have, and what the encoders read of it."""
        encoders = {name: section.encoder for name, section in self.config.modalities.items()}
        reads = {name: one.reading_settings() for name, one in encoders.items() if isinstance(one, EncoderConfig)}
        reads = {name: settings for name, settings in reads.items() if settings}
        return Availability(prepare=self.prepare, encoders={name: encoders[name] for name in reads}, reads=reads)

    @cached_property
    def baseline(self) -> Baseline:
        """Who the stays are."""
        return Baseline(prepare=self.prepare, min_group=self.config.evaluate.min_group)

    def task(self, name: str) -> TaskPart:
        """Return a task as steps need to know it."""
        return self._once(
            ("task", name),
            lambda: TaskPart(name=name, section=self.config.tasks[name], code=self._code("tasks", name)),
        )

    # ---- encoders

    @property
    def locked(self) -> list[str]:
        """The modalities whose encoder has a part that is never trained and so runs once."""
        return [name for name, section in self.config.modalities.items() if has_locked_trunk(section.encoder)]

    def features(self, modality: str) -> Features:
        """Return the step that runs the locked part of a modality's encoder."""
        encoder = self.config.modalities[modality].encoder
        return self._once(
            ("features", modality),
            lambda: Features(
                prepare=self.prepare,
                modality=modality,
                encoder=encoder,
                trunk=trunk_identity(encoder),
                precision=self.config.study.precision,
                code=self._code("encoders", encoder.name),
            ),
        )

    def encoding(self, modality: str, encoder: bool = True) -> Encoding:
        """Return a modality on its way into a model, with or without the encoder above the locked part."""
        section = self.config.modalities[modality]

        def make() -> Encoding:
            return Encoding(
                modality=modality,
                kind=section.kind,
                encoder=section.encoder if encoder else None,
                trunk=trunk_identity(section.encoder) if encoder else None,
                embed_dim=self.config.study.embed_dim if encoder else 0,
                shared=encoder and self.config.study.projection == "shared",
                precision=self.config.study.precision if encoder else "fp32",
                features=self.features(modality) if has_locked_trunk(section.encoder) else None,
                code=self._code("encoders", section.encoder.name) if encoder else None,
            )

        return self._once(("encoding", modality, encoder), make)

    # ---- pretraining

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
                course=self._course(section),
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

    # ---- fine-tuning

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
        head = section.fusions.get(name) or self._head(chosen, combination, order)
        made = partial(AnySubsetCell, any_subset=section.any_subset) if chosen.subsets else Cell
        return made(
            **common,
            encoders=chosen.encoders,
            encodings=tuple(self.encoding(one) for one in combination),
            head=head,
            head_code=self._code("fusions", head.name),
            weights=self._weights(combination) if gated else None,
            pretrain=self.pretrain(combination, draw) if chosen.starts_from_pretraining or reads_weights else None,
            course=self._course(section, section.any_subset.longer if chosen.subsets else 1.0),
            loss=section.loss,
            class_weight=section.class_weight,
            standardise=section.standardise if chosen.encoders in FROZEN else None,
        )

    def _head(self, chosen: Strategy, combination: Combination, order: Combination) -> Any:
        """Return the section of a strategy's fusion head, set as the configuration says."""
        section = self.config.finetune
        kind = FUSIONS.get(chosen.head) or _outside("fusions").load(chosen.head).Config
        places = tuple(map(combination.index, order or self._order(combination)))
        gate = {"configured": "learned" if section.gate == "learned" else "given", "uniform": "uniform", None: None}
        wanted: dict[str, Any] = {"hidden": section.hidden, "dropout": section.dropout}
        wanted |= {"order": places if places != tuple(range(len(combination))) else None}
        wanted |= {} if chosen.gate is None else {"gate": gate[chosen.gate]}
        return kind(**{name: value for name, value in wanted.items() if name in kind.model_fields})

    def _order(self, combination: Combination) -> Combination:
        """Return the configured order of the gate's steps; modalities that it leaves out come after it."""
        first = tuple(name for name in self.config.finetune.order if name in combination)
        return first + tuple(name for name in combination if name not in first)

    def _weights(self, combination: Combination) -> tuple[float, ...] | None:
        """Return λ as the configuration gives it for a combination, where it does."""
        if not isinstance(self.config.finetune.gate, tuple):
            return None
        given = dict(zip(self.config.modalities, self.config.finetune.gate, strict=True))
        total = sum(given[name] for name in combination)
        if total == 0:
            raise ConfigError(f"finetune.gate gives no weight to any modality of {label(combination)}")
        return tuple(given[name] / total for name in combination)

    def finetune(
        self,
        task: str,
        combination: Combination,
        name: str,
        seed: int,
        share: float = 1.0,
        order: Combination = (),
        withhold: Literal["complete"] | float | None = None,
    ) -> Finetune:
        """Return one fine-tuning; `withhold` is what its training stays lack, if anything."""

        def make() -> Finetune:
            chosen, every = self.strategy(name), tuple(self.config.modalities)
            if chosen.subsets and combination != every:
                whole = self.finetune(task, every, name, seed, share)
                part = whole.cell.model_copy(update={"encodings": tuple(map(self.encoding, combination))})
                return RestrictedFinetune(cell=part, seed=seed, share=share, whole=whole)
            cell: Cell = self.cell(task, combination, name, order, seed)
            space: Any = self.config.finetune.search
            if chosen.averages is not None:
                singles = (
                    self.finetune(task, (one,), chosen.averages, seed, share, withhold=withhold) for one in combination
                )
                return Averaged(cell=cell, seed=seed, share=share, singles=tuple(singles))
            if chosen.stacks:
                return self._stacked(cell, seed, share, withhold)
            first = self.cell(task, combination, name, order)
            if cell.course is None:
                # Fewer labels or stays tell of other settings, and one model searches them by itself.
                space, searched = None, chosen.seeded and share == 1 and withhold is None
            else:
                searched = space != "off"
            search = FinetuneSearch(cell=first, embedded=self._embedded(first, 0), space=space) if searched else None
            embedded = self._embedded(cell, self._draw(seed))
            made: Callable[..., Finetune] = Finetune
            if withhold is not None:
                among = tuple(self.encoding(one, encoder=False) for one in every)
                made = partial(WithheldFinetune, withhold=withhold, among=among)
            return made(cell=cell, seed=seed, embedded=embedded, search=search, share=share, order=order)

        return self._once(("finetune", task, combination, name, seed, share, order, withhold), make)

    def _stacked(self, cell: Cell, seed: int, share: float, withhold: Literal["complete"] | float | None) -> Stacked:
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
        section, declared = self.config.finetune, self.strategy(name).stacks
        names = section.stacked.strategies if declared == STACKED.stacks else declared
        fusions = {one: fusion.name for one, fusion in section.fusions.items()}
        return resolve(names, fusions, size, len(self.config.modalities))

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

    def of_combination(
        self, task: str, combination: Combination, withhold: Literal["complete"] | float | None = None
    ) -> list[list[Finetune]]:
        """Return the fine-tunings of a combination: of each strategy that is defined for it, the seeds."""
        section, whole = self.config.finetune, len(self.config.modalities)
        fusions = {name: fusion.name for name, fusion in section.fusions.items()}
        return [
            [
                self.finetune(task, combination, one.name, seed, withhold=withhold)
                for seed in range(self.config.study.seeds if one.seeded else 1)
            ]
            for one in resolve(section.strategies, fusions, len(combination), whole)
        ]

    def finetunings(self, chosen: list[Combination]) -> list[Finetune]:
        """Return the fine-tunings of the study's cells, of combinations of several modalities and of single ones."""
        names = list(self.config.modalities)
        singles: list[Combination] = combinations(names, [1]) if self.config.finetune.singles else []
        places = [(task, combination) for task in self.tasks for combination in [*singles, *chosen]]
        return [one for place in places for seeds in self.of_combination(*place) for one in seeds]

    def variants(self, cells: list[Finetune]) -> list[Finetune]:
        """Return the fine-tunings with fewer labels, and those with other orders of the gate's steps."""
        section, largest = self.config.finetune, max((len(one.cell.encodings) for one in cells), default=0)
        places = [(one.cell.task.name, one.cell.combination, one.cell.strategy, one.seed) for one in cells]
        found = []
        if section.label_efficiency != "off":
            wanted = self._with_fewer_labels(section.label_efficiency.combinations, cells, largest)
            for share in section.label_efficiency.shares:
                # A stack would need the folds of each share as well, which costs more than all else together.
                alone = [place for place in places if not self.strategy(place[2]).stacks]
                found += [self.finetune(*place, share=share) for place in alone if place[1] in wanted]
        for place in places:
            chosen = self.strategy(place[2])
            gated = chosen.gate == "configured" and not chosen.subsets
            if gated and place[3] == 0 and len(place[1]) == largest:
                others = orders(place[1], section.orders, self._order(place[1]))
                found += [self.finetune(*place, order=order) for order in others]
        return found

    def _with_fewer_labels(self, wanted: Any, cells: list[Finetune], largest: int) -> set[Combination]:
        """Return the combinations that are fine-tuned with fewer labels as well."""
        if isinstance(wanted, tuple):
            return {parse(text, list(self.config.modalities)) for text in wanted}
        found = {one.cell.combination for one in cells}
        return found if wanted == "all" else {one for one in found if len(one) == largest}

    # ---- parts

    def _course(self, section: Any, longer: float = 1.0) -> CourseSettings:
        """Return the settings of a training's course, so many times as long; what a search finds is left open."""
        searched = section.search != "off"
        return CourseSettings(
            epochs=ceil(longer * section.epochs),
            patience=ceil(longer * section.patience),
            weight_decay=section.weight_decay,
            learning_rate=None if searched else section.learning_rate,
            batch_size=None if searched else section.batch_size,
        )

    def _code(self, group: str, name: str) -> str | None:
        """Return a hash of the code of another package's component: as recorded for a finished run, else as it is."""
        place = f"{group}: {name}"
        if self._made_from is None and place not in self.code:
            target = _outside(group).targets().get(name)
            found = code_of(target.partition(":")[0]) if target is not None else None
            if found is not None:
                self.code[place] = found
        return self.code.get(place)

    def _once(self, key: Any, make: Callable[[], T]) -> T:
        """Return what was made for a key, making it the first time: steps are shared, so that keys are made once."""
        if key not in self._made:
            self._made[key] = make()
        made: T = self._made[key]
        return made


class FoldDesign(Design):
    """The steps of a study in which another fold of the subjects is test.

    Args:
        first: the study in which fold 0 is.
        number: of the fold, from 1.
    """

    def __init__(self, first: Design, number: int) -> None:
        super().__init__(first.config, first._made_from)
        self.first, self.number, self.code = first, number, first.code

    @cached_property
    def prepare(self) -> Prepare:
        """The cohort, divided anew."""
        whole = self.first.prepare
        return Fold(**{name: getattr(whole, name) for name in Prepare.model_fields}, whole=whole, number=self.number)

    def features(self, modality: str) -> Features:
        """Return the step that runs the locked part of a modality's encoder, which serves every fold."""
        return self.first.features(modality)

    def task(self, name: str) -> TaskPart:
        """Return a task as steps need to know it."""
        return self.first.task(name)


@cache
def _outside(group: str) -> Registry:
    """Return the components of other packages."""
    return Registry(group, {})


def orders(combination: Combination, number: int, trained: Combination) -> list[Combination]:
    """Return other orders of a combination's modalities than the one trained anyway, drawn without repetition."""
    others = [order for order in permutations(combination) if order != trained] if number else []
    return random.Random(0).sample(others, min(number, len(others)))
