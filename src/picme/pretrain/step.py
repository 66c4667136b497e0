"""The steps of the stage `pretrain`: the search of its settings, and one contrastive pretraining."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from picme.config.combinations import label
from picme.engine.step import Context, Part, Step
from picme.prepare.step import Prepare
from picme.pretrain.features import Encoding

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl


class CourseSettings(Part):
    """The settings of a training's course; what a search finds is None."""

    epochs: int
    patience: int
    weight_decay: float
    learning_rate: float | None
    batch_size: int | None


class Pretraining(Part):
    """The pretraining of one combination, but for its seed."""

    prepare: Prepare
    encodings: tuple[Encoding, ...]
    objective: Any
    """The objective's section."""
    code: str | None = None
    """Hash of the objective's source code, where another package supplies it."""
    course: CourseSettings
    validation: str = "split"
    """The candidates of the validation recall, see `pretrain.validation`."""

    @property
    def combination(self) -> tuple[str, ...]:
        """The modalities in the configuration's order."""
        return tuple(one.modality for one in self.encodings)

    @property
    def cost(self) -> float:
        """The relative cost of a training."""
        return sum(one.cost for one in self.encodings)


class PretrainSearch(Step):
    """The search of a pretraining's learning rate and batch size on validation stays."""

    kind: ClassVar[str] = "search"
    stage: ClassVar[str] = "pretrain"
    gpus: ClassVar[float] = 1.0

    pretraining: Pretraining
    space: Any
    """The section `pretrain.search`."""

    @property
    def name(self) -> str:  # noqa: D102
        return f"pretraining {label(self.pretraining.combination)}"

    @property
    def weight(self) -> float:  # noqa: D102
        return self.pretraining.cost

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.pretrain.search import search

        return search(self, folder, context)

    def tables(self, folder: Path) -> dict[str, pl.DataFrame]:  # noqa: D102
        from picme.fitting.search import trials_table

        return trials_table(folder, stage="pretrain", combination=label(self.pretraining.combination))


class Pretrain(Step):
    """The encoders of one combination, aligned without labels."""

    kind: ClassVar[str] = "pretrain"
    stage: ClassVar[str] = "pretrain"
    gpus: ClassVar[float] = 1.0
    timed: ClassVar[bool] = True

    pretraining: Pretraining
    seed: int
    search: PretrainSearch | None = None

    @property
    def combination(self) -> tuple[str, ...]:
        """The modalities in the configuration's order."""
        return self.pretraining.combination

    @property
    def name(self) -> str:  # noqa: D102
        return label(self.combination) + (f" seed {self.seed}" if self.seed else "")

    @property
    def weight(self) -> float:  # noqa: D102
        return self.pretraining.cost

    @property
    def labels(self) -> dict[str, str | None]:  # noqa: D102
        return {"combination": label(self.combination)}

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.pretrain.train import pretrain

        return pretrain(self, folder, context)

    def tables(self, folder: Path) -> dict[str, pl.DataFrame]:
        """Return the outcome of this seed, and of the first seed, whose encoders are used, also every epoch and λ."""
        from picme.pretrain.tables import pretraining_tables

        return pretraining_tables(self, folder)
