"""Extraction of the MIMIC releases and of hospitals like them: stays, labels, and each modality up to its cut-off."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.cohort.audit import kept_by
from picme.cohort.death import death
from picme.cohort.demographics import group_columns, table_rows
from picme.cohort.hospital import DEMOGRAPHICS, EVENTS, IMAGES, TEXTS, MimicHospital, check_input
from picme.cohort.label_files import plan_labels
from picme.cohort.notes import MODES, NoteResult
from picme.cohort.notices import Notices
from picme.cohort.plans import HOUR, Plan, make_labels, make_plans
from picme.cohort.stays import DIVIDERS, read_stays
from picme.cohort.timeseries import Observation, ViewSeries, build_series
from picme.config.cohort import GROUPS
from picme.errors import ConfigError, near
from picme.schema import Extraction, Rows, SeriesRows, View
from picme.sources.meds_files import read_labels
from picme.sources.rows import take
from picme.tasks import load_for_mimic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from picme.cohort.hospital import Hospital
    from picme.cohort.images import ImageResult
    from picme.cohort.stays import Cohort
    from picme.config.cohort import CohortConfig, MimicSource

Modalities = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Planned:
    """The views of a study before any modality is read.

    Attributes:
        people: the eligible stays.
        plans: a view for each task, and `pretrain`.
        every: all stays and samples that measurements are wanted of.
        agreement: how two definitions of labels agree, where a task compares them.
        notices: what was left out so far, and sentences.
    """

    people: Cohort
    plans: list[Plan]
    every: pl.DataFrame
    agreement: pl.DataFrame | None
    notices: Notices


def extract(
    source: MimicSource,
    cohort: CohortConfig,
    modalities: Modalities,
    tasks: Sequence[str],
    window_hours: float,
    scratch: Path,
    divider: str | None = None,
    labels: Mapping[str, Path] | None = None,
) -> Extraction:
    """Extract all views of a study on the MIMIC releases: one per task, and `pretrain`.

    Args:
        source: the folders of the releases.
        cohort: the rules.
        modalities: name → {"table": one of chartevents, discharge, radiology, cxr, demographics; for chartevents
            optionally "channels": its own channel set}.
        tasks: names of registered tasks that make labels from MIMIC's tables.
        window_hours: end of the pretraining window after ICU admission.
        scratch: folder for spilled measurements and memory-mapped arrays; the caller removes it when all is written.
        divider: the column that the splits go by, which the views' stays then have.
        labels: further tasks, and the file of labels of each.

    Raises:
        ConfigError: for an unknown table, task, channel set or column of splits.
        DataError: for data that are absent or unusable.
    """
    for name, options in modalities.items():
        check_input(name, options.get("table"), source)
    check_divider(divider)
    return extract_from(MimicHospital(source), cohort, modalities, tasks, window_hours, scratch, divider, labels or {})


def check_divider(divider: str | None) -> None:
    """Check that the stays have the column that the splits go by.

    Raises:
        ConfigError: if they do not.
    """
    if divider is not None and divider not in (*DIVIDERS, *GROUPS):
        raise ConfigError(
            f"splits.column: stays of MIMIC have no column {divider!r}{near(divider, (*DIVIDERS, *GROUPS))}"
        )


def extract_from(
    hospital: Hospital,
    cohort: CohortConfig,
    modalities: Modalities,
    tasks: Sequence[str],
    window_hours: float,
    scratch: Path,
    divider: str | None,
    labels: Mapping[str, Path],
) -> Extraction:
    """Extract all views of a study from a hospital; the arguments are those of `extract`."""
    carried = [divider] if divider in DIVIDERS else []
    planned = plan_from(hospital, cohort, tasks, window_hours, labels)
    people, plans, notices = planned.people, planned.plans, planned.notices
    series = _series(hospital, cohort, modalities, planned.every, plans, scratch, notices)
    stays = {plan.name: _with_cutoffs(plan, cohort) for plan in plans}
    texts = _texts(hospital, cohort, modalities, people.stays["subject_id"], stays)
    images = _images(hospital, cohort, modalities, people.stays["subject_id"], stays)
    views, lines = {}, []
    for plan in plans:
        name = plan.name
        found: dict[str, Any] = {modality: views_of[name] for modality, views_of in texts.items()}
        found |= {modality: views_of[name] for modality, views_of in images.items()}
        arrays = {modality: views_of[name].rows for modality, views_of in series.items()}
        views[name] = _view(plan, stays[name], cohort, modalities, arrays, found, notices, carried)
        if plan.task is not None:
            rule = kept_by(cohort.extraction == "benchmark", plan.task, cohort)
            notices.take_presence(name, views[name].stays, rule)
        lines += [(name, *line) for line in plan.flow.lines]
    notices.take_contradictions(people, cohort)
    return Extraction(
        views=views,
        flow=pl.DataFrame(lines, schema=["task", "step", "stays", "subjects"], orient="row"),
        label_agreement=planned.agreement,
        notes=notices.notes,
        **notices.tables(),
    )


def plan_from(
    hospital: Hospital, cohort: CohortConfig, tasks: Sequence[str], window_hours: float, labels: Mapping[str, Path]
) -> Planned:
    """Read the stays and labels of a study from a hospital; the arguments are those of `extract`.

    Raises:
        ConfigError: for an unknown task.
        DataError: if no stay or no label can be used.
    """
    release = hospital.release
    declared = {name: load_for_mimic(name) for name in tasks}
    people = read_stays(release, cohort)
    notices = Notices([("stays", reason, count) for reason, count in people.quarantine.items()])
    notices.quarantine += [("stays", reason, count) for reason, count in sorted(hospital.quarantine().items())]
    notices.notes += hospital.sentences()
    made, agreement = make_labels(release, cohort, people, declared, notices)
    plans = make_plans(cohort, people, declared, made, window_hours)
    every = people.stays
    for name, file in labels.items():
        plan, every = plan_labels(name, read_labels(file), people, every, file, notices)
        plans.insert(len(plans) - 1, plan)
    return Planned(people, plans, every, agreement, notices)


def _series(
    hospital: Hospital,
    cohort: CohortConfig,
    modalities: Modalities,
    stays: pl.DataFrame,
    plans: list[Plan],
    scratch: Path,
    notices: Notices,
) -> dict[str, dict[str, ViewSeries]]:
    """Build modality → view → series, with one pass over the events for each channel set."""
    cap = np.inf if cohort.max_hours is None else float(cohort.max_hours)
    windows = [
        Observation(plan.name, plan.members, np.rint(np.minimum(plan.hours, cap) * HOUR).astype(np.int64))
        for plan in plans
    ]
    built = {}
    published = cohort.extraction == "benchmark"
    for name, options in modalities.items():
        if options["table"] != EVENTS:
            continue
        channels = hospital.channels(options.get("channels") or cohort.channel_set)
        folder = scratch / name
        places: Counter[tuple[str, str]] = Counter()
        built[name], left_out = build_series(
            hospital.release, channels, stays, windows, folder, published, cohort.max_bad_rows, places
        )
        notices.event_rows += [(name, *place, rows) for place, rows in sorted(places.items())]
        notices.quarantine += [(name, reason, count) for reason, count in sorted(left_out.items())]
        for view, one in built[name].items():
            notices.take_series(name, view, one, published)
    return built


def _with_cutoffs(plan: Plan, cohort: CohortConfig) -> pl.DataFrame:
    """Add to a view's stays the prediction time, and the cut-off that the rule of admission makes of it."""
    seconds = pl.Series("seconds_seen", np.rint(plan.hours * HOUR).astype(np.int64))
    predicted = pl.col("intime") + pl.duration(seconds="seconds_seen")
    stays = plan.stays.drop("index").with_columns(seconds).with_columns(predicted=predicted)
    end = pl.max_horizontal("dischtime", "predicted") if cohort.admit == "paper" else pl.col("predicted")
    return stays.with_columns(cutoff=end, died=death())


