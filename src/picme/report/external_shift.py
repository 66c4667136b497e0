"""Tables of the page of `picme validate` about how the stays of the two sources differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Column, DataTable
from picme.report.external_scores import between
from picme.report.facts import frame
from picme.report.numbers import MISSING, count, interval, level, missing, number, percent, say, signed
from picme.report.results import field
from picme.report.words import task_title

if TYPE_CHECKING:
    from picme.report.facts import Row, Tables

LARGE = 0.25
"""A standardised difference that is called large; below 0.1 groups count as balanced (Austin, 2009)."""


def classifier(tables: Tables, about: dict[str, Any]) -> DataTable | None:
    """Return how well classifiers tell the sources apart."""
    rows = frame(tables, "shift_classifier")
    if rows.is_empty():
        return None
    source = "shift_classifier"
    columns = [
        Column("Task", lambda row: task_title(row["task"]), choose=True),
        Column("Reads", lambda row: row["modality"] or "all modalities, and which of them a stay has"),
        Column("AUROC", lambda row: percent(row["auroc"], f"{source}.auroc"), field("auroc"), numeric=True),
        Column(
            f"{level(about['confidence'])} interval",
            lambda row: between(row, source),
            field("low"),
            numeric=True,
        ),
        Column("Training stays", lambda row: count(row["n_run"], f"{source}.n_run"), field("n_run"), numeric=True),
        Column("Stays there", lambda row: count(row["n_there"], f"{source}.n_there"), field("n_there"), numeric=True),
    ]
    reading = Markup(
        "A logistic regression on plain columns, judged on stays of subjects that it was not fitted to. At 50 it cannot"
        " tell where a stay is from; of a modality by itself, among stays that have it."
    )
    return DataTable("classifier", "Can the two sources be told apart?", columns, rows, reading)


def presence(tables: Tables, about: dict[str, Any]) -> DataTable | None:
    """Return which modalities stays have."""
    rows = frame(tables, "shift_presence")
    if rows.is_empty():
        return None
    source = "shift_presence"

    def shown(name: str) -> Any:
        return lambda row: say(
            '{value} <span class="interval">({ends})</span>',
            value=percent(row[name], f"{source}.{name}", sign=False),
            ends=interval(row[f"{name}_low"], row[f"{name}_high"], f"{source}.{name}"),
        )

    def ends(row: Row) -> Markup:
        low, high = row["difference_low"], row["difference_high"]
        if missing(low) or missing(high):
            return MISSING
        return say(
            "{low} to {high}",
            low=signed(low, f"{source}.difference_low"),
            high=signed(high, f"{source}.difference_high"),
        )

    columns = [
        Column("Task", lambda row: task_title(row["task"]), choose=True),
        Column("Modality", lambda row: row["modality"]),
        Column("Training stays, %", shown("run"), field("run"), numeric=True),
        Column("There, %", shown("there"), field("there"), numeric=True),
        Column(
            "There − here, points",
            lambda row: signed(row["difference"], f"{source}.difference"),
            field("difference"),
            True,
        ),
        Column(f"{level(about['confidence'])} interval", ends, field("difference_low"), numeric=True),
    ]
    return DataTable("presence-there", "Which modalities stays have", columns, rows)


def shift(tables: Tables) -> DataTable | None:
    """Return the comparison variable by variable, the greatest difference first."""
    rows = frame(tables, "shift").sort(pl.col("smd").abs(), descending=True, nulls_last=True)
    if rows.is_empty():
        return None

    def shown(name: str) -> Any:
        def cell(row: Row) -> Markup:
            if row["category"] is not None:
                return percent(row[name], f"shift.{name}")
            value = number(row[name], f"shift.{name}", 3)
            std = row[f"{name}_std"]
            return (
                value if missing(std) else say("{value} ± {std}", value=value, std=number(std, f"shift.{name}_std", 3))
            )

        return cell

    large = rows.filter(pl.col("smd").abs() > LARGE).height
    columns = [
        Column("Task", lambda row: task_title(row["task"]), choose=True, first=True),
        Column("Modality", lambda row: row["modality"], choose=True),
        Column("Variable", lambda row: row["variable"]),
        Column("Category", lambda row: row["category"] or ""),
        Column("Training stays", shown("run"), field("run"), numeric=True),
        Column("There", shown("there"), field("there"), numeric=True),
        Column("Standardised difference", lambda row: number(row["smd"], "shift.smd"), field("smd"), numeric=True),
        Column("Known here", lambda row: count(row["run_known"], "shift.run_known"), field("run_known"), numeric=True),
        Column("Known there", lambda row: count(row["there_known"], "shift.there_known"), field("there_known"), True),
    ]
    reading = say(
        "{large} of {all} standardised differences are beyond {bound}. Means and shares of few stays are not told.",
        large=count(large, "derived:shift"),
        all=count(rows.height, "derived:shift"),
        bound=f"±{LARGE:g}",
    )
    return DataTable("shift", "Variable by variable", columns, rows, reading, tall=True, search=True)


def stays(tables: Tables) -> DataTable | None:
    """Return which stays are judged."""
    rows = frame(tables, "external_stays")
    if rows.is_empty():
        return None
    columns = [
        Column("Task", lambda row: task_title(row["task"])),
        Column("What became of the stays", lambda row: row["place"]),
        Column("Stays", lambda row: count(row["stays"], "external_stays.stays"), field("stays"), numeric=True),
    ]
    return DataTable("stays-there", "Which stays are judged", columns, rows)


def variables(tables: Tables) -> DataTable | None:
    """Return where each variable comes from."""
    rows = frame(tables, "external_variables")
    if rows.is_empty():
        return None
    absent = rows.filter(pl.col("status") == "absent").height

    def source(row: Row) -> str:
        return "" if row["source_variable"] is None else f"{row['source_modality']}: {row['source_variable']}"

    columns = [
        Column("Task", lambda row: task_title(row["task"]), choose=True, first=True),
        Column("Modality", lambda row: row["modality"], choose=True),
        Column("Variable", lambda row: row["variable"]),
        Column("Status", lambda row: row["status"], choose=True),
        Column("From", source),
        Column("Conversion", lambda row: row["conversion"] or ""),
        Column("Stays with it", lambda row: count(row["stays"], "external_variables.stays"), field("stays"), True),
        Column(
            "of", lambda row: count(row["stays_total"], "external_variables.stays_total"), field("stays_total"), True
        ),
    ]
    reading = say(
        "{absent} of {all} variables of the models are absent there, which counts as missing in every stay.",
        absent=count(absent, "derived:external_variables"),
        all=count(rows.height, "derived:external_variables"),
    )
    return DataTable(
        "variables-there", "Where each variable comes from", columns, rows, reading, tall=True, search=True
    )
