"""ICU stays of a MIMIC release: the benchmark's exclusions in their order, and death in hospital."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from picme.cohort.death import contradictions, died_in_hospital, published_rule, without_impossible_times
from picme.errors import DataError
from picme.sources.tables import TIME, refuse_lost, refuse_share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from picme.config.cohort import CohortConfig
    from picme.sources.tables import Tables

STAY_COLUMNS = ("subject_id", "hadm_id", "stay_id", "first_careunit", "last_careunit", "intime", "outtime")
ADMISSION_COLUMNS = ("subject_id", "hadm_id", "admittime", "dischtime", "deathtime")
ADMISSION_OPTIONAL = (
    *("admission_type", "admission_location", "insurance", "language", "marital_status", "race"),
    *("discharge_location", "hospital_expire_flag"),
)
PATIENT_COLUMNS = ("subject_id", "gender", "anchor_age")
PATIENT_OPTIONAL = ("anchor_year", "anchor_year_group", "dod", "birth")
DIVIDERS = (
    *("anchor_year_group", "admission_years", "first_careunit", "admission_type", "admission_location"),
    *("insurance", "language", "marital_status", "race"),
)
"""Columns of the stays that splits can go by."""
HOURS_TOLERANCE = 1e-6


class Flow:
    """The lines of the table `cohort_flow`: how many stays and subjects remain after each step."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, int, int]] = []

    def add(self, step: str, stays: pl.DataFrame) -> pl.DataFrame:
        """Add a line that counts these stays, and return them."""
        self.lines.append((step, stays.height, stays["subject_id"].n_unique()))
        return stays

    def copy(self) -> Flow:
        """Copy the flow, so that it can go on in another way."""
        other = Flow()
        other.lines = list(self.lines)
        return other


@dataclass
class Cohort:
    """The eligible stays, before any task's own rule.

    Attributes:
        stays: one row per stay, sorted by stay_id: the ids, times, los_hours, seconds (length of the stay), age,
            gender, race and the other admission columns, anchor_year_group, admission_years, died_in_hospital (0 or 1).
        flow: the exclusions so far.
        quarantine: reason → rows left out because they cannot be read.
        contradictions: kind → stays whose records of death or discharge contradict each other (`cohort.death`).
        contradicted: the number of stays with a contradiction of any kind.
    """

    stays: pl.DataFrame
    flow: Flow
    quarantine: Counter[str] = field(default_factory=Counter)
    contradictions: Counter[str] = field(default_factory=Counter)
    contradicted: int = 0


def read_stays(release: Tables, config: CohortConfig) -> Cohort:
    """Read the ICU stays and exclude: transfers between ICU types, admissions with several stays, too young patients.

    Raises:
        DataError: for missing tables or columns, damaged files, more unreadable rows than `max_bad_rows`, or no stay.
    """
    quarantine: Counter[str] = Counter()
    flow = Flow()
    published = config.extraction == "benchmark"
    stays = _clean(release, "icustays", STAY_COLUMNS, ("los",), "stay_id", config, quarantine)
    stays = without(stays, pl.col("outtime") < pl.col("intime"), "icustays: outtime before intime", quarantine)
    everyone = flow.add("all ICU stays", stays)
    stays = flow.add("no transfer between ICU types", stays.filter(pl.col("first_careunit") == pl.col("last_careunit")))
    _refuse_unmatched(release, everyone, config, quarantine)
    admissions = _clean(release, "admissions", ADMISSION_COLUMNS, ADMISSION_OPTIONAL, "hadm_id", config, quarantine)
    patients = _clean(release, "patients", PATIENT_COLUMNS, PATIENT_OPTIONAL, "subject_id", config, quarantine)
    patients = _ages(patients, published, quarantine)
    stays = stays.join(admissions, on=["subject_id", "hadm_id"], how="inner").join(
        patients, on="subject_id", how="inner"
    )
    flow.add("admission and patient on record", stays)
    stays = flow.add("one ICU stay per admission", stays.filter(pl.len().over("hadm_id") == 1))
    stays = _admission_years(_age_at_admission(stays, published))
    stays = flow.add(f"age at least {config.min_age}", stays.filter(pl.col("age") >= config.min_age))
    if stays.is_empty():
        raise DataError(f"{release.file('icustays')}: no ICU stay is left after the exclusions; see the cohort's rules")
    stays = _lengths(stays, published).sort("stay_id")
    possible, kinds, impossible = without_impossible_times(stays)
    stays = stays.with_columns(published_rule()) if published else possible.with_columns(died_in_hospital())
    more, marked = contradictions(stays)
    return Cohort(stays, flow, quarantine, kinds + more, int((impossible | marked).sum()))


