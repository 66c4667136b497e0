"""The Python side of a study: run it, open it, look at its tables and arrays."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import polars as pl

from picme.config.combinations import label, parse
from picme.config.loading import load as load_config
from picme.config.loading import read_yaml
from picme.errors import DataError, near
from picme.pipeline import Run
from picme.results.record import result_table, result_tables, run_folder, unfinished
from picme.tasks import build as build_task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    import plotly.graph_objects as go

    from picme.config.study import Config
    from picme.finetune.features import Features
    from picme.predict import Model
    from picme.report.blocks import Plate
    from picme.report.worth import Worth


@dataclass(frozen=True)
class Series:
    """The values of a time-series modality of a task's stays, before normalisation.

    Attributes:
        stay_id: (stay,).
        values: (sum of lengths, column) float32, hour by hour, stays one after the other.
        lengths: (stay,) hours.
        columns: names of the columns.
    """

    stay_id: np.ndarray
    values: np.ndarray
    lengths: np.ndarray
    columns: list[str]

    def padded(self, length: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the series at one length: cut from the end, or filled up with zeros.

        Args:
            length: hours; those of the longest series if not given.

        Returns:
            Values (stay, length, column) float32, and the mask (stay, length) bool, true where an hour is the stay's.
        """
        longest = int(self.lengths.max(initial=0)) if length is None else length
        mask = np.arange(longest) < self.lengths[:, None]
        values = np.zeros((*mask.shape, len(self.columns)), dtype=np.float32)
        starts = self.lengths.cumsum() - self.lengths
        hours = starts[:, None] + np.arange(longest)
        values[mask] = self.values[hours[mask]]
        return values, mask


