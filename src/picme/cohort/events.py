"""Reader that turns rows of the event tables into compact measurements, and spills them to disk by stay.

A measurement is a channel, a time after ICU admission, and a number in the channel's unit (for a categorical channel
the index of the category). Everything works on whole batches; rows may come in any order.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from picme.cohort.readings import MEASUREMENT, Reader, distinct
from picme.errors import DataError
from picme.sources.tables import blank, parse_time, typed

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

    from picme.cohort.channel_sets import ChannelSet
    from picme.sources.tables import Tables

NEEDED = ("subject_id", "charttime", "value")
OPTIONAL = ("stay_id", "storetime", "valuenum", "valueuom")
# Columns of whole numbers; a cell that is none cannot say where its row belongs.
IDS = ("subject_id", "stay_id", "hadm_id")
NOBODY = "column 'subject_id': of no patient"
OUTSIDE = "charted outside the ICU stay that it names"
ITEMID = "column 'itemid': expected a whole number"
NO_TIME = "no time"
MAX_PARTS = 256
# The hours of stays that are binned together; their measurements take some 100 MB.
PART_HOURS = 50_000


class Spill:
    """A store of measurements on disk, in parts that each hold neighbouring stays.

    Args:
        folder: folder in which the parts are written; `close` removes it.
        hours: (stay,) hours of each stay.
    """

    def __init__(self, folder: Path, hours: np.ndarray) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        total = float(hours.sum())
        parts = int(np.clip(np.ceil(total / PART_HOURS), 1, min(MAX_PARTS, max(1, len(hours)))))
        before = np.concatenate([[0.0], np.cumsum(hours)])[:-1]
        self.part_of = np.minimum(before * parts / max(total, 1.0), parts - 1).astype(np.uint16)
        self.bounds = np.searchsorted(self.part_of, np.arange(parts + 1))
        self.files: list[IO[bytes]] = [(folder / f"{part}.bin").open("w+b") for part in range(parts)]

    def add(self, rows: np.ndarray) -> None:
        """Append measurements, each to its part."""
        part = self.part_of[rows["stay"]]
        rows = rows[np.argsort(part, kind="stable")]
        ends = np.cumsum(np.bincount(part, minlength=len(self.files)))
        start = 0
        for file, end in zip(self.files, ends, strict=True):
            if end > start:
                file.write(rows[start:end].tobytes())
            start = end

    def read(self, part: int) -> np.ndarray:
        """Read the measurements of a part, (measurement,) of dtype MEASUREMENT."""
        self.files[part].flush()
        return np.fromfile(self.folder / f"{part}.bin", MEASUREMENT)

    def close(self) -> None:
        """Remove the files."""
        for file in self.files:
            file.close()
        for part in range(len(self.files)):
            (self.folder / f"{part}.bin").unlink(missing_ok=True)
        self.folder.rmdir()


def spill_events(
    release: Tables,
    channels: ChannelSet,
    stays: pl.DataFrame,
    spill: Spill,
    by_admission: bool,
    max_bad: float,
    places: Counter[tuple[str, str]] | None = None,
) -> tuple[Counter[str], np.ndarray]:
    """Read every event table of the channels once, and spill the measurements of the stays.

    Args:
        stays: subject_id, hadm_id, stay_id, intime, outtime and `seconds` (end of observation after intime), in the
            order of the stay index.
        by_admission: attach rows as the published extraction does: the row's admission must be in the cohort and its
            stay, where it has one, that of the admission; then any row of the subject within the stay counts.
        max_bad: largest share of unreadable rows among the items' rows.
        places: gets (table, place) → rows; every row of a table is in exactly one place.

    Returns:
        what was left out, reason → rows; and for each stay whether its subject has any value that is a text.

    Raises:
        DataError: for missing tables or columns, damaged files, more unreadable rows than `max_bad`.
    """
    counts: Counter[str] = Counter()
    keys = stays.select("subject_id", "hadm_id", "stay_id", "intime", "outtime", "seconds").with_row_index("stay")
    with_text: set[int] = set()
    needed = (*NEEDED, "hadm_id") if by_admission else NEEDED
    patients = release.ids("patients", "subject_id")
    for table in channels.tables():
        reader = Reader(channels, table)
        seen: Counter[str] = Counter()
        bad: Counter[str] = Counter()
        rows: Counter[str] = Counter()
        for batch in release.scan(table, reader.itemids, needed, OPTIONAL, seen):
            seen["kept"] += batch.height
            frame, unreadable = typed_events(batch)
            bad.update(unreadable)
            read = frame.height
            frame = frame.filter(pl.col("subject_id").is_in(patients.implode()))
            bad[NOBODY] += read - frame.height
            if by_admission:
                read = frame.height
                frame = _of_cohort_admissions(frame, keys)
                rows["admission without a stay in the cohort"] += read - frame.height
                with_text.update(reader.subjects_with_text(frame))
            frame, outside = within_stays(frame, keys, by_admission)
            rows.update(outside)
            if not by_admission:
                stored = frame.filter(pl.col("known") <= pl.col("end"))
                rows["stored after the last hour observed"] += _distinct(frame) - _distinct(stored)
                frame = stored
            found = reader.measurements(frame)
            rows["no value"] += _distinct(frame) - found.filled
            rows["value that cannot be used"] += found.filled - found.used
            rows["measurement of a stay"] += found.used
            counts.update(found.left_out)
            spill.add(found.rows)
        bad["malformed row"] += seen["malformed"]
        _refuse(release, table, bad, seen["kept"] + seen["malformed"], max_bad)
        unreadable_items = {ITEMID: seen["unreadable"]}
        _refuse(release, table, Counter(unreadable_items), seen["rows"], max_bad)
        if rows["value that cannot be used"] and not rows["measurement of a stay"] and max_bad < 1:
            raise DataError(
                f"{release.file(table)}: none of the {rows['value that cannot be used']} values of the channels' items "
                "(columns 'value', 'valuenum') can be used; expected numbers in the channels' units, or their words"
            )
        bad.update(unreadable_items)
        counts.update({f"{table}: {reason}": number for reason, number in bad.items() if number})
        if rows[OUTSIDE]:
            counts[f"{table}: {OUTSIDE}"] += rows[OUTSIDE]
        rows.update(bad)
        rows.update(release.unread(table))
        rows[NO_TIME] += seen[NO_TIME]
        rows["item of no channel"] += seen["rows"] - seen["unreadable"] - seen["kept"] - seen[NO_TIME]
        rows["item of no channel"] -= release.unread(table).total()
        if places is not None:
            places.update({(table, place): number for place, number in rows.items() if number})
    text = stays["subject_id"].is_in(list(with_text)).to_numpy()
    return counts, text


def _distinct(frame: pl.DataFrame) -> int:
    """Count the rows of the table behind a frame, in which a row may stand once for each of several stays."""
    return distinct(frame["row"].to_numpy())


def _refuse(release: Tables, table: str, bad: Counter[str], rows: int, max_bad: float) -> None:
    for reason, number in bad.items():
        if number > max_bad * max(rows, 1):
            of = "" if reason == ITEMID else "of the channels' items "
            raise DataError(
                f"{release.file(table)}: {number} of {rows} rows {of}cannot be used ({reason}); "
                f"allowed is a share of {max_bad}"
            )


def typed_events(batch: pl.DataFrame) -> tuple[pl.DataFrame, Counter[str]]:
    """Give the columns their types; rows without a subject or a readable time are left out and counted."""
    schema = batch.schema
    frame = batch.with_columns(
        [
            parse_time(column, usual_only=True)
            if column in ("charttime", "storetime") and dtype == pl.String
            else typed(column, dtype)
            for column, dtype in schema.items()
            if column != "value"
        ]
    )
    unreadable: dict[str, pl.Series] = {}
    for column in ("charttime", "storetime", *IDS):
        if column in schema and frame[column].null_count() > batch[column].null_count():
            if column in ("charttime", "storetime") and schema[column] == pl.String:
                frame = frame.with_columns(batch.select(parse_time(column)).to_series())
            unreadable[column] = frame[column].is_null() & ~batch.select(blank(column, schema[column])).to_series()
    # A value stored at an unknown time cannot be said to be known at the cut-off, and one that names a stay or an
    # admission in another spelling cannot be said to be of this one.
    unreadable |= {column: frame[column].is_null() for column in ("subject_id", "charttime")}
    time, number = "expected a date and time like 2180-07-23 12:36:00", "expected a whole number"
    unusable = {
        f"column {column!r}: {number if column in IDS else time}": unreadable[column]
        for column in ("subject_id", "charttime", "storetime", "stay_id", "hadm_id")
        if column in unreadable
    }
    bad: Counter[str] = Counter()
    keep = pl.repeat(True, frame.height, eager=True)
    for reason, rows in unusable.items():
        bad[reason] += int((rows & keep).sum())
        keep &= ~rows
    if bad.total():
        frame = frame.filter(keep)
    if schema["value"] != pl.String:
        frame = frame.with_columns(pl.col("value").cast(pl.String))
    return frame, bad


def _of_cohort_admissions(frame: pl.DataFrame, keys: pl.DataFrame) -> pl.DataFrame:
    """Keep the rows whose admission is in the cohort and whose stay, where they name one, is that of the admission."""
    own = keys.select("hadm_id", pl.col("stay_id").alias("own")).unique()
    joined = frame.join(own, on="hadm_id", how="inner")
    return joined.filter(pl.col("stay_id").is_null() | (pl.col("stay_id") == pl.col("own"))).drop("own")


def within_stays(frame: pl.DataFrame, keys: pl.DataFrame, by_admission: bool) -> tuple[pl.DataFrame, Counter[str]]:
    """Join each event with the stays of its subject during which it was charted; add row, stay, seconds and known.

    Returns:
        The events within stays, and where the other rows are, place → rows.
    """
    frame = frame.with_row_index("row")
    joined = frame.join(
        keys.select(
            *("stay", "subject_id", "intime", "outtime"), pl.col("seconds").alias("end"), pl.col("stay_id").alias("own")
        ),
        on="subject_id",
        how="inner",
    )
    joined = joined.with_columns((pl.col("charttime") - pl.col("intime")).dt.total_seconds().alias("seconds"))
    named = pl.col("stay_id") == pl.col("own")
    # A stay of no length has no hour to put a measurement in.
    time = (pl.col("seconds") >= 0) & (pl.col("seconds") <= pl.col("end")) & (pl.col("end") > 0)
    own = pl.lit(True) if by_admission else pl.col("stay_id").is_null() | named
    joined = joined.with_columns(
        inside=time & own,
        named=named.fill_null(False),
        during=pl.col("charttime").is_between("intime", "outtime") & own,
    )
    known = (pl.col("storetime") - pl.col("intime")).dt.total_seconds()
    limit = np.iinfo(np.int32)
    inside = joined.filter("inside").with_columns(
        pl.coalesce(known, pl.col("seconds")).clip(limit.min, limit.max).cast(pl.Int32).alias("known")
    )
    return inside, _outside(frame, joined)


def _outside(frame: pl.DataFrame, joined: pl.DataFrame) -> Counter[str]:
    """Count the rows that are within no stay, by place."""
    row = joined["row"].to_numpy()

    def rows(of: np.ndarray) -> np.ndarray:
        marked = np.zeros(frame.height, bool)
        marked[row[of]] = True
        return marked

    named, inside, during = (rows(joined[column].to_numpy()) for column in ("named", "inside", "during"))
    of_cohort = rows(np.ones(len(row), bool))
    another = frame["stay_id"].is_not_null().to_numpy() & ~named
    places = {
        "subject without a stay in the cohort": ~of_cohort,
        "charted after the last hour observed": during & ~inside,
        OUTSIDE: named & ~during & ~inside,
        "another ICU stay": of_cohort & another & ~during & ~inside,
        "charted outside the ICU stays": of_cohort & ~named & ~another & ~during & ~inside,
    }
    return Counter({place: int(marked.sum()) for place, marked in places.items()})