def _clean(
    release: Tables,
    table: str,
    columns: Sequence[str],
    optional: Sequence[str],
    key: str,
    config: CohortConfig,
    quarantine: Counter[str],
) -> pl.DataFrame:
    """Read a table and keep the rows with readable ids and times, one per key; the others are counted."""
    frame, unreadable = release.read(table, columns, optional)
    frame = frame.with_columns(pl.col(pl.String).str.strip_chars())  # "MICU " is "MICU" when they are compared
    rows = frame.height
    if not rows:
        raise DataError(f"{release.file(table)} has no rows")
    counts: Counter[str] = Counter()
    for column in columns:
        if column in ("deathtime", "gender", "first_careunit", "last_careunit"):
            continue
        frame = without(frame, pl.col(column).is_null(), f"{table}: no readable {column}", counts)
    for column in unreadable:
        if column not in columns or column == "deathtime":
            quarantine[f"{table}: {column} not readable, taken as missing"] += unreadable[column]
    # Identical rows are one; rows that contradict each other cannot be told apart, so none is used.
    distinct = frame.unique(maintain_order=True)
    if distinct.height < frame.height:
        counts[f"{table}: the same row twice"] += frame.height - distinct.height
    frame = without(distinct, pl.len().over(key) > 1, f"{table}: contradicting rows of one {key}", counts)
    refuse_lost(counts, rows, release.file(table), config.max_bad_rows)
    quarantine.update(counts)
    return frame


def _refuse_unmatched(release: Tables, stays: pl.DataFrame, config: CohortConfig, quarantine: Counter[str]) -> None:
    """Count the ICU stays that name no admission of the release, and refuse too many of them."""
    known = release.ids("admissions", "hadm_id")
    unmatched = stays.filter(~pl.col("hadm_id").is_in(known.implode())).height
    reason = "hadm_id of no admission"
    refuse_share(unmatched, stays.height, release.file("icustays"), reason, config.max_bad_rows)
    if unmatched:
        quarantine[f"icustays: {reason}"] += unmatched


def without(frame: pl.DataFrame, bad: pl.Expr, reason: str, counts: Counter[str]) -> pl.DataFrame:
    """Return a table without its bad rows, which are counted under their reason."""
    kept = frame.filter(~bad.fill_null(False))
    if kept.height < frame.height:
        counts[reason] += frame.height - kept.height
    return kept


def _ages(patients: pl.DataFrame, published: bool, quarantine: Counter[str]) -> pl.DataFrame:
    """Treat negative ages: they are 90 in the published extraction, and left out otherwise."""
    if published:
        negative = pl.col("anchor_age") < 0
        return patients.with_columns(pl.when(negative).then(90).otherwise(pl.col("anchor_age")).alias("anchor_age"))
    return without(patients, pl.col("anchor_age") < 0, "patients: negative age", quarantine)


def _age_at_admission(stays: pl.DataFrame, published: bool) -> pl.DataFrame:
    """Add the age: that of the anchor year in the published extraction, else moved on to the year of admission."""
    age = pl.col("anchor_age")
    if not published:
        years = pl.col("admittime").dt.year() - pl.col("anchor_year").cast(pl.Int64)
        age = age + years.fill_null(0)
        if stays.schema["birth"] == TIME:  # MEDS has the day of birth
            age = pl.coalesce(_full_years("birth", "admittime"), age)
    return stays.with_columns(age.cast(pl.Int32).alias("age"))


def _full_years(birth: str, time: str) -> pl.Expr:
    """Count the birthdays after that of birth that a time has seen."""
    born, then = pl.col(birth).dt, pl.col(time).dt
    before = (then.month() < born.month()) | ((then.month() == born.month()) & (then.day() < born.day()))
    return then.year() - born.year() - before.cast(pl.Int32)


def _admission_years(stays: pl.DataFrame) -> pl.DataFrame:
    """Add `admission_years`, the years in which the admission can lie, as `2013 - 2015`; null where that is unknown.

    `anchor_year_group` is of the patient, who may come back years later. All dates of a patient are shifted alike, so
    the years between the anchor year and the admission are true, and move the group on.
    """
    later = pl.col("admittime").dt.year() - pl.col("anchor_year").cast(pl.Int32)
    ends = [
        pl.col("anchor_year_group").cast(pl.String).str.extract(rf"^\s*{pattern}\s*$").cast(pl.Int32) + later
        for pattern in (r"(\d{4})\s*-\s*\d{4}", r"\d{4}\s*-\s*(\d{4})")
    ]
    return stays.with_columns(pl.when(ends[0].is_not_null()).then(pl.format("{} - {}", *ends)).alias("admission_years"))


def _lengths(stays: pl.DataFrame, published: bool) -> pl.DataFrame:
    """Add the length of the stay: `los_hours`, and whole `seconds`."""
    seconds = (pl.col("outtime") - pl.col("intime")).dt.total_seconds()
    hours = seconds / 3600
    if published:
        hours = pl.coalesce(pl.col("los").cast(pl.Float64) * 24, hours)
        seconds = (hours * 3600).round(0).cast(pl.Int64)
    return stays.with_columns(hours.alias("los_hours"), seconds.alias("seconds"))


def long_enough(stays: pl.DataFrame, hours: float) -> pl.DataFrame:
    """Keep the stays of at least so many hours."""
    return stays.filter(pl.col("los_hours") >= hours - HOURS_TOLERANCE)
