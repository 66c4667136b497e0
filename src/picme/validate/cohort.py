"""The other source of an external validation: opened or prepared, and held against what the models were trained on."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from picme.config.loading import load
from picme.errors import ConfigError, DataError
from picme.pipeline import Run
from picme.pipeline import run as run_pipeline
from picme.results.record import read_table
from picme.tasks import build as build_task
from picme.validate.persons import likeness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from picme.predict.new_stays import NewStays

# Files about data, by how their names start: MIMIC's dictionaries, and what lies beside any release.
ABOUT = ("d_items", "d_labitems", "d_icd_", "d_hcpcs", "license", "readme", "changelog", "sha256sums")


def is_run(given: str | Path) -> bool:
    """Return whether a cohort is given as a run folder; otherwise it is a configuration."""
    return (Path(given).expanduser() / "config.yaml").is_file()


def name_of(given: str | Path) -> str:
    """Return what a cohort is called: the name of its run folder, file or preset."""
    path = Path(given).expanduser()
    if is_run(given):
        return path.resolve().name
    return path.resolve().parent.name if path.name == "config.yaml" else path.stem


def open_cohort(given: str | Path, overrides: dict[str, Any], folder: Path, quiet: bool) -> Run:
    """Open a prepared cohort, or prepare the one that a configuration names.

    Every labelled stay is to be judged, so a source that can leave its stays undivided does.

    Args:
        given: a run folder whose prepare stage is done, a configuration file or a preset.
        overrides: of the configuration.
        folder: where a configuration's cohort is prepared.
        quiet: no progress on stderr.

    Raises:
        ConfigError: if it is neither, or overrides are given for a run folder.
        DataError: if its data cannot be used.
    """
    if is_run(given):
        if overrides:
            raise ConfigError(f"--set changes a configuration, and {given} is a run folder: it is taken as it is")
        source = Run.at(Path(given))
        if not source.store.done(source.design.prepare):
            raise DataError(f"{source.folder} has no prepared cohort; run `picme prepare` for it first")
        source.store.whole(source.design.prepare)
        return source
    if Path(given).expanduser().is_dir():
        raise ConfigError(f"--input {given} is a folder without config.yaml, expected a run folder or a configuration")
    config = load(str(given), overrides)
    if "unlabelled" in type(config.source).model_fields and "source.unlabelled" not in overrides:
        config = load(str(given), {**overrides, "source.unlabelled": True})
    return run_pipeline(config, folder, until="prepare", quiet=quiet)


def common_tasks(study: Run, source: Run, wanted: Sequence[str]) -> list[str]:
    """Return the tasks of a run that the other source has too, or those that are asked for.

    Raises:
        DataError: if the other source has none of them, or lacks one that is asked for.
    """
    found = [name for name in wanted or study.config.tasks if name in source.config.tasks]
    lacking = [name for name in wanted if name not in found]
    if lacking or not found:
        tasks = lacking[0] if lacking else " or ".join(study.config.tasks)
        raise DataError(f"{source.folder} has no task {tasks}, which the models predict")
    return found


def other_tasks(study: Run, source: Run, tasks: Sequence[str]) -> list[str]:
    """Return a sentence for each task that the other source declares otherwise under the same name.

    All that the declaration says is compared, and the code behind it. Another prediction time is refused by `fits`.
    """
    said = []
    for name in tasks:
        mine, given = (build_task(name, run.config.tasks[name]) for run in (study, source))
        differs = [one.name for one in fields(mine) if getattr(given, one.name, None) != getattr(mine, one.name)]
        codes = [run.design.prepare.code.get(f"tasks: {name}") for run in (study, source)]
        if type(given) is not type(mine) or codes[0] != codes[1]:
            differs.append("how its labels are made")
        if differs:
            said.append(
                f"task {name} is declared otherwise there ({', '.join(differs)}): its labels may mean something else"
            )
    return said


def cohort_of(prepared: Path, task: str) -> pl.DataFrame:
    """Return the prepared cohort of a task, its ids as text."""
    frame = read_table(prepared / "views" / task / "cohort.parquet")
    return frame.with_columns(pl.col("stay_id", "subject_id").cast(pl.String))


def trained_on(study: Run, source: Run, stays: NewStays, tasks: Sequence[str]) -> tuple[set[str], list[str]]:
    """Return the subjects of the other source that the run's models were trained or chosen on, and a sentence on that.

    An id means the same subject where the two have raw files of stays in common or are the same synthetic hospital,
    and otherwise where what both know of the subjects agrees: one hospital may come in two forms, and two hospitals
    may count their patients alike.

    Args:
        study: the run.
        source: the other source, prepared.
        stays: its stays in the form of the run's modalities.
        tasks: whose outcomes may be compared.
    """
    found: set[str] = set()
    for view in (*study.config.tasks, "pretrain"):
        cohort = cohort_of(study.prepared, view).filter(pl.col("split").is_in(["train", "val"]))
        found |= set(cohort["subject_id"].to_list())
    same = study.design.hospital is not None and study.design.hospital.key == getattr(source.design.hospital, "key", "")
    if same or _raw(study) & _raw(source):
        return found, []
    alike = likeness(study, stays, tasks, found)
    if not alike.ids:
        return set(), []
    many = f"{alike.ids} subject ids of the other source are also those of subjects that the models were trained on"
    if alike.same:
        told = f"what is known of them agrees for {alike.agreeing} of {alike.compared} that can be compared"
        return found, [f"{many}, and {told}: they are left out"]
    if alike.other:
        told = f"all that is known of them agrees for only {alike.agreeing} of {alike.compared} that can be compared"
        return set(), [f"{many}, but {told}: the persons differ, and are judged"]
    return set(), [f"{many}; whether they are the same persons could not be compared, and they are judged"]


def _raw(study: Run) -> set[str]:
    """Return what tells raw files of stays from others, wherever they lie.

    What describes data is left out, as hospitals share it: MEDS metadata, dictionaries of codes, rules, licences.
    """
    lists = (study.config.splits.test_list, study.config.splits.val_list)
    return {
        repr((path.name, one.get("size"), one.get("header") or one.get("tree")))
        for one in study.design.raw
        if not _describes(path := Path(str(one.get("path")))) and path not in lists
    }


def _describes(path: Path) -> bool:
    name = path.name.lower()
    return path.parent.name == "metadata" or name.startswith(ABOUT) or name.endswith((".yaml", ".yml", ".json"))
