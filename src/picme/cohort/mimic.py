"""The MIMIC releases → views: stays, labels, and each configured modality up to the cut-off of its view."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.cohort import channel_sets
from picme.cohort.audit import latest_time
from picme.cohort.demographics import group_columns, table_rows
from picme.cohort.images import image_rows
from picme.cohort.labels import Labels, label_agreement, phenotype_labels
from picme.cohort.notes import compare_modes
from picme.cohort.stays import Cohort, Flow, long_enough, read_stays
from picme.cohort.timeseries import HOUR, Series, Window, build_series
from picme.errors import ConfigError, DataError, near
from picme.schema import Extraction, Rows, View
from picme.sources.mimic_ehr import Release

if TYPE_CHECKING:
    from pathlib import Path

    from picme.config.cohort import CohortConfig, MimicSource

PRETRAIN = "pretrain"
LATEST = "latest_time"
EVENTS, NOTES, IMAGES, DEMOGRAPHICS = "chartevents", ("discharge", "radiology"), "cxr", "demographics"
INPUTS = (EVENTS, *NOTES, IMAGES, DEMOGRAPHICS)
NEEDS = {**dict.fromkeys(NOTES, "notes"), IMAGES: "cxr"}
AUDIT_SCHEMA = {
    "check": pl.String,
    "modality": pl.String,
    "split": pl.String,
    "count": pl.Int64,
    "detail": pl.String,
    "violation": pl.Boolean,
}


@dataclass
class _Plan:
    """A view before its modalities: its stays, where they are in the cohort, the cut-off of each, its labels."""

    name: str
    stays: pl.DataFrame
    members: np.ndarray
    hours: np.ndarray
    labels: list[str]
    flow: Flow


@dataclass
class _Notices:
    """What is reported beside the data."""

    quarantine: list[tuple[str, str, int]] = field(default_factory=list)
    audit: list[tuple[str, str, str, int, str, bool]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(self, modality: str, view: str, result: Any, stays: pl.DataFrame, declared: str | None) -> None:
        """Quarantine and audit rows of a note or image modality; times are judged by the task's prediction time."""
        rows = list(result.audit.iter_rows())
        if declared is not None:
            rows = [
                row if row[0] != LATEST else latest_time(result.latest, stays["predicted"], declared) for row in rows
            ]
        self.audit += [(check, modality, "", count, f"{view}: {detail}", bad) for check, count, detail, bad in rows]
        if view == PRETRAIN:  # the view with all stays
            self.quarantine += [
                (modality, row["reason"], row["count"]) for row in result.quarantine.iter_rows(named=True)
            ]


def extract(
    source: MimicSource,
    cohort: CohortConfig,
    modalities: dict[str, dict[str, Any]],
    tasks: list[str],
    window_hours: float,
    scratch: Path,
) -> Extraction:
    """All views of a study on MIMIC: one per task, and `pretrain`.

    Args:
        source: the folders of the releases.
        cohort: the rules.
        modalities: name → {"table": one of chartevents, discharge, radiology, cxr, demographics; for chartevents
            optionally "channels": its own channel set}.
        tasks: of `mortality` and `phenotyping`.
        window_hours: end of the pretraining window after ICU admission.
        scratch: folder for spilled measurements and memory-mapped arrays; the caller removes it when all is written.

    Raises:
        ConfigError: for an unknown table, task or channel set; DataError: for data that are absent or unusable.
    """
    for name, options in modalities.items():
        _check_input(name, options.get("table"), source)
    release = Release.open(source.ehr)
    people = read_stays(release, cohort)
    notices = _Notices()
    notices.quarantine += [("stays", reason, count) for reason, count in people.quarantine.items()]
    labels, agreement = _labels(release, cohort, people, tasks, notices)
    if cohort.extraction == "benchmark" and labels is not None:
        coded = people.stays.join(labels.frame.select("hadm_id"), on="hadm_id", how="semi", maintain_order="left")
        people.stays = people.flow.add("diagnoses coded", coded)
    plans = [_plan(name, people, labels, cohort, window_hours) for name in (*tasks, PRETRAIN)]

    series = _series(release, cohort, modalities, people, plans, scratch, notices)
    views, lines = {}, []
    for plan in plans:
        view = _view(plan, source, cohort, modalities, series, notices)
        views[plan.name] = view
        lines += [(plan.name, *line) for line in plan.flow.lines]
    notices.audit.append(
        (
            "label",
            "",
            "",
            people.disagreements,
            "stays whose hospital_expire_flag differs from the mortality label",
            False,
        )
    )
    return Extraction(
        views=views,
        flow=pl.DataFrame(lines, schema=["task", "step", "stays", "subjects"], orient="row"),
        quarantine=pl.DataFrame(
            notices.quarantine, schema={"modality": pl.String, "reason": pl.String, "count": pl.Int64}, orient="row"
        ),
        label_agreement=agreement,
        audit=pl.DataFrame(notices.audit, schema=AUDIT_SCHEMA, orient="row"),
        notes=notices.notes,
    )


