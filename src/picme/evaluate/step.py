"""The steps of the stage `evaluate`: scores of all cells, attributions of each, the ceiling of a synthetic source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from picme.engine.step import Context, Gpu, Step
from picme.evaluate.folds import largest_cell
from picme.finetune.cell import Cell
from picme.finetune.step import Finetune
from picme.prepare.step import Hospital, Prepare, TaskPart

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl


class Score(Step):
    """The judgement of one cell by its own predictions: scores, subgroups, calibration, thresholds and the like."""

    kind: ClassVar[str] = "score"
    stage: ClassVar[str] = "evaluate"

    finetuned: tuple[Finetune, ...]
    """The fine-tunings of the cell, one for each seed, on every fold."""
    settings: Any
    """The section `evaluate`, but for what concerns attributions and the comparison with other cells."""
    draws: int
    """Draws of encoders that the seeds take in turn: `pretrain.seeds`."""

    @property
    def cell(self) -> Cell:
        """The cell, on the first fold."""
        return self.finetuned[0].cell

    @property
    def task(self) -> TaskPart:
        """The cell's task."""
        return self.cell.task

    @property
    def folds(self) -> tuple[Prepare, ...]:
        """The cohort as each fold divides it; one where there are no folds."""
        return tuple({one.cell.prepare.key: one.cell.prepare for one in self.finetuned}.values())

    @property
    def name(self) -> str:  # noqa: D102
        return " ".join(self.cell.place.values())

    @property
    def weight(self) -> float:  # noqa: D102
        return 1000.0  # before the attributions, since the comparison of the cells waits for all of them

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.evaluate.gather import score

        return score(self, folder, context)

    def tables(self, folder: Path) -> dict[str, pl.DataFrame]:  # noqa: D102
        return _tables(folder)


class Evaluate(Step):
    """The choice among the cells of a task, and the differences between them."""

    kind: ClassVar[str] = "evaluate"
    stage: ClassVar[str] = "evaluate"
    version: ClassVar[int] = 7

    cells: tuple[Score, ...]
    """All cells of one task."""
    variants: tuple[Finetune, ...]
    """The task's fine-tunings with fewer labels or another order of the gate's steps, on the first fold, which have
    tables of their own."""
    settings: Any
    """The section `evaluate`, but for what concerns attributions."""

    @property
    def task(self) -> TaskPart:
        """The task."""
        return self.cells[0].task

    @property
    def name(self) -> str:  # noqa: D102
        return self.task.name

    @property
    def weight(self) -> float:  # noqa: D102
        return 1000.0  # longer than an attribution

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.evaluate.gather import evaluate

        return evaluate(self, folder, context)

    def tables(self, folder: Path) -> dict[str, pl.DataFrame]:  # noqa: D102
        return _tables(folder)


class Attribute(Step):
    """The attribution of a cell's predictions to its modalities, over its seeds."""

    kind: ClassVar[str] = "attribute"
    stage: ClassVar[str] = "evaluate"

    finetuned: tuple[Finetune, ...]
    """The fine-tunings of one cell, one for each seed."""
    shapley: bool
    """True if every coalition of the modalities is fitted."""
    control: bool
    """True if the strategy is a control, whose λ is set and not found."""

    @property
    def gpu(self) -> Gpu:  # noqa: D102
        return "shared"

    @property
    def name(self) -> str:  # noqa: D102
        return " ".join(self.finetuned[0].cell.place.values())

    @property
    def threaded(self) -> bool:  # noqa: D102
        return self.finetuned[0].cell.threaded

    @property
    def weight(self) -> float:  # noqa: D102
        return float(len(self.finetuned[0].cell.encodings) * len(self.finetuned))

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.evaluate.attribute import attribute

        return attribute(self, folder, context)

    def tables(self, folder: Path) -> dict[str, pl.DataFrame]:  # noqa: D102
        return _tables(folder)


class Severity(Step):
    """The severity of a fold's test stays as one modality tells it: the risk of a task's labels."""

    kind: ClassVar[str] = "severity"
    stage: ClassVar[str] = "evaluate"
    version: ClassVar[int] = 2

    cell: Cell
    """A logistic regression on the modality."""

    @property
    def task(self) -> TaskPart:
        """The task."""
        return self.cell.task

    @property
    def name(self) -> str:  # noqa: D102
        return self.cell.task.name + self.cell.prepare.suffix

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.evaluate.withholding import measure_severity

        return measure_severity(self, folder, context)


class OfSubsets(Step):
    """A step that judges one strategy's predictions from every subset of the modalities."""

    stage: ClassVar[str] = "evaluate"

    finetuned: tuple[Finetune, ...]
    """The seeds of the models of all modalities, or of the models of every subset, on every fold."""
    dedicated: bool
    """True if every subset has models of its own."""
    confidence: float
    interval_resamples: int
    seed: int

    @property
    def gpu(self) -> Gpu:  # noqa: D102
        return "shared"

    @property
    def name(self) -> str:  # noqa: D102
        return f"{self.finetuned[0].cell.task.name} {self.finetuned[0].cell.strategy}"

    @property
    def threaded(self) -> bool:  # noqa: D102
        return self.finetuned[0].cell.threaded

    @property
    def weight(self) -> float:  # noqa: D102
        return float(len(self.finetuned))

    @property
    def cell(self) -> Cell:
        """The cell of all modalities."""
        return largest_cell(self.finetuned)

    def tables(self, folder: Path) -> dict[str, pl.DataFrame]:  # noqa: D102
        return _tables(folder)


class Missing(OfSubsets):
    """The missingness grid of one strategy and one choice of training stays."""

    kind: ClassVar[str] = "missing"

    missing: Any
    """The section `evaluate.missing`."""
    severity: tuple[Severity, ...]
    """The severity of the stays of every fold, by which `mar` withholds; empty if the grid has no `mar`."""
    ece_bins: int

    @property
    def anchor(self) -> str | None:
        """The modality that `mar` never withholds."""
        return self.severity[0].cell.combination[0] if self.severity else None

    @property
    def trained_on(self) -> str:
        """The stays that the models were trained on, as the table has it."""
        return "dedicated" if self.dedicated else self.finetuned[0].trained_on

    @property
    def name(self) -> str:  # noqa: D102
        return f"{super().name} trained on {self.trained_on}"

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.evaluate.missing import missing_grid

        return missing_grid(self, folder, context)


class Value(OfSubsets):
    """The value of each modality to one strategy."""

    kind: ClassVar[str] = "value"
    version: ClassVar[int] = 3

    margin: float
    draws: int
    """Draws of encoders that the seeds take in turn."""
    thresholds: tuple[float, ...]
    """Probabilities at which net benefit is told."""
    costs: dict[str, float]
    """The cost of each modality of a stay."""

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.evaluate.value import measure_value

        return measure_value(self, folder, context)


class Ceiling(Step):
    """The AUROC of the true risk on test stays, which only a synthetic hospital knows."""

    kind: ClassVar[str] = "ceiling"
    stage: ClassVar[str] = "evaluate"

    hospital: Hospital
    folds: tuple[Prepare, ...]
    """The cohort as each fold divides it."""
    tasks: tuple[TaskPart, ...]

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.evaluate.ceiling import write_ceiling

        return write_ceiling(self, folder, context)

    def tables(self, folder: Path) -> dict[str, pl.DataFrame]:  # noqa: D102
        return _tables(folder)


def _tables(folder: Path) -> dict[str, pl.DataFrame]:
    """Return the tables of a folder by their names."""
    import polars as pl

    return {file.stem: pl.read_parquet(file) for file in sorted(folder.glob("*.parquet"))}
