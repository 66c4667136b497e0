"""The steps of the stage `finetune`: frozen embeddings, the search of settings, and one fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from picme.engine.step import Context, Gpu, Step
from picme.finetune.cell import Cell
from picme.prepare.step import Prepare
from picme.pretrain.features import Encoding
from picme.pretrain.step import Pretrain

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from picme.engine.store import Store
    from picme.modalities.view import ViewData


AS_IS = "as is"
"""The name of the training stays of a fine-tuning from which nothing is withheld."""


class EmbedPretrained(Step):
    """The embeddings of a task's stays by the pretrained encoders of a combination, for all seeds of one draw."""

    kind: ClassVar[str] = "embed"
    stage: ClassVar[str] = "finetune"

    pretrain: Pretrain
    task: str

    @property
    def gpu(self) -> Gpu:  # noqa: D102
        return "shared"

    @property
    def name(self) -> str:  # noqa: D102
        return f"{self.task} {self.pretrain.name}"  # which names the fold

    @property
    def weight(self) -> float:  # noqa: D102
        return self.pretrain.weight

    @property
    def threaded(self) -> bool:  # noqa: D102
        return self.pretrain.pretraining.large

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.finetune.embed import embed_pretrained

        return embed_pretrained(self, folder, context)


class EmbedUntrained(Step):
    """The embeddings of a task's stays by one modality's untrained encoder: where pretraining starts."""

    kind: ClassVar[str] = "embed"
    stage: ClassVar[str] = "finetune"

    prepare: Prepare
    encoding: Encoding
    task: str
    seed: int

    @property
    def gpu(self) -> Gpu:  # noqa: D102
        return "shared"

    @property
    def name(self) -> str:  # noqa: D102
        return f"{self.task} {self.encoding.modality} untrained seed {self.seed}{self.prepare.suffix}"

    @property
    def threaded(self) -> bool:  # noqa: D102
        return self.encoding.large

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.finetune.embed import embed_untrained

        return embed_untrained(self, folder, context)


class FinetuneSearch(Step):
    """The search of a cell's settings: learning rate and batch size with seed 0 on validation stays, or by folds of the
    training stays those of a model without encoders."""

    kind: ClassVar[str] = "search"
    stage: ClassVar[str] = "finetune"

    cell: Cell
    embedded: tuple[Step, ...]
    space: Any = None
    """The section `finetune.search`; None for a model without encoders."""

    @property
    def name(self) -> str:  # noqa: D102
        return " ".join(self.cell.place.values()) + self.cell.prepare.suffix

    @property
    def weight(self) -> float:  # noqa: D102
        return self.cell.cost

    @property
    def gpu(self) -> Gpu:  # noqa: D102
        return self.cell.gpu

    @property
    def threaded(self) -> bool:  # noqa: D102
        return self.cell.threaded

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.finetune.search import search

        return search(self, folder, context)

    def tables(self, folder: Path) -> dict[str, pl.DataFrame]:  # noqa: D102
        from picme.fitting.search import trials_table

        if self.cell.prepare.fold:
            return {}
        return trials_table(folder, stage="finetune", **self.cell.place)


class Finetune(Step):
    """One fine-tuning: a cell with one seed, its weights, history and predictions of validation and test stays."""

    kind: ClassVar[str] = "finetune"
    stage: ClassVar[str] = "finetune"
    version: ClassVar[int] = 2
    uncounted: ClassVar[tuple[str, ...]] = ("order",)

    cell: Cell
    seed: int
    embedded: tuple[Step, ...] = ()
    """Embeddings of frozen encoders: of the combination, or of each modality."""
    search: FinetuneSearch | None = None
    share: float = 1.0
    """Share of the training stays whose labels are used."""
    order: tuple[str, ...] = ()
    """Order of the gate's steps where it is not the configuration's; it counts as part of the cell's head."""

    @property
    def name(self) -> str:  # noqa: D102
        return " ".join([*self.cell.place.values(), f"seed {self.seed}{self.cell.prepare.suffix}"]) + self.said

    @property
    def said(self) -> str:
        """The end of the name of a fine-tuning beside the study's cells; empty for another."""
        said = [f"{self.share:.0%} of labels"] * (self.share < 1) + ["order " + ">".join(self.order)] * bool(self.order)
        said += [f"trained on {self.trained_on}"] * (self.trained_on != AS_IS)
        return "".join(f" {one}" for one in said)

    @property
    def weight(self) -> float:  # noqa: D102
        return self.cell.cost

    @property
    def threaded(self) -> bool:  # noqa: D102
        return self.cell.threaded

    @property
    def gpu(self) -> Gpu:  # noqa: D102
        return self.cell.gpu

    @property
    def trained(self) -> Finetune:
        """The fine-tuning that trained the model."""
        return self

    @property
    def models(self) -> tuple[Finetune, ...]:
        """The fine-tunings whose models predict."""
        return (self.trained,)

    @property
    def trained_on(self) -> str:
        """The stays that it is trained on, as the table `missing` names them."""
        return AS_IS

    @property
    def variant(self) -> bool:
        """True if the fine-tuning stands beside the study's cells: with fewer labels, another order, other stays."""
        return self.share < 1 or bool(self.order) or self.trained_on != AS_IS

    def seen(self, view: ViewData, store: Store) -> ViewData:
        """Return the view as the training sees it."""
        return view

    @property
    def timed(self) -> bool:  # noqa: D102
        return not self.variant and self.kind == "finetune"

    @property
    def labels(self) -> dict[str, str | None]:  # noqa: D102
        return {**self.cell.place}

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.finetune.train import finetune

        return finetune(self, folder, context)

    def tables(self, folder: Path) -> dict[str, pl.DataFrame]:  # noqa: D102
        import json

        import polars as pl

        file = folder / "history.parquet"
        if self.variant or self.cell.prepare.fold or not file.is_file():  # a model without encoders has no epochs
            return {}
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        named = {**self.cell.place, "seed": self.seed}
        kept = {name: manifest[name] for name in ("best_epoch", "learning_rate", "batch_size")}
        table = pl.read_parquet(file).select(
            *(pl.lit(value).alias(name) for name, value in named.items()),
            "epoch",
            "train_loss",
            "val_auroc",
            *(pl.lit(value).alias(name) for name, value in kept.items()),
        )
        return {"finetuning": table}


