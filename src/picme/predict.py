"""A finished run applied to new stays: calibrated probabilities, averaged over the seeds."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.config.study import BASELINES, FROZEN
from picme.errors import ConfigError, DataError, near
from picme.modalities.combinations import label, parse
from picme.plan import Cell, Run
from picme.stages import cell_arguments
from picme.tasks import build as build_task

if TYPE_CHECKING:
    import torch

    from picme.finetune.cell import Cell as Model
    from picme.modalities.view import ViewData
    from picme.study import Study

# Training standard deviations between a new cohort's mean and the training mean that no population explains: units.
FAR = 8.0


def predict(
    run: Path,
    cohort: Path,
    task: str,
    strategy: str | None,
    combination: str | None,
    out: Path,
    contributions: Path | None = None,
) -> tuple[int, int]:
    """Writes one row per stay: stay_id and a calibrated probability for each label.

    Args:
        run: a finished run folder.
        cohort: a run folder whose prepare stage is done: the new stays, read with the same modalities.
        task: of both.
        strategy, combination: the ones best on validation if not given.
        out: `.csv` or `.parquet`.
        contributions: `.csv` or `.parquet` for one row per stay, label and modality: what the modality adds to the
            logit (before calibration), compared with the training stays' average one; see `contributions`.

    Returns:
        How many stays were written, and how many were left out because they have none of the combination's modalities.

    Raises:
        ConfigError, DataError: if there is no such model, or the cohort does not fit it.
    """
    from picme.study import load

    for option, file in (("--out", out), ("--contributions", contributions)):
        if file is not None and file.suffix not in (".csv", ".parquet"):
            raise ConfigError(f"{option} {file} must end in .csv or .parquet")
    trained, new = load(run), load(cohort)
    if task not in trained.config.tasks:
        raise ConfigError(f"unknown task {task!r}{near(task, trained.config.tasks)}")
    cells = _cells(trained, task, strategy, combination)
    names = list(cells[0].combination)
    study, source = Run.opened(trained.config, trained.folder), Run.opened(new.config, new.folder)
    if not source.store.done("prepare", source.keys.prepare):
        raise DataError(f"{cohort} has no prepared cohort; run `picme prepare` for it first")
    _fits(study, source, task, names)
    labels = build_task(task, trained.config.tasks[task]).labels
    with tempfile.TemporaryDirectory() as scratch:
        view = _view(study, source, task, names, Path(scratch))
        inside = np.flatnonzero(view.cohort.get_column("split").is_not_null().to_numpy())
        rows = inside[view.present(names)[inside].any(axis=1)]
        if not len(rows):
            raise DataError(f"none of the {len(inside)} stays in {cohort} has {' or '.join(names)}")
        models = [_model(study, cell, view) for cell in cells]
        found = np.mean([model.probabilities(rows) for model in models], axis=0)
        added = (
            np.mean([_contributions(study, cell, model, rows) for cell, model in zip(cells, models, strict=True)], 0)
            if contributions
            else None
        )
    stays = view.cohort.get_column("stay_id").gather(rows)
    found = _calibrated(study, cells, labels, found)
    table = pl.DataFrame({"stay_id": stays}).with_columns(
        pl.Series(name, found[:, index]).fill_nan(None) for index, name in enumerate(labels)
    )
    _write(table, out)
    if contributions is not None and added is not None:
        _write(_long(added, stays, labels, names, view.present(names)[rows]), contributions)
    return table.height, len(inside) - table.height


def _write(table: pl.DataFrame, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    table.write_csv(file) if file.suffix == ".csv" else table.write_parquet(file)


def _long(
    added: np.ndarray, stays: pl.Series, labels: tuple[str, ...], names: list[str], present: np.ndarray
) -> pl.DataFrame:
    """`added` (label, stay, modality) as stay_id, label, modality, present, contribution."""
    return pl.DataFrame(
        {
            "stay_id": stays.gather(np.tile(np.repeat(np.arange(len(stays)), len(names)), len(labels))),
            "label": np.repeat(np.array(labels), len(stays) * len(names)),
            "modality": np.tile(np.array(names), len(stays) * len(labels)),
            "present": np.tile(present.ravel(), len(labels)),
            "contribution": added.ravel(),
        }
    )


def _cells(study: Study, task: str, strategy: str | None, combination: str | None) -> list[Cell]:
    """The cells of one combination and strategy, all seeds."""
    summary = study.table("summary").filter(pl.col("task") == task)
    names = list(study.config.modalities)
    if combination is not None:
        summary = summary.filter(pl.col("combination") == label(parse(combination, names)))
    if strategy is not None:
        if strategy in BASELINES:
            raise ConfigError(f"{strategy} is a baseline and keeps no model to predict with")
        summary = summary.filter(pl.col("strategy") == strategy)
    summary = summary.filter(~pl.col("strategy").is_in(BASELINES))
    if not summary.height:
        raise ConfigError(
            f"no model of task {task} fits strategy {strategy or 'any'} and combination {combination or 'any'}; "
            "see the table summary"
        )
    if strategy is None and combination is None and summary.get_column("selected").any():
        summary = summary.filter(pl.col("selected"))
    best = summary.sort("validation_auroc", descending=True, nulls_last=True).row(0, named=True)
    run = Run.opened(study.config, study.folder)
    chosen = parse(best["combination"], names)
    cells = [Cell(task, chosen, best["strategy"], seed) for seed in range(study.config.study.seeds)]
    found = [cell for cell in cells if run.store.done("finetune", run.finetune_key(cell))]
    if not found:
        raise DataError(
            f"{study.folder} has results, but no models of {best['combination']} by {best['strategy']} that this "
            "version of picme would make of its configuration; `picme plan` shows what has changed"
        )
    return found


def _view(study: Run, source: Run, task: str, names: list[str], scratch: Path) -> ViewData:
    """The new stays, normalised and encoded with what was learnt from the training stays."""
    from picme.modalities import open_modality
    from picme.modalities.view import ViewData
    from picme.pretrain.trunk_cache import cache_features

    modalities = {name: study.config.modalities[name] for name in names}
    features: dict[str, Path] = {}
    for name in names:
        if name in study.locked:
            section = modalities[name]
            folder, pool = source.prepared / "views" / task / name, source.prepared / "pool" / name
            opened: Any = open_modality(section.kind, folder, pool, section.encoder)
            features[name] = cache_features(opened, section.encoder, opened.spec(), scratch / name)
    return ViewData(source.prepared, task, modalities, features, study.prepared / "statistics.json")


def _fits(study: Run, source: Run, task: str, names: list[str]) -> None:
    """Refuses a cohort with other modalities, columns or units.

    Raises:
        DataError: naming what does not fit.
    """
    view = source.prepared / "views" / task
    if not view.is_dir():
        raise DataError(f"{source.folder} has no cohort for task {task!r}")
    trained = json.loads((study.prepared / "statistics.json").read_text(encoding="utf-8"))
    given = json.loads((source.prepared / "statistics.json").read_text(encoding="utf-8"))
    for name in names:
        if not (view / name).is_dir():
            raise DataError(f"{source.folder} has no modality {name!r}{near(name, source.config.modalities)}")
        if source.config.modalities[name].kind != study.config.modalities[name].kind:
            kinds = source.config.modalities[name].kind, study.config.modalities[name].kind
            raise DataError(f"modality {name!r} is of kind {kinds[0]}, the model's is of kind {kinds[1]}")
        mine, theirs = trained[name], given[name]
        if not {"columns", "mean", "std"} <= mine.keys():
            continue
        if list(mine["columns"]) != list(theirs.get("columns", [])):
            odd = sorted(set(mine["columns"]) ^ set(theirs.get("columns", [])))
            raise DataError(
                f"modality {name!r} has other columns than the model's, first {odd[0] if odd else 'their order'!r}"
            )
        for column, mean, std, other in zip(mine["columns"], mine["mean"], mine["std"], theirs["mean"], strict=True):
            if abs(other - mean) > FAR * max(std, 1e-6):
                raise DataError(
                    f"column {column!r} of modality {name!r} has mean {other:.3g}, the training stays {mean:.3g} "
                    f"(standard deviation {std:.3g}): is it in other units?"
                )


def _model(study: Run, cell: Cell, view: ViewData) -> Model:
    """The trained model of one seed on the new stays."""
    from picme.finetune.embed import all_rows
    from picme.pretrain.job import load_encoders
    from picme.pretrain.model import ModalityEncoders
    from picme.training import resolve_device

    config, names = study.config, list(cell.combination)
    device = resolve_device(config.execution.device)
    pretrained = cell_arguments(study, cell)["pretrained"]
    with tempfile.TemporaryDirectory() as scratch:
        if cell.strategy in FROZEN:
            encoders = (
                load_encoders(Path(pretrained), names, config, view)
                if cell.strategy == "contrastive"
                else ModalityEncoders(names, config, view, cell.seed)
            )
            np.save(Path(scratch) / "embeddings.npy", all_rows(encoders.to(device).eval(), view, device))
        return _restored(study, cell, view, [scratch], device)


def _restored(study: Run, cell: Cell, view: ViewData, embedded: list[str], device: torch.device) -> Model:
    """The trained model of one seed on the stays of a view, with their embeddings where its encoders are frozen."""
    from picme.finetune.restore import restore

    path = str(study.store.path("finetune", study.finetune_key(cell)))
    stored = {"seed": cell.seed, "path": path, "embedded": embedded}
    pretrained = cell_arguments(study, cell)["pretrained"]
    return restore(study.config, view, cell.task, list(cell.combination), cell.strategy, stored, pretrained, device)


def _contributions(study: Run, cell: Cell, model: Model, rows: np.ndarray) -> np.ndarray:
    """Integrated gradients of one seed's logits from the training stays' mean embeddings, (label, row, modality)."""
    import torch

    from picme.evaluate.attribute import embeddings_of, training_mean
    from picme.evaluate.integrated_gradients import integrated_gradients
    from picme.modalities.view import open_view

    features = {name: Path(path) for name, path in study.features.items()}
    view = open_view(study.prepared, cell.task, study.config.modalities, features)
    trained = _restored(study, cell, view, cell_arguments(study, cell)["embedded"], model.device)
    mean = training_mean(trained, view.usable(cell.combination, "train"))
    present = model.present[torch.from_numpy(rows).to(model.device)]
    return integrated_gradients(model.head, embeddings_of(model, rows), present, mean).per_label


def _calibrated(study: Run, cells: list[Cell], labels: tuple[str, ...], found: np.ndarray) -> np.ndarray:
    """Slope and intercept of each label, fitted on the run's validation stays."""
    from picme.evaluate.calibration import apply_calibration, fit_calibration

    kept = [np.load(study.store.path("finetune", study.finetune_key(cell)) / "predictions.npz") for cell in cells]
    average = np.mean([one["val"] for one in kept], axis=0)
    cohort = pl.read_parquet(study.prepared / "views" / cells[0].task / "cohort.parquet")
    targets = cohort.select(pl.col(name).cast(pl.Float64) for name in labels).to_numpy()[kept[0]["val_rows"]]
    result = np.empty_like(found)
    for index in range(len(labels)):
        slope, intercept = fit_calibration(average[:, index], targets[:, index])
        result[:, index] = apply_calibration(found[:, index], slope, intercept)
    return result
