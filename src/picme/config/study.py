"""Configuration of a whole study, and the sections of its stages."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator, model_validator

from picme.config.base import Section, choice
from picme.config.bounds import Batch, Draws, Epochs, Hours, Number, Processes, Repeats, Width
from picme.config.cohort import GROUPS, CohortConfig, MimicSource
from picme.config.evaluate import EvaluateConfig
from picme.config.fusions import CONFIGS as FUSIONS
from picme.config.modalities import ModalityConfig
from picme.config.names import Column, check_file_names
from picme.config.objectives import CONFIGS as OBJECTIVES
from picme.config.objectives import InfoNCEConfig, OneVersusOthersConfig
from picme.config.report import ReportConfig
from picme.config.sources import Physionet2012Source, TableSource
from picme.config.splits import SplitsConfig
from picme.config.synthetic import SyntheticConfig
from picme.errors import ConfigError, near
from picme.strategies import BUILT_IN, FOR_SUBSETS, STRATEGIES, strategies, strategy

if TYPE_CHECKING:
    from collections.abc import Iterable

# Kinds of modalities that have summary features, the first by which a stay looks ill.
MEASURED = ("timeseries", "tabular")
# Most modalities of which every subset is scored.
MOST_WITHHELD = 8
# The ten combinations of the paper's Table 1.
PAPER_COMBINATIONS = (
    "discharge+radiology",
    "discharge+demographics",
    "radiology+demographics",
    "discharge+radiology+demographics",
    "discharge+radiology+image",
    "discharge+image+demographics",
    "discharge+radiology+image+demographics",
    "discharge+radiology+timeseries+demographics",
    "discharge+radiology+image+timeseries",
    "discharge+radiology+image+timeseries+demographics",
)


def paper_combinations(modalities: Iterable[str]) -> list[str]:
    """Return those of the paper's ten combinations that a study's modalities make."""
    return [one for one in PAPER_COMBINATIONS if set(one.split("+")) <= set(modalities)]


def _known(name: str, fusions: dict[str, Any], where: str = "") -> None:
    """Check that a name is that of a strategy.

    Raises:
        ValueError: if it is not, with the nearest name, or if its package cannot be imported.
    """
    if name in BUILT_IN or name in fusions:
        return
    if name not in STRATEGIES.targets():
        raise ValueError(f"{where}unknown strategy {name!r}{near(name, [*STRATEGIES.targets(), *fusions])}")
    try:
        strategy(name)
    except ConfigError as error:
        raise ValueError(f"{where}{error}") from error


class SyntheticSource(SyntheticConfig):
    """A synthetic hospital, written in the releases' own formats and then read like one."""

    kind: Literal["synthetic"] = "synthetic"

    @property
    def group_columns(self) -> tuple[str, ...]:
        """The columns of the stays that define subgroups."""
        return GROUPS


SOURCES = {
    "mimic": MimicSource,
    "synthetic": SyntheticSource,
    "physionet2012": Physionet2012Source,
    "table": TableSource,
}


class TaskConfig(Section):
    """Settings of one task: what is predicted, and when."""

    labels: tuple[Column, ...] = ()
    """Label columns; `digit=3` is 1 where the column `digit` holds 3. Empty for a task whose labels the source defines
    (`mortality`, `phenotyping`)."""
    kind: Literal["binary", "multilabel"] | None = None
    """`binary` has one label, `multilabel` has several. Where it is not given, the number of labels decides."""
    hours: Hours | None = Field(None, gt=0)
    """Prediction time of a task on own data: time series are cut there. The tasks of picme's own have theirs."""


