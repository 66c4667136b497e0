"""Pairs of events that begin and end a stay, against plain loops over the events."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.sources.meds_stays import admission_of, at_time, spans
from tiny_meds import START

if TYPE_CHECKING:
    from datetime import datetime

KINDS: dict[str, Any] = {"subject_id": pl.Int64, "time": pl.Datetime("us"), "id": pl.Int64}


def hour(value: int) -> datetime:
    return START + timedelta(hours=value)


def frame(rows: list[tuple[int, int | None, int | None]], **others: Any) -> pl.DataFrame:
    times = [(subject, None if at is None else hour(at), name) for subject, at, name in rows]
    return pl.DataFrame(times, schema=KINDS, orient="row").with_columns(**others)


def test_stays_without_a_name_are_paired_by_time() -> None:
    """Against a loop: each end goes to the latest begin before it, and each begin takes its first end."""
    rng = np.random.default_rng(1)
    begins = sorted({(int(s), int(t)) for s, t in rng.integers([0, 0], [5, 60], (60, 2))})
    ends = sorted({(int(s), int(t)) for s, t in rng.integers([0, 0], [5, 60], (60, 2))})
    expected: dict[tuple[int, int], int] = {}
    for subject, end in ends:
        before = [begin for one, begin in begins if one == subject and begin < end]
        if before and (subject, before[-1]) not in expected:
            expected[subject, before[-1]] = end
    taken = {(subject, end) for (subject, _), end in expected.items()}
    for subject, begin in begins:
        if (subject, begin) not in expected and (subject, begin) in ends and (subject, begin) not in taken:
            expected[subject, begin] = begin
    counts: Counter[str] = Counter()
    found = spans(frame([(*one, None) for one in begins]), frame([(*one, None) for one in ends]), "stay", counts)
    made = {
        (row["subject_id"], (row["begin"] - START) // timedelta(hours=1)): (row["end"] - START) // timedelta(hours=1)
        for row in found.iter_rows(named=True)
    }
    assert len(expected) > 20
    assert made == expected
    assert counts["stay: no end"] == len(begins) - len(expected)
    assert found["id"].to_list() == list(range(1, found.height + 1))


def test_a_stay_that_ends_where_the_next_begins() -> None:
    found = spans(frame([(1, 0, None), (1, 5, None)]), frame([(1, 5, None), (1, 9, None)]), "stay", Counter())
    assert found["end"].to_list() == [hour(5), hour(9)]
    alone = spans(frame([(1, 5, None)]), frame([(1, 5, None)]), "stay", Counter())
    assert alone["end"].to_list() == [hour(5)], "a stay of no length"


def test_stays_with_a_name_are_paired_by_it_whatever_their_order() -> None:
    begins = frame([(1, 0, 70), (1, 2, 60), (2, 0, 50)], first=pl.Series(["a", "b", "c"]))
    ends = frame([(1, 30, 60), (1, 10, 70), (2, None, 50)], last=pl.Series(["B", "A", "C"]))
    counts: Counter[str] = Counter()
    found = spans(begins, ends, "stay", counts)
    assert found.select("id", "first", "last").rows() == [(70, "a", "A"), (60, "b", "B")]
    assert found["end"].to_list() == [hour(10), hour(30)]
    assert +counts == {"stay: no end": 1}


def test_begins_that_stand_there_twice_or_have_no_time_are_counted() -> None:
    counts: Counter[str] = Counter()
    found = spans(frame([(1, 0, None), (1, 0, None), (2, None, None)]), frame([(1, 9, None)]), "stay", counts)
    assert found.height == 1
    assert +counts == {"stay: the same begin twice": 1, "stay: begin without a time": 1}


def test_a_stay_belongs_to_the_admission_with_most_of_its_time() -> None:
    admissions = spans(frame([(1, 0, 7), (1, 50, 8)]), frame([(1, 40, 7), (1, 90, 8)]), "admission", Counter())
    stays = spans(
        frame([(1, 30, 1), (1, 45, 2), (1, 95, 3), (2, 0, 4)]),
        frame([(1, 41, 1), (1, 60, 2), (1, 99, 3), (2, 5, 4)]),
        "stay",
        Counter(),
    )
    assert admission_of(stays, admissions).sort("id").rows() == [(1, 7), (2, 8)]


def test_an_event_belongs_to_the_admission_during_which_it_was() -> None:
    """Against a loop over admissions, of which one begins at the minute in which another ends."""
    admissions = frame([(1, 0, 7), (1, 40, 8), (2, 5, 9)]).rename({"time": "begin"})
    admissions = admissions.with_columns(end=pl.Series([hour(40), hour(90), hour(6)]))
    events = frame([(1, t, None) for t in (-1, 0, 39, 40, 41, 90, 91)] + [(2, 5, None), (3, 5, None), (1, None, None)])
    found = at_time(events.drop("id"), admissions)
    assert found["hadm_id"].to_list() == [None, 7, 7, 7, 8, 8, None, 9, None, None], "what ends at 40 is of the first"
    assert found["time"].equals(events["time"]), "the order is kept"