class RestrictedFinetune(Finetune):
    """The predictions of a training for every subset from one combination, as that combination's fine-tuning."""

    kind: ClassVar[str] = "restrict"

    whole: Finetune
    """The fine-tuning over all modalities, whose cell is an `AnySubsetCell`."""

    @property
    def gpu(self) -> Gpu:  # noqa: D102
        return "none"

    @property
    def trained(self) -> Finetune:  # noqa: D102
        return self.whole

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.finetune.derived import restrict

        return restrict(self, folder, context)


class WithheldFinetune(Finetune):
    """A fine-tuning for which modalities are withheld from training and validation stays."""

    withhold: Literal["complete"] | float
    """`complete` leaves the stays that have every modality; a rate is the share of modalities that is withheld."""
    among: tuple[Encoding, ...]
    """All modalities of the study, without encoders."""

    @property
    def trained_on(self) -> str:  # noqa: D102
        return str(self.withhold)

    def seen(self, view: ViewData, store: Store) -> ViewData:  # noqa: D102
        from picme.finetune.withhold import training_stays

        return training_stays(self, view, store)


class Averaged(Finetune):
    """The mean probability of models of single modalities, over those that a stay has."""

    kind: ClassVar[str] = "average"

    singles: tuple[Finetune, ...]
    """The fine-tuning of each modality of the combination."""

    @property
    def gpu(self) -> Gpu:  # noqa: D102
        return "none"

    @property
    def trained_on(self) -> str:  # noqa: D102
        return self.singles[0].trained_on

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.finetune.derived import average

        return average(self, folder, context)


class OutOfFold(Finetune):
    """A fine-tuning on all but one fold of another's training stays, which predicts for that fold in place of test."""

    kind: ClassVar[str] = "out_of_fold"

    of: Finetune
    """The fine-tuning whose training stays are divided."""
    fold: int
    folds: int

    @property
    def name(self) -> str:  # noqa: D102
        return f"{self.of.name} without fold {self.fold + 1} of {self.folds}"

    @property
    def variant(self) -> bool:  # noqa: D102
        return True

    def seen(self, view: ViewData, store: Store) -> ViewData:  # noqa: D102
        from picme.finetune.stacked import without_fold

        return without_fold(self, view, store)


class StackWeights(Step):
    """The weights of the strategies in a stack, fitted to predictions for training stays that they have not seen."""

    kind: ClassVar[str] = "weights"
    stage: ClassVar[str] = "finetune"

    cell: Cell
    out_of_fold: tuple[OutOfFold, ...]
    """The folds of each strategy, one strategy after the other."""

    @property
    def name(self) -> str:  # noqa: D102
        return " ".join(self.cell.place.values()) + self.cell.prepare.suffix + self.out_of_fold[0].of.said

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.finetune.stacked import weigh

        return weigh(self, folder, context)


class Stacked(Finetune):
    """The predictions of several strategies for the same stays, combined."""

    kind: ClassVar[str] = "stack"

    bases: tuple[Finetune, ...]
    """The fine-tunings whose predictions are combined."""
    weights: StackWeights | None
    """None where each counts the same."""

    @property
    def gpu(self) -> Gpu:  # noqa: D102
        return "none"

    @property
    def models(self) -> tuple[Finetune, ...]:  # noqa: D102
        return self.bases

    @property
    def trained_on(self) -> str:  # noqa: D102
        return self.bases[0].trained_on

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.finetune.stacked import stack

        return stack(self, folder, context)