class StudyConfig(Section):
    """Settings that all stages share: combinations, seeds and the size of embeddings."""

    combination_sizes: Literal["all"] | tuple[int, ...] = "all"
    """Sizes of the combinations: every one from two up, or these; sizes above the number of modalities are left out."""
    seeds: Repeats = Field(10, ge=1)
    """Fine-tunings of each cell, with seeds 0, 1, …"""
    embed_dim: Width = Field(256, ge=2)
    """Size of every modality's embedding."""
    projection: Literal["own", "shared"] = "own"
    """`own`: each encoder's projection gives its embeddings. `shared`: one linear layer follows that is common to all
    modalities, as in the published code."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of large encoders: `bf16` computes under autocast; `auto` does so where the processor supports it.
    Embeddings, losses and small encoders are always fp32."""
    withhold: tuple[Literal["complete"] | float, ...] = ()
    """Further training stays for the missingness grid (`evaluate.missing`), each a fine-tuning of every strategy on all
    modalities: `complete` trains on the stays that have every modality, a rate withholds that share of the modalities
    at random, always the same of a subject, from training and validation stays. Pretraining stays as it is."""

    @field_validator("withhold")
    @classmethod
    def _rates(cls, given: tuple[Literal["complete"] | float, ...]) -> tuple[Literal["complete"] | float, ...]:
        if not all(one == "complete" or 0 < float(one) < 1 for one in given):
            raise ValueError("withhold lists `complete` and rates between 0 and 1")
        return tuple(dict.fromkeys(given))

    @field_validator("combination_sizes")
    @classmethod
    def _sizes(cls, sizes: Literal["all"] | tuple[int, ...]) -> Literal["all"] | tuple[int, ...]:
        if sizes == "all":
            return sizes
        if not sizes or min(sizes) < 2:
            raise ValueError("a combination has at least two modalities")
        return tuple(sorted(set(sizes)))


