"""A finished run applied to new stays: calibrated probabilities, averaged over the seeds."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

from picme.config.combinations import label, parse
from picme.engine.faults import naming_faults
from picme.engine.store import private
from picme.errors import ConfigError, DataError, near
from picme.pipeline import Run
from picme.tasks import build as build_task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from picme.finetune.classifier import Classifier
    from picme.finetune.step import Cell, Finetune
    from picme.modalities.view import ViewData
    from picme.study import Study

# Keys of a modality that say where its data lie, which may differ from file to file.
PLACES = {"path", "folder", "id", "column", "hours", "variable", "value", "encoder", "max_damaged"}


class Predicted(NamedTuple):
    """How many stays a prediction wrote, how many have none of the combination's modalities, and what else to know."""

    written: int
    left_out: int
    notes: tuple[str, ...]


def predict(
    run: Path,
    cohort: Path,
    task: str,
    strategy: str | None,
    combination: str | None,
    out: Path,
    contributions: Path | None = None,
) -> Predicted:
    """Write one row per stay: stay_id and a calibrated probability for each label.

    Args:
        run: a finished run folder.
        cohort: a run folder whose prepare stage is done: the new stays, read with the same modalities.
        task: of both.
        strategy, combination: the ones best on validation if not given.
        out: `.csv` or `.parquet`.
        contributions: `.csv` or `.parquet` for one row per stay, label and modality: what the modality adds to the
            logit (before calibration), compared with the training stays' average one; see `contributions`.

    Returns:
        How many stays were written and left out, and sentences on how the cohort differs from the training stays.

    Raises:
        ConfigError, DataError: if there is no such model, a seed's is missing or damaged, or the cohort does not fit
            it: another window, kind, column, type or unit.
    """
    from picme.study import load

    for option, file in (("--out", out), ("--contributions", contributions)):
        if file is not None and file.is_dir():
            raise ConfigError(f"{option} {file} is a folder, expected a file to write")
        if file is not None and file.suffix not in (".csv", ".parquet"):
            raise ConfigError(f"{option} {file} must end in .csv or .parquet")
    trained, new = load(run), load(cohort)
    if task not in trained.config.tasks:
        raise ConfigError(f"unknown task {task!r}{near(task, trained.config.tasks)}")
    study, source = Run.opened(trained.config, trained.folder), Run.opened(new.config, new.folder)
    seeds = _seeds(study, trained, task, strategy, combination)
    names = list(seeds[0].cell.combination)
    if not source.store.done(source.design.prepare):
        raise DataError(f"{cohort} has no prepared cohort; run `picme prepare` for it first")
    source.store.whole(source.design.prepare)
    for step in (study.design.prepare, *seeds, *(step.cell.pretrain for step in seeds if step.cell.pretrain)):
        study.store.whole(step)
    notes = _fits(study, source, task, names)
    labels = build_task(task, trained.config.tasks[task]).labels
    with tempfile.TemporaryDirectory() as scratch:
        view = _view(study, source, seeds[0].cell, Path(scratch))
        inside = np.flatnonzero(view.cohort.get_column("split").is_not_null().to_numpy())
        rows = inside[view.present(names)[inside].any(axis=1)]
        if not len(rows):
            raise DataError(f"none of the {len(inside)} stays in {cohort} has {' or '.join(names)}")
        models = [_model(study, step, view) for step in seeds]
        found = np.mean([model.probabilities(rows) for model in models], axis=0)
        added = (
            np.mean([_contributions(study, step, model, rows) for step, model in zip(seeds, models, strict=True)], 0)
            if contributions
            else None
        )
    stays = view.cohort.get_column("stay_id").gather(rows)
    found = _calibrated(study, seeds, labels, found)
    table = pl.DataFrame({"stay_id": stays}).with_columns(
        pl.Series(name, found[:, index]).fill_nan(None) for index, name in enumerate(labels)
    )
    _write(table, out)
    if contributions is not None and added is not None:
        _write(_long(added, stays, labels, names, view.present(names)[rows]), contributions)
    return Predicted(table.height, len(inside) - table.height, tuple(notes))


def _write(table: pl.DataFrame, file: Path) -> None:
    with private(), naming_faults(file.absolute()):
        file.parent.mkdir(parents=True, exist_ok=True)
        table.write_csv(file) if file.suffix == ".csv" else table.write_parquet(file)


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


def _seeds(study: Run, opened: Study, task: str, wanted: str | None, combination: str | None) -> list[Finetune]:
    """Return the finished fine-tunings of one combination and strategy, one for each seed."""
    summary = opened.table("summary").filter(pl.col("task") == task)
    names = list(study.config.modalities)
    without = [name for name in summary["strategy"].unique() if study.design.strategy(name).encoders == "none"]
    if combination is not None:
        summary = summary.filter(pl.col("combination") == label(parse(combination, names)))
    if wanted is not None:
        if wanted in without:
            raise ConfigError(f"{wanted} is a baseline and keeps no model to predict with")
        summary = summary.filter(pl.col("strategy") == wanted)
    summary = summary.filter(~pl.col("strategy").is_in(without))
    if not summary.height:
        raise ConfigError(
            f"no model of task {task} fits strategy {wanted or 'any'} and combination {combination or 'any'}; "
            "see the table summary"
        )
    if wanted is None and combination is None and summary.get_column("selected").any():
        summary = summary.filter(pl.col("selected"))
    best = summary.sort("validation_auroc", descending=True, nulls_last=True).row(0, named=True)
    place = (task, parse(best["combination"], names), best["strategy"])
    steps = [study.design.finetune(*place, seed) for seed in range(study.config.study.seeds)]
    found = [step for step in steps if study.store.done(step)]
    if not found:
        raise DataError(
            f"{study.folder} has results, but no models of {best['combination']} by {best['strategy']} that this "
            "version of picme would make of its configuration; `picme plan` shows what has changed"
        )
    if len(found) < len(steps):
        raise DataError(
            f"{study.folder} has the models of {len(found)} of {len(steps)} seeds of {best['combination']} by "
            f"{best['strategy']}; probabilities are the mean over all, so run `picme finetune` again, which makes "
            "what is missing"
        )
    return found


