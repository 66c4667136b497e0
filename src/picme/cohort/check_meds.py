"""Check of a MEDS data set: its files, stays, splits, codes that feed nothing, and what can be studied with it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from picme.cohort.check import SCHEMA
from picme.cohort.demographics import group_columns
from picme.cohort.extract import by_file
from picme.cohort.hospital import DEMOGRAPHICS, EVENTS, IMAGES, NOTES, check_table
from picme.cohort.meds import TABLES, MedsHospital, divider_of
from picme.cohort.mimic import plan_from
from picme.cohort.notes import PLAIN
from picme.cohort.splits import assign_views, judge_division
from picme.errors import ConfigError, DataError
from picme.sources.meds_codes import numbered
from picme.sources.meds_files import MedsFiles, read_labels
from picme.tasks import build

if TYPE_CHECKING:
    from picme.config.study import Config

UNMAPPED = 20
"""The number of codes listed that feed nothing."""
FEWEST = 10
"""Codes of fewer events are not listed: they may hold what was written of one patient."""
_LONGEST = 60
CALLED = {"ethnicity": "race"}
"""A demographic column → its name in the data, where the two differ."""


def check(config: Config) -> pl.DataFrame:
    """List what a data set has, which codes feed nothing, and which tasks and modalities that allows.

    Returns:
        The columns of `cohort.check.check`; items `table`, `stays`, `channel`, `unmapped code`, `labels`, `task` and
        `modality`; and `cohort`, which is impossible, where preparing would refuse the data, with its sentence.

    Raises:
        ConfigError: if the data set cannot be read with this configuration.
    """
    modalities = {name: dict(section) for name, section in config.modalities.items()}
    with tempfile.TemporaryDirectory() as scratch:
        try:
            hospital = MedsHospital.open(config.source, config.cohort, modalities, Path(scratch))
        except DataError as error:
            return pl.DataFrame([_refused(error)], schema=SCHEMA)
        rows = [*_files(hospital.files, config.source.subject_splits), *_stays(hospital, config)]
        counts = _code_counts(hospital.files)
        rows += _channels(hospital, config, modalities, counts)
        used, possible = _modalities(hospital, config, modalities)
        rows += _unmapped(hospital, counts, used)
        tasks = _tasks(hospital, config)
        rows += _views(hospital, config, [row["name"] for row in tasks if row["status"] == "possible"])
    rows += tasks
    return pl.DataFrame([*rows, *possible], schema=SCHEMA, orient="row")


def _files(files: MedsFiles, splits_used: bool) -> list[dict[str, Any]]:
    about = [str(files.dataset[key]) for key in ("dataset_name", "dataset_version") if files.dataset.get(key)]
    rows: list[dict[str, Any]] = [
        {
            "item": "table",
            "name": "events",
            "status": "ok",
            "release": " ".join(about) or None,
            "file": str(files.path / "data"),
            "rows": files.rows,
            "detail": "; ".join([f"{len(files.shards)} files, layout {files.name}", *files.notes]),
        }
    ]
    splits: dict[str, Any] = {"item": "table", "name": "subject_splits"}
    try:
        found = files.subject_splits()
    except DataError as error:
        return [*rows, {**splits, "status": "missing", "detail": str(error)}]
    parts = ", ".join(
        f"{name or 'another'} {count}" for name, count in found["split"].value_counts().sort("split").iter_rows()
    )
    use = "they divide the study" if splits_used else "not used: `splits` divides (source.subject_splits)"
    return [*rows, {**splits, "status": "ok", "rows": found.height, "detail": f"subjects: {parts}; {use}"}]


def _stays(hospital: MedsHospital, config: Config) -> list[dict[str, Any]]:
    release = hospital.release
    admissions = release.read("admissions", ["subject_id", "admittime", "hadm_id"], ["race", *_static(config)])[0]
    stays = release.read("icustays", ["subject_id", "intime"])[0]
    subjects = len(release.kept.subjects)
    rows: list[dict[str, Any]] = [{"item": "stays", "name": "subjects", "status": "ok", "rows": subjects}]
    several = int((admissions.group_by("subject_id").len()["len"] > 1).sum())
    single = (
        "each subject has one hospital admission only: where the data do not tell that two admissions are of one "
        "patient (as in eICU), splits by subject may not separate patients"
    )
    for name, table, time, detail in (
        ("admissions", admissions, "admittime", None if several else single),
        ("icustays", stays, "intime", None),
    ):
        first, last = table[time].min(), table[time].max()
        dates = {"first": str(first)[:10], "last": str(last)[:10]} if table.height else {}
        rows.append({"item": "stays", "name": name, "status": "ok", "rows": table.height, "detail": detail, **dates})
    rows += [
        {"item": "stays", "name": "left out or odd", "status": "differs", "rows": count, "detail": reason}
        for reason, count in sorted(release.quarantine.items())
    ]
    return rows


def _static(config: Config) -> list[str]:
    wanted = [CALLED.get(name, name) for name in config.cohort.demographics.columns]
    return [name for name in wanted if name not in ("age", "gender", "race", "anchor_year_group", "first_careunit")]


def _code_counts(files: MedsFiles) -> pl.DataFrame:
    """Count the events of each code: code, events, numbers (of them those with a numeric value)."""
    numbers = pl.col("numeric_value").count()
    found = files.scan(["code", "numeric_value"]).group_by("code").agg(events=pl.len(), numbers=numbers)
    return files.collect(found)[0].drop_nulls("code")


def _channels(
    hospital: MedsHospital, config: Config, modalities: dict[str, Any], counts: pl.DataFrame
) -> list[dict[str, Any]]:
    """Describe each channel: the number of its events and codes."""
    names = [
        options.get("channels") or config.cohort.channel_set
        for options in modalities.values()
        if options["table"] == EVENTS
    ]
    fed = hospital.release.measured.join(counts, on="code", how="inner")
    rows = []
    for name in dict.fromkeys(names):
        for channel in hospital.channels(name).channels:
            mine = fed.filter(pl.col("itemid").is_in([item.itemid for item in channel.items]))
            units = sorted({unit for unit in mine["unit"].drop_nulls() if unit != "UNK"})
            detail = f"{mine.height} codes" + (f", units {', '.join(units)}" if units else "")
            rows.append(
                {
                    "item": "channel",
                    "name": channel.name,
                    "status": "ok" if mine.height else "missing",
                    "rows": int(mine["events"].sum()),
                    "detail": detail if mine.height else "no code feeds it: it keeps its normal value",
                }
            )
    return rows


def _modalities(
    hospital: MedsHospital, config: Config, modalities: dict[str, Any]
) -> tuple[set[str], list[dict[str, Any]]]:
    """Tell which codes texts and images use, and for each modality whether it can be made."""
    used: set[str] = set()
    rows: list[dict[str, Any]] = []
    for name, options in modalities.items():
        table = str(options["table"])
        detail = None
        try:
            check_table(name, table, TABLES)
            if table in (*NOTES, PLAIN, IMAGES):
                used |= set(hospital.codes_of(options)["code"])
            if table in (*NOTES, PLAIN) and "text_value" not in hospital.files.columns:
                detail = "needs a column text_value"
            if table == IMAGES and (hospital.files.column(options.get("column")) or hospital.files.image_path) is None:
                detail = "needs a column with the paths of images"
        except (ConfigError, DataError) as error:
            detail = f"cannot be read: {error}"
        rows.append(
            {"item": "modality", "name": name, "status": "impossible" if detail else "possible", "detail": detail}
        )
        if table == DEMOGRAPHICS:
            rows[-1]["detail"] = _empty(hospital, config)
    return used, rows


def _empty(hospital: MedsHospital, config: Config) -> str | None:
    """Name the demographic columns that the events tell of nobody."""
    columns = _static(config)
    table = hospital.release.read("admissions", ["hadm_id"], ["race", *columns])[0]
    if "race" not in [CALLED.get(name, name) for name in config.cohort.demographics.columns]:
        table = table.drop("race")
    nobody = [name for name in table.columns if table[name].null_count() == table.height]
    return f"the events tell of nobody: {', '.join(nobody)}" if nobody else None


def _unmapped(hospital: MedsHospital, counts: pl.DataFrame, used: set[str]) -> list[dict[str, Any]]:
    """List the most frequent codes with numbers that no channel, stay, text or image uses."""
    release = hospital.release
    roles = {code for found in release.roles.values() for code in found["code"]}
    known = {*release.measured["code"], *roles, *used}
    free = counts.filter(~pl.col("code").is_in(list(known)), pl.col("numbers") >= FEWEST)
    top = free.sort("numbers", "code", descending=[True, False]).head(UNMAPPED)
    units = dict(numbered(top["code"], hospital.files.layout).select("code", "unit").iter_rows()) if top.height else {}
    units |= _unit_column(hospital.files, top["code"].to_list())
    subjects = _subjects(hospital.files, top["code"].to_list())
    rows: list[dict[str, Any]] = [
        {
            "item": "unmapped code",
            "name": code[:_LONGEST],
            "status": "unused",
            "rows": events,
            "detail": f"{numbers} numbers, {_many(subjects.get(code, 0))}"
            + (f", unit {units[code]}" if units.get(code) else ""),
        }
        for code, events, numbers in top.iter_rows()
    ]
    more = free.height - top.height
    if more:
        rest = int(free["events"].sum()) - int(top["events"].sum())
        detail = f"{more} further codes with numbers"
        rows.append({"item": "unmapped code", "name": "others", "status": "unused", "rows": rest, "detail": detail})
    return rows


def _subjects(files: MedsFiles, codes: list[str]) -> dict[str, int]:
    """Count the subjects of each of a few codes."""
    pairs = files.scan(["code", "subject_id"]).filter(pl.col("code").is_in(codes)).drop_nulls().unique()
    return dict(files.collect(pairs.group_by("code").len())[0].iter_rows()) if codes else {}


def _many(subjects: int) -> str:
    return f"fewer than {FEWEST} subjects" if subjects < FEWEST else f"{subjects} subjects"


def _unit_column(files: MedsFiles, codes: list[str]) -> dict[str, str]:
    """Find the most frequent unit of codes in the layout's column of units."""
    column = files.column(files.layout.unit)
    if column is None or not codes:
        return {}
    found = files.scan(["code", column]).filter(pl.col("code").is_in(codes)).drop_nulls()
    table = files.collect(found.group_by("code", column).len())[0].sort("len", column)
    return dict(table.unique("code", keep="last").select("code", column).iter_rows())


