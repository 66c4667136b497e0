"""A MEDS data set as the cohort reads a release of MIMIC-IV: the same tables, made from events."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl

from picme.errors import DataError
from picme.sources import meds_layout
from picme.sources.meds_codes import item_codes
from picme.sources.meds_events import KeptEvents, distinct_codes, keep_events
from picme.sources.meds_layout import matched
from picme.sources.meds_order import NO_CODE, NO_SUBJECT, UNSORTED
from picme.sources.meds_stays import admission_of, at_time, spans
from picme.sources.tables import TIME, TYPES, refuse_share

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from picme.sources.meds_files import MedsFiles

EVENTS = ("events", "chartevents", "labevents", "outputevents")
"""Tables of measurements, which are one here."""
_ADMISSION = ("admission_type", "admission_location", "discharge_location")
_OF_ADMISSION = (*_ADMISSION, "insurance", "language", "marital_status", "race")
NO_TIME = "no time"


class MedsRelease:
    """The events of a data set, and the tables patients, admissions, icustays and diagnoses_icd that they make.

    Args:
        files: the data set.
        items: items of channel sets whose measurements are kept in the one pass over the events.
        words: whether measurements have words, in `text_value`.
        max_bad: largest share of events or of subjects that cannot be used for one reason.
        scratch: folder for the kept events; the caller removes it.

    Attributes:
        codes: all codes of the data set.
        quarantine: rows left out or odd, by reason.
        notes: sentences for the report.

    Raises:
        DataError: if the data set lacks what the layout needs, is damaged, or more than the share `max_bad` is bad.
    """

    def __init__(self, files: MedsFiles, items: Iterable[Any], words: bool, max_bad: float, scratch: Path) -> None:
        self.path = files.path
        self.files = files
        self.layout = files.layout
        self.max_bad = max_bad
        self.scratch = scratch
        self.quarantine: Counter[str] = Counter()
        self.notes = list(files.notes)
        self._words = words
        self._items = list(items)
        if not files.rows:
            raise DataError(f"{self.file('events')} has no events")
        listed = files.codes()
        if listed is None:
            self.notes.append("metadata/codes.parquet is absent: the codes were read from the events.")
        elif not self._begins(listed):
            listed = None
            self.notes.append("metadata/codes.parquet lacks the codes that begin stays; the events' own were used.")
        self._find(distinct_codes(files) if listed is None else listed)
        self.kept, unlisted = self._keep()
        if unlisted:
            self.notes.append(
                f"metadata/codes.parquet lacks the codes of {unlisted} events; the events' own were used."
            )
            self._find(distinct_codes(files))
            self.kept, _ = self._keep()
        for reason in (NO_CODE, NO_SUBJECT):
            refuse_share(self.kept.counts[reason], self.kept.rows, self.file("events"), reason, max_bad)
        self.quarantine.update({f"events: {why}": self.kept.counts[why] for why in (NO_CODE, NO_SUBJECT, UNSORTED)})
        self._tables = self._make()
        if self._tables["icustays"].is_empty():
            raise DataError(
                f"{self.file('events')}: no stay is in the events; its begin and end need a code by the layout "
                f"{files.name} and a time, and a hospital admission at that time"
            )
        self.quarantine = +self.quarantine

    def _find(self, codes: pl.Series) -> None:
        """Find the codes of each role and of the channels' items."""
        self.codes = codes
        self.roles = {role: matched(codes, pattern) for role, pattern in self.layout.roles.items()}
        self.measured = item_codes(codes, self.layout, self._items)
        if not self._begins(codes):
            what = "ICU admission" if self.layout.icu_admission else "admission"
            raise DataError(
                f"{self.path}: no code is an {what} by the layout {self.files.name}; name another one by source.layout"
            )

    def _begins(self, codes: pl.Series) -> bool:
        """Return whether a code among these begins a stay."""
        roles = self.layout.roles
        start = "icu_admission" if self.layout.icu_admission else "admission"
        return start in roles and not matched(codes, roles[start]).is_empty()

    def _keep(self) -> tuple[KeptEvents, int]:
        layout, files = self.layout, self.files
        wanted = sorted({*self.measured["code"], *(code for found in self.roles.values() for code in found["code"])})
        columns = [layout.known, layout.admission_id, layout.stay_id, layout.unit, *layout.columns.values()]
        there = [name for one in columns if (name := files.column(one)) is not None]
        if self._words and "text_value" in files.columns:
            there.append("text_value")
        return keep_events(files, wanted, self.codes, there, self.scratch / "events")

    def file(self, name: str) -> Path:
        """Return where the events are."""
        return self.path / "data"

    def tables(self) -> dict[str, Path]:
        """Map each table that the events make to where they are."""
        return {name: self.file(name) for name in (*self._tables, *EVENTS)}

    def ids(self, name: str, column: str) -> pl.Series:
        """Return the ids that a column of a table holds, each once; of patients those of all events."""
        if (name, column) == ("patients", "subject_id"):
            return self.kept.subjects
        return self.read(name, [column])[0][column].drop_nulls().unique()

    def read(
        self, name: str, names: Sequence[str], optional: Sequence[str] = ()
    ) -> tuple[pl.DataFrame, dict[str, int]]:
        """Read columns of a table; those of `optional` that it lacks are null.

        Raises:
            DataError: if the events make no such table, or the table has no such column.
        """
        if name not in self._tables:
            raise DataError(f"{self.path}: MEDS data have no table {name!r}")
        table = self._tables[name]
        absent = [column for column in names if column not in table.columns]
        if absent:
            raise DataError(f"{self.path}: no code of the layout {self.files.name} makes column {absent[0]!r}")
        lacking = [
            pl.lit(None, TYPES.get(column, pl.String)).alias(column)
            for column in optional
            if column not in table.columns
        ]
        return table.with_columns(lacking).select(*names, *optional), {}

    def unread(self, table: str) -> Counter[str]:
        """Return the rows of an event table that `scan` never yields, by place."""
        return Counter({"no code": self.kept.counts[NO_CODE]})

    def scan(
        self,
        table: str,
        items: Sequence[int],
        columns: Sequence[str],
        optional: Sequence[str] = (),
        counts: Counter[str] | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Yield the measurements of items in batches, as rows of one of MIMIC's event tables.

        Args:
            table: one of `EVENTS`, all of which are the same.
            items: itemids.
            columns: columns wanted beside `itemid`, of: subject_id, hadm_id, stay_id, charttime, storetime, value,
                valuenum, valueuom.
            optional: further ones.
            counts: gets `rows`, the number of all events, and `NO_TIME`, measurements that have no time.

        Raises:
            DataError: if the events make no such table.
        """
        if table not in EVENTS:
            raise DataError(f"{self.path}: MEDS data have no table {table!r}")
        counts = Counter() if counts is None else counts
        counts["rows"] += self.kept.rows
        codes, kept = self._codes_of(items)
        for batch in kept.batches(codes["code"].to_list()):
            timed = batch.drop_nulls("time")
            counts[NO_TIME] += batch.height - timed.height
            if timed.height:
                yield self._rows(timed, codes, {*columns, *optional}).select("itemid", *columns, *optional)

    def during(self, frame: pl.DataFrame, column: str) -> pl.DataFrame:
        """Add `hadm_id`, the hospital admission during which each row was by a column of times."""
        named = at_time(frame, self._spans, column)["hadm_id"]
        # A bed in the ICU may be kept beyond discharge from hospital; what is charted then is of the same admission.
        stay = at_time(frame, self._icu, column)["hadm_id"]
        return frame.with_columns(stay.zip_with(stay.is_not_null(), named).alias("hadm_id"))

    def _codes_of(self, items: Sequence[int]) -> tuple[pl.DataFrame, KeptEvents]:
        """Find the codes of items and where their events are kept; items of no channel take a pass of their own."""
        known = {one.itemid for one in self._items}
        if known.issuperset(items):
            return self.measured.filter(pl.col("itemid").is_in(list(items))), self.kept
        mimic = [_Number(itemid) for itemid in items]
        codes = item_codes(self.codes, self.layout, mimic)
        columns = [self.layout.known, self.layout.admission_id, self.layout.stay_id, self.layout.unit, "text_value"]
        there = [name for one in columns if (name := self.files.column(one)) is not None]
        folder = self.scratch / f"events {len(list(self.scratch.glob('events*')))}"
        return codes, keep_events(self.files, codes["code"].to_list(), self.codes, there, folder)[0]

    def _rows(self, batch: pl.DataFrame, codes: pl.DataFrame, wanted: set[str]) -> pl.DataFrame:
        layout = self.layout
        # The standard's numbers have 32 bits; the shortest decimal that they stand for is what was recorded.
        number = pl.col("numeric_value").cast(pl.String)
        text = pl.coalesce("text_value", number) if "text_value" in batch.columns else number

        def column(name: str | None, kind: Any) -> pl.Expr:
            return pl.col(name).cast(kind, strict=False) if name in batch.columns else pl.lit(None, kind)

        named = codes.select("code", "itemid", of_code="unit")
        frame = batch.join(named, on="code", how="inner", maintain_order="left")
        unit = pl.coalesce(column(layout.unit, pl.String), "of_code")
        frame = frame.with_columns(
            charttime=pl.col("time"),
            storetime=column(layout.known, TIME),
            value=text,
            valuenum=number.cast(pl.Float64),
            valueuom=pl.when(unit != meds_layout.UNKNOWN).then(unit),
            stay_id=column(layout.stay_id, pl.Int64),
        )
        if "hadm_id" not in wanted:
            return frame
        if layout.admission_id in batch.columns:
            return frame.with_columns(hadm_id=column(layout.admission_id, pl.Int64))
        return self.during(frame, "time")

    def _events(self, role: str) -> pl.DataFrame:
        """Read the events of a role with the columns that its codes name."""
        found = self.roles.get(role)
        if found is None or found.is_empty():
            return pl.DataFrame(schema={"subject_id": pl.Int64, "time": TIME, "code": pl.String})
        return self._of_roles.join(found, on="code", how="inner", maintain_order="left")

    def _make(self) -> dict[str, pl.DataFrame]:
        """Make the tables from the events."""
        self._of_roles = self.kept.of([code for found in self.roles.values() for code in found["code"]])
        static = self._static()
        births, deaths = self._once("birth"), self._once("death")
        admissions = self._spans_of("admission", "discharge", self.layout.admission_id, "hospital admission")
        stays = self._spans_of("icu_admission", "icu_discharge", self.layout.stay_id, "ICU stay")
        if self.layout.icu_admission is None:
            stays = admissions
        if self.layout.admission is None:
            admissions = stays
        self._spans = admissions
        tables = {"icustays": self._icustays(stays, admissions)}
        self._icu = tables["icustays"].select("subject_id", begin="intime", end="outtime", id="hadm_id")
        tables["admissions"] = self._admissions(admissions, deaths, static)
        tables["patients"] = self._patients(admissions, births, deaths, static)
        if "diagnosis" in self.roles and self.roles["diagnosis"].height:
            tables["diagnoses_icd"] = self._diagnoses(admissions)
        del self._of_roles
        return tables

    def _spans_of(self, begin: str, end: str, name: str | None, what: str) -> pl.DataFrame:
        found = []
        for role in (begin, end):
            events = self._events(role)
            id_ = pl.col(name).cast(pl.Int64, strict=False) if name in events.columns else pl.lit(None, pl.Int64)
            columns = [one for one in self.roles.get(role, events).columns if one in events.columns and one != "code"]
            columns += [one for one in self.layout.columns.values() if one in events.columns and role == "admission"]
            found.append(events.select("subject_id", "time", id_.alias("id"), *dict.fromkeys(columns)))
        begins, ends = found
        further = [one for one in ends.columns if one in begins.columns and one not in ("subject_id", "time", "id")]
        whole = spans(begins, ends.drop(further), what, self.quarantine)
        for reason in ("no end", "begin without a time"):
            lost = self.quarantine[f"{what}: {reason}"]
            refuse_share(lost, begins.height, self.file("events"), f"{what}: {reason}", self.max_bad)
        return whole

    def _once(self, role: str) -> pl.DataFrame:
        """Read the first event of each subject: subject_id, time; further ones are counted."""
        whole = self._events(role)
        events = whole.drop_nulls("time").sort("subject_id", "time")
        self.quarantine[f"{role}: {NO_TIME}"] += whole.height - events.height
        first = events.unique("subject_id", keep="first", maintain_order=True)
        self.quarantine[f"{role}: another one of the same subject"] += events.height - first.height
        return first.select("subject_id", "time")

    def _static(self) -> pl.DataFrame:
        """Read the columns that static codes name, one row for each subject that has any."""
        table = pl.DataFrame({"subject_id": self.kept.subjects})
        for role in self.roles:
            if role.startswith("static") and self.roles[role].height:
                events = self._events(role)
                names = [name for name in self.roles[role].columns if name != "code"]
                first = events.unique("subject_id", keep="first", maintain_order=True).select("subject_id", *names)
                several = events.unique(["subject_id", *names]).height - first.height
                self.quarantine[f"{', '.join(names)}: another value of the same subject"] += several
                table = table.join(first, on="subject_id", how="left", maintain_order="left")
        return table

    def _icustays(self, stays: pl.DataFrame, admissions: pl.DataFrame) -> pl.DataFrame:
        of = admission_of(stays, admissions)
        found = stays.join(of, on="id", how="inner", maintain_order="left")
        lost, reason = stays.height - found.height, "ICU stay during no hospital admission"
        refuse_share(lost, stays.height, self.file("events"), reason, self.max_bad)
        self.quarantine[reason] += lost
        # Where codes name no care unit, no stay can be said to have changed it.
        units = [
            (pl.col(name) if name in found.columns else pl.lit(None, pl.String)).fill_null("unknown").alias(name)
            for name in ("first_careunit", "last_careunit")
        ]
        return found.with_columns(units).select(
            "subject_id", "hadm_id", "first_careunit", "last_careunit", stay_id="id", intime="begin", outtime="end"
        )

    def _admissions(self, admissions: pl.DataFrame, deaths: pl.DataFrame, static: pl.DataFrame) -> pl.DataFrame:
        frame = admissions.select(
            "subject_id",
            *(name for name in _ADMISSION if name in admissions.columns),
            *(
                pl.col(column).alias(name)
                for name, column in self.layout.columns.items()
                if column in admissions.columns
            ),
            hadm_id="id",
            admittime="begin",
            dischtime="end",
        )
        further = [name for name in _OF_ADMISSION if name in static.columns]
        frame = frame.join(static.select("subject_id", *further), on="subject_id", how="left", suffix="_static")
        both = [name for name in further if f"{name}_static" in frame.columns]
        frame = frame.with_columns(pl.coalesce(name, f"{name}_static").alias(name) for name in both)
        frame = frame.drop(f"{name}_static" for name in both)
        # A death belongs to the admission during which, or on whose last day, it was.
        clocks = deaths.filter(self._has_clock()).rename({"time": "deathtime"})
        frame = frame.join(clocks, on="subject_id", how="left", maintain_order="left")
        during = (pl.col("deathtime") >= pl.col("admittime")) & (
            (pl.col("deathtime") <= pl.col("dischtime"))
            | (pl.col("deathtime").dt.date() == pl.col("dischtime").dt.date())
        )
        return frame.with_columns(pl.when(during).then("deathtime").alias("deathtime"))

    def _has_clock(self) -> pl.Expr:
        midnight = pl.col("time") == pl.col("time").dt.truncate("1d")
        return ~midnight if self.layout.death_is_day else pl.lit(True)

    def _patients(
        self, admissions: pl.DataFrame, births: pl.DataFrame, deaths: pl.DataFrame, static: pl.DataFrame
    ) -> pl.DataFrame:
        first = admissions.group_by("subject_id").agg(pl.col("begin").min())
        frame = first.join(static, on="subject_id", how="left").join(
            births.rename({"time": "birth"}), on="subject_id", how="left"
        )
        lost, reason = int(frame["birth"].null_count()), f"subject without {self.layout.birth}, so without an age"
        refuse_share(lost, frame.height, self.file("events"), reason, self.max_bad)
        self.quarantine[reason] += lost
        year = pl.col("begin").dt.year()
        frame = frame.drop_nulls("birth").join(
            deaths.select("subject_id", dod=pl.col("time").dt.truncate("1d")), on="subject_id", how="left"
        )
        missing = [] if "gender" in frame.columns else [pl.lit(None, pl.String).alias("gender")]
        return (
            frame.with_columns(
                *missing,
                anchor_age=(year - pl.col("birth").dt.year()).cast(pl.Int64),
                anchor_year=year.cast(pl.Int64),
            )
            .drop("begin")
            .sort("subject_id")
        )

    def _diagnoses(self, admissions: pl.DataFrame) -> pl.DataFrame:
        events = self._events("diagnosis")
        name = self.layout.admission_id
        if name in events.columns:
            events = events.with_columns(pl.col(name).cast(pl.Int64, strict=False).alias("hadm_id"))
        else:
            events = at_time(events, admissions)
        return events.select(
            "subject_id", "hadm_id", pl.col("icd_version").cast(pl.Int64, strict=False), "icd_code"
        ).sort("subject_id", "hadm_id", maintain_order=True)


class _Number:
    """An item that is known by its itemid alone."""

    code = pattern = None

    def __init__(self, itemid: int) -> None:
        self.itemid = itemid