class SearchConfig(Section):
    """Search of learning rate and batch size on validation stays, with seed 0."""

    trials: Epochs = Field(20, ge=1)
    """Optuna trials of each search: for pretraining each combination that is searched on, for fine-tuning each task,
    combination and strategy."""
    learning_rates: tuple[float, float] = (1e-6, 1e-2)
    """Lowest and highest learning rate; trials draw log-uniformly between them."""
    batch_sizes: tuple[Batch, ...] = (16, 32, 64, 128)
    """Batch sizes to choose from."""

    @field_validator("learning_rates")
    @classmethod
    def _upwards(cls, rates: tuple[float, float]) -> tuple[float, float]:
        if not 0 < rates[0] <= rates[1]:
            raise ValueError(f"the lowest comes first, and both are above 0, not {rates[0]:g} and {rates[1]:g}")
        return rates

    @field_validator("batch_sizes")
    @classmethod
    def _two_or_more(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if not sizes or min(sizes) < 2:
            raise ValueError("each batch size is 2 or more")
        return sizes


# The discriminator picks the type before pydantic checks the value: a mistake in a section is then reported as such,
# and not with "expected 'off'".
Search = Annotated[
    Annotated[Literal["off"], Tag("'off'")] | Annotated[SearchConfig, Tag("SearchConfig")],
    Discriminator(lambda value: "'off'" if isinstance(value, str) else "SearchConfig"),
]


class PretrainConfig(Section):
    """Contrastive pretraining of each combination, or of all by one training."""

    mode: Literal["each", "shared"] = "each"
    """`each` pretrains every combination by itself. `shared` is one training over all modalities, which serves every
    combination: each batch runs over a subset of the modalities, the stays take part with what they have of it, and λ
    of a combination is the softmax of its modalities' logits."""
    subsets: Literal["by_size", "uniform"] = "by_size"
    """Subsets that `mode: shared` draws: `by_size` draws a size from 2 to all modalities and then one of the subsets of
    that size; `uniform` draws one of all subsets of two modalities and more."""
    window: Hours = Field(48, gt=0)
    """Hours after ICU admission whose data pretraining sees."""
    pair_objective: choice("objectives", OBJECTIVES, "infonce") = InfoNCEConfig()  # type: ignore[valid-type]
    """The objective for two modalities."""
    objective: choice("objectives", OBJECTIVES, "ovo") = OneVersusOthersConfig()  # type: ignore[valid-type]
    """The objective for three modalities and more."""
    epochs: Epochs = Field(75, ge=1)
    """Greatest number of passes over the training stays."""
    patience: Epochs = Field(15, ge=1)
    """Epochs without a better validation recall@5 before training stops."""
    batch_size: Batch = Field(64, ge=2)
    """Stays in a batch, which are each other's negatives."""
    learning_rate: float = Field(1e-3, gt=0)
    """Learning rate of encoders and temperature; λ has its own, in the objective."""
    weight_decay: float = Field(1e-4, ge=0)
    """AdamW's decoupled weight decay."""
    seeds: Repeats = Field(1, ge=1)
    """Number of draws of encoders: pretrainings of each combination, and as many untrained encoders for the control
    `random`, so that neither gains more from averaging. Fine-tuning with seed s takes draw s modulo this number, so as
    many as `study.seeds` give each seed its own. Alignment is measured on the first."""
    search: Search = "off"
    """Search of learning rate and batch size before the pretrainings, on validation recall@5 or, where the objective
    has a score of its own, on that. `off` takes the values above."""
    search_combinations: Literal["size", "all"] = "size"
    """Combinations that are searched on: `size` takes one of each size, made of the first modalities in the
    configuration's order, and every combination of that size gets its result; `all` searches for each by itself. With
    `mode: shared` the one training is searched."""
    validation: Literal["split", "batches"] = "split"
    """Candidates of the validation recall@5 by which pretraining is searched, stopped and chosen: the whole split, or
    as published, batches of 32 stays in their order, where chance is 5/32."""
    loggers: tuple[Literal["csv", "tensorboard", "mlflow", "wandb"], ...] = ()
    """Loggers that get each epoch's loss, recall, temperature and λ, in addition to the table `pretraining`; they write
    under `logs` in the run folder. They change no number, so they are in no key."""


class AlignConfig(Section):
    """Settings of the measures of alignment."""

    ks: tuple[Annotated[Number, Field(ge=1)], ...] = Field((1, 5, 10), min_length=1)
    """Values of k for recall@k."""
    gallery: Number = Field(1000, ge=2)
    """Number of candidates in a retrieval; a smaller split is used whole."""
    draws: Draws = Field(5, ge=1)
    """Number of galleries that are drawn and averaged where the split is larger."""
    tsne: Literal["largest", "all", "off"] | tuple[str, ...] = "largest"
    """Combinations whose t-SNE frames are kept over the epochs."""
    tsne_stays: Number = Field(150, ge=5)
    """Number of stays shown in a frame."""

    @field_validator("ks")
    @classmethod
    def _each_once(cls, ks: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(ks)))