def _view(study: Run, source: Run, cell: Cell, scratch: Path) -> ViewData:
    """Return the new stays, normalised and encoded with what was learnt from the training stays."""
    from picme.fitting.device import resolve_device
    from picme.modalities import open_modality
    from picme.modalities.view import ViewData
    from picme.pretrain.trunk_cache import cache_features

    task, device = cell.task.name, str(resolve_device(study.config.execution.device))
    features: dict[str, Path] = {}
    for one in cell.encodings:
        if one.features is not None:
            folder, pool = source.prepared / "views" / task / one.modality, source.prepared / "pool" / one.modality
            opened: Any = open_modality(one.kind, folder, pool, one.encoder)
            features[one.modality] = cache_features(
                opened, one.encoder, opened.spec(), scratch / one.modality, device=device, precision=one.precision
            )
    encodings = {one.modality: one for one in cell.encodings}
    return ViewData(source.prepared, task, encodings, features, study.prepared / "statistics.json")


def _fits(study: Run, source: Run, task: str, names: list[str]) -> list[str]:
    """Refuse a cohort with another window, other modalities, columns, types or units; return sentences on the rest.

    Raises:
        DataError: naming what does not fit.
    """
    views = source.prepared / "views"
    if not (views / task).is_dir():
        raise DataError(f"{source.folder} has no cohort for task {task!r}")
    window = [(build_task(task, run.config.tasks[task]).hours, run.config.cohort.max_hours) for run in (source, study)]
    for key, given, mine in zip((f"tasks.{task}.hours", "cohort.max_hours"), *window, strict=True):
        if given != mine:
            raise DataError(f"{source.folder} was prepared with {key} {given}, the model's stays with {mine}")
    notes = list(_differences("cohort", source.config.cohort.model_dump(), study.config.cohort.model_dump()))
    from picme.modalities import open_modality

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


def _model(study: Run, step: Finetune, view: ViewData) -> Classifier:
    """Return the trained model of one seed on the new stays."""
    from picme.finetune.embed import all_rows
    from picme.finetune.restore import restore
    from picme.finetune.step import EmbedUntrained
    from picme.fitting.device import resolve_device
    from picme.pretrain.model import ModalityEncoders
    from picme.pretrain.train import load_encoders

    cell, device = step.cell, resolve_device(study.config.execution.device)
    embedded = None
    drawn = [one.seed for one in step.embedded if isinstance(one, EmbedUntrained)]
    if cell.frozen:
        encoders = (
            load_encoders(study.store.path(cell.pretrain), cell.encodings, view)
            if cell.pretrain is not None
            else ModalityEncoders(cell.encodings, view, drawn[0])
        )
        embedded = all_rows(encoders.to(device).eval(), view, device)
    return restore(step, view, device, study.store, embedded)


def _contributions(study: Run, step: Finetune, model: Classifier, rows: np.ndarray) -> np.ndarray:
    """Return one seed's integrated gradients from the training stays' mean embeddings, (label, row, modality)."""
    import torch

    from picme.evaluate.attribute import embeddings_of, training_mean
    from picme.evaluate.integrated_gradients import integrated_gradients
    from picme.finetune.restore import restore
    from picme.pretrain.features import open_encoded

    cell = step.cell
    view = open_encoded(cell.prepare, cell.task.name, cell.encodings, study.store)
    trained = restore(step, view, model.device, study.store)
    mean = training_mean(trained, view.usable(cell.combination, "train"))
    present = model.present[torch.from_numpy(rows).to(model.device)]
    return integrated_gradients(model.head, embeddings_of(model, rows), present, mean).per_label


def _calibrated(study: Run, seeds: list[Finetune], labels: tuple[str, ...], found: np.ndarray) -> np.ndarray:
    """Return probabilities (row, label) calibrated by a slope and intercept fitted on the run's validation stays."""
    from picme.evaluate.calibration import apply_calibration, fit_calibration

    kept = [np.load(study.store.path(step) / "predictions.npz") for step in seeds]
    average = np.mean([one["val"] for one in kept], axis=0)
    cohort = pl.read_parquet(study.prepared / "views" / seeds[0].cell.task.name / "cohort.parquet")
    targets = cohort.select(pl.col(name).cast(pl.Float64) for name in labels).to_numpy()[kept[0]["val_rows"]]
    result = np.empty_like(found)
    for index in range(len(labels)):
        slope, intercept = fit_calibration(average[:, index], targets[:, index])
        result[:, index] = apply_calibration(found[:, index], slope, intercept)
    return result
