"""Configuration of a whole study, and the sections of its stages."""

from __future__ import annotations

import re
from itertools import chain
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from picme.config.base import File, Section, choice
from picme.config.bounds import Hours, Processes, Repeats, Width
from picme.config.cohort import GROUPS, CohortConfig, MimicSource
from picme.config.encoders import has_locked_trunk
from picme.config.evaluate import EvaluateConfig
from picme.config.finetune import FinetuneConfig, known_strategy, paper_combinations
from picme.config.meds import MedsSource
from picme.config.modalities import ModalityConfig
from picme.config.names import Column, check_file_names
from picme.config.pretrain import AlignConfig, PretrainConfig
from picme.config.report import ReportConfig
from picme.config.sources import Physionet2012Source, TableSource
from picme.config.splits import SplitsConfig
from picme.config.synthetic import SyntheticConfig
from picme.errors import near
from picme.strategies import BUILT_IN, OPTIONAL, resolve, strategy
from picme.strategies.built_in import STACKED

# Kinds of modalities that have summary features, the first by which a stay looks ill.
MEASURED = ("timeseries", "tabular")
# Most modalities of which every subset is scored.
MOST_WITHHELD = 8


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
    "meds": MedsSource,
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
    file: File | None = None
    """Labels in the MEDS label schema, a Parquet file or a folder of them, for sources `mimic` and `meds`: one sample
    for each row, which sees its subject's stay up to and including `prediction_time`; `boolean_value` is the label."""

    @model_validator(mode="after")
    def _one_origin(self) -> TaskConfig:
        if self.file is not None and (self.labels or self.hours is not None or self.kind == "multilabel"):
            raise ValueError("file has the labels and their times, so labels, hours and kind are not for this task")
        return self


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


class ExecutionConfig(Section):
    """Settings of where and how steps run; they change no number, so they are in no key."""

    engine: Literal["local", "ray"] = "local"
    """The engine that runs the steps: `local` are processes of this machine, `ray` a Ray cluster (extra `picme[ray]`),
    whose nodes share nothing but the run folder and what the configuration reads."""
    address: str = "auto"
    """The Ray cluster: `HOST:PORT` of its head; `auto` for the one that this machine belongs to, with Ray started here
    where it belongs to none; `local` to start it here anyway."""
    memory: float | None = Field(None, gt=0)
    """Gigabytes of main memory that Ray sets aside for each step, so that fewer run side by side on a node; null leaves
    it to Ray's watch over the memory of the nodes."""
    workers: Processes | Literal["auto"] = "auto"
    """Number of steps side by side; `auto` is one for each core, on Ray of the whole cluster."""
    threads: Processes = Field(1, ge=1)
    """Number of threads of each step that is faster with several: of a large network, of the pass through locked
    parts, or of the preparation of data. Other steps take one thread, as small networks are slower with more."""
    device: str = "auto"
    """Device that models are trained on: `cpu`, `cuda` for all CUDA GPUs (`cuda:1` is the second of several), `mps`, or
    `auto`, which takes CUDA, then MPS, then the CPU."""
    jobs_per_gpu: Processes | Literal["auto"] = "auto"
    """Number of small steps that share a GPU: trainings on stored embeddings, embeddings, attributions. What trains
    encoders has a GPU to itself. `auto` is one for every 4 GB of the GPU's memory, on Ray four."""
    devices_per_fit: Processes = Field(1, ge=1)
    """Number of devices of one machine that pretrain a large network together, each with a part of every batch: GPUs,
    or without any that many processes on the CPU. `pretrain.batch_size` stays the size of the whole batch."""

    @field_validator("address")
    @classmethod
    def _address(cls, address: str) -> str:
        if address not in ("auto", "local") and not re.fullmatch(r"\S+:\d{1,5}", address):
            hint = near(address, ("auto", "local"))
            raise ValueError(f"{address!r} is no address, expected auto, local, or a Ray head's HOST:PORT{hint}")
        return address

    @field_validator("device")
    @classmethod
    def _device(cls, name: str) -> str:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", name):
            hint = near(name, ("auto", "cpu", "cuda", "mps"))
            raise ValueError(f"{name!r} is no device, expected auto, cpu, cuda, cuda:NUMBER or mps{hint}")
        return name


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
        return section.with_strategies(strategy(name) for name in others if name not in BUILT_IN or name in OPTIONAL)

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
                known_strategy(name, self.finetune.fusions, f"evaluate.{key}: ")
        self._check_subgroups()
        self._check_missing()
        self._check_stacked()
        if self.pretrain.reconstruct and not any(
            section.kind == "timeseries" and not has_locked_trunk(section.encoder)
            for section in self.modalities.values()
        ):
            raise ValueError(
                "pretrain.reconstruct hides parts of time series from their encoders, and no modality is of kind "
                "timeseries with an encoder that reads it: leave it at 0"
            )
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
        if "complete" in self.study.withhold and self.require == "complete":
            raise ValueError("study.withhold: `complete` is what `require: complete` trains on already")
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

    def _check_stacked(self) -> None:
        """Check that there is something to combine, in the largest combination at least.

        Raises:
            ValueError: if fewer than two of the strategies are defined there.
        """
        section = self.finetune
        if not any(
            name not in section.fusions and strategy(name).stacks == STACKED.stacks for name in section.strategies
        ):
            return
        sizes, every = self.study.combination_sizes, len(self.modalities)
        largest = every if sizes == "all" else min(max(sizes), every)
        defined = [one.name for one in resolve(section.stacked.strategies, section.heads, largest, every)]
        if len(defined) < 2:
            raise ValueError(
                f"finetune.stacked.strategies: of {', '.join(section.stacked.strategies)}, {largest} modalities have "
                f"{' and '.join(defined) or 'none'}, and at least two strategies are combined"
            )

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
