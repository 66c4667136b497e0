"""The steps of the stage `prepare`: the synthetic hospital, where there is one, and the cohort with its arrays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from picme.engine.step import ALL_CORES, Context, Part, Step, plain

if TYPE_CHECKING:
    import polars as pl

TABLES = ("cohort_flow", "availability", "presence", "leakage", "label_agreement", "quarantine", "event_rows")


# Columns of `availability` that only the encoders of a study tell.
READ = ("cut_share", "tokens_total", "tokens_read")


class Hospital(Step):
    """A synthetic hospital, written in the releases' own formats."""

    kind: ClassVar[str] = "hospital"
    stage: ClassVar[str] = "prepare"
    cores: ClassVar[int] = ALL_CORES

    source: Any
    """The section `source` of the configuration."""

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.prepare.write import write_hospital

        return write_hospital(self, folder)


class PretrainWindow(Part):
    """The observation window of pretraining."""

    window: float
    """Hours after ICU admission."""


class Prepare(Step):
    """The cohort of every task and of pretraining, one array per modality, and the training statistics.

    Sources read their settings from it as from a configuration: `source`, `cohort`, `tasks`, `pretrain.window`.
    """

    kind: ClassVar[str] = "prepare"
    version: ClassVar[int] = 12
    stage: ClassVar[str] = "prepare"
    cores: ClassVar[int] = ALL_CORES
    grows: ClassVar[tuple[str, ...]] = ("pool/*",)  # tokens of the texts, by the tokenizer of each encoder
    timed: ClassVar[bool] = True

    source: Any
    cohort: Any
    require: str
    modalities: dict[str, dict[str, Any]]
    """The sections of the modalities without their encoders; each is written by itself, in whatever order."""
    tasks: dict[str, Any]
    splits: Any
    pretrain: PretrainWindow
    raw: tuple[dict[str, Any], ...]
    """Fingerprints of the raw files."""
    code: dict[str, str]
    """Hashes of the components of other packages that read the data."""
    hospital: Hospital | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """The fields as plain values; where contents are compared, without the places of the raw files."""
        found = super().fields
        if getattr(self.source, "fingerprint", None) == "content":
            found |= {name: _placeless(getattr(self, name)) for name in ("source", "modalities", "tasks", "splits")}
            named = ({**one, "path": Path(one["path"]).name if "content" in one else None} for one in self.raw)
            found["raw"] = sorted(named, key=str)  # a folder counts by what lies in it
        return found

    @property
    def arrays(self) -> Prepare:
        """The step whose artifact holds the modalities' arrays."""
        return self

    @property
    def fold(self) -> int:
        """The number of the fold that is test, from 0; 0 for a study without folds."""
        return 0

    @property
    def suffix(self) -> str:
        """What the names of steps on the cohort end in, so that those of other folds have other names."""
        return f" fold {self.fold + 1}" if self.fold else ""

    def kind_of(self, modality: str) -> tuple[str, dict[str, Any]]:
        """Return a modality's kind, and what the kind's writer has to know."""
        section = self.modalities[modality]
        return section["kind"], {name: section[name] for name in ("size", "max_damaged")}

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.prepare.write import write_cohort

        return write_cohort(self, folder, context.store.path(self.hospital) if self.hospital else None)

    def tables(self, folder: Path) -> dict[str, pl.DataFrame]:  # noqa: D102
        import polars as pl

        files = {name: folder / f"{name}.parquet" for name in TABLES}
        found = {name: pl.read_parquet(file) for name, file in files.items() if file.is_file()}
        added = {"availability": READ, "cohort_flow": ("split", "events")}
        return {
            name: frame.with_columns(**{column: pl.lit(None) for column in added.get(name, ())})
            for name, frame in found.items()
        }


class Fold(Prepare):
    """A prepared cohort divided anew, so that another fold of its subjects is test, with the training statistics."""

    kind: ClassVar[str] = "fold"
    version: ClassVar[int] = 1
    cores: ClassVar[int] = 1
    grows: ClassVar[tuple[str, ...]] = ()
    timed: ClassVar[bool] = False

    whole: Prepare
    """The cohort, in which fold 0 is test."""
    number: int
    """The fold that is test, from 1."""

    @property
    def name(self) -> str:  # noqa: D102
        return f"fold {self.number + 1}"

    @property
    def arrays(self) -> Prepare:  # noqa: D102
        return self.whole

    @property
    def fold(self) -> int:  # noqa: D102
        return self.number

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.prepare.fold import divide_anew

        return divide_anew(self, folder, context.store.path(self.whole))

    def tables(self, folder: Path) -> dict[str, pl.DataFrame]:  # noqa: D102
        import polars as pl

        return {"leakage": pl.read_parquet(folder / "leakage.parquet")}


class Availability(Step):
    """How many stays have each modality, and how much of their texts is read by the encoders of the study."""

    kind: ClassVar[str] = "availability"
    stage: ClassVar[str] = "encode"  # it needs the tokenizers, which a machine that prepares may not reach
    replaces: ClassVar[tuple[str, ...]] = ("availability",)
    counted: ClassVar[tuple[str, ...]] = READ
    uncounted: ClassVar[tuple[str, ...]] = ("encoders",)

    prepare: Prepare
    encoders: dict[str, Any]
    """The sections of the encoders that may leave a part of a text unread, by modality."""
    reads: dict[str, dict[str, Any]]
    """What determines the part that each of them reads."""

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.prepare.availability import availability

        availability(self, context.store.path(self.prepare)).write_parquet(folder / "availability.parquet")
        return {}

    def tables(self, folder: Path) -> dict[str, pl.DataFrame]:  # noqa: D102
        import polars as pl

        return {"availability": pl.read_parquet(folder / "availability.parquet")}


class Baseline(Step):
    """Who the stays of each task are, by split and by the modalities that they have."""

    kind: ClassVar[str] = "baseline"
    stage: ClassVar[str] = "prepare"

    prepare: Prepare
    min_group: int
    """The number of stays below which a cell is not told."""

    def run(self, folder: Path, context: Context) -> dict[str, Any]:  # noqa: D102
        from picme.prepare.baseline import baseline

        for name, made in baseline(self, context.store).items():
            made.write_parquet(folder / f"{name}.parquet")
        return {}

    def tables(self, folder: Path) -> dict[str, pl.DataFrame]:  # noqa: D102
        import polars as pl

        return {file.stem: pl.read_parquet(file) for file in sorted(folder.glob("*.parquet"))}


class TaskPart(Part):
    """A task as a step needs to know it."""

    name: str
    section: Any
    """The task's section of the configuration."""
    code: str | None = None
    """Hash of its source code, where another package declares it."""


def _placeless(value: Any) -> Any:
    """Return a value as plain values, with nothing in place of a path."""
    if isinstance(value, Path):
        return None
    if isinstance(value, BaseModel):
        value = dict(value)
    if isinstance(value, dict):
        return {str(name): _placeless(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_placeless(item) for item in value]
    return plain(value)
