"""Splits by a column of the stays: by time, or by place or another group. No subject is in two splits.

By time, the split of a subject is that of the latest stay, and the subject's stays of an earlier split's periods leave
the division. So nothing leaks in either direction: no subject is trained and tested on, no test stay is older than a
validation stay, no validation stay older than a training stay, and the test period is whole, with the patients who
come back, as a model in use would meet it. The other rules are worse: to keep the earlier stays in test would test on
the past, and to let the first stay decide would test on newcomers alone. The price is that training lacks the earlier
stays of those who come back in a later period; the cohort flow counts them.

By group, a subject with stays in groups of different splits belongs to none of them: whichever split took the subject
would test, or train, on a patient whom the other side's groups know too. All stays of such a subject leave the
division, and the cohort flow counts them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from picme.errors import ConfigError, DataError, near
from picme.schema import SPLITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from picme.config.splits import SplitsConfig

COLUMN_KINDS = ("time", "group")
USUAL = "anchor_year_group"
# Not a split yet: the subject is in training or in validation by the hash of the id.
REST = "rest"
# A value that fewer subjects share is not quoted in a message or note: it may point to a patient.
FEWEST_QUOTED = 10
MOST_NAMED = 12
_TIME = r"^\d{4}( - \d{4}|-\d{2}(-\d{2}( \d{2}:\d{2}(:\d{2}(\.\d+)?)?)?)?)?$"


@dataclass(frozen=True)
class Division:
    """Stays and their splits.

    Attributes:
        stays: one row per stay: stay_id, `split` (null where a stay is in none), `left` (one of `reasons`, or null).
        reasons: lines of the cohort flow, in their order, each naming what the stays that remain have in common.
        notes: sentences for the report.
    """

    stays: pl.DataFrame
    reasons: list[str]
    notes: list[str]


def unit_hash(subject: object, seed: int) -> float:
    """Map a subject to a number in [0, 1) that depends on it alone, so that a division is stable when data is added."""
    digest = hashlib.blake2b(f"{seed}:{subject}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def column_of(config: SplitsConfig, usual: str | None = None) -> str | None:
    """Return the column that the splits go by, None for kinds without one.

    Args:
        config: the rules of the division.
        usual: the source's own column of time.

    Raises:
        ConfigError: if there is neither a configured nor a usual one.
    """
    if config.kind not in COLUMN_KINDS:
        return None
    column = config.column or (usual if config.kind == "time" else None)
    if column is None:
        raise ConfigError(f"splits.column is missing: kind {config.kind!r} needs the column to divide by")
    return column


def divide(stays: pl.DataFrame, config: SplitsConfig) -> Division:
    """Divide all stays of a study by time or by group.

    Args:
        stays: the stays, with subject_id and the column; all stays of a subject must be among them.
        config: the rules of the division.

    Raises:
        ConfigError: if no column is configured.
        DataError: if the column, a period or a group does not fit the data, or a split would be empty.
    """
    column = column_of(config, USUAL if USUAL in stays.columns else None)
    assert column is not None  # the kind has one
    if column not in stays.columns:
        offered = [name for name in stays.columns if name not in ("stay_id", "subject_id", "split")]
        raise DataError(f"splits.column: the stays have no column {column!r}{near(column, offered)}")
    values = (_times if config.kind == "time" else _groups)(stays.get_column(column), column)
    ordered = values.drop_nulls().unique().sort()
    if config.kind == "group":
        # The order in which groups are drawn, training first.
        ordered = pl.Series(sorted(ordered.to_list(), key=lambda name: unit_hash(name, config.seed)), dtype=pl.String)
    if len(ordered) < 2:
        raise DataError(
            f"splits.column: column {column!r} has {len(ordered) or 'no'} value{'s' * (len(ordered) != 1)} among the "
            "stays; at least two are needed for a division"
        )
    ranks = pl.Series(range(len(ordered)), dtype=pl.Int64)
    frame = stays.select("subject_id").with_columns(
        values.replace_strict(ordered, ranks, default=None, return_dtype=pl.Int64).alias("rank")
    )
    # By time a subject counts where the latest stay lies; by group, in each of the groups.
    counted = frame.drop_nulls("rank").group_by("subject_id")
    subjects = (
        counted.agg(pl.col("rank").max())
        if config.kind == "time"
        else frame.drop_nulls("rank").unique(["subject_id", "rank"])
    )
    sizes = np.bincount(subjects.get_column("rank").to_numpy(), minlength=len(ordered))
    shared = frame.drop_nulls("rank").unique(["subject_id", "rank"]).get_column("rank").to_numpy()
    quotable = np.bincount(shared, minlength=len(ordered)) >= FEWEST_QUOTED
    known = [str(name) for name, many in zip(ordered.to_list(), quotable, strict=True) if many]
    parts = (_by_time if config.kind == "time" else _by_group)(ordered, sizes, config, known)
    return _divided(stays, frame, parts, column, config, _note(ordered, quotable, parts, column, config))


def _divided(
    stays: pl.DataFrame, frame: pl.DataFrame, parts: list[str], column: str, config: SplitsConfig, note: str
) -> Division:
    """Give each stay its split from the part of its value and those of its subject's other stays."""
    part = pl.Series(parts, dtype=pl.String)
    ranks = pl.Series(range(len(parts)), dtype=pl.Int64)

    def of(rank: pl.Expr) -> pl.Expr:
        return rank.replace_strict(ranks, part, default=None, return_dtype=pl.String)

    own = of(pl.col("rank"))
    if config.kind == "time":
        whole, reason = of(pl.col("rank").max().over("subject_id")), "no stay of the subject in a later split"
    else:
        one = own.drop_nulls().n_unique().over("subject_id") == 1
        whole, reason = pl.when(one).then(own), "subject in groups of one split only"
    share = config.val / (config.train + config.val)
    hashed = [
        "val" if unit_hash(subject, config.seed) < share else "train" for subject in frame.get_column("subject_id")
    ]
    reasons = [f"with a value in {column}", reason]
    found = frame.with_columns(own.alias("own"), whole.alias("whole"), pl.Series("hashed", hashed, dtype=pl.String))
    stay = (pl.col("own") == pl.col("whole")).fill_null(False)
    found = found.with_columns(
        pl.when(stay)
        .then(pl.when(pl.col("own") == REST).then(pl.col("hashed")).otherwise(pl.col("own")))
        .alias("split"),
        pl.when(pl.col("own").is_null()).then(pl.lit(reasons[0])).when(~stay).then(pl.lit(reasons[1])).alias("left"),
    )
    for name in SPLITS:
        if name not in found.get_column("split"):
            raise DataError(f"splits by {config.kind} ({column!r}) leave no subject in {name}; choose others")
    ids = [name for name in ("stay_id",) if name in stays.columns]
    return Division(
        pl.concat([stays.select(ids), found.select("split", "left")], how="horizontal"), reasons, [note] if note else []
    )