def _texts(
    hospital: Hospital,
    cohort: CohortConfig,
    modalities: Modalities,
    subjects: pl.Series,
    stays: dict[str, pl.DataFrame],
) -> dict[str, dict[str, dict[str, NoteResult]]]:
    """Build modality → view → mode → texts; each note table is read once."""
    wanted = {name: options for name, options in modalities.items() if options["table"] in TEXTS}
    tables: dict[Any, dict[str, dict[str, NoteResult]]] = {}
    for options in wanted.values():
        if _reads(options) in tables:
            continue
        notes = hospital.notes(options, subjects, cohort)
        tables[_reads(options)] = {
            view: {mode: notes.rows(_admitting(mode, frame), mode) for mode in MODES} for view, frame in stays.items()
        }
    return {name: tables[_reads(options)] for name, options in wanted.items()}


def _reads(options: dict[str, Any]) -> tuple[Any, ...]:
    """Tell modalities that read the same rows from others."""
    return options["table"], tuple(options.get("codes") or ())


def _admitting(mode: str, stays: pl.DataFrame) -> pl.DataFrame:
    """Set the cut-off of notes: what the prediction time lets in, unless the mode is the paper's."""
    return stays if mode == "paper" else stays.with_columns(cutoff="predicted")


def _images(
    hospital: Hospital,
    cohort: CohortConfig,
    modalities: Modalities,
    subjects: pl.Series,
    stays: dict[str, pl.DataFrame],
) -> dict[str, dict[str, ImageResult]]:
    """Build modality → view → images; each list of images is read once."""
    wanted = {name: options for name, options in modalities.items() if options["table"] == IMAGES}
    found: dict[Any, dict[str, ImageResult]] = {}
    for options in wanted.values():
        if _reads(options) not in found:
            images = hospital.images(options, subjects)
            found[_reads(options)] = {view: images.rows(frame, cohort.images) for view, frame in stays.items()}
    return {name: found[_reads(options)] for name, options in wanted.items()}


