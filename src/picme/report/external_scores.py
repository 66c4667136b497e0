"""Tables of the page of `picme validate` about scores, calibration and the value of modalities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Column, DataTable
from picme.report.facts import frame
from picme.report.numbers import MISSING, count, level, missing, number, percent, say, signed, why_missing
from picme.report.results import cell_columns, field
from picme.report.words import combination_text, strategy_text, task_title

if TYPE_CHECKING:
    from picme.report.facts import Row, Tables

RANKS = ("auroc", "auprc")
TITLES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "brier": "Brier score",
    "calibration_intercept": "calibration intercept",
    "calibration_slope": "calibration slope",
}


def between(row: Row, table: str) -> Markup:
    """Return the interval of a row's fraction in percent, or why it has none."""
    if missing(row["low"]) or missing(row["high"]):
        return why_missing(row["no_interval"])
    return say(
        "{low}–{high}",
        low=percent(row["low"], f"{table}.low", sign=False),
        high=percent(row["high"], f"{table}.high", sign=False),
    )


def as_they_are(tables: Tables) -> pl.DataFrame:
    """Return the rows of `external` about models that nothing was fitted again of."""
    return frame(tables, "external").filter(pl.col("recalibration") == "none")


def metric(row: Row, name: str, table: str = "external") -> Markup:
    """Return a metric as it is shown: AUROC and AUPRC in percent, others as they are."""
    value = row[name]
    if missing(value):
        return MISSING
    if row["metric"] in RANKS:
        return percent(value, f"{table}.{name}", sign=False)
    return number(value, f"{table}.{name}", 3 if row["metric"] == "brier" else 2)


def ends(row: Row, prefix: str = "", table: str = "external", reason: str | None = None) -> Markup:
    """Return an interval of a row's metric, or why it has none."""
    low, high = f"{prefix}low", f"{prefix}high"
    if missing(row[low]) or missing(row[high]):
        return why_missing(reason)
    return say("{low} to {high}", low=metric(row, low, table), high=metric(row, high, table))


def metric_columns(sure: float) -> list[Column]:
    """Return the columns of a metric there and here."""
    return [
        Column("Metric", lambda row: TITLES.get(row["metric"], row["metric"]), choose=True, first=True),
        Column("There", lambda row: metric(row, "value"), field("value"), numeric=True),
        Column(f"{level(sure)} interval", lambda row: ends(row, reason=row["no_interval"]), field("low"), numeric=True),
        Column("Here", lambda row: metric(row, "internal"), field("internal"), numeric=True),
        Column("its interval", lambda row: ends(row, "internal_"), field("internal_low"), numeric=True),
        Column("There − here", lambda row: metric(row, "difference"), field("difference"), numeric=True),
        Column("its interval", lambda row: ends(row, "difference_"), field("difference_low"), numeric=True),
        Column("Stays", lambda row: count(row["n"], "external.n"), field("n"), numeric=True),
        Column("Events", lambda row: count(row["positives"], "external.positives"), field("positives"), numeric=True),
    ]


def scores(tables: Tables, about: dict[str, Any]) -> DataTable | None:
    """Return every cell as it is."""
    rows = as_they_are(tables)
    if rows.is_empty():
        return None
    reading = Markup(
        "Predictions averaged over seeds, AUROC and AUPRC in percent. “Here” are the run’s own test stays. AUPRC"
        " depends on how many stays have the outcome, so a difference is not of the models alone. Calibration is"
        " right with an intercept of 0 and a slope of 1. Marked: chosen by the run on its validation stays."
    )
    return DataTable(
        "external",
        "Every cell there and here",
        [*cell_columns(), *metric_columns(about["confidence"])],
        rows,
        reading,
        mark=lambda row: bool(row["selected"]),
        tall=True,
        search=True,
    )


def local(tables: Tables, about: dict[str, Any]) -> DataTable | None:
    """Return what fits on local stays come to."""
    rows = frame(tables, "external").filter(pl.col("recalibration") != "none")
    if rows.is_empty():
        return None
    columns = [
        *cell_columns(),
        Column("Fitted again", lambda row: row["recalibration"], choose=True),
        Column("Local stays", lambda row: count(row["n_local"], "external.n_local"), field("n_local"), numeric=True),
        *metric_columns(about["confidence"]),
        Column("Fits told", lambda row: percent(row["fitted"], "external.fitted"), field("fitted"), numeric=True),
    ]
    reading = Markup(
        "Intercept, or intercept and slope, fitted on stays of the other source, which are drawn many times, and judged"
        " on the remaining ones. A fit with few stays may be worse than none. The order of stays hardly changes, so"
        " AUROC does not."
    )
    return DataTable("local", "Recalibration on local stays", columns, rows, reading, tall=True, search=True)