class LabelEfficiencyConfig(Section):
    """Fine-tuning with a part of the training labels, to see how much each strategy loses."""

    shares: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3)
    """Shares of the training labels, drawn by subject. Training with all labels is always shown beside them, and
    validation always uses all of its labels."""
    combinations: Literal["largest", "all"] | tuple[str, ...] = "largest"
    """Combinations that this is done for, among those that are fine-tuned: the largest, all, or a list."""

    @field_validator("shares")
    @classmethod
    def _inside(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if not shares or not all(0 < share < 1 for share in shares):
            raise ValueError("shares are above 0 and below 1")
        return tuple(sorted(set(shares)))


class AnySubsetConfig(Section):
    """Training of the strategies that take any subset of the modalities."""

    withhold: Literal["uniform"] | Annotated[float, Field(ge=0, lt=1)] = "uniform"
    """Modalities withheld from each stay in each batch: `uniform` draws their number, from none to all but one of those
    that the stay has; a number is the rate at which each is withheld. One that the stay has always stays."""
    auxiliary: float = Field(1.0, ge=0)
    """Weight of the loss of a linear head on each single modality's embedding; these heads are not kept."""
    ranking: float = Field(0.0, ge=0)
    """Weight of a hinge on a stay's loss with more of its modalities minus that with fewer, both drawn: more should not
    be worse (SimMLM, arXiv 2507.19264). Above 0, both losses are trained on."""


class FinetuneConfig(Section):
    """Fine-tuning on the tasks."""

    combinations: Literal["best", "paper", "all"] | tuple[str, ...] = "best"
    """Combinations that are fine-tuned. `best` takes the best-aligned of each size on validation, `paper` the ten of
    the paper's Table 1 (those that the modalities make), `all` every one; or a list."""
    best: Number = Field(1, ge=1)
    """Number of combinations of each size that `best` takes."""
    singles: bool = True
    """Fine-tune each modality alone as well (with `supervised` and `random`)."""
    strategies: tuple[str, ...] = ("contrastive", "supervised", "gated", "random")
    """Strategies that are compared; `picme list strategies` says what each is."""
    fusions: dict[str, choice("fusions", FUSIONS)] = Field(default_factory=dict)  # type: ignore[valid-type]
    """Strategies of your own, named in `strategies` like the others: trained as `supervised`, with this fusion head."""
    any_subset: AnySubsetConfig = AnySubsetConfig()
    """Training of the strategies that take any subset of the modalities."""
    epochs: Epochs = Field(75, ge=1)
    """Greatest number of passes over the training stays."""
    patience: Epochs = Field(15, ge=1)
    """Epochs without a better validation AUROC before training stops; of strategies that take any subset, the mean over
    the subsets."""
    batch_size: Batch = Field(64, ge=2)
    """Stays in a batch."""
    learning_rate: float = Field(1e-3, gt=0)
    """AdamW's learning rate."""
    weight_decay: float = Field(1e-4, ge=0)
    """AdamW's decoupled weight decay."""
    loss: Literal["bce", "paper", "released"] = "bce"
    """`bce`: binary cross-entropy per label, weighted for a binary task only. `paper`: the same, but the labels of a
    multilabel task weighted as well, by the frequency of the most frequent label over theirs. `released`: as the
    published code, these weights in a softmax over all labels, as if a stay had one of them."""
    standardise: bool = True
    """Standardise the embeddings of frozen encoders with the training stays' mean and deviation; false takes them as
    they are."""
    class_weight: Literal["balanced", "none"] = "balanced"
    """`balanced` weighs the positives of a binary task by negatives / positives in training, and those of a multilabel
    task where `loss` says so; `none` weighs nothing."""
    search: Search = "off"
    """Search of learning rate and batch size before the seeds are trained. `off` takes the values above."""
    hidden: Width = Field(256, ge=1)
    """Hidden units of the fusion heads."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout in the fusion heads."""
    gate: Literal["pretraining", "learned"] | tuple[float, ...] = "pretraining"
    """Source of λ in the gated strategy. `pretraining` takes the combination's λ from pretraining, `learned` learns it
    on the task; or a list gives a weight for each modality in the configuration's order, and the weights of a smaller
    combination are scaled to add up to 1."""
    order: tuple[str, ...] = ()
    """Order of the modalities as steps of the gated LSTM; the configuration's order where empty."""
    orders: Repeats = Field(0, ge=0)
    """Number of other orders, drawn at random, in which the gated LSTM of the largest combination is trained as well,
    with seed 0. They show how much its result depends on the order."""
    label_efficiency: Literal["off"] | LabelEfficiencyConfig = "off"
    """Fine-tuning with a part of the training labels as well, to see how much each strategy loses."""

    @field_validator("strategies")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names:
            raise ValueError("at least one strategy is needed")
        return tuple(dict.fromkeys(names))

    @model_validator(mode="after")
    def _known(self) -> FinetuneConfig:
        check_file_names(self.fusions, "fusion")
        for name in self.fusions:
            taken = name in strategies()
            if taken or not name.isidentifier():
                raise ValueError(
                    f"fusions.{name} is a strategy already; choose another name"
                    if taken
                    else f"fusions: a strategy's name is letters, digits and underscores, not {name!r}"
                )
            if name not in self.strategies:
                raise ValueError(f"fusions.{name} is not named in strategies, so it would not be run")
        for name in self.strategies:
            _known(name, self.fusions, "strategies: ")
        return self


class ExecutionConfig(Section):
    """Settings of where and how steps run; they change no number, so they are in no key."""

    workers: Processes | Literal["auto"] = "auto"
    """Number of steps side by side; `auto` is one for each core, of which one at a time uses the GPU where there is
    one."""
    threads: Processes = Field(1, ge=1)
    """Number of threads of each step."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device that models are trained on; `auto` takes CUDA, then MPS, then the CPU."""


class Config(Section):
    """The configuration of a whole study."""

    name: str = "study"
    """Name of the study in the report."""
    source: choice("sources", SOURCES, tag="kind")  # type: ignore[valid-type]
    """Source of the data."""
    cohort: CohortConfig = CohortConfig()
    """Choice of stays, and of the data of each."""
    require: Literal["complete", "any", "none"] = "complete"
    """`complete` keeps stays with every modality, `any` those with at least two, `none` every stay."""
    modalities: dict[str, ModalityConfig]
    """Modalities by name, in the order combinations are written."""
    tasks: dict[str, TaskConfig]
    """Tasks by name."""
    splits: SplitsConfig = SplitsConfig()
    study: StudyConfig = StudyConfig()
    pretrain: PretrainConfig = PretrainConfig()
    align: AlignConfig = AlignConfig()
    finetune: FinetuneConfig = FinetuneConfig()
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig)
    report: ReportConfig = ReportConfig()
    execution: ExecutionConfig = ExecutionConfig()

    @field_validator("evaluate")
    @classmethod
    def _compared(cls, section: EvaluateConfig, info: ValidationInfo) -> EvaluateConfig:
        """Add the comparisons of the strategies that the study names and that are not compared by default."""
        finetune = info.data.get("finetune")
        if finetune is None:  # it has mistakes of its own
            return section
        others = [name for name in finetune.strategies if name not in finetune.fusions]
        return section.with_strategies(strategy(name) for name in others if name not in BUILT_IN or name in FOR_SUBSETS)

    @field_validator("modalities")
    @classmethod
    def _named(cls, modalities: dict[str, Any]) -> dict[str, Any]:
        if len(modalities) < 2:
            raise ValueError("at least two modalities are needed")
        for name in modalities:
            if not name.isidentifier():
                raise ValueError(f"a modality's name is letters, digits and underscores, not {name!r}")
        check_file_names(modalities, "modality")
        return modalities

    @field_validator("tasks")
    @classmethod
    def _named_tasks(cls, tasks: dict[str, Any]) -> dict[str, Any]:
        check_file_names(tasks, "task")
        return tasks

    @model_validator(mode="after")
    def _names_exist(self) -> Config:
        named = self.finetune.combinations if isinstance(self.finetune.combinations, tuple) else ()
        if self.finetune.combinations == "paper" and not paper_combinations(self.modalities):
            raise ValueError("finetune.combinations: the modalities make none of the combinations of `paper`")
        tsne = self.align.tsne if isinstance(self.align.tsne, tuple) else ()
        labels = self.finetune.label_efficiency
        fewer = labels.combinations if labels != "off" and isinstance(labels.combinations, tuple) else ()
        for key, combinations in (
            ("finetune.combinations", named),
            ("align.tsne", tsne),
            ("finetune.label_efficiency.combinations", fewer),
        ):
            for combination in combinations:
                if len(others := re.split(r"[^\w+]+", combination)) > 1 and set(others) <= set(self.modalities):
                    raise ValueError(f"{key}: {combination!r} is written {'+'.join(others)!r}")
                for name in combination.split("+"):
                    if name not in self.modalities:
                        raise ValueError(
                            f"{key} names modality {name!r}, which the configuration does not have"
                            f"{near(name, self.modalities)}"
                        )
        for name in self.finetune.order:
            if name not in self.modalities:
                raise ValueError(
                    f"finetune.order names modality {name!r}, which the configuration does not have"
                    f"{near(name, self.modalities)}"
                )
        gate = self.finetune.gate
        if isinstance(gate, tuple):
            if len(gate) != len(self.modalities):
                raise ValueError(
                    f"finetune.gate has {len(gate)} weights, the configuration has {len(self.modalities)} modalities"
                )
            if min(gate) < 0 or abs(sum(gate) - 1) > 1e-3:
                raise ValueError(f"finetune.gate: weights are 0 and above and add up to 1, not {sum(gate):.4g}")
        compared = self.evaluate.comparisons
        for key, names in (
            ("controls", self.evaluate.controls),
            ("comparisons.controls", chain.from_iterable(compared.controls)),
            ("comparisons.strategies", chain.from_iterable(compared.strategies)),
            ("comparisons.baselines", compared.baselines),
        ):
            for name in names:
                _known(name, self.finetune.fusions, f"evaluate.{key}: ")
        self._check_subgroups()
        self._check_missing()
        least = 2 if self.study.combination_sizes == "all" else min(self.study.combination_sizes)
        if least > len(self.modalities):
            raise ValueError(
                f"study.combination_sizes: {least} modalities are more than the {len(self.modalities)} of the "
                "configuration"
            )
        if not self.tasks:
            raise ValueError("tasks: at least one task is needed")
        return self

    def _check_missing(self) -> None:
        """Check the missingness grid.

        Raises:
            ValueError: if it cannot be made of these modalities, or models are asked for that only it would use.
        """
        section = self.evaluate.missing
        if section == "off":
            if self.study.withhold:
                raise ValueError("study.withhold trains models for evaluate.missing, which is off; set `missing: {}`")
            return
        if len(self.modalities) > MOST_WITHHELD:
            raise ValueError(
                f"evaluate.missing scores every subset of at most {MOST_WITHHELD} modalities; the configuration has "
                f"{len(self.modalities)}"
            )
        if section.severity is not None and section.severity not in self.modalities:
            raise ValueError(
                f"evaluate.missing.severity names modality {section.severity!r}, which the configuration does not have"
                f"{near(section.severity, self.modalities)}"
            )
        named = self.severity
        if "mar" in section.mechanisms and (named is None or self.modalities[named].kind not in MEASURED):
            raise ValueError("evaluate.missing: `mar` takes a time series or a table to say how ill a stay looks")

    @property
    def severity(self) -> str | None:
        """The modality by which a stay looks more or less severely ill; see `evaluate.missing.severity`."""
        kinds = {name: section.kind for name, section in self.modalities.items()}
        usual = (name for kind in MEASURED for name in kinds if kinds[name] == kind)
        chosen = None if self.evaluate.missing == "off" else self.evaluate.missing.severity
        return chosen or next(usual, None)

    def _check_subgroups(self) -> None:
        """Check that the stays will have the columns that define subgroups, where the source says which they have.

        The usual columns are for cohorts that have them.

        Raises:
            ValueError: if they lack one.
        """
        columns = getattr(self.source, "group_columns", None)
        if columns is None:
            return
        known = [*columns, *filter(None, [self.splits.column]), *["anchor_year_group"] * (self.splits.kind == "time")]
        asked = self.evaluate
        for key, names in (
            ("attributes", set(asked.attributes) - set(EvaluateConfig().attributes)),
            ("groups", asked.groups),
            ("crossed", chain.from_iterable(set(asked.crossed) - set(EvaluateConfig().crossed))),
        ):
            for name in sorted(set(names) - set(known)):
                raise ValueError(f"evaluate.{key} names {name!r}, which the cohort will not have{near(name, known)}")