def _views(hospital: MedsHospital, config: Config, own: list[str]) -> list[dict[str, Any]]:
    """Plan and divide the study's views as preparing does, and describe the files of labels.

    Args:
        hospital: the data set.
        config: the study.
        own: the tasks that make their own labels and have their tables.
    """
    _, files = by_file(config.tasks)
    try:
        divider_of(config.source, config.splits)
        planned = plan_from(hospital, config.cohort, own, config.pretrain.window, files)
        views = {plan.name: plan.stays.with_columns(group_columns(plan.stays)) for plan in planned.plans}
        if config.source.subject_splits:
            views = {name: hospital.divided(stays) for name, stays in views.items()}
        division = assign_views(views, config.splits).stays
        for plan in planned.plans:
            split = division.filter(pl.col("view") == plan.name)["split"]
            judge_division(plan.name, plan.stays.with_columns(split), plan.labels, config.modalities)
    except (ConfigError, DataError) as error:
        return [_refused(error)]
    left_out = [(reason, count) for of, reason, count in planned.notices.quarantine if of == "labels"]
    return [_labels(name, file, left_out) for name, file in files.items()]


def _refused(error: Exception) -> dict[str, Any]:
    return {"item": "cohort", "name": "stays", "status": "impossible", "detail": str(error)}


