"""MIMIC as a task meets it when it makes its labels: the eligible stays, their diagnoses, events and other tables."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

import polars as pl

from picme.cohort.death import death
from picme.cohort.events import NEEDED, OPTIONAL, OUTSIDE, typed_events, within_stays
from picme.cohort.icd_codes import with_zeros
from picme.cohort.stays import read_stays, without
from picme.errors import ConfigError, DataError, naming
from picme.sources import EHR_TABLES
from picme.sources.mimic_ehr import Release
from picme.sources.tables import refuse_lost

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from picme.config.cohort import CohortConfig
    from picme.sources.tables import Tables
    from picme.tasks import Task


DISCHARGE = {"icu discharge": "outtime", "hospital discharge": "dischtime"}
"""Moments of prediction that are a time of each stay, and the column that has it."""


class MimicStays:
    """The eligible stays of a MIMIC release, and the tables behind them; a table is read when a task asks for it.

    Attributes:
        stays: one row per stay, sorted by stay_id: subject_id, hadm_id, stay_id, the times intime, outtime, admittime,
            dischtime, deathtime, dod (a date) and cutoff (the prediction time, or the end of the ICU stay where that
            is earlier), los_hours, died_in_hospital (0 or 1), hospital_expire_flag, age, gender, race, admission_type
            and the other columns of the admission.
        rules: the section `cohort` of the configuration.
        left_out: rows that could not be used, by reason, for the quarantine table.
        notes: sentences for the report.
        agreement: agreement of two definitions of the labels, as phenotype, positives_a, positives_b, both; or None.
    """

    def __init__(self, task: str, declared: Task, stays: pl.DataFrame, rules: CohortConfig, release: Tables) -> None:
        self.task = task
        self.rules = rules
        self.left_out: Counter[str] = Counter()
        self.notes: list[str] = []
        self.agreement: pl.DataFrame | None = None
        self._release = release
        self._readable = {*EHR_TABLES, *declared.tables}
        hours = declared.prediction_hours(rules)
        self._seconds = pl.col("seconds") if hours is None else pl.min_horizontal("seconds", round(hours * 3600))
        if declared.moment in DISCHARGE:
            self._seconds = (pl.col(DISCHARGE[declared.moment]) - pl.col("intime")).dt.total_seconds()
        self._all = stays
        self.stays = stays.with_columns(cutoff=pl.col("intime") + pl.duration(seconds=self._seconds))

    @classmethod
    def open(cls, ehr: Path, task: Task, rules: CohortConfig | None = None) -> MimicStays:
        """Open the stays of a release outside of a study, to try a task's `make_labels`.

        Args:
            ehr: folder of MIMIC-IV.
            task: the task.
            rules: the section `cohort`; its defaults if not given.
        """
        from picme.config.cohort import CohortConfig

        release, rules = Release.open(ehr), rules or CohortConfig()
        return cls(task.name, task, read_stays(release, rules).stays, rules, release)

    def diagnoses(self) -> pl.DataFrame:
        """Read the coded diagnoses of the stays' admissions: hadm_id, icd_code, icd_version.

        Codes have no dot and are in upper case; leading zeros that an export lost are put back (`cohort.icd_codes`).

        Raises:
            DataError: if the table is missing or damaged, its codes cannot be right, or more than the share
                `max_bad_rows` of its rows cannot be used.
        """
        from picme.tasks.icd_groups import icd9_codes

        codes = self._diagnoses()
        complete = self.has("d_icd_diagnoses")
        if complete:
            listed, _ = self._release.read("d_icd_diagnoses", ["icd_code", "icd_version"])
        else:
            listed = pl.DataFrame({"icd_code": icd9_codes()}).with_columns(icd_version=9)
        file = self._release.file("diagnoses_icd")
        codes, counts = with_zeros(codes, listed, str(file), self.rules.max_bad_rows, complete)
        self.left_out |= Counter({f"diagnoses_icd: icd_code {reason}": count for reason, count in counts.items()})
        return codes

    def _diagnoses(self) -> pl.DataFrame:
        """Read the usable rows of the diagnoses; a row lost makes a label 0, so the others are counted and bounded."""
        self._check("diagnoses_icd")
        frame, _ = self._release.read("diagnoses_icd", ["hadm_id", "icd_code", "icd_version"])
        admissions = self._release.ids("admissions", "hadm_id")
        bad = {
            "no readable hadm_id": pl.col("hadm_id").is_null(),
            "hadm_id of no admission": ~pl.col("hadm_id").is_in(admissions.implode()),
            "no icd_code": pl.col("icd_code").cast(pl.String).str.strip_chars().fill_null("") == "",
            "no readable icd_version": pl.col("icd_version").cast(pl.Int64).is_in([9, 10]).fill_null(False).not_(),
        }
        rows, counts = frame.height, Counter[str]()
        for reason, unusable in bad.items():
            frame = without(frame, unusable, f"diagnoses_icd: {reason}", counts)
        refuse_lost(counts, rows, self._release.file("diagnoses_icd"), self.rules.max_bad_rows)
        self.left_out |= counts
        return frame.join(self.stays.select("hadm_id").unique(), on="hadm_id", how="semi")

    def has(self, table: str) -> bool:
        """Tell whether the release on disk has a table."""
        return table in self._release.tables()

    def table(self, name: str, columns: Sequence[str], optional: Sequence[str] = ()) -> pl.DataFrame:
        """Read a table into memory, reduced to the stays' admissions (or subjects) where it has such a column.

        Args:
            name: the table, for instance `procedures_icd`.
            columns: columns to read; ids, numbers and times are typed, unreadable cells are null.
            optional: columns that are null where the release lacks them.

        Raises:
            ConfigError: if the task's declaration does not name the table.
            DataError: if the table or a column is missing or damaged.
        """
        self._check(name)
        frame, unreadable = self._release.read(name, columns, optional)
        self.left_out |= Counter({f"{name}: {column} not readable": count for column, count in unreadable.items()})
        for key in ("stay_id", "hadm_id", "subject_id"):
            if key in columns:
                return frame.join(self.stays.select(key).unique(), on=key, how="semi")
        return frame

    def events(
        self, items: Iterable[int], table: str = "chartevents", until: Literal["cutoff", "outtime"] = "cutoff"
    ) -> pl.DataFrame:
        """Read measurements of the stays, charted after ICU admission, from one event table in one pass.

        Args:
            items: the itemids wanted.
            table: `chartevents`, `labevents`, `outputevents`, or another table with `itemid`, `charttime`, `value`.
            until: `cutoff` gives what was charted and stored by the prediction time; `outtime` all of the ICU stay.

        Returns:
            stay_id, itemid, hours (after ICU admission), value (text), valuenum, valueuom; one row per measurement,
            sorted by stay and time. Rows without a readable subject or time are counted in `left_out`.

        Raises:
            ConfigError: if the task's declaration does not name the table.
            DataError: if the table is missing, damaged or lacks a column.
        """
        self._check(table)
        keys = self._all.with_row_index("stay")
        if until == "cutoff":
            keys = keys.with_columns(seconds=self._seconds)
        parts = []
        unusable: Counter[str] = Counter()
        for batch in self._release.scan(table, sorted(set(items)), NEEDED, OPTIONAL):
            frame, bad = typed_events(batch)
            unusable.update({f"{table}: {reason}": count for reason, count in bad.items() if count})
            inside, outside = within_stays(frame, keys, by_admission=False)
            unusable.update({f"{table}: {OUTSIDE}": outside[OUTSIDE]} if outside[OUTSIDE] else {})
            if until == "cutoff":
                inside = inside.filter(pl.col("known") <= pl.col("end"))
            parts.append(
                inside.select(
                    pl.col("own").alias("stay_id"),
                    "itemid",
                    (pl.col("seconds") / 3600).alias("hours"),
                    pl.col("value").cast(pl.String),
                    "valuenum",
                    "valueuom",
                )
            )
        self.left_out |= unusable  # a table that is read twice has its rows counted once
        schema = {"stay_id": pl.Int64, "itemid": pl.Int64, "hours": pl.Float64}
        empty = pl.DataFrame(schema={**schema, "value": pl.String, "valuenum": pl.Float64, "valueuom": pl.String})
        return pl.concat([empty, *parts]).sort("stay_id", "hours", "itemid", maintain_order=True)

    def leave_out(self, reason: str, count: int) -> None:
        """Count rows that the labels could not use, for the quarantine table."""
        self.left_out[reason] += count

    def note(self, sentence: str) -> None:
        """Add a sentence to what the report says of the data."""
        self.notes.append(sentence)

    def _check(self, table: str) -> None:
        if table not in self._readable:
            raise ConfigError(
                f"tasks.{self.task} reads table {table!r}, which its declaration does not name: add it to `tables`"
            )


def labelled(task: str, declared: Task, stays: MimicStays) -> pl.DataFrame:
    """Let a task make its labels, and check them.

    Returns:
        stay_id and one Int8 column per label (0, 1 or null).

    Raises:
        DataError: if what the task made is not one row per stay with label columns of 0, 1 and null.
    """
    with naming(f"tasks.{task}: make_labels of its declaration", DataError):
        made = declared.make_labels(stays)
    where = f"tasks.{task}: the labels that its declaration makes"
    names = [name for name in made.columns if name != "stay_id"]
    if "stay_id" not in made.columns or not names:
        raise DataError(f"{where} have columns {', '.join(made.columns)}; expected stay_id and the labels")
    unknown = [name for name in names if name not in declared.labels]
    if unknown:
        raise DataError(f"{where} have column {unknown[0]!r}, which is not among the declared labels")
    if made["stay_id"].null_count() or made["stay_id"].is_duplicated().any():
        raise DataError(f"{where} are not one row per stay")
    for name in names:
        numbers = made[name].drop_nulls().cast(pl.Float64, strict=False)
        if not numbers.is_in([0.0, 1.0]).fill_null(False).all():
            raise DataError(f"{where} have values other than 0, 1 and null in column {name!r}")
    return made.select("stay_id", pl.col(names).cast(pl.Int8))


def alive_at(stays: pl.DataFrame, hours: float) -> pl.DataFrame:
    """Keep the stays whose patient is not dead so many hours after ICU admission."""
    return stays.filter((death() > _after(hours)).fill_null(True))


def alive_until(stays: pl.DataFrame, column: str) -> pl.DataFrame:
    """Keep the stays whose patient is not dead at a time of the stay, such as discharge."""
    return stays.filter((death() > pl.col(column)).fill_null(True))


def in_hospital_at(stays: pl.DataFrame, hours: float) -> pl.DataFrame:
    """Keep the stays that are not discharged from hospital so many hours after ICU admission (a bed may be kept)."""
    return stays.filter((pl.col("dischtime") > _after(hours)).fill_null(True))


def _after(hours: float) -> pl.Expr:
    return pl.col("intime") + pl.duration(seconds=round(hours * 3600))
