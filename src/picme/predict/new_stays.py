"""New stays as a trained model meets them: held against its training stays, and read as these were."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.errors import DataError, near
from picme.tasks import build as build_task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from picme.config.study import Config
    from picme.engine.progress import Parts
    from picme.finetune.cell import Cell
    from picme.modalities.view import ViewData
    from picme.pipeline import Run

# Keys of a modality that say where its data lie, which may differ from file to file.
PLACES = {"path", "folder", "id", "column", "hours", "variable", "value", "encoder", "max_damaged"}


@dataclass(frozen=True)
class NewStays:
    """Prepared stays that a model is applied to.

    Attributes:
        folder: what messages call them by.
        prepared: the folder of their cohort and arrays.
        config: the configuration that they were prepared with.
        scratch: where the output of encoders' locked parts is kept, so that models which share it compute it once.
        tolerant: whether a modality that no stay has counts as absent for every strategy; otherwise only strategies
            that take any subset do without it.
        encoded: what frozen encoders gave, by task, combination and draw of the encoders.
    """

    folder: Path
    prepared: Path
    config: Config
    scratch: Path
    tolerant: bool = False
    encoded: dict[Any, np.ndarray] = field(default_factory=dict, repr=False)


def fits(study: Run, source: Run | NewStays, task: str, names: list[str]) -> list[str]:
    """Refuse a cohort with another window, other modalities, columns, types or units; return sentences on the rest.

    Raises:
        DataError: naming what does not fit.
    """
    from picme.modalities import open_modality

    views = source.prepared / "views"
    if not (views / task).is_dir():
        raise DataError(f"{source.folder} has no cohort for task {task!r}")
    declared = [build_task(task, run.config.tasks[task]) for run in (source, study)]
    if declared[0].moment != declared[1].moment:
        raise DataError(
            f"{source.folder} was prepared with the prediction time {declared[0].moment!r} of task {task}, the model's "
            f"stays with {declared[1].moment!r}"
        )
    window = [(one.hours, run.config.cohort.max_hours) for one, run in zip(declared, (source, study), strict=True)]
    for key, given, mine in zip((f"tasks.{task}.hours", "cohort.max_hours"), *window, strict=True):
        if given != mine:
            raise DataError(f"{source.folder} was prepared with {key} {given}, the model's stays with {mine}")
    notes = list(_differences("cohort", source.config.cohort.model_dump(), study.config.cohort.model_dump()))
    trained = json.loads((study.prepared / "statistics.json").read_text(encoding="utf-8"))
    inside = pl.read_parquet(views / "pretrain" / "cohort.parquet").get_column("split").is_not_null().to_numpy()
    for name in names:
        if not (views / task / name).is_dir():
            raise DataError(f"{source.folder} has no modality {name!r}{near(name, source.config.modalities)}")
        sections = [run.config.modalities[name] for run in (source, study)]
        kinds = [section.kind for section in sections]
        if kinds[0] != kinds[1]:
            raise DataError(f"modality {name!r} is of kind {kinds[0]}, the model's is of kind {kinds[1]}")
        notes += _differences(f"modalities.{name}", *(section.model_dump(exclude=PLACES) for section in sections))
        opened = open_modality(kinds[0], views / "pretrain" / name, source.prepared / "pool" / name)
        for misfit in opened.misfits(trained[name], np.flatnonzero(inside)):
            if misfit.far:
                raise DataError(f"modality {name!r} of {source.folder}: {misfit.what}")
            notes.append(f"modality {name!r}: {misfit.what}")
    return notes


def _differences(where: str, given: Mapping[str, Any], mine: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each setting that the new stays were prepared with and the model's were not."""
    for key in sorted({*given, *mine}):
        one, other = given.get(key), mine.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _differences(f"{where}.{key}", one, other)
        elif one != other:
            yield f"the new stays were prepared with {where}.{key} {one!r}, the model's with {other!r}"


def view_of(
    study: Run, source: NewStays, cell: Cell, lacking: Sequence[str] = (), progress: Parts | None = None
) -> ViewData:
    """Return the new stays, normalised and encoded with what was learnt from the training stays.

    Modalities that the new stays lack altogether are absent in every one.
    """
    from picme.fitting.device import resolve_device
    from picme.modalities import open_modality
    from picme.modalities.absent import AbsentModality
    from picme.modalities.view import ViewData
    from picme.pretrain.features import open_encoded
    from picme.pretrain.trunk_cache import cache_features

    task, device = cell.task.name, str(resolve_device(study.config.execution.device))
    features: dict[str, Path] = {}
    encodings = {one.modality: one for one in cell.encodings if one.modality not in lacking}
    if progress is not None:
        progress.add(sum(one.features is not None for one in encodings.values()))
    for one in encodings.values():
        if one.features is not None:
            if progress is not None:
                progress.begin(f"{one.modality} of the new stays")
            folder, pool = source.prepared / "views" / task / one.modality, source.prepared / "pool" / one.modality
            encoder = one.features.encoder  # also where a baseline reads what its locked part gives
            opened: Any = open_modality(one.kind, folder, pool, encoder)
            features[one.modality] = cache_features(
                opened,
                encoder,
                opened.spec(),
                source.scratch / one.modality,
                device=device,
                precision=one.features.precision,
            )
    view = ViewData(source.prepared, task, encodings, features, study.prepared / "statistics.json")
    unread = [one for one in cell.encodings if one.modality in lacking]
    for name, like in open_encoded(cell.prepare, task, unread, study.store).modalities.items() if unread else ():
        view.modalities[name] = AbsentModality(like, len(view))
    return view