def value(tables: Tables, about: dict[str, Any]) -> DataTable | None:
    """Return what each modality is worth."""
    rows = frame(tables, "external_value")
    if rows.is_empty():
        return None
    source = "external_value"

    def ends(row: Row, prefix: str = "") -> Markup:
        low, high = f"{prefix}low", f"{prefix}high"
        if missing(row[low]) or missing(row[high]):
            return why_missing(None if prefix else row["no_interval"])
        return say(
            "{low} to {high}", low=signed(row[low], f"{source}.{low}"), high=signed(row[high], f"{source}.{high}")
        )

    columns = [
        Column("Task", lambda row: task_title(row["task"]), choose=True, first=True),
        Column("Strategy", lambda row: strategy_text(row["strategy"]), choose=True),
        Column("Metric", lambda row: TITLES[row["metric"]], choose=True, first=True),
        Column("Quantity", lambda row: row["quantity"], choose=True),
        Column("Modality", lambda row: row["modality"]),
        Column("There, points", lambda row: signed(row["value"], f"{source}.value"), field("value"), numeric=True),
        Column(f"{level(about['confidence'])} interval", ends, field("low"), numeric=True),
        Column("Verdict", lambda row: row["verdict"]),
        Column("At most", lambda row: signed(row["at_most"], f"{source}.at_most"), field("at_most"), numeric=True),
        Column(
            "Here, points", lambda row: signed(row["internal"], f"{source}.internal"), field("internal"), numeric=True
        ),
        Column("Verdict here", lambda row: row["internal_verdict"] or MISSING),
        Column(
            "There − here", lambda row: signed(row["difference"], f"{source}.difference"), field("difference"), True
        ),
        Column("its interval", lambda row: ends(row, "difference_"), field("difference_low"), numeric=True),
    ]
    reading = Markup("Of the stays that have every modality, by models of every subset.")
    return DataTable("external-value", "Value of each modality", columns, rows, reading, tall=True, search=True)


def sufficient(tables: Tables, about: dict[str, Any]) -> DataTable | None:
    """Return whether the combination that is enough is so there."""
    rows = frame(tables, "external_sufficient")
    if rows.is_empty():
        return None
    source = "external_sufficient"

    def named(name: str, none: str) -> Any:
        def cell(row: Row) -> Markup | str:
            if row[name]:
                return combination_text(row[name])
            return "none is needed" if row[none] else "undecided"

        return cell

    def confirmed(row: Row) -> str:
        if row["combination"] is None:
            return "–"
        return {True: "yes", False: "no", None: "not known"}[row["confirmed"]]

    def ends(row: Row) -> Markup:
        if missing(row["low"]) or missing(row["high"]):
            return why_missing(row["no_interval"])
        return say(
            "{low} to {high}", low=signed(row["low"], f"{source}.low"), high=signed(row["high"], f"{source}.high")
        )

    columns = [
        Column("Task", lambda row: task_title(row["task"]), choose=True),
        Column("Strategy", lambda row: strategy_text(row["strategy"])),
        Column("Metric", lambda row: TITLES[row["metric"]], choose=True, first=True),
        Column("Enough in the run", named("combination", "none_needed")),
        Column("Compared with", lambda row: combination_text(row["against"]) if row["against"] else MISSING),
        Column("There, points from it", lambda row: signed(row["difference"], f"{source}.difference"), numeric=True),
        Column(f"{level(about['confidence'])} interval", ends, numeric=True),
        Column("Enough there too", confirmed),
        Column("Enough by its stays alone", named("there", "there_none_needed")),
        Column("Stays to decide", lambda row: count(row["needed"], f"{source}.needed"), field("needed"), numeric=True),
        Column("Stays", lambda row: count(row["n"], f"{source}.n"), field("n"), numeric=True),
        Column("Events", lambda row: count(row["events"], f"{source}.events"), field("events"), numeric=True),
    ]
    reading = say(
        "Enough: not worse than the best by more than {margin} points. It is compared with the best in the run, or the"
        " next best where it is that itself.",
        margin=number(about["margin"], f"{source}.margin", 1, scale=100),
    )
    return DataTable("external-sufficient", "Is the combination that is enough enough there?", columns, rows, reading)