def _times(cells: pl.Series, column: str) -> pl.Series:
    """Bring times to an order: numbers and dates as they are, text that begins with the year in one spelling.

    Raises:
        DataError: if cells hold no time.
    """
    if isinstance(cells.dtype, pl.Datetime) and cells.dtype.time_zone is not None:
        return cells.dt.replace_time_zone(None)  # the clock on the wall, as in every reader
    if cells.dtype.is_temporal():
        return cells
    if cells.dtype.is_numeric():
        return cells.cast(pl.Float64).fill_nan(None)
    words = _words(cells).str.replace(r"^(\d{4})\s*[-–]\s*(\d{4})$", "$1 - $2").str.replace(r"^(\S{10})T", "$1 ")
    wrong = int((~words.str.contains(_TIME)).sum())
    if wrong:
        raise DataError(
            f"splits.column: {wrong} of {len(words)} stays have no time in column {column!r}; expected years, dates "
            "like 2019-03-27 or periods like 2008 - 2010"
        )
    return words


def _groups(cells: pl.Series, column: str) -> pl.Series:
    """Bring groups to text; whole numbers have no decimals."""
    if cells.dtype.is_float() and bool((cells.drop_nulls() % 1 == 0).all()):
        cells = cells.cast(pl.Int64)
    return _words(cells)


def _words(cells: pl.Series) -> pl.Series:
    """Return cells as stripped text, null where they are empty or `unknown`."""
    words = cells.cast(pl.String).str.strip_chars()
    return words.set(words.is_in(["", "unknown"]).fill_null(False), None)