def _view(
    plan: Plan,
    stays: pl.DataFrame,
    cohort: CohortConfig,
    modalities: Modalities,
    series: dict[str, SeriesRows],
    found: dict[str, Any],
    notices: Notices,
    carried: list[str],
) -> View:
    """Put a view together from its stays and modalities, and report what these left out or let through."""
    declared = "the preset declares the whole admission" if cohort.admit == "paper" else None
    rows: dict[str, Rows] = {}
    others: dict[str, Rows] = {}
    latest: list[pl.Series] = []
    mode = cohort.notes.mode
    other = next(one for one in MODES if one != mode)
    for name, options in modalities.items():
        if options["table"] == EVENTS:
            rows[name] = series[name]
        elif options["table"] == DEMOGRAPHICS:
            rows[name] = table_rows(stays, cohort.demographics)
        else:
            result = found[name]
            if options["table"] in TEXTS:
                others[name] = found[name][other].rows
                result = found[name][mode]
            notices.take(name, plan.name, result, stays, declared)
            rows[name] = result.rows
            # Discharge summaries have no time of their own, so nothing can be compared again.
            if options["table"] == IMAGES or result.latest.null_count() < len(result.latest):
                latest.append(result.latest.alias(f"latest_{name}"))
    stays = stays.with_columns(latest)
    if plan.measured and series:
        measured = np.any([one.lengths > 0 for one in series.values()], axis=0)
        stays = plan.flow.add("measurements within the window", stays.filter(pl.Series(measured)))
        if not measured.all():
            rows, others = ({name: _take(one, measured) for name, one in part.items()} for part in (rows, others))
    groups = group_columns(stays)
    times = stays.select("cutoff", "predicted", "seconds_seen", "died", "dischtime", *(one.name for one in latest))
    frame = pl.concat(
        [stays.select("stay_id", "subject_id"), groups, stays.select(plan.labels), times, stays.select(carried)],
        how="horizontal",
    )
    return View(plan.name, frame, plan.labels, groups.columns, rows, {other: others} if others else {})


def _take(rows: Rows, keep: np.ndarray) -> Rows:
    """Select the rows of the kept stays; a series that only loses empty stays keeps its array where it is."""
    if isinstance(rows, SeriesRows) and not rows.lengths[~keep].any():
        return SeriesRows(rows.values, rows.lengths[keep], rows.columns, rows.continuous)
    return take(rows, keep)
