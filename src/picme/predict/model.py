"""The models of a finished study, one for each seed, applied to new stays."""

from __future__ import annotations

import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import polars as pl

from picme.config.combinations import label
from picme.errors import ConfigError, DataError, near
from picme.finetune.step import Stacked
from picme.pipeline import Run
from picme.predict.choose import chosen_finetunings
from picme.predict.new_stays import NewStays, fits, view_of
from picme.predict.one_seed import contributions, embeddings, model_on
from picme.tasks import build as build_task

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from os import PathLike

    from picme.engine.progress import Parts
    from picme.finetune.classifier import Classifier
    from picme.modalities.view import ViewData
    from picme.predict.stacked import StackedModel

# The column that says which modalities a prediction was made from, and what it says where there are none.
USED, NONE = "modalities_used", "none"


class Applied(NamedTuple):
    """The models of all seeds on new stays.

    Attributes:
        view: the new stays, normalised and encoded with what was learnt from the training stays.
        inside: the rows of the view that are asked about.
        rows: those of them that have any of `names`.
        names: the modalities that are read: those of the combination that are neither withheld nor lacking.
        present: whether each stay of the view has each of `names`.
        seeds: one model for each seed.
        notes: sentences on how the cohort differs from the training stays.
    """

    view: ViewData
    inside: np.ndarray
    rows: np.ndarray
    names: list[str]
    present: np.ndarray
    seeds: list[Classifier | StackedModel]
    notes: tuple[str, ...]

    @property
    def left_out(self) -> int:
        """Return the number of stays that have none of the modalities."""
        return len(self.inside) - len(self.rows)

    def stays(self, rows: np.ndarray) -> pl.Series:
        """Return the ids of the stays at some rows."""
        return self.view.cohort.get_column("stay_id").gather(rows)


