"""The stage that turns raw data into one row per stay and one array per modality."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.audit import leakage
from picme.cohort.extract import extract
from picme.cohort.select import present, take
from picme.cohort.splits import assign
from picme.config.loading import validate
from picme.errors import ConfigError, DataError
from picme.modalities import open_modality, write_views
from picme.store import Store

if TYPE_CHECKING:
    from picme.config.study import Config
    from picme.schema import Extraction, View

SPLITS = ("train", "val", "test")
FLOW = {"task": pl.String, "step": pl.String, "stays": pl.Int64, "subjects": pl.Int64}


def hospital(run: str, config: dict[str, Any], key: str) -> None:
    """Writes the synthetic hospital.

    Raises:
        ConfigError: if its arguments are impossible.
    """
    from picme_hospital import ArgumentError, write_hospital

    source: Any = validate(config).source
    with Store(Path(run)).create("hospital", key, {"stays": source.stays, "seed": source.seed}) as folder:
        _empty(folder)
        try:
            write_hospital(folder, source.stays, source.seed, images=source.images, influence=source.influence)
        except ArgumentError as error:
            raise ConfigError(str(error)) from error


def prepare(run: str, config: dict[str, Any], key: str, hospital: str | None) -> None:
    """Writes cohorts, arrays, training statistics and the tables of what was left out.

    Raises:
        DataError: if the data cannot be used, or no stay is left.
    """
    study = validate(config)
    about: dict[str, Any] = {}
    with Store(Path(run)).create("prepare", key, about) as folder:
        _empty(folder)
        extraction = extract(study, folder / "scratch", Path(hospital) if hospital else None)
        flow = [extraction.flow]
        availability: list[dict[str, Any]] = []
        for name, view in extraction.views.items():
            view.stays = view.stays.with_columns(
                assign(view.stays, study.splits, pretraining=name == "pretrain").alias("split")
            )
            availability += _availability(name, view)
            flow.append(_require(name, view, study.require))
        quarantine = [] if extraction.quarantine is None else [extraction.quarantine]
        quarantine += _write(study, extraction, folder)
        flow += _drop_damaged(study, extraction, folder)
        labelled = not getattr(study.source, "unlabelled", False)
        _check(extraction, labelled)
        _statistics(study, folder, "train" if labelled else None)
        _tables(folder, extraction, flow, availability, quarantine)
        leakage(study, extraction).write_parquet(folder / "leakage.parquet")
        shutil.rmtree(folder / "scratch", ignore_errors=True)
        about |= {
            "stays": {name: len(view.stays) for name, view in extraction.views.items()},
            "labels": {name: view.labels for name, view in extraction.views.items()},
            "groups": {name: view.groups for name, view in extraction.views.items()},
            "notes": extraction.notes,
        }


def _availability(name: str, view: View) -> list[dict[str, Any]]:
    """How many stays of each split have each modality, before any is required."""
    split = view.stays.get_column("split").to_numpy()
    rows = []
    for modality, values in view.modalities.items():
        here = present(values)
        for part in SPLITS:
            inside = split == part
            rows.append(
                {
                    "task": name,
                    "modality": modality,
                    "split": part,
                    "stays_present": int(here[inside].sum()),
                    "stays_total": int(inside.sum()),
                }
            )
    return rows


def _require(name: str, view: View, rule: str) -> pl.DataFrame:
    """Keeps the stays that the rule admits and that are in a split; returns lines of the cohort flow."""
    steps = []
    inside = view.stays.get_column("split").is_not_null().to_numpy()
    _keep(view, inside)
    if not inside.all():
        steps.append(_step(name, "in a split", view.stays))
    count = np.sum([present(values) for values in view.modalities.values()], axis=0)
    _keep(view, count >= _needed(rule, len(view.modalities)))
    meaning = {"complete": "every modality present", "any": "at least two modalities present"}
    if rule in meaning:
        steps.append(_step(name, meaning[rule], view.stays))
    return pl.DataFrame(steps, schema=FLOW)


def _needed(rule: str, n_modalities: int) -> int:
    """How many modalities a stay must have."""
    return {"complete": n_modalities, "any": 2, "none": 0}[rule]


def _keep(view: View, keep: np.ndarray) -> None:
    if not keep.all():
        view.stays = view.stays.filter(pl.Series(keep))
        view.modalities = {name: take(values, keep) for name, values in view.modalities.items()}
        view.alternatives = {
            preset: {name: take(values, keep) for name, values in rows.items()}
            for preset, rows in view.alternatives.items()
        }


def _step(task: str, step: str, stays: pl.DataFrame) -> dict[str, Any]:
    return {"task": task, "step": step, "stays": stays.height, "subjects": stays.get_column("subject_id").n_unique()}


def _write(study: Config, extraction: Extraction, folder: Path) -> list[pl.DataFrame]:
    """Each modality of all views, so that what views share (texts, images) is kept once."""
    left_out = []
    for modality, config in study.modalities.items():
        rows = {name: view.modalities[modality] for name, view in extraction.views.items()}
        folders = {name: folder / "views" / name / modality for name in rows}
        found = write_views(config.kind, rows, folders, folder / "pool" / modality, **config.options())
        if found.height:
            left_out.append(found.select(pl.lit(modality).alias("modality"), "reason", pl.col("count").cast(pl.Int64)))
    return left_out


def _drop_damaged(study: Config, extraction: Extraction, folder: Path) -> list[pl.DataFrame]:
    """What could not be read is known only after writing; stays that no longer meet the rule leave their split."""
    flow = []
    for name, view in extraction.views.items():
        opened = [
            open_modality(config.kind, folder / "views" / name / modality, folder / "pool" / modality)
            for modality, config in study.modalities.items()
        ]
        count = np.sum([np.asarray(one.present, dtype=int) for one in opened], axis=0)
        fits = count >= _needed(study.require, len(opened))
        if not fits.all():
            split = pl.when(pl.Series(fits)).then(pl.col("split")).otherwise(None)
            view.stays = view.stays.with_columns(split.alias("split"))
            flow.append(pl.DataFrame([_step(name, "data readable", view.stays.filter(pl.Series(fits)))]))
        ordered = ["stay_id", "subject_id", "split", *view.groups, *view.labels]
        rest = [column for column in view.stays.columns if column not in ordered]
        target = folder / "views" / name
        target.mkdir(parents=True, exist_ok=True)
        view.stays.select(*ordered, *rest).write_parquet(target / "cohort.parquet")
    return flow


def _check(extraction: Extraction, labelled: bool) -> None:
    for name, view in extraction.views.items():
        inside = view.stays.filter(pl.col("split").is_not_null())
        if not inside.height:
            raise DataError(
                f"no stay is left for {name} with the modalities {', '.join(view.modalities)}; "
                "check the sources with `picme check`, or set require: any"
            )
        if not labelled:
            continue
        if "train" not in inside.get_column("split"):
            raise DataError(f"no stay of {name} is in the training split; choose other splits")
        extraction.notes += _one_class(name, view, inside)


def _one_class(name: str, view: View, inside: pl.DataFrame) -> list[str]:
    """Says which labels have one class only, or none, in a split.

    Raises:
        DataError: if no label of the task has two classes among the training stays.
    """
    said, learnable = [], not view.labels
    for label in view.labels:
        for split in SPLITS:
            values = inside.filter(pl.col("split") == split).get_column(label).drop_nulls().unique().to_list()
            if len(values) == 2:
                learnable |= split == "train"
            else:
                found = f"only {values[0]:g}" if values else "no value"
                said.append(
                    f"{name}: label {label!r} has {found} in split {split!r}, so its scores there are undefined"
                )
    if not learnable:
        labels = view.labels[0] if len(view.labels) == 1 else f"any of its {len(view.labels)} labels"
        raise DataError(f"task {name} has not both classes of {labels} among its training stays: nothing can be learnt")
    return said


def _statistics(study: Config, folder: Path, split: str | None) -> None:
    """Of training stays only, in the pretraining view; every view and strategy is normalised with them.

    New stays for a finished study are not normalised with their own: these only show whether units fit, so all count.
    """
    cohort = pl.read_parquet(folder / "views" / "pretrain" / "cohort.parquet")
    chosen = cohort.get_column("split").is_not_null() if split is None else cohort.get_column("split") == split
    train = np.flatnonzero(chosen.fill_null(False).to_numpy())
    statistics = {}
    for modality, config in study.modalities.items():
        opened = open_modality(config.kind, folder / "views" / "pretrain" / modality, folder / "pool" / modality)
        statistics[modality] = opened.fit(train[np.asarray(opened.present)[train]])
    (folder / "statistics.json").write_text(json.dumps(statistics), encoding="utf-8")


def _tables(
    folder: Path,
    extraction: Extraction,
    flow: list[pl.DataFrame],
    availability: list[dict[str, Any]],
    quarantine: list[pl.DataFrame],
) -> None:
    steps = pl.concat(
        [
            part.select("task", "step", pl.col("stays").cast(pl.Int64), pl.col("subjects").cast(pl.Int64))
            for part in flow
        ]
    )
    order = {name: number for number, name in enumerate(dict.fromkeys(steps.get_column("task").to_list()))}
    steps.sort(pl.col("task").replace_strict(order, return_dtype=pl.Int64), maintain_order=True).write_parquet(
        folder / "cohort_flow.parquet"
    )
    pl.DataFrame(availability).write_parquet(folder / "availability.parquet")
    if quarantine:
        columns = [pl.col("modality").cast(pl.String), pl.col("reason").cast(pl.String), pl.col("count").cast(pl.Int64)]
        pl.concat([part.select(columns) for part in quarantine]).write_parquet(folder / "quarantine.parquet")
    if extraction.label_agreement is not None:
        extraction.label_agreement.write_parquet(folder / "label_agreement.parquet")
    if extraction.audit is not None:
        extraction.audit.write_parquet(folder / "audit.parquet")


def _empty(folder: Path) -> None:
    """What an interrupted attempt left cannot be trusted."""
    for item in folder.iterdir():
        shutil.rmtree(item) if item.is_dir() else item.unlink()
