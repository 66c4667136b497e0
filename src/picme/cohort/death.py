"""Death in hospital, decided from all that a release records of it, and the contradictions between those records."""

from __future__ import annotations

from collections import Counter
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

import polars as pl

from picme.sources.tables import TIME

if TYPE_CHECKING:
    from collections.abc import Iterable

_FLAG = pl.col("hospital_expire_flag")
_PLACE = pl.col("discharge_location").cast(pl.String).str.strip_chars().str.to_uppercase()
_DEAD = r"^(?:DIED|DEAD|DEATH|EXPIRED|DECEASED)\b"


def _day(column: str) -> pl.Expr:
    return pl.col(column).cast(TIME).dt.truncate("1d")


def _any(conditions: Iterable[pl.Expr]) -> pl.Expr:
    return reduce(or_, (condition.fill_null(False) for condition in conditions))


def _not_after_discharge() -> pl.Expr:
    """Tell whether the time of death is not after discharge; a discharge at midnight has no clock and is a day."""
    until = pl.col("dischtime")
    whole_day = (until == _day("dischtime")) & (_day("deathtime") == until)
    return (pl.col("deathtime").cast(TIME) <= until) | whole_day


def without_impossible_times(stays: pl.DataFrame) -> tuple[pl.DataFrame, Counter[str], pl.Series]:
    """Take out times of death and of discharge that lie before the hospital admission: they are unknown.

    Args:
        stays: admittime, dischtime, deathtime and dod.

    Returns:
        The stays; how many had each kind of impossible time; and which stays had any, (stay,) bool.
    """
    before = {
        "deathtime": pl.col("deathtime").cast(TIME) < pl.col("admittime"),
        "dod": _day("dod") < _day("admittime"),
        "dischtime": pl.col("dischtime") < pl.col("admittime"),
    }
    found = stays.select(**before).fill_null(False)
    kinds = Counter({f"{column} before the hospital admission": int(found[column].sum()) for column in before})
    cleared = [pl.when(~found[column]).then(pl.col(column)).alias(column) for column in before]
    return stays.with_columns(cleared), +kinds, found.select(pl.any_horizontal(pl.all())).to_series()


def died_in_hospital() -> pl.Expr:
    """Decide whether the patient died in hospital, as Int8.

    The order of evidence: a `hospital_expire_flag` of 1; a `deathtime` up to discharge; a `discharge_location` that
    says so; a `dod` on a day before that of discharge. Each of them is an entry made because of a death, so none is
    outweighed by a flag of 0, which is also what stands where nobody made an entry. `dod` is a day without a clock: on
    the day of discharge it tells nothing by itself, and a flag of 0 or another discharge location decide that the
    patient left alive; without either of them the death counts as one in hospital.

    Needs hospital_expire_flag, discharge_location (both may be null), admittime, dischtime, deathtime, dod, with
    impossible times taken out.
    """
    left_alive = ((_FLAG == 0) | (_PLACE != "")).fill_null(False)
    last_day = (_day("dod") == _day("dischtime")) & ~left_alive
    evidence = (
        _FLAG == 1,
        _not_after_discharge(),
        _PLACE.str.contains(_DEAD),
        _day("dod") < _day("dischtime"),
        last_day,
    )
    return _any(evidence).cast(pl.Int8).alias("died_in_hospital")


def published_rule() -> pl.Expr:
    """Tell, as the published extraction does, whether `dod` at midnight or `deathtime` lies within the admission."""
    times = [pl.col(column).cast(TIME) for column in ("dod", "deathtime")]
    return _any(t.is_between("admittime", "dischtime") for t in times).cast(pl.Int8).alias("died_in_hospital")


def contradictions(stays: pl.DataFrame) -> tuple[Counter[str], pl.Series]:
    """Count by kind the stays whose records of death contradict each other or the label, and mark the stays.

    Args:
        stays: what `died_in_hospital` needs, and its result.
    """
    died = pl.col("died_in_hospital") == 1
    kinds = {
        "hospital_expire_flag says otherwise than the label": _FLAG.is_in([0, 1])
        & (pl.col("died_in_hospital") != _FLAG),
        "discharge_location says otherwise than the label": (_PLACE != "") & (_PLACE.str.contains(_DEAD) != died),
        "died in hospital, but deathtime after discharge": died & ~_not_after_discharge(),
        "died in hospital, but dod after the day of discharge": died & (_day("dod") > _day("dischtime")),
        "deathtime and dod on different days": _day("deathtime") != _day("dod"),
    }
    found = stays.select(**kinds).fill_null(False)
    counts = Counter({kind: int(found[kind].sum()) for kind in kinds})
    return +counts, found.select(pl.any_horizontal(pl.all())).to_series()


def death() -> pl.Expr:
    """Return the time by which a patient is dead: of the time of death and the end of its day the earlier, or null."""
    # A date of death is over at the end of its day.
    return pl.min_horizontal(pl.col("deathtime").cast(TIME), pl.col("dod").cast(TIME).dt.offset_by("1d"))
