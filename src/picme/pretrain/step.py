"""The steps of the stage `pretrain`: the search of its settings, and one contrastive pretraining."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from picme.config.combinations import label
from picme.engine.step import Context, Gpu, Part, Step
from picme.prepare.step import Prepare
from picme.pretrain.features import Encoding

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import polars as pl

    from picme.objectives import Objective
    from picme.objectives.subsets import SubsetObjective
    from picme.pretrain.subsets import Draw


class CourseSettings(Part):
    """The settings of a training's course; what a search finds is None."""

    epochs: int
    patience: int
    weight_decay: float
    learning_rate: float | None
    batch_size: int | None


class Pretraining(Part):
    """The pretraining of one combination, but for its seed."""

    optional: ClassVar[tuple[str, ...]] = ("micro_batch", "reconstruct")

    prepare: Prepare
    encodings: tuple[Encoding, ...]
    objective: Any
    """The objective's section."""
    code: str | None = None
    """Hash of the objective's source code, where another package supplies it."""
    course: CourseSettings
    validation: str = "split"
    """The candidates of the validation recall, see `pretrain.validation`."""
    micro_batch: int | None = None
    """Stays encoded at a time, see `pretrain.micro_batch`; dropout draws by it."""
    reconstruct: float | None = None
    """Weight of reconstruction beside contrast, see `pretrain.reconstruct`; None without it."""

    @property
    def combination(self) -> tuple[str, ...]:
        """The modalities in the configuration's order."""
        return tuple(one.modality for one in self.encodings)

    @property
    def reconstructed(self) -> tuple[Encoding, ...]:
        """The series whose encoders also learn to reconstruct."""
        return () if self.reconstruct is None else tuple(one for one in self.encodings if one.reads_series)

    @property
    def large(self) -> bool:
        """True if a large network is trained."""
        return any(one.large for one in self.encodings)

    @property
    def cost(self) -> float:
        """The relative cost of a training."""
        return sum(one.cost for one in (*self.encodings, *self.reconstructed))

    def objectives(self) -> tuple[Objective | SubsetObjective, Objective]:
        """Build the objective that is trained, and that of all modalities together, which may be the same."""
        from picme.objectives import build

        objective = build(self.objective, len(self.encodings), self.encodings[0].embed_dim)
        return objective, objective

    def draws(self, batches: list[np.ndarray], present: np.ndarray, seed: int, epoch: int) -> list[Draw]:
        """Return what each batch of an epoch runs over; `present` is (stay, modality) bool."""
        from picme.pretrain.subsets import Draw

        return [Draw(rows, tuple(range(len(self.encodings)))) for rows in batches]


class SharedPretraining(Pretraining):
    """The pretraining that serves all combinations, but for its seed: each batch runs over a subset of the modalities.

    `objective` is that of three modalities and more.
    """

    pair_objective: Any
    """The section of the objective of two modalities."""
    pair_code: str | None = None
    """Hash of its source code, where another package supplies it."""
    subsets: Literal["by_size", "uniform"]
    """The way in which subsets are drawn; see `pretrain.subsets`."""

    def objectives(self) -> tuple[SubsetObjective, Objective]:  # noqa: D102
        from picme.objectives.subsets import SubsetObjective

        size = self.encodings[0].embed_dim
        shared = SubsetObjective(self.objective, self.pair_objective, len(self.encodings), size)
        return shared, shared.whole

    def draws(self, batches: list[np.ndarray], present: np.ndarray, seed: int, epoch: int) -> list[Draw]:  # noqa: D102
        from picme.pretrain.subsets import draw_subsets

        return draw_subsets(batches, present, self.subsets, seed, epoch)


class PretrainSearch(Step):
    """The search of a pretraining's learning rate and batch size on validation stays."""

    kind: ClassVar[str] = "search"
    stage: ClassVar[str] = "pretrain"

    pretraining: Pretraining
    space: Any
    """The section `pretrain.search`."""

    @property
    def gpu(self) -> Gpu:  # noqa: D102
        return "whole"

    @property
    def name(self) -> str:  # noqa: D102
        return f"pretraining {label(self.pretraining.combination)}{self.pretraining.prepare.suffix}"

    @property
    def weight(self) -> float:  # noqa: D102
        return self.pretraining.cost

    @property
    def threaded(self) -> bool:  # noqa: D102
        return self.pretraining.large

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.pretrain.search import search

        return search(self, folder, context)

    def tables(self, folder: Path) -> dict[str, pl.DataFrame]:  # noqa: D102
        from picme.fitting.search import trials_table

        if self.pretraining.prepare.fold:
            return {}
        return trials_table(folder, stage="pretrain", combination=label(self.pretraining.combination))


class Pretrain(Step):
    """The encoders of one combination, aligned without labels."""

    kind: ClassVar[str] = "pretrain"
    stage: ClassVar[str] = "pretrain"

    pretraining: Pretraining
    seed: int
    search: PretrainSearch | None = None

    @property
    def gpu(self) -> Gpu:  # noqa: D102
        return "whole"

    @property
    def timed(self) -> bool:  # noqa: D102
        return True

    @property
    def threaded(self) -> bool:  # noqa: D102
        return self.pretraining.large

    @property
    def spread(self) -> bool:  # noqa: D102
        return self.pretraining.large

    @property
    def combination(self) -> tuple[str, ...]:
        """The modalities in the configuration's order."""
        return self.pretraining.combination

    @property
    def name(self) -> str:  # noqa: D102
        seed = f" seed {self.seed}" if self.seed else ""
        return f"{label(self.combination)}{seed}{self.pretraining.prepare.suffix}"

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
        """Return the outcome of this seed, and of the first seed also every epoch and λ; those of the first fold."""
        from picme.pretrain.tables import pretraining_tables

        return {} if self.pretraining.prepare.fold else pretraining_tables(self, folder)


class Restricted(Pretrain):
    """A shared pretraining restricted to some of its modalities, as the pretraining of their combination."""

    kind: ClassVar[str] = "restrict"

    whole: Pretrain
    """The shared pretraining, whose part `pretraining` is a `SharedPretraining`."""

    @property
    def gpu(self) -> Gpu:  # noqa: D102
        return "none"

    @property
    def timed(self) -> bool:  # noqa: D102
        return False

    @property
    def spread(self) -> bool:  # noqa: D102
        return False

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.pretrain.restrict import restrict

        return restrict(self, folder, context)

    def tables(self, folder: Path) -> dict[str, pl.DataFrame]:
        """Return λ of the combination; epochs and outcome are those of the shared pretraining."""
        from picme.pretrain.tables import lambdas_table

        return {} if self.pretraining.prepare.fold else lambdas_table(self, folder)
