"""External validation: a finished run applied to labelled stays of another source, and judged there."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.engine.faults import naming_faults
from picme.engine.progress import Parts
from picme.engine.store import private, write_json
from picme.errors import ConfigError, DataError
from picme.evaluate.tables import evaluate
from picme.modalities import open_modality
from picme.pipeline import Run
from picme.report.external import write_page
from picme.results.origin import origin
from picme.results.record import result_table, result_tables
from picme.results.tables import EXTERNAL, table
from picme.results.write import write_results
from picme.tasks import build as build_task
from picme.validate.applied import Cell, cells_of, predictions_of
from picme.validate.cohort import cohort_of, common_tasks, is_run, name_of, open_cohort, other_tasks, trained_on
from picme.validate.harmonise import harmonise, variable_rows
from picme.validate.judge import beside, both_sides, external_rows, opened
from picme.validate.local import local_rows
from picme.validate.shift import Side, classifier_rows, presence_rows, shift_rows
from picme.validate.subsets import subset_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from picme.config.evaluate import EvaluateConfig
    from picme.predict.new_stays import NewStays

__all__ = ["Validated", "validate"]

OF_SUBSETS: tuple[str, ...] = ("value", "sufficient")
"""The run's own tables that predictions of every subset are held against."""
JUDGED, NO_LABEL, TRAINED_ON = "judged", "without an outcome", "a subject that the models were trained on"


@dataclass(frozen=True)
class Validated:
    """An external validation.

    Attributes:
        folder: where its tables and its page are.
        tables: the tables by name.
        notes: sentences on how the stays differ from the training stays, and on what was left out.
    """

    folder: Path
    tables: dict[str, pl.DataFrame]
    notes: tuple[str, ...]

    @property
    def page(self) -> Path:
        """The page."""
        return self.folder / "external.html"


def validate(
    run: str | PathLike[str],
    cohort: str | PathLike[str],
    *,
    overrides: Mapping[str, Any] | None = None,
    tasks: Sequence[str] = (),
    strategies: Sequence[str] = (),
    combinations: Sequence[str] = (),
    out: str | PathLike[str] | None = None,
    quiet: bool = True,
) -> Validated:
    """Apply a finished run to labelled stays of another source, judge it there, and write tables and a page.

    Args:
        run: the run folder.
        cohort: a run folder whose prepare stage is done, or a configuration (a file or a preset) of the other source,
            whose cohort is then prepared. All its labelled stays are judged, whatever their split; subjects that the
            models were trained on are left out, where it shares raw files with the run or subjects with the same ids
            are the same persons by what is known of them.
        overrides: of the configuration: `{"source.path": "set-b"}`.
        tasks: the tasks to judge; every common one if not given.
        strategies: the strategies to judge; every one whose models were kept if not given. Recalibration is for cells
            that are named, or for those that the run chose.
        combinations: the combinations to judge; every one if not given.
        out: folder of the results; `external/NAME` in the run folder, by the cohort's name, if not given.
        quiet: no progress on stderr.

    Raises:
        ConfigError: for a name that the run does not have, or a cohort that is neither.
        DataError: if the cohort does not fit the models, has no outcomes, or something is missing or damaged.
    """
    given = cohort if isinstance(cohort, str) else Path(cohort)
    study = Run.at(run)
    folder = (Path(out) if out is not None else study.folder / "external" / name_of(given)).expanduser().resolve()
    if folder.is_file():
        raise ConfigError(f"--out {folder} is a file, expected a folder")
    if folder == study.folder or (is_run(folder) and not (folder / "external.json").is_file()):
        raise ConfigError(f"--out {folder} is a run folder; choose one of its own for the validation")
    cells, left_out = cells_of(study, tasks or list(study.config.tasks), strategies, combinations)
    with private(), naming_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        source = open_cohort(given, dict(overrides or {}), folder / "cohort", quiet)
        common = common_tasks(study, source, tasks)
        cells = [cell for cell in cells if cell.task in common]
        with tempfile.TemporaryDirectory(dir=folder) as scratch, Parts(quiet, "validate") as progress:
            tables, notes = _tables(study, source, cells, bool(strategies or combinations), Path(scratch), progress)
        write_results(tables, folder / "results")
        said = [*left_out, *notes]
        about: dict[str, Any] = {
            **origin(),
            "run": study.folder.name,
            "cohort": name_of(given),
            "notes": said,
            "confidence": study.config.evaluate.confidence,
            "margin": study.config.evaluate.margin,
        }
        write_json(folder / "external.json", about)
        write_page(folder / "external.html", tables, about, study.tree)
    return Validated(folder, tables, tuple(said))


