"""Differences between two studies on the stays that both tested: the paired bootstrap of `evaluate.compare`.

Only stays in the test split of both studies count, so neither has trained on any of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.evaluate.bootstrap import SubjectResamples
from picme.evaluate.compare import PREFIXES, correct, judge, tested
from picme.evaluate.intervals import METRICS
from picme.evaluate.summary import seeded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from picme.evaluate.compare import Judged
    from picme.evaluate.predictions import TaskPredictions

# Corrections between releases of the data change a few labels; beyond this share the studies ask different questions.
MOST_CONFLICTS = 0.01

SAME_CELL, CHOSEN = "same cell", "chosen on validation"
SCHEMA: dict[str, Any] = {
    "task": pl.String,
    "run_a": pl.String,
    "combination_a": pl.String,
    "strategy_a": pl.String,
    "run_b": pl.String,
    "combination_b": pl.String,
    "strategy_b": pl.String,
    "metric": pl.String,
    **dict.fromkeys(("value_a", "value_b"), pl.Float64),
    **{
        f"{prefix}{name}": pl.String if name == "no_interval" else pl.Float64
        for prefix in PREFIXES
        for name in ("difference", "low", "high", "no_interval", "p_value", "p_adjusted")
    },
    "stays": pl.Int64,
    "family": pl.String,
}

Key = tuple[str, str]


@dataclass
class Pairing:
    """Comparison of two studies in a task: what they have in common, and the tests.

    Attributes:
        task: name of the task.
        run_a, run_b: names of the studies.
        stays_a, stays_b: number of test stays of each.
        common: number of test stays that both have.
        conflicts: number of labels of common stays that differ; they are left out.
        reason: the reason why nothing is tested; empty if there are tests.
        rows: rows of the table of tests, with the columns of `SCHEMA`.
    """

    task: str
    run_a: str
    run_b: str
    stays_a: int = 0
    stays_b: int = 0
    common: int = 0
    conflicts: int = 0
    reason: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)


def between(
    pairing: Pairing,
    a: TaskPredictions,
    b: TaskPredictions,
    chosen: tuple[Key | None, Key | None],
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> Pairing:
    """Test every cell that both studies have, and the cell that each chose on validation; differences are b minus a.

    Args:
        pairing: comparison with the names filled in; this function fills in the rest.
        a, b: the task's predictions in each study.
        chosen: (combination, strategy) that each study chose on validation, or None.
        resamples: bootstrap resamples over subjects.
        confidence: coverage of the intervals.
        seed: seed of the resampling.

    Returns:
        `pairing`. P-values are corrected by Holm within each family and metric.
    """
    stays = a.stays["test"].frame, b.stays["test"].frame
    pairing.stays_a, pairing.stays_b = len(stays[0]), len(stays[1])
    ids = [frame["stay_id"].cast(pl.String).to_numpy() for frame in stays]
    _, here, there = np.intersect1d(ids[0], ids[1], return_indices=True)
    pairing.common = len(here)
    subjects = [
        frame["subject_id"].cast(pl.String).to_numpy()[rows] for frame, rows in zip(stays, (here, there), strict=True)
    ]
    if not len(here):
        pairing.reason = "no test stay of one is a test stay of the other"
    elif (subjects[0] != subjects[1]).any():
        pairing.reason = "stays of the same number are of different subjects, so the data are not the same"
    elif set(a.labels) != set(b.labels):
        pairing.reason = "the labels are not the same"
    if pairing.reason:
        return pairing
    _, subject = np.unique(subjects[0], return_inverse=True)
    draws = SubjectResamples.draw(int(subject.max()) + 1, resamples, seed)
    order = [b.labels.index(label) for label in a.labels]
    for family, first, second in _pairs(a.keys, b.keys, chosen):
        one, other = a.cell(*first), b.cell(*second)
        y_a, y_b = one.y["test"][:, here], other.y["test"][order][:, there]
        both = ~np.isnan(y_a) & ~np.isnan(y_b)
        clash = both & (y_a != y_b)
        if clash.sum() > MOST_CONFLICTS * both.sum():
            pairing.reason = f"{int(clash.sum())} of {int(both.sum())} labels of common stays differ"
            pairing.rows = []
            return pairing
        pairing.conflicts = max(pairing.conflicts, int(clash.sum()))
        y = np.where(both & ~clash, y_a, np.nan)
        values = one.p["test"][:, :, here], other.p["test"][:, order][:, :, there]
        judged = [
            judge(y, p, subject, draws, seeded(cell.strategy), cell.draws)
            for p, cell in zip(values, (one, other), strict=True)
        ]
        pairing.rows += _rows(pairing, family, first, second, judged, confidence)
    correct(pairing.rows)
    return pairing


def to_table(pairings: Sequence[Pairing]) -> pl.DataFrame:
    """Return all tests as a table, with undefined numbers as null."""
    rows = [row for pairing in pairings for row in pairing.rows]
    return pl.DataFrame(rows, schema=SCHEMA).with_columns(pl.selectors.float().fill_nan(None))


def same(combination: str) -> frozenset[str]:
    """Return a key of a combination that does not depend on the order of its modalities."""
    return frozenset(combination.split("+"))


def _pairs(
    a: Sequence[tuple[Any, ...]], b: Sequence[tuple[Any, ...]], chosen: tuple[Key | None, Key | None]
) -> list[tuple[str, Key, Key]]:
    there = {(same(combination), strategy): (combination, strategy) for combination, strategy in b}
    found = [
        (SAME_CELL, (combination, strategy), there[same(combination), strategy])
        for combination, strategy in a
        if (same(combination), strategy) in there
    ]
    first, second = chosen
    return [*found, (CHOSEN, first, second)] if first and second else found


def _rows(
    pairing: Pairing, family: str, first: Key, second: Key, judged: list[Judged], confidence: float
) -> list[dict[str, Any]]:
    a, b = judged
    return [
        {
            "task": pairing.task,
            "run_a": pairing.run_a,
            "combination_a": first[0],
            "strategy_a": first[1],
            "run_b": pairing.run_b,
            "combination_b": second[0],
            "strategy_b": second[1],
            "metric": metric,
            "value_a": a[0][metric].value,
            "value_b": b[0][metric].value,
            **tested(b, a, metric, confidence),
            "stays": pairing.common,
            "family": family,
        }
        for metric in METRICS
    ]