def _check_input(name: str, table: str | None, source: MimicSource) -> None:
    if table not in INPUTS:
        raise ConfigError(
            f"modalities.{name}.table is {table!r}; expected one of {', '.join(INPUTS)}{near(str(table), INPUTS)}"
        )
    need = NEEDS.get(table)
    if need is not None and getattr(source, need) is None:
        raise DataError(f"source.{need} is needed for modality {name!r}: the folder of the release with {table}")


def _labels(
    release: Release, cohort: CohortConfig, people: Cohort, tasks: list[str], notices: _Notices
) -> tuple[Labels | None, pl.DataFrame | None]:
    """Phenotypes, where a task needs them, and how two definitions agree."""
    unknown = [task for task in tasks if task not in ("mortality", "phenotyping")]
    if unknown:
        known = ("mortality", "phenotyping")
        raise ConfigError(f"tasks.{unknown[0]} is not a task of MIMIC's labels{near(unknown[0], known)}")
    if "phenotyping" not in tasks:
        return None, None
    admissions = people.stays["hadm_id"]
    published = cohort.extraction == "benchmark"
    labels = phenotype_labels(release, cohort.phenotypes, admissions, titled=published)
    if labels.unmapped.height:
        notices.quarantine.append(
            ("labels", "diagnosis code in no group of the definition", int(labels.unmapped["rows"].sum()))
        )
        top = ", ".join(f"ICD-{version} {code}" for version, code, _ in labels.unmapped.head(10).iter_rows())
        notices.notes.append(
            f"{labels.unmapped.height} diagnosis codes are in no group of the phenotype definition: {top}"
        )
    others = [one for one in ("ccs", cohort.definitions) if one is not None and str(one) != str(cohort.phenotypes)]
    if not others:
        return labels, None
    other = others[-1]
    second = phenotype_labels(release, other, admissions)
    pair = (labels, second) if str(cohort.phenotypes) == "ccs" else (second, labels)
    if str(other) != "ccs" and str(cohort.phenotypes) != "ccs":
        pair = (labels, second)
    return labels, label_agreement(*pair, admissions)


def _plan(name: str, people: Cohort, labels: Labels | None, cohort: CohortConfig, window_hours: float) -> _Plan:
    """The stays of a view and its prediction time."""
    flow = people.flow.copy()
    stays = people.stays.with_row_index("index")
    columns: list[str] = []
    limit = np.inf
    if name == "mortality":
        stays = flow.add(f"at least {cohort.min_hours} hours in the ICU", long_enough(stays, cohort.min_hours))
        columns, limit = ["mortality"], float(cohort.min_hours)
    elif name == "phenotyping":
        assert labels is not None
        joined = stays.join(labels.frame, on="hadm_id", how="inner", maintain_order="left")
        stays = joined if cohort.extraction == "benchmark" else flow.add("diagnoses coded", joined)
        columns = labels.names
    else:
        limit = float(window_hours)
    hours = np.minimum(stays["seconds"].to_numpy() / HOUR, limit)
    return _Plan(name, stays, stays["index"].to_numpy().astype(np.int64), hours, columns, flow)


def _series(
    release: Release,
    cohort: CohortConfig,
    modalities: dict[str, dict[str, Any]],
    people: Cohort,
    plans: list[_Plan],
    scratch: Path,
    notices: _Notices,
) -> dict[str, dict[str, Series]]:
    """Modality → view → series; one pass over the events for each channel set."""
    cap = np.inf if cohort.max_hours is None else float(cohort.max_hours)
    windows = [
        Window(plan.name, plan.members, np.rint(np.minimum(plan.hours, cap) * HOUR).astype(np.int64)) for plan in plans
    ]
    built = {}
    published = cohort.extraction == "benchmark"
    for name, options in modalities.items():
        if options["table"] != EVENTS:
            continue
        channels = channel_sets.load(options.get("channels") or cohort.channel_set)
        folder = scratch / name
        built[name], left_out = build_series(
            release, channels, people.stays, windows, folder, published, cohort.max_bad_rows
        )
        notices.quarantine += [(name, reason, count) for reason, count in sorted(left_out.items())]
        for view, one in built[name].items():
            newest = "nothing used"
            if one.latest is not None:
                newest = f"newest is {round(one.latest / HOUR, 1) + 0.0:+.1f} h from the cut-off"
            rule = (
                f"{one.stored_late} values were stored after it, as the published rules allow"
                if published
                else "cut-off holds"
            )
            late = one.latest is not None and one.latest > 0
            notices.audit.append((LATEST, name, "", one.stored_late, f"{view}: {newest}; {rule}", late))
    return built