def cut(sizes: Sequence[int] | np.ndarray, train: float, val: float) -> tuple[int, int]:
    """Cut an ordered list of three values or more into training, validation and test, as near to the shares as it can.

    Args:
        sizes: (value,) subjects of each value.
        train: share of training.
        val: share of validation.

    Returns:
        The index of validation's first value, and of test's; no part is empty.
    """
    reached = np.cumsum(sizes) / max(int(np.sum(sizes)), 1)  # at index i: the share of values 0 to i
    test = 2 + int(np.abs(reached[1:-1] - (train + val)).argmin())
    return 1 + int(np.abs(reached[: test - 1] - train).argmin()), test


def _by_time(ordered: pl.Series, sizes: np.ndarray, config: SplitsConfig, known: list[str]) -> list[str]:
    """Give each period its part; where only one is left before test, subjects are validation by their hash."""
    number = len(ordered)
    if config.test_from is None:
        validation, test = cut(sizes, config.train, config.val) if number > 2 else (1, 1)
    else:
        test = _first(ordered, config.test_from, "test_from", known)
        validation = test
        if config.val_from is not None:
            validation = _first(ordered, config.val_from, "val_from", known)
            if validation >= test:
                raise DataError("splits.val_from must lie before splits.test_from, with stays between them")
        elif test > 1:
            reached = np.cumsum(sizes[:test]) / max(int(sizes[:test].sum()), 1)
            share = config.train / (config.train + config.val)
            validation = 1 + int(np.abs(reached[:-1] - share).argmin())
    early = REST if validation == test else "train"
    return [early] * validation + ["val"] * (test - validation) + ["test"] * (number - test)


def _first(ordered: pl.Series, text: str, key: str, known: list[str]) -> int:
    """Find the index of the first value at or after a configured one.

    Raises:
        ConfigError: if it is no time as the column has them.
        DataError: if no stay, or every stay, lies at or after it.
    """
    try:
        if ordered.dtype.is_temporal():
            wanted: object = datetime.fromisoformat(text if len(text) > 4 else f"{text}-01-01")
            compared = ordered.cast(pl.Datetime("us"))
        elif ordered.dtype.is_numeric():
            wanted, compared = float(text), ordered
        else:
            wanted, compared = _times(pl.Series([text]), key)[0], ordered
    except (ValueError, DataError, pl.exceptions.PolarsError):
        raise ConfigError(
            f"splits.{key}: {text!r} is no time like those of splits.column{_hint(text, known)}"
        ) from None
    index = int((compared < wanted).sum())
    if index == 0 or index == len(ordered):
        where = "lies at or after" if index else "lies before"
        raise DataError(f"splits.{key}: no stay {where} {text!r}{_hint(text, known)}")
    return index


def _by_group(ordered: pl.Series, sizes: np.ndarray, config: SplitsConfig, known: list[str]) -> list[str]:
    """Give each group its part; where no group is validation, subjects outside test are by their hash."""
    names = ordered.to_list()
    for key, chosen in (("test_groups", config.test_groups), ("val_groups", config.val_groups)):
        for name in chosen:
            if name not in names:
                raise DataError(f"splits.{key}: no stay is in a group {name!r}{_hint(name, known)}")
    if not config.test_groups:
        validation, test = cut(sizes, config.train, config.val) if len(names) > 2 else (1, 1)
        early = REST if validation == test else "train"
        return [early] * validation + ["val"] * (test - validation) + ["test"] * (len(names) - test)
    other = "train" if config.val_groups else REST
    return ["test" if n in config.test_groups else "val" if n in config.val_groups else other for n in names]


def _hint(text: str, known: list[str]) -> str:
    """Return the nearest of the values that may be quoted."""
    return near(text, known) if known else ""


def _note(ordered: pl.Series, quotable: np.ndarray, parts: list[str], column: str, config: SplitsConfig) -> str:
    """Say in one sentence which values validation and test have, where so many subjects share them that they may be."""

    def named(part: str) -> str | None:
        places = [place for place, one in enumerate(parts) if one == part]
        if not 0 < len(places) <= MOST_NAMED or not all(quotable[place] for place in places):
            return None
        names = sorted(str(ordered[place]) for place in places)
        return ", ".join(names)

    said = [f"{part} {names}" for part in ("val", "test") if (names := named(part)) is not None]
    if REST in parts:
        said.append("val otherwise by a hash of the subject id")
    return f"Splits by {config.kind}, column {column}: {'; '.join(said)}." if said else ""