class Model:
    """The models of a finished study for one task, combination and strategy, one for each seed; `Study.model` makes it.

    Attributes:
        task: the task.
        combination: the modalities that the models read, joined by `+`.
        strategy: the strategy they were trained by.
        labels: the labels they predict.
    """

    def __init__(
        self,
        run: Run,
        task: str,
        strategy: str | None = None,
        combination: str | None = None,
        withhold: Sequence[str] = (),
    ) -> None:
        if task not in run.config.tasks:
            raise ConfigError(f"unknown task {task!r}{near(task, run.config.tasks)}")
        self._run, self._steps = run, chosen_finetunings(run, task, strategy, combination)
        cell = self._steps[0].cell
        self.task, self.combination, self.strategy = task, label(cell.combination), cell.strategy
        self.labels = build_task(task, run.config.tasks[task]).labels
        self._subsets, self._withheld = run.design.strategy(cell.strategy).subsets, withhold
        for name in withhold:
            if not self._subsets or name not in cell.combination:
                raise ConfigError(
                    f"--withhold {name}: {self.combination} by {cell.strategy} "
                    + (
                        f"has no such modality{near(name, cell.combination)}"
                        if self._subsets
                        else "is not made for absent modalities"
                    )
                )
        trained = [model for step in self._steps for model in step.models]
        pretrained = [model.cell.pretrain for model in trained if model.cell.pretrain]
        weighed = [step.weights for step in self._steps if isinstance(step, Stacked) and step.weights]
        for step in (run.design.prepare, *self._steps, *weighed, *trained, *pretrained):
            run.store.whole(step)

    def __repr__(self) -> str:
        return f"Model({self.task!r}, {self.combination!r}, {self.strategy!r}, seeds={len(self._steps)})"

    def predict_proba(self, cohort: str | PathLike[str]) -> pl.DataFrame:
        """Return calibrated probabilities of new stays, averaged over the seeds.

        Args:
            cohort: a study or run folder whose prepare stage is done: the new stays, read with the same modalities.
                How they were prepared otherwise, or look different, is said in warnings.

        Returns:
            One row for each stay that has any of the combination's modalities: `stay_id`, a column for each label, and
            `modalities_used`. By a strategy that takes any subset, a stay without any has a row without probabilities.

        Raises:
            DataError: if the cohort does not fit the model: another window, kind, column, type or unit.
        """
        with self.applied(cohort) as new:
            _warn(new.notes)
            return self.probabilities(new)

    def encode(self, cohort: str | PathLike[str], seed: int = 0) -> dict[str, np.ndarray]:
        """Return the embeddings of new stays by one seed's encoders, before the fusion head.

        Args:
            cohort: as for `predict_proba`.
            seed: the seed of the fine-tuning; frozen encoders are the same for all that take one pretraining.

        Returns:
            {modality: (stay, dim) float32}, zero where absent, and `stay_id` (stay,), as `Study.embeddings` returns.

        Raises:
            ConfigError: if there is no such seed, or the strategy has no encoders of its own.
            DataError: as for `predict_proba`.
        """
        if self._steps[0].cell.course is None:
            of_bases = "; ask for those of one that it combines" if isinstance(self._steps[0], Stacked) else ""
            raise ConfigError(f"{self.strategy} has no embeddings of its own{of_bases}")
        if not 0 <= seed < len(self._steps):
            raise ConfigError(f"there is no seed {seed!r}; known: 0 to {len(self._steps) - 1}")
        with self.applied(cohort) as new:
            _warn(new.notes)
            if not new.seeds:
                raise DataError(_none(cohort, new))
            found = embeddings(cast("Classifier", new.seeds[seed]), new.rows)
            named = {name: found[:, index] for index, name in enumerate(new.seeds[seed].combination)}
            names = self._steps[0].cell.combination
            return {name: named[name] for name in names} | {"stay_id": new.stays(new.rows).to_numpy()}

    @contextmanager
    def applied(self, cohort: str | PathLike[str], progress: Parts | None = None) -> Iterator[Applied]:
        """Open new stays and the models on them; what their encoders' locked parts give is kept until the end.

        Where no stay has any of the modalities there are no models, or an error for a strategy that needs them all.
        """
        source = Run.at(cohort)
        if not source.store.done(source.design.prepare):
            raise DataError(f"{source.folder} has no prepared cohort; run `picme prepare` for it first")
        source.store.whole(source.design.prepare)
        with tempfile.TemporaryDirectory() as scratch:
            stays = NewStays(source.folder, source.prepared, source.config, Path(scratch))
            with self.on(stays, progress) as new:
                yield new

    def _threads(self) -> AbstractContextManager[None]:
        """Keep small networks to one thread, as their training is; several wait for one another."""
        import torch

        from picme.fitting.threads import torch_threads

        large = any(one.large for one in self._steps[0].trained.cell.encodings)
        return torch_threads(torch.get_num_threads() if large else 1)

    @contextmanager
    def on(self, stays: NewStays, progress: Parts | None = None) -> Iterator[Applied]:
        """Put the models of all seeds on new stays, as `applied` does; small networks have one thread until the end.

        Raises:
            DataError: if the stays do not fit the model, or none has any of the modalities that it needs.
        """
        wanted, folder = self._steps[0].cell.combination, stays.prepared / "views" / self.task
        tolerant = self._subsets or stays.tolerant
        lacking = [name for name in wanted if tolerant and not (folder / name).is_dir()]
        names = [name for name in wanted if name not in (*self._withheld, *lacking)]
        notes = [f"{stays.folder} has no modality {name!r}; it counts as absent" for name in lacking]
        notes += fits(self._run, stays, self.task, names)
        if progress is not None:
            progress.add(len(self._steps))
        view = view_of(self._run, stays, self._steps[0].trained.cell, lacking, progress)
        inside = np.flatnonzero(view.cohort.get_column("split").is_not_null().to_numpy())
        present = view.present(names) if names else np.zeros((len(view), 0), dtype=bool)
        rows = inside[present[inside].any(axis=1)]
        new = Applied(view, inside, rows, names, present, [], tuple(notes))
        if not len(rows) and not tolerant:
            raise DataError(_none(stays.folder, new))
        with self._threads():
            for step in self._steps if len(rows) else ():
                if progress is not None:
                    progress.begin(f"model of seed {step.seed}")
                new.seeds.append(model_on(self._run, step, view, names, stays.encoded))
            yield new

    def probabilities(self, new: Applied) -> pl.DataFrame:
        """Return the calibrated probabilities of opened stays, as `predict_proba` does."""
        from picme.evaluate.recalibrate import recalibrated, recalibrated_by_pattern

        calibrated, store = np.full((len(new.view), len(self.labels)), np.nan), self._run.store
        if new.seeds:
            found = np.mean([model.probabilities(new.rows) for model in new.seeds], axis=0)
        if self._subsets and new.seeds:
            used, device = new.seeds[0].present.cpu().numpy()[new.rows], new.seeds[0].device
            calibrated[new.rows] = recalibrated_by_pattern(self._steps, self.labels, store, device, found, used)
        elif new.seeds:
            calibrated[new.rows] = recalibrated(self._steps, self.labels, store, found)
        written = new.inside if self._subsets else new.rows
        used_of = ["+".join(np.array(new.names)[has]) or NONE for has in new.present[written]]
        return pl.DataFrame({"stay_id": new.stays(written)}).with_columns(
            *(pl.Series(name, calibrated[written, index]).fill_nan(None) for index, name in enumerate(self.labels)),
            pl.Series(USED, used_of, dtype=pl.String),
        )

    def contributions(self, new: Applied) -> pl.DataFrame:
        """Return what each modality adds to the logits of opened stays, one row per stay, label and modality."""
        names = list(self._steps[0].cell.combination)
        if not new.seeds:
            return _long(
                np.zeros((len(self.labels), 0, len(names))), new.stays(new.rows), self.labels, names, new.present[:0]
            )
        pairs = zip(self._steps, new.seeds, strict=True)
        each = [contributions(self._run, step, model, new.rows) for step, model in pairs]
        added = np.mean(each, axis=0)
        model = new.seeds[0]
        present = model.present.cpu().numpy()[new.rows]
        return _long(added, new.stays(new.rows), self.labels, list(model.combination), present)


def _none(cohort: str | PathLike[str], new: Applied) -> str:
    any_of = " or ".join(new.names) or "any modality"
    return f"none of the {len(new.inside)} stays in {cohort} has {any_of}"


def _warn(notes: tuple[str, ...]) -> None:
    for note in notes:
        warnings.warn(note, stacklevel=3)


def _long(
    added: np.ndarray, stays: pl.Series, labels: tuple[str, ...], names: list[str], present: np.ndarray
) -> pl.DataFrame:
    """Return contributions (label, stay, modality) as a table: stay_id, label, modality, present, contribution."""
    return pl.DataFrame(
        {
            "stay_id": stays.gather(np.tile(np.repeat(np.arange(len(stays)), len(names)), len(labels))),
            "label": np.repeat(np.array(labels), len(stays) * len(names)),
            "modality": np.tile(np.array(names), len(stays) * len(labels)),
            "present": np.tile(present.ravel(), len(labels)),
            "contribution": added.ravel(),
        }
    )
