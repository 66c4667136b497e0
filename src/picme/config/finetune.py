"""Configuration of fine-tuning: combinations, strategies, and how they are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from picme.config.base import Section, choice
from picme.config.bounds import Batch, Epochs, Number, Repeats, Width
from picme.config.fusions import CONFIGS as FUSIONS
from picme.config.names import check_file_names
from picme.config.search import Search
from picme.errors import ConfigError, near
from picme.strategies import BUILT_IN, STRATEGIES, strategies, strategy
from picme.strategies.built_in import STACKED

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def known_strategy(name: str, fusions: dict[str, Any], where: str = "") -> None:
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
    longer: float = Field(1.5, ge=1, le=100)
    """Epochs and patience of these strategies over `finetune.epochs` and `finetune.patience`, rounded up: in an epoch,
    a stay is seen with one subset of its modalities only."""


class StackedConfig(Section):
    """Settings of `stacked`: the strategies that it combines, and how its weights are found."""

    strategies: tuple[str, ...] = STACKED.stacks
    """Strategies whose predictions are combined, each trained for this where it is not named itself. One that is not
    defined for a combination is left out there, and the stack where fewer than two are."""
    folds: Number = Field(5, ge=2, le=20)
    """Folds of the training stays. For each fold and each of the strategies a model is trained on the other folds, so
    that the weights follow from predictions for stays that a model has not seen."""

    @field_validator("strategies")
    @classmethod
    def _several(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(names))
        if len(names) < 2:
            raise ValueError("at least two strategies are combined")
        return names


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
    stacked: StackedConfig = StackedConfig()
    """Settings of the strategy `stacked`."""
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

    @property
    def heads(self) -> dict[str, str]:
        """The fusion head's name of each strategy that `fusions` makes."""
        return {name: fusion.name for name, fusion in self.fusions.items()}

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
            known_strategy(name, self.fusions, "strategies: ")
        for name in self.stacked.strategies:
            known_strategy(name, self.fusions, "stacked.strategies: ")
            chosen = None if name in self.fusions else strategy(name)
            if chosen is not None and (chosen.subsets or chosen.averages or chosen.stacks):
                raise ValueError(f"stacked.strategies: {name} trains no model of its own for a combination")
        return self
