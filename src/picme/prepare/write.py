"""Raw data turned into one row per stay and one array per modality."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.cohort.extract import extract
from picme.cohort.leakage import leakage_table
from picme.cohort.splits import assign_views, judge_division
from picme.engine.store import inside
from picme.errors import ConfigError
from picme.modalities import open_modality, write_views
from picme.prepare.audit import leakage
from picme.prepare.contents import judge_contents
from picme.prepare.presence import availability, patterns, what_stays_have, without
from picme.prepare.statistics import FILE, learnt_from, statistics
from picme.sources.rows import present, take

if TYPE_CHECKING:
    from pathlib import Path

    from picme.prepare.step import Hospital, Prepare
    from picme.schema import Extraction, View

# The group of a stay by what it has: scores of those that have everything are comparable with a study of these alone.
COMPLETENESS = "modalities"
FLOW = {"task": pl.String, "step": pl.String, "stays": pl.Int64, "subjects": pl.Int64}


def write_hospital(step: Hospital, folder: Path) -> dict[str, Any]:
    """Write the synthetic hospital of a step into its folder.

    Raises:
        ConfigError: if its arguments are impossible.
    """
    from picme_hospital import Absence, ArgumentError, CaseMix, ImageStyle, Planted
    from picme_hospital import write_hospital as write

    source = step.source
    _empty(folder)
    try:
        absence = Absence(source.absence, source.absence_slope)
        planted = None
        if source.influence is not None:
            planted = Planted(source.influence, source.redundancy, source.synergy)
        write(
            folder,
            source.stays,
            source.seed,
            source.images,
            planted=planted,
            absence=absence,
            case_mix=CaseMix(source.case_mix, source.mortality),
            style=ImageStyle(**source.image_style) if source.image_style else None,
        )
    except ArgumentError as error:
        raise ConfigError(str(error)) from error
    return {"stays": source.stays, "seed": source.seed}


def write_cohort(step: Prepare, folder: Path, hospital: Path | None) -> dict[str, Any]:
    """Write cohorts, arrays, training statistics and the tables of what was left out.

    Args:
        step: says what is read, and how.
        folder: of the artifact.
        hospital: where a synthetic source has been written.

    Returns:
        What the manifest says: the views' stays, labels and groups, and notes for the report.

    Raises:
        DataError: if the data cannot be used, or no stay is left.
    """
    _empty(folder)
    extraction = extract(step, folder / "scratch", hospital)
    flow = [extraction.flow]
    had: dict[str, pl.DataFrame] = {}
    division = assign_views({name: view.stays for name, view in extraction.views.items()}, step.splits)
    extraction.notes += division.notes
    for name, view in extraction.views.items():
        found = division.stays.filter(pl.col("view") == name)
        view.stays = view.stays.with_columns(found.get_column("split"))
        had[name] = what_stays_have(view)
        left = found.get_column("left").to_numpy()
        flow.append(pl.DataFrame(_leave(name, view, left, division.reasons), schema=FLOW))
        flow.append(_require(name, view, step.require))
    quarantine = [] if extraction.quarantine is None else [extraction.quarantine]
    quarantine += _write(step, extraction, folder)
    flow += _drop_damaged(step, extraction, folder, had)
    learnt = learnt_from(step)
    for name, view in extraction.views.items():
        extraction.notes += judge_division(name, view.stays, view.labels, view.modalities, learnt is not None)
    (folder / FILE).write_text(json.dumps(statistics(step, folder, learnt)), encoding="utf-8")
    _tables(folder, extraction, flow, quarantine)
    availability(had).write_parquet(folder / "availability.parquet")
    patterns(had).write_parquet(folder / "presence.parquet")
    audit = leakage_table(leakage(step.cohort.notes.mode, extraction), judge_contents(step, folder))
    audit.write_parquet(folder / "leakage.parquet")
    shutil.rmtree(folder / "scratch", ignore_errors=True)
    return {
        "stays": {name: len(view.stays) for name, view in extraction.views.items()},
        "labels": {name: view.labels for name, view in extraction.views.items()},
        "groups": {name: view.groups for name, view in extraction.views.items()},
        "notes": extraction.notes,
    }


def _leave(name: str, view: View, left: np.ndarray, reasons: list[str]) -> list[dict[str, Any]]:
    """Take out the stays that the division leaves out; return a line of the cohort flow for each reason."""
    steps = []
    for reason in reasons:
        kept = left != reason
        if not kept.all():
            _keep(view, kept)
            left = left[kept]
            steps.append(_step(name, reason, view.stays))
    return steps


def _require(name: str, view: View, rule: str) -> pl.DataFrame:
    """Keep the stays that the rule admits and that are in a split; return lines of the cohort flow."""
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
    """Return how many modalities a stay must have."""
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


def _write(step: Prepare, extraction: Extraction, folder: Path) -> list[pl.DataFrame]:
    """Write each modality of all views at once, so that what views share (texts, images) is kept once."""
    left_out = []
    for modality in step.modalities:
        kind, options = step.kind_of(modality)
        rows = {name: view.modalities[modality] for name, view in extraction.views.items()}
        folders = {name: inside(folder / "views", name, modality) for name in rows}
        found = write_views(kind, rows, folders, inside(folder / "pool", modality), **options)
        if found.height:
            left_out.append(found.select(pl.lit(modality).alias("modality"), "reason", pl.col("count").cast(pl.Int64)))
    return left_out


def _drop_damaged(
    step: Prepare, extraction: Extraction, folder: Path, had: dict[str, pl.DataFrame]
) -> list[pl.DataFrame]:
    """Take stays that no longer meet the rule out of their split: what cannot be read is known only after writing.

    What cannot be read is not available either, so `had` is corrected.
    """
    flow = []
    for name, view in extraction.views.items():
        opened = [
            open_modality(step.kind_of(modality)[0], folder / "views" / name / modality, folder / "pool" / modality)
            for modality in step.modalities
        ]
        readable = [np.asarray(one.present, dtype=bool) for one in opened]
        for modality, here in zip(step.modalities, readable, strict=True):
            damaged = view.stays.get_column("stay_id").filter(pl.Series(present(view.modalities[modality]) & ~here))
            had[name] = without(had[name], modality, damaged)
        count = np.sum(readable, axis=0)
        fits = count >= _needed(step.require, len(opened))
        if not fits.all():
            split = pl.when(pl.Series(fits)).then(pl.col("split")).otherwise(None)
            view.stays = view.stays.with_columns(split.alias("split"))
            flow.append(pl.DataFrame([_step(name, "data readable", view.stays.filter(pl.Series(fits)))]))
        if step.require != "complete" and COMPLETENESS not in view.stays.columns:
            whole = pl.when(pl.Series(count == len(opened))).then(pl.lit("all")).otherwise(pl.lit("some missing"))
            view.stays = view.stays.with_columns(whole.alias(COMPLETENESS))
            view.groups = [*view.groups, COMPLETENESS]  # a source may give all views one list
        ordered = ["stay_id", "subject_id", "split", *view.groups, *view.labels]
        rest = [column for column in view.stays.columns if column not in ordered]
        target = folder / "views" / name
        target.mkdir(parents=True, exist_ok=True)
        view.stays.select(*ordered, *rest).write_parquet(target / "cohort.parquet")
    return flow


def _tables(
    folder: Path,
    extraction: Extraction,
    flow: list[pl.DataFrame],
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
    if quarantine:
        columns = [pl.col("modality").cast(pl.String), pl.col("reason").cast(pl.String), pl.col("count").cast(pl.Int64)]
        pl.concat([part.select(columns) for part in quarantine]).write_parquet(folder / "quarantine.parquet")
    if extraction.label_agreement is not None:
        extraction.label_agreement.write_parquet(folder / "label_agreement.parquet")
    if extraction.event_rows is not None and extraction.event_rows.height:
        extraction.event_rows.write_parquet(folder / "event_rows.parquet")
    if extraction.audit is not None:
        extraction.audit.write_parquet(folder / "audit.parquet")


def _empty(folder: Path) -> None:
    """Empty a folder, since what an interrupted attempt left of a cohort cannot be trusted."""
    for item in folder.iterdir():
        shutil.rmtree(item) if item.is_dir() else item.unlink()
