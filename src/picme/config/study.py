"""The stages' own sections and the whole configuration."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from picme.config.base import Section, choice
from picme.config.cohort import CohortConfig, MimicSource
from picme.config.evaluate import EvaluateConfig
from picme.config.fusions import CONFIGS as FUSIONS
from picme.config.modalities import ModalityConfig  # noqa: TC001 (pydantic reads the annotation)
from picme.config.objectives import CONFIGS as OBJECTIVES
from picme.config.objectives import InfoNCEConfig, OneVersusOthersConfig
from picme.config.report import ReportConfig
from picme.config.sources import Physionet2012Source, TableSource
from picme.config.splits import SplitsConfig
from picme.config.synthetic import SyntheticConfig
from picme.errors import near

STRATEGY_MEANINGS = {
    "contrastive": "frozen pretrained encoders, an MLP on their concatenated embeddings",
    "supervised": "encoders and an MLP on their concatenated embeddings, trained on the task",
    "gated": "encoders and the modality-gated LSTM with λ, trained on the task",
    "finetuned": "pretrained encoders and the MLP, everything trained on the task",
    "random": "control of contrastive: the same encoders untrained",
    "gated_uniform": "control of gated: λ the same for every modality",
    "supervised_lstm": "control of gated: a plain LSTM over the modalities (λ = 1)",
    "supervised_attention": "attention over the modalities with a class token",
    "supervised_sum": "a gated sum of the modalities",
    "gradient_boosting": "baseline: boosted trees on summary features",
    "logistic_regression": "baseline: logistic regression on summary features",
}
STRATEGIES = tuple(STRATEGY_MEANINGS)
# Strategies whose encoders are never trained on the task, and those without any.
FROZEN = ("contrastive", "random")
BASELINES = ("gradient_boosting", "logistic_regression")

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


class SyntheticSource(SyntheticConfig):
    """A synthetic hospital, written in the releases' own formats and then read like one."""

    kind: Literal["synthetic"] = "synthetic"


SOURCES = {
    "mimic": MimicSource,
    "synthetic": SyntheticSource,
    "physionet2012": Physionet2012Source,
    "table": TableSource,
}


class TaskConfig(Section):
    """What is predicted."""

    labels: tuple[str, ...] = ()
    """Label columns; empty for a task whose labels the source defines (`mortality`, `phenotyping`)."""
    kind: Literal["binary", "multilabel"] | None = None
    """`binary` has one label. Told from the number of labels where it is not given."""
    hours: float | None = Field(None, gt=0)
    """Own data: prediction time; time series are cut there. Tasks of picme's own have theirs."""