class Study:
    """A run folder, with whatever stages are finished in it.

    Its tables, figures and report need nothing but the folder; what reads arrays or models also needs the packages
    that the configuration names.
    """

    def __init__(self, folder: Path, config: Config | None = None) -> None:
        self.folder = folder
        self._config = config

    @property
    def config(self) -> Config:
        """The configuration.

        Raises:
            ConfigError: if a package that it names is not installed.
        """
        if self._config is None:
            self._config = load_config(self.folder / "config.yaml")
        return self._config

    def __fspath__(self) -> str:
        return str(self.folder)

    @cached_property
    def _run(self) -> Run:
        return Run.opened(self.config, self.folder)

    @cached_property
    def _tree(self) -> dict[str, Any]:
        """The configuration as plain values, as it lies in the folder."""
        return read_yaml(self.folder / "config.yaml")

    def __repr__(self) -> str:
        return f"Study({str(self.folder)!r}, tables={self.tables})"

    @property
    def tables(self) -> list[str]:
        """Names of the result tables that are there; none of a study that is not finished."""
        return result_tables(self.folder)

    def table(self, name: str) -> pl.DataFrame:
        """Return a result table; its `.to_pandas()` needs pandas (`pip install picme[pandas]`).

        Raises:
            DataError: if it is not there, or the study is not finished.
        """
        return result_table(self.folder, name)

    @property
    def selected(self) -> pl.DataFrame:
        """The rows of the table `summary` that validation chose, one for each task; empty before there are scores."""
        if "summary" not in self.tables:
            return pl.DataFrame()
        return self.table("summary").filter(pl.col("selected").fill_null(False))

    def figures(self) -> dict[str, go.Figure]:
        """Return the report's figures as plotly objects, each in its first view; `figure` gives the other views.

        Returns:
            {name: figure}, in the report's order; what the run has no table for is left out.
        """
        return {name: plate.views[0].figure for name, plate in self._plates().items()}

    def views(self, name: str) -> list[tuple[str, ...]]:
        """Return the choices of a figure: for each of its views the values of the report's lists above it.

        Raises:
            DataError: if there is no such figure.
        """
        return [view.choice for view in self._plate(name).views]

    def figure(self, name: str, *choice: str) -> go.Figure:
        """Return one of the report's figures as a plotly object.

        Args:
            name: such as `alignment`; `figures()` has all names.
            choice: values of its lists, as `views(name)` has them; the first view that has them all.

        Raises:
            DataError: if there is no such figure or view.
        """
        plate = self._plate(name)
        for view in plate.views:
            if set(choice) <= set(view.choice):
                return view.figure
        known = [value for view in plate.views for value in view.choice]
        wrong = next((value for value in choice if value not in known), choice[-1])
        raise DataError(f"figure {name!r} has no view {' / '.join(choice)!r}{near(wrong, known)}")

    def _plates(self) -> dict[str, Plate]:
        from picme.report.build import plates

        tables = {name: self.table(name) for name in self.tables if name != "predictions"}
        return plates(tables, self._tree)

    def _plate(self, name: str) -> Plate:
        found = self._plates()
        if name not in found:
            raise DataError(unfinished(self.folder) or f"{self.folder} has no figure {name!r}{near(name, found)}")
        return found[name]

    def _repr_html_(self) -> str:
        from picme.report.notebook import study_html

        tables = {name: self.table(name) for name in self.tables if name != "predictions"}
        return study_html(self.folder.name, tables, self._tree)

    def cohort(self, task: str) -> pl.DataFrame:
        """Return the stays of a task: stay_id, subject_id, split, subgroup columns, label columns."""
        view = self._view(task)
        frame = pl.read_parquet(view / "cohort.parquet")
        manifest = self._run.store.manifest(self._run.design.prepare)
        columns = ["stay_id", "subject_id", "split", *manifest["groups"][task], *manifest["labels"][task]]
        return frame.filter(pl.col("split").is_not_null()).select(columns)

    def tensors(self, modality: str, task: str) -> Series:
        """Return a time-series modality of a task's stays.

        Raises:
            DataError: if the modality is unknown or no time series.
        """
        if modality not in self.config.modalities:
            raise DataError(f"unknown modality {modality!r}{near(modality, self.config.modalities)}")
        view = self._view(task)
        folder = view / modality
        if not (folder / "offsets.npy").is_file():
            raise DataError(f"modality {modality!r} is not a time series, so it has no tensors by the hour")
        frame = pl.read_parquet(view / "cohort.parquet", columns=["stay_id", "split"])
        inside = frame.get_column("split").is_not_null().to_numpy()
        lengths = np.diff(np.load(folder / "offsets.npy"))
        values = np.load(folder / "values.npy", mmap_mode="r")
        if not inside.all():
            values = values[np.repeat(inside, lengths)]
        columns = json.loads((folder / "columns.json").read_text(encoding="utf-8"))["columns"]
        return Series(frame.get_column("stay_id").to_numpy()[inside], values, lengths[inside], columns)

    def features(self, task: str, combination: str | None = None) -> Features:
        """Return the summary features that picme's baselines read, for models of your own.

        What is learnt for them, such as the principal components of texts and images, is of training stays alone.

        Args:
            task: such as `mortality`.
            combination: such as `discharge+image`; all modalities if not given.

        Returns:
            The features of the stays of `cohort(task)`, in its order.

        Raises:
            ConfigError: if the combination names a modality that the study does not have.
            DataError: if there is no such task, or a stage before fine-tuning is not finished.
        """
        from picme.finetune.features import features, learn
        from picme.pretrain.features import open_encoded

        self._view(task)
        store, design, names = self._run.store, self._run.design, list(self.config.modalities)
        chosen = tuple(names) if combination is None else parse(combination, names)
        encodings = [design.encoding(name, encoder=False) for name in chosen]
        for one in encodings:
            if one.features is not None:
                store.whole(one.features)
        view = open_encoded(design.prepare, task, encodings, store)
        found = features(view, chosen, learn(view, chosen, view.usable(chosen, "train")))
        inside = view.cohort.get_column("split").is_not_null().to_numpy()
        return found._replace(values=found.values[inside])

    @overload
    def embeddings(self, combination: str, split: str | Sequence[str] = "test") -> dict[str, np.ndarray]: ...

    @overload
    def embeddings(
        self, combination: list[str] | tuple[str, ...], split: str | Sequence[str] = "test"
    ) -> dict[str, dict[str, np.ndarray]]: ...

    def embeddings(
        self, combination: str | list[str] | tuple[str, ...], split: str | Sequence[str] = "test"
    ) -> dict[str, np.ndarray] | dict[str, dict[str, np.ndarray]]:
        """Return the pretrained embeddings of held-out stays.

        Args:
            combination: such as `discharge+image`, or a list of such.
            split: `val` or `test`, or both as a list.

        Returns:
            {modality: (stay, dim) float32}, zero where absent, and `stay_id` (stay,) in the same order. For a list of
            combinations, that of each by its name.

        Raises:
            ConfigError: if a combination names a modality that the study does not have.
            DataError: if a combination is not pretrained, or a split is not held out.
        """
        if not isinstance(combination, str):
            return {one: self.embeddings(one, split) for one in combination}
        chosen = parse(combination, list(self.config.modalities))
        splits = [split] if isinstance(split, str) else list(split)
        if wrong := [one for one in splits if one not in ("val", "test")]:
            raise DataError(f"embeddings are kept of the splits val and test, not {wrong[0]!r}")
        store, design = self._run.store, self._run.design
        pretrain = design.pretrain(chosen)
        if not store.done(pretrain):
            raise DataError(f"{label(chosen)} is not pretrained in {self.folder}")
        folder = store.whole(pretrain)
        rows = np.load(folder / "rows.npy")
        values = np.load(folder / "embeddings.npy", mmap_mode="r")
        cohort = store.whole(design.prepare, "views/pretrain/cohort.parquet") / "views" / "pretrain" / "cohort.parquet"
        frame = pl.read_parquet(cohort, columns=["stay_id", "split"])[rows]
        inside = frame.get_column("split").is_in(splits).to_numpy()
        found = {name: np.asarray(values[index][inside]) for index, name in enumerate(chosen)}
        return found | {"stay_id": frame.get_column("stay_id").to_numpy()[inside]}

    def model(self, task: str, strategy: str | None = None, combination: str | None = None) -> Model:
        """Return the models of a task, one for each seed, to be applied to new stays.

        Args:
            task: such as `mortality`.
            strategy: if it alone is given, the best on validation of its combinations.
            combination: such as `discharge+image`; if it alone is given, the best on validation of its strategies. With
                neither, the cell that is `selected` in `summary`.

        Raises:
            ConfigError: if there is no such task, or no such model of it.
            DataError: if the model of a seed is missing or damaged.
        """
        from picme.predict import Model

        return Model(self._run, task, strategy, combination)

    def value(
        self,
        task: str,
        given: str | Sequence[str] | None = None,
        add: str | None = None,
        margin: float | None = None,
        strategy: str | None = None,
    ) -> Worth | list[Worth]:
        """Return what a modality adds to others: its `.value`, `.low`, `.high` and `.verdict`; `str` is the sentence.

        Args:
            task: such as `mortality`.
            given: the modalities that there are already, such as `discharge+timeseries`, or none (an empty text); all
                others than the one added if not given.
            add: the modality that is added; without it, a list of the answers for each that is not given.
            margin: what counts as nothing, a fraction; `evaluate.margin` if not given.
            strategy: whose models tell it; see `picme.report.worth.worth`.

        Raises:
            ConfigError: for a name that the study does not have, a margin that is not between 0 and 1, nothing left to
                add, or where no models predict from every subset.
            DataError: if the study has no table `lattice`.
        """
        from picme.errors import ConfigError
        from picme.report.worth import worth

        lattice, names = self.table("lattice"), list(self.config.modalities)
        before = [one.strip() for one in given.split("+") if one.strip()] if isinstance(given, str) else given
        margin = self.config.evaluate.margin if margin is None else margin
        if not 0 < margin < 1:
            raise ConfigError(f"the margin must be above 0 and below 1, not {margin:g}")
        wanted = [add] if add is not None else [name for name in names if name not in (before or ())]
        if not wanted:
            raise ConfigError("all modalities are given already: there is none to add")
        rules = self.config.evaluate
        asked = partial(
            worth,
            task=task,
            given=before,
            strategy=strategy,
            margin=margin,
            chosen=self.selected.filter(task=task)["strategy"].to_list(),
            never={*rules.controls, *rules.comparisons.baselines},
        )
        found = [asked(lattice, names, added=name) for name in wanted]
        return found if add is None else found[0]

    def validate(
        self,
        cohort: str | PathLike[str],
        task: str | None = None,
        strategy: str | None = None,
        combination: str | None = None,
        out: str | PathLike[str] | None = None,
        set: dict[str, Any] | None = None,
    ) -> pl.DataFrame:
        """Judge the study on labelled stays of another source, and return the table `external`.

        All its tables, and a page about them, are written beside the study; see `picme.validate.validate`.

        Args:
            cohort: a study or run folder whose prepare stage is done, or a configuration file or preset that names the
                other source.
            task: the task to judge; every common one if not given.
            strategy: the strategy to judge; every one whose models were kept if not given.
            combination: the combination to judge; every one if not given.
            out: folder of the results; `external/NAME` in the study's folder if not given.
            set: overrides of the configuration, `{"source.path": "set-b"}`.

        Raises:
            ConfigError: for a name that the study does not have.
            DataError: if the cohort does not fit the models, or has no outcomes.
        """
        from picme.validate import validate

        one = [() if name is None else (name,) for name in (task, strategy, combination)]
        found = validate(
            self.folder, cohort, overrides=set, tasks=one[0], strategies=one[1], combinations=one[2], out=out
        )
        for note in found.notes:
            warnings.warn(note, stacklevel=2)
        return found.tables["external"]

    @property
    def report(self) -> Path:
        """The path of the report."""
        return self.folder / "report.html"

    def _view(self, task: str) -> Path:
        if task not in self.config.tasks:
            raise DataError(f"unknown task {task!r}{near(task, self.config.tasks)}")
        if not self._run.store.done(self._run.design.prepare):
            raise DataError(f"the cohort of {self.folder} is not prepared")
        build_task(task, self.config.tasks[task])
        return self._run.store.whole(self._run.design.prepare, f"views/{task}/") / "views" / task


def run(
    config: str | Path | dict[str, Any],
    out: str | Path,
    set: dict[str, Any] | None = None,
    until: str = "report",
    quiet: bool = True,
) -> Study:
    """Run a study, reusing what is finished.

    Args:
        config: name of a preset, path of a YAML file, or what a file would hold as a dictionary.
        out: run folder.
        set: overrides, `{"source.stays": 400}`.
        until: last stage.
        quiet: no progress on stderr.

    Raises:
        PicmeError: if the configuration, the data or a job is at fault.
    """
    from picme.pipeline import run as run_pipeline

    loaded = load_config(config, set)
    study = run_pipeline(loaded, Path(out), until, quiet)
    return Study(study.folder, loaded)


def load(folder: str | Path) -> Study:
    """Open a run folder with whatever stages are there.

    Raises:
        ConfigError: if it is not a run folder.
    """
    return Study(run_folder(folder))