def _labels(name: str, file: Path, left_out: list[tuple[str, int]]) -> dict[str, Any]:
    """Describe a file of labels, and say how many of them cannot be used and why."""
    labels = read_labels(file)
    detail = f"{int(labels['label'].sum())} positive, {labels['subject_id'].n_unique()} subjects"
    of_task = f"{name}: "
    unusable = [(reason.removeprefix(of_task), count) for reason, count in left_out if reason.startswith(of_task)]
    if unusable:
        lost = sum(count for _, count in unusable)
        detail += f"; {lost} of {labels.height} cannot be used: " + ", ".join(
            f"{why} {count}" for why, count in unusable
        )
    row = {"item": "labels", "name": name, "status": "differs" if unusable else "ok"}
    return {**row, "file": str(file), "rows": labels.height, "detail": detail}


def _tasks(hospital: MedsHospital, config: Config) -> list[dict[str, Any]]:
    """Tell for each task that makes its own labels whether its tables are there."""
    rows: list[dict[str, Any]] = []
    there = hospital.release.tables()
    for name, section in config.tasks.items():
        if section.file is None:
            lacking = [table for table in build(name, section).tables if table not in there]
            detail = f"needs {', '.join(lacking)}" if lacking else None
            status = "impossible" if lacking else "possible"
            rows.append({"item": "task", "name": name, "status": status, "detail": detail})
    return rows