class StudyConfig(Section):
    """What the study as a whole compares."""

    combination_sizes: tuple[int, ...] = (2, 3, 4, 5)
    """Sizes of the combinations; sizes above the number of modalities are left out."""
    seeds: int = Field(10, ge=1)
    """Fine-tunings of each cell, with seeds 0, 1, …"""
    embed_dim: int = Field(256, ge=2)
    """Size of every modality's embedding."""
    projection: Literal["own", "shared"] = "own"
    """`own`: each encoder's projection gives its embeddings. `shared`: one linear layer follows that is common to all
    modalities, as in the published code."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of large encoders: `bf16` under autocast, `auto` where the processor computes in it. Embeddings, losses and small
    encoders are always fp32."""

    @field_validator("combination_sizes")
    @classmethod
    def _sizes(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if not sizes or min(sizes) < 2:
            raise ValueError("a combination has at least two modalities")
        return tuple(sorted(set(sizes)))


class SearchConfig(Section):
    """Search of learning rate and batch size on validation stays, with seed 0."""

    trials: int = Field(20, ge=1)
    """Optuna trials of each search: for pretraining each combination that is searched on, for fine-tuning each task,
    combination and strategy."""
    learning_rates: tuple[float, float] = (1e-6, 1e-2)
    """Lowest and highest, log-uniform."""
    batch_sizes: tuple[int, ...] = (16, 32, 64, 128)
    """Choices."""

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


# Told apart before they are checked, so that a mistake in a section is not answered with "expected 'off'".
Search = Annotated[
    Annotated[Literal["off"], Tag("'off'")] | Annotated[SearchConfig, Tag("SearchConfig")],
    Discriminator(lambda value: "'off'" if isinstance(value, str) else "SearchConfig"),
]


class PretrainConfig(Section):
    """Contrastive pretraining of each combination."""

    window: float = Field(48, gt=0)
    """Hours after ICU admission that pretraining sees."""
    pair_objective: choice("objectives", OBJECTIVES, "infonce") = InfoNCEConfig()  # type: ignore[valid-type]
    """The objective for two modalities."""
    objective: choice("objectives", OBJECTIVES, "ovo") = OneVersusOthersConfig()  # type: ignore[valid-type]
    """The objective for three modalities and more."""
    epochs: int = Field(75, ge=1)
    """Passes over the training stays at most."""
    patience: int = Field(15, ge=1)
    """Epochs without a better validation recall@5 before training stops."""
    batch_size: int = Field(64, ge=2)
    """Stays in a batch, which are each other's negatives."""
    learning_rate: float = Field(1e-3, gt=0)
    """Of encoders and temperature; λ has its own, in the objective."""
    weight_decay: float = Field(1e-4, ge=0)
    """AdamW's decoupled weight decay."""
    seeds: int = Field(1, ge=1)
    """Pretrainings of each combination; the first one's encoders are fine-tuned, all are in table
    `pretraining_seeds`."""
    search: Search = "off"
    """Search of learning rate and batch size on validation recall@5 (by the objective's own score, where it has one)
    before the pretrainings, or the values above."""
    search_combinations: Literal["size", "all"] = "size"
    """What the search is done on: `size` takes one combination of each size, the first modalities in the
    configuration's order, and all combinations of the size get what it found; `all` searches for each by itself."""
    loggers: tuple[Literal["csv", "tensorboard", "mlflow", "wandb"], ...] = ()
    """Where each epoch's loss, recall, temperature and λ go as well, beside the table `pretraining`: under `logs` in
    the run folder. Changes no number, so it is in no key."""


class AlignConfig(Section):
    """How alignment is measured."""

    ks: tuple[int, ...] = (1, 5, 10)
    """The k of recall@k."""
    gallery: int = Field(1000, ge=2)
    """Candidates of a retrieval; a smaller split is used whole."""
    draws: int = Field(5, ge=1)
    """Galleries drawn and averaged where the split is larger."""
    tsne: Literal["largest", "all", "off"] | tuple[str, ...] = "largest"
    """Combinations whose t-SNE frames are kept over the epochs."""
    tsne_stays: int = Field(150, ge=5)
    """Stays shown in a frame."""


class LabelEfficiencyConfig(Section):
    """How much each strategy loses with fewer labels, beside all of them."""

    shares: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3)
    """Shares of the training labels, drawn by subject; all labels are there anyway. Validation stays whole."""
    combinations: Literal["largest", "all"] | tuple[str, ...] = "largest"
    """Of those that are fine-tuned: the largest, all, or a list."""

    @field_validator("shares")
    @classmethod
    def _inside(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if not shares or not all(0 < share < 1 for share in shares):
            raise ValueError("shares are above 0 and below 1")
        return tuple(sorted(set(shares)))


class FinetuneConfig(Section):
    """Fine-tuning on the tasks."""

    combinations: Literal["best", "paper", "all"] | tuple[str, ...] = "best"
    """`best`: the best-aligned of each size on validation; `paper`: the ten of its Table 1; `all`; or a list."""
    best: int = Field(1, ge=1)
    """How many of each size `best` takes."""
    singles: bool = True
    """Also each modality alone (as `supervised` and `random`)."""
    strategies: tuple[str, ...] = ("contrastive", "supervised", "gated", "random")
    """What is compared; see `picme list strategies`."""
    fusions: dict[str, choice("fusions", FUSIONS)] = Field(default_factory=dict)  # type: ignore[valid-type]
    """Strategies of your own, named in `strategies` like the others: trained as `supervised`, with this fusion head."""
    epochs: int = Field(75, ge=1)
    """At most."""
    patience: int = Field(15, ge=1)
    """Epochs without a better validation AUROC before training stops."""
    batch_size: int = Field(64, ge=2)
    """Stays in a batch."""
    learning_rate: float = Field(1e-3, gt=0)
    """AdamW's."""
    weight_decay: float = Field(1e-4, ge=0)
    """AdamW's decoupled weight decay."""
    loss: Literal["bce", "paper", "released"] = "bce"
    """`bce`: binary cross-entropy per label, weighted for a binary task only. `paper`: the same, but the labels of a
    multilabel task weighted as well, by the frequency of the most frequent label over theirs. `released`: as the
    published code, these weights in a softmax over all labels, as if a stay had one of them."""
    class_weight: Literal["balanced", "none"] = "balanced"
    """`balanced` weighs the positives of a binary task by negatives / positives in training, and those of a multilabel
    task where `loss` says so; `none` weighs nothing."""
    search: Search = "off"
    """Search before the seeds, or the values above."""
    hidden: int = Field(256, ge=1)
    """Hidden units of the fusion heads."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """In the fusion heads."""
    gate: Literal["pretraining", "learned"] | tuple[float, ...] = "pretraining"
    """λ of the gated strategy: that combination's from pretraining, learned on the task, or given for each modality in
    the configuration's order; a smaller combination's weights are scaled to add up to 1."""
    order: tuple[str, ...] = ()
    """Order of the modalities as steps of the gated LSTM; the configuration's order where empty."""
    orders: int = Field(0, ge=0)
    """So many other orders, drawn at random, in which the largest combination's gated LSTM is trained as well (seed 0):
    how far does its result hang on the order?"""
    label_efficiency: Literal["off"] | LabelEfficiencyConfig = "off"
    """Also with a part of the training labels."""

    @field_validator("strategies")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names:
            raise ValueError("at least one strategy is needed")
        return tuple(dict.fromkeys(names))

    @model_validator(mode="after")
    def _known(self) -> FinetuneConfig:
        for name in self.fusions:
            if name in STRATEGIES or not name.isidentifier():
                raise ValueError(
                    f"fusions.{name} is a strategy already; choose another name"
                    if name in STRATEGIES
                    else f"fusions: a strategy's name is letters, digits and underscores, not {name!r}"
                )
            if name not in self.strategies:
                raise ValueError(f"fusions.{name} is not named in strategies, so it would not be run")
        for name in self.strategies:
            if name not in STRATEGIES and name not in self.fusions:
                raise ValueError(f"unknown strategy {name!r}{near(name, [*STRATEGIES, *self.fusions])}")
        return self


class ExecutionConfig(Section):
    """Where and how jobs run; changes no number, so it is in no stage key."""

    workers: int | Literal["auto"] = "auto"
    """Jobs side by side; `auto` is one for each core, or one on a GPU."""
    threads: int = Field(1, ge=1)
    """Threads of each job."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """`auto` takes CUDA, then MPS, then the CPU."""


class Config(Section):
    """A whole study."""

    name: str = "study"
    """What the report calls it."""
    source: choice("sources", SOURCES, tag="kind")  # type: ignore[valid-type]
    """Where the data comes from."""
    cohort: CohortConfig = CohortConfig()
    """Which stays, and what of them."""
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
    evaluate: EvaluateConfig = EvaluateConfig()
    report: ReportConfig = ReportConfig()
    execution: ExecutionConfig = ExecutionConfig()

    @field_validator("modalities")
    @classmethod
    def _named(cls, modalities: dict[str, Any]) -> dict[str, Any]:
        if len(modalities) < 2:
            raise ValueError("at least two modalities are needed")
        for name in modalities:
            if not name.isidentifier():
                raise ValueError(f"a modality's name is letters, digits and underscores, not {name!r}")
        return modalities

    @model_validator(mode="after")
    def _names_exist(self) -> Config:
        named = self.finetune.combinations if isinstance(self.finetune.combinations, tuple) else ()
        if self.finetune.combinations == "paper":
            named = PAPER_COMBINATIONS
        tsne = self.align.tsne if isinstance(self.align.tsne, tuple) else ()
        labels = self.finetune.label_efficiency
        fewer = labels.combinations if labels != "off" and isinstance(labels.combinations, tuple) else ()
        for key, combinations in (
            ("finetune.combinations", named),
            ("align.tsne", tsne),
            ("finetune.label_efficiency.combinations", fewer),
        ):
            for combination in combinations:
                for name in combination.split("+"):
                    if name not in self.modalities:
                        raise ValueError(
                            f"{key} names modality {name!r}, which the configuration does not have"
                            f"{near(name, self.modalities)}"
                        )
        for name in self.finetune.order:
            if name not in self.modalities:
                raise ValueError(f"finetune.order names modality {name!r}, which the configuration does not have")
        gate = self.finetune.gate
        if isinstance(gate, tuple):
            if len(gate) != len(self.modalities):
                raise ValueError(
                    f"finetune.gate has {len(gate)} weights, the configuration has {len(self.modalities)} modalities"
                )
            if min(gate) < 0 or abs(sum(gate) - 1) > 1e-3:
                raise ValueError(f"finetune.gate: weights are 0 and above and add up to 1, not {sum(gate):.4g}")
        if min(self.study.combination_sizes) > len(self.modalities):
            raise ValueError(
                f"study.combination_sizes: {min(self.study.combination_sizes)} modalities are more than the "
                f"{len(self.modalities)} of the configuration"
            )
        if not self.tasks:
            raise ValueError("at least one task is needed")
        return self
