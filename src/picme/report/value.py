"""Tables of what each modality is worth: alone and beside the others, with each other one, and to every subset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Column, DataTable
from picme.report.facts import confidence, frame
from picme.report.numbers import count, level, percent, say, signed
from picme.report.results import difference_interval, field
from picme.report.words import combination_text, strategy_text, task_title

if TYPE_CHECKING:
    from picme.report.facts import Row, Tables

QUANTITIES = {"alone": "alone", "added": "added to all others", "shapley": "Shapley value"}


def value(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List what each modality is worth, with the verdict."""
    rows = frame(tables, "value").filter(pl.col("value").is_not_null())
    if rows.is_empty():
        return None
    columns = [
        *_told_by(),
        Column("Modality", lambda row: row["modality"] or ""),
        Column("What is told", lambda row: QUANTITIES.get(row["quantity"], row["quantity"] or ""), choose=True),
        *_estimate("value", config),
        Column("Verdict", _verdict),
    ]
    judged = rows.filter((pl.col("quantity") == "added") & (pl.col("metric") == "auroc"))
    adds = judged.filter(pl.col("verdict") == "adds").height
    reading = say(
        "What a modality scores by itself above guessing, what it adds to all others, and what it adds on average over"
        " all orders, in points, among test stays that have every modality; {level} intervals allow for other subjects"
        " and other seeds. Of {n} times that a strategy is given a modality beside all others, {k} add to AUROC.",
        level=level(confidence(config)),
        n=count(judged.height, "derived:value"),
        k=count(adds, "derived:value"),
    )
    return DataTable("value", "By itself and beside the others", columns, rows, reading, tall=True, search=True)


def interactions(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List which modalities complement and which repeat one another."""
    rows = frame(tables, "interactions").filter(pl.col("value").is_not_null())
    if rows.is_empty():
        return None
    columns = [
        *_told_by(),
        Column("First", lambda row: row["modality_a"] or ""),
        Column("Second", lambda row: row["modality_b"] or ""),
        *_estimate("interactions", config),
    ]
    reading = Markup(
        "What two modalities add together above what each adds without the other, in points, on average over the"
        " others (the Shapley interaction index): with a gain they complement one another, with a loss they repeat one"
        " another."
    )
    return DataTable(
        "interactions", "Which modalities repeat one another", columns, rows, reading, tall=True, search=True
    )


def lattice(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List what every subset scores, and what each modality adds to it."""
    rows = frame(tables, "lattice").filter(pl.col("value").is_not_null())
    if rows.is_empty():
        return None
    columns = [
        *_told_by(),
        Column("Given", lambda row: combination_text(row["combination"]) if row["combination"] else "nothing"),
        Column("Added", lambda row: row["added"] or "", choose=True),
        Column("Score, %, or what is added, points", _score_or_gain, field("value"), numeric=True),
        Column(f"{level(confidence(config))} interval", _ends, field("low"), numeric=True),
    ]
    reading = Markup("What every subset of the modalities scores, and what one modality more adds to it.")
    return DataTable("subsets", "Every subset, and one modality more", columns, rows, reading, tall=True, search=True)


def _told_by() -> list[Column]:
    return [
        Column("Task", lambda row: task_title(row["task"] or ""), choose=True, first=True),
        Column("Metric", lambda row: (row["metric"] or "").upper(), choose=True, first=True),
        Column("Strategy", lambda row: strategy_text(row["strategy"]), choose=True, first=True),
    ]


def _estimate(source: str, config: dict[str, Any]) -> list[Column]:
    return [
        Column("Points", lambda row: signed(row["value"], f"{source}.value"), field("value"), numeric=True),
        Column(
            f"{level(confidence(config))} interval",
            lambda row: difference_interval(row, source),
            field("low"),
            numeric=True,
        ),
    ]


def _verdict(row: Row) -> Markup:
    if row["at_most"] is None:
        return Markup.escape(row["verdict"] or "")
    return say("{verdict} (at most {most})", verdict=row["verdict"], most=signed(row["at_most"], "value.at_most"))


def _score_or_gain(row: Row) -> Markup:
    if row["added"] is None:
        return percent(row["value"], "lattice.value", sign=False)
    return signed(row["value"], "lattice.value")


def _ends(row: Row) -> Markup:
    if row["added"] is not None or row["low"] is None:
        return difference_interval(row, "lattice")
    return say(
        "{low}–{high}",
        low=percent(row["low"], "lattice.low", sign=False),
        high=percent(row["high"], "lattice.high", sign=False),
    )