def _view(
    plan: _Plan,
    source: MimicSource,
    cohort: CohortConfig,
    modalities: dict[str, dict[str, Any]],
    series: dict[str, dict[str, Series]],
    notices: _Notices,
) -> View:
    """The modalities of a view."""
    predicted = pl.col("intime") + pl.duration(seconds=pl.col("cut"))
    paper = cohort.admit == "paper"
    declared = "the preset declares the whole admission" if paper else None
    end = pl.max_horizontal("dischtime", predicted) if paper else predicted
    cut = pl.Series("cut", np.rint(plan.hours * HOUR).astype(np.int64))
    stays = (
        plan.stays.drop("index")
        .with_columns(cut)
        .with_columns(end.alias("cutoff"), predicted.alias("predicted"))
        .drop("cut")
    )
    rows: dict[str, Rows] = {}
    others: dict[str, Rows] = {}
    latest: list[pl.Series] = []
    other = "prospective" if cohort.notes.mode == "paper" else "paper"
    for name, options in modalities.items():
        table = options["table"]
        if table == EVENTS:
            rows[name] = series[name][plan.name].rows
        elif table == DEMOGRAPHICS:
            rows[name] = table_rows(stays, cohort.demographics)
        elif table == IMAGES:
            assert source.cxr is not None
            images = image_rows(source.cxr, stays, cohort.images)
            notices.take(name, plan.name, images, stays, declared)
            rows[name] = images.rows
            latest.append(images.latest.alias(f"latest_{name}"))
        else:
            assert source.notes is not None
            modes = compare_modes(source.notes, table, stays, cohort.notes)
            if paper:  # what the task's prediction time would have let in
                strict = stays.with_columns(pl.col("predicted").alias("cutoff"))
                modes["prospective"] = compare_modes(source.notes, table, strict, cohort.notes)["prospective"]
            texts = modes[cohort.notes.mode]
            notices.take(name, plan.name, texts, stays, declared)
            rows[name], others[name] = texts.rows, modes[other].rows
            if texts.latest.null_count() < len(texts.latest):
                latest.append(texts.latest.alias(f"latest_{name}"))
    stays = stays.with_columns(latest)
    stays, rows, others = _with_data(plan, stays, rows, others, series)
    groups = group_columns(stays)
    times = stays.select("cutoff", *(series.name for series in latest))
    frame = pl.concat(
        [stays.select("stay_id", "subject_id"), groups, _label_frame(stays, plan.labels), times], how="horizontal"
    )
    return View(plan.name, frame, plan.labels, groups.columns, rows, {other: others} if others else {})


def _label_frame(stays: pl.DataFrame, labels: list[str]) -> pl.DataFrame:
    return stays.select(pl.col(name).cast(pl.Int8) for name in labels)


def _with_data(
    plan: _Plan,
    stays: pl.DataFrame,
    rows: dict[str, Rows],
    others: dict[str, Rows],
    series: dict[str, dict[str, Series]],
) -> tuple[pl.DataFrame, dict[str, Rows], dict[str, Rows]]:
    """The mortality task's last rule: measurements within its window, where a time series is configured."""
    if plan.name != "mortality" or not series:
        return stays, rows, others
    from picme.cohort.select import take

    measured = np.any([one[plan.name].rows.lengths > 0 for one in series.values()], axis=0)
    stays = plan.flow.add("measurements within the window", stays.filter(pl.Series(measured)))
    if measured.all():
        return stays, rows, others
    kept, kept_others = ({name: _take(one, measured, take) for name, one in part.items()} for part in (rows, others))
    return stays, kept, kept_others


def _take(rows: Rows, keep: np.ndarray, take: Any) -> Rows:
    """Rows of the kept stays; a series that only loses empty stays keeps its array where it is."""
    from picme.schema import SeriesRows

    if isinstance(rows, SeriesRows) and not rows.lengths[~keep].any():
        return SeriesRows(rows.values, rows.lengths[keep], rows.columns, rows.continuous)
    chosen: Rows = take(rows, keep)
    return chosen