def _tables(
    study: Run, source: Run, cells: Sequence[Cell], named: bool, scratch: Path, progress: Parts
) -> tuple[dict[str, pl.DataFrame], list[str]]:
    """Return all tables, and notes."""
    tasks = list(dict.fromkeys(cell.task for cell in cells))
    stays, matches = harmonise(study, source, tasks, scratch)
    seen, of_subjects = trained_on(study, source, stays, tasks)
    places = {task: _places(study, stays, task, seen) for task in tasks}
    judged = {task: where == JUDGED for task, where in places.items()}
    for task in tasks:
        if not judged[task].any():
            why = dict(zip(*np.unique(places[task], return_counts=True), strict=True))
            raise DataError(
                f"no stay of {source.folder} can be judged for task {task}: "
                + ", ".join(f"{count} {what}" for what, count in why.items())
            )
    variables = variable_rows(matches, judged)
    predictions, notes = predictions_of(study, cells, stays, judged, progress)
    notes = [*other_tasks(study, source, tasks), *of_subjects, *notes]
    config = study.config.evaluate
    cohorts = {task: cohort_of(stays.prepared, task).filter(pl.Series(judged[task])) for task in tasks}
    there, joint, own, mine = both_sides(study, cells, predictions, cohorts)
    types = {label: kind for task in tasks for label, kind in build_task(task, study.config.tasks[task]).types}
    draws = study.config.pretrain.seeds
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in EXTERNAL}
    rows["external_variables"] = variables
    for task in tasks:
        of_task = [cell for cell in cells if cell.task == task]
        external = opened(there, task, joint[task], draws)
        found, internal = external_rows(external, opened(own, task, mine[task], draws), of_task, config)
        rows["external"] += found
        for cell in [cell for cell in internal if named or cell.selected]:
            one = external.cell(cell.combination, cell.strategy)
            measured = local_rows(
                one.y["test"], one.calibrated, external.stays["test"].subject, config.confidence, config.seed
            )
            for row, told in measured:
                rows["external"].append({**cell._asdict(), **row, **beside(told, internal[cell][row["metric"]])})
        there_are = result_tables(study.folder)
        kept = {name: result_table(study.folder, name) for name in OF_SUBSETS if name in there_are}
        costs = {name: section.cost for name, section in study.config.modalities.items()}
        for name, row in subset_rows(external, tuple(study.config.modalities), costs, kept, config):
            rows[name].append(row)
        sides = _sides(study, stays, task, judged[task], variables)
        for name, each in (
            ("shift", shift_rows(*sides, int(config.min_group))),
            ("shift_presence", presence_rows(*sides, config.confidence)),
            ("shift_classifier", classifier_rows(*sides, config)),
        ):
            rows[name] += [{"task": task, **row} for row in each]
        for place, count in zip(*np.unique(places[task], return_counts=True), strict=True):
            rows["external_stays"].append({"task": task, "place": str(place), "stays": int(count)})
    made = {name: table(name).frame(each) for name, each in rows.items()}
    judged_there = there.filter(pl.col("task").is_in(tasks))
    made |= evaluate(judged_there, joint, _groups(config, cohorts), types, draws)
    made["predictions"] = table("predictions").conform(there.filter(pl.col("split") == "test"))
    return {name: frame for name, frame in made.items() if frame.height}, notes


def _places(study: Run, stays: NewStays, task: str, seen: set[str]) -> np.ndarray:
    """Return what becomes of each stay of a task (stay,).

    Raises:
        DataError: if the cohort lacks a label that the models predict.
    """
    cohort = cohort_of(stays.prepared, task)
    labels = build_task(task, study.config.tasks[task]).labels
    lacking = [label for label in labels if label not in cohort.columns]
    if lacking:
        raise DataError(f"task {task} of {stays.folder} has no label {lacking[0]!r}, which the models predict")
    known = cohort.select(pl.any_horizontal(pl.col(*labels).is_not_null())).to_series().to_numpy()
    place = np.full(cohort.height, JUDGED, dtype=object)
    place[~known] = NO_LABEL
    place[cohort["subject_id"].is_in(list(seen)).to_numpy()] = TRAINED_ON
    place[cohort["split"].is_null().to_numpy()] = "left out of every split"
    return place.astype(str)


def _groups(config: EvaluateConfig, cohorts: Mapping[str, pl.DataFrame]) -> EvaluateConfig:
    """Return the settings without subgroups for which the other source has no column."""
    known = set.intersection(*(set(cohort.columns) for cohort in cohorts.values()))
    return config.model_copy(
        update={
            "groups": tuple(name for name in config.groups if name in known),
            "crossed": tuple(names for names in config.crossed if known.issuperset(names)),
        }
    )


def _sides(
    study: Run, stays: NewStays, task: str, judged: np.ndarray, variables: Sequence[Mapping[str, Any]]
) -> tuple[Side, Side]:
    """Return the run's training stays and the judged stays of the other source, as they are compared.

    Variables that the other source lacks altogether are left out: they are in `external_variables`.
    """
    cohort = cohort_of(study.prepared, task)
    train = np.flatnonzero((cohort["split"] == "train").fill_null(False).to_numpy())
    names = list(study.config.modalities)
    absent = {
        name: [
            row["variable"]
            for row in variables
            if (row["task"], row["modality"], row["status"]) == (task, name, "absent")
        ]
        for name in names
    }
    subjects = cohort_of(stays.prepared, task)["subject_id"].to_numpy()
    sides = ((study, train, cohort["subject_id"].to_numpy()), (stays, np.flatnonzero(judged), subjects))
    here, there = (_side(of, task, rows, subject[rows], absent) for of, rows, subject in sides)
    return here, there


def _side(
    of: Run | NewStays, task: str, rows: np.ndarray, subject: np.ndarray, absent: Mapping[str, Sequence[str]]
) -> Side:
    described, present = {}, {}
    for name, lacking in absent.items():
        folder = of.prepared / "views" / task / name
        present[name] = np.zeros(len(rows), dtype=bool)
        if folder.is_dir():
            one = open_modality(of.config.modalities[name].kind, folder, of.prepared / "pool" / name)
            columns = one.described(rows)
            # A column is a variable, or `minimum of x`, `mean of mask->x` and the like.
            own = [
                column for column in columns.columns if re.split(r" of (?:mask->|since->)?", column)[-1] not in lacking
            ]
            described[name], present[name] = columns.select(own), np.asarray(one.present, dtype=bool)[rows]
    return Side(described, present, subject)
