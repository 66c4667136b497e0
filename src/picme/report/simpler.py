"""Simpler models that scored above a task's answer on test: baselines, and single modalities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from picme.report.facts import baselines, confidence, difference, frame, unselectable
from picme.report.numbers import level, points, say, signed
from picme.report.words import ENDS, strategy_text, together

if TYPE_CHECKING:
    from collections.abc import Iterable

    from markupsafe import Markup

    from picme.report.facts import Row, Tables


def above(
    tables: Tables, config: dict[str, Any], cell: tuple[str, str, str], names: list[str], singles: bool
) -> list[Markup]:
    """Say which baseline, and which single modality, scored highest on test, where that is above the answer.

    Single models averaged over seeds are compared, never with a prediction averaged over seeds, which gains by that.

    Args:
        tables: the result tables by name.
        config: the resolved configuration.
        cell: task, combination and strategy of the answer.
        names: the study's modalities.
        singles: whether to look at single modalities too.
    """
    task, combination, strategy = cell
    known = frame(tables, "summary").filter(pl.col("auroc_mean").is_not_null()).filter(task=task).to_dicts()
    answer = next((row for row in known if (row["combination"], row["strategy"]) == cell[1:]), None)
    if answer is None:
        return []
    simple, never = baselines(config), unselectable(config)
    kinds = {"A baseline": [row for row in known if row["strategy"] in simple - {strategy}]}
    if singles and "+" in combination:
        kinds["A single kind of data"] = [
            row for row in known if "+" not in row["combination"] and row["strategy"] not in never
        ]
    said = (_sentence(tables, kind, rows, answer, names, confidence(config)) for kind, rows in kinds.items())
    return [sentence for sentence in said if sentence is not None]


def _sentence(
    tables: Tables, kind: str, rows: Iterable[Row], answer: Row, names: list[str], sure: float
) -> Markup | None:
    """Say by how much the best of some cells is above the answer; None where it is not."""
    best = max(rows, key=lambda row: row["auroc_mean"], default=None)
    if best is None or best["auroc_mean"] <= answer["auroc_mean"]:
        return None
    found = difference(tables, best, answer, sure)
    if found is None or found.value <= 0:  # on the stays that both predict it may be the other way round
        return None
    ends = say("no test of it was made")
    if found.low is not None and found.high is not None:
        ends = say(
            "{level} interval {low} to {high}",
            level=level(sure),
            low=signed(found.low, ENDS),
            high=signed(found.high, ENDS),
        )
    return say(
        "{kind} scored higher on test: {strategy}, {which}, by {by} points of AUROC ({ends}).",
        kind=kind,
        strategy=strategy_text(best["strategy"]),
        which=together(best["combination"], names),
        by=points(found.value, found.source),
        ends=ends,
    )
