"""The page of `picme validate`: how a run's models do on stays of another source, in the report's tables and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Column, DataTable, Plate
from picme.report.build import asset, environment, plotly
from picme.report.chapters import block
from picme.report.export import embedded
from picme.report.facts import frame
from picme.report.figures.learning import local_curve
from picme.report.numbers import MISSING, count, interval, level, missing, number, percent, say, signed, why_missing
from picme.report.results import cell_columns, field
from picme.report.theme import DARK, template
from picme.report.words import combination_text, strategy_text, task_title

if TYPE_CHECKING:
    from pathlib import Path

    from picme.report.facts import Row, Tables

RANKS = ("auroc", "auprc")
TITLES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "brier": "Brier score",
    "calibration_intercept": "calibration intercept",
    "calibration_slope": "calibration slope",
}
LARGE = 0.25
"""A standardised difference that is called large; below 0.1 groups count as balanced (Austin, 2009)."""


def write_page(path: Path, tables: Tables, about: dict[str, Any], config: dict[str, Any]) -> None:
    """Write the page, atomically.

    Args:
        path: of the file.
        tables: of the validation.
        about: its record: `run`, `cohort`, `notes`, `confidence`, `margin`.
        config: the run's configuration as plain values.
    """
    part = path.with_name(f".{path.name}.part")
    part.write_text(page(tables, about, config), encoding="utf-8")
    part.replace(path)


def page(tables: Tables, about: dict[str, Any], config: dict[str, Any]) -> str:
    """Return the validation as HTML that needs no other file; arguments as for `write_page`."""
    sections = [
        ("scores-chapter", "Scores there and here", [_scores(tables, about)]),
        (
            "calibration-chapter",
            "Calibration, and what local stays mend",
            [local_curve(tables), _local(tables, about), block("figures.calibration:calibration", tables, config)],
        ),
        ("worth-chapter", "What modalities are worth there", [_sufficient(tables, about), _value(tables, about)]),
        (
            "shift-chapter",
            "How the stays differ",
            [_classifier(tables, about), _presence(tables, about), _shift(tables)],
        ),
        ("groups-chapter", "Subgroups there", [block("figures.subgroups:subgroups", tables, config)]),
        ("stays-chapter", "Stays and variables", [_stays(tables), _variables(tables)]),
    ]
    shown = [(key, title, [one for one in blocks if one is not None]) for key, title, blocks in sections]
    shown = [(key, title, blocks) for key, title, blocks in shown if blocks]
    every = [one for _, _, blocks in shown for one in blocks]
    context = {
        "run": about["run"],
        "cohort": about["cohort"],
        "notes": about["notes"],
        "sentences": [*_sentences(tables, about), *_shift_sentences(tables)],
        "sections": shown,
        "payload": embedded(
            {
                "plates": {one.key: one.payload() for one in every if isinstance(one, Plate)},
                "tables": {one.key: one.payload() for one in every if isinstance(one, DataTable)},
                "themes": {"light": template(), "dark": template(dark=True)},
                "dark": DARK,
            }
        ),
        "plotly": plotly(),
        "style": asset("report.css"),
        "script": asset("report.js"),
    }
    return environment().get_template("external.html.j2").render(context)


def _as_they_are(tables: Tables) -> pl.DataFrame:
    return frame(tables, "external").filter(pl.col("recalibration") == "none")


def _sentences(tables: Tables, about: dict[str, Any]) -> list[Markup]:
    """Say for each task how the chosen cell does there; of a validation without it, how the best cell does."""
    said = []
    rows = _as_they_are(tables)
    for task in rows["task"].unique(maintain_order=True).to_list():
        own = rows.filter(pl.col("task") == task)
        chosen = own.filter(pl.col("selected").fill_null(False))
        auroc = (chosen if chosen.height else own).filter(pl.col("metric") == "auroc")
        if not auroc.height:
            continue
        row = auroc.row(0, named=True)
        said.append(
            say(
                "{task}: {role} ({combination}, {strategy}) has an AUROC of {value} there ({ends}; {n} stays,"
                " {positives} with the outcome) and of {internal} on its own test stays; {verdict}.",
                task=task_title(task),
                role="the cell that the run chose on validation" if chosen.height else "the first cell",
                combination=combination_text(row["combination"]),
                strategy=strategy_text(row["strategy"]),
                value=percent(row["value"], "external.value"),
                ends=interval(row["low"], row["high"], "external", row["no_interval"]),
                n=count(row["n"], "external.n"),
                positives=count(row["positives"], "external.positives"),
                internal=percent(row["internal"], "external.internal"),
                verdict=_verdict(row),
            )
        )
        slope = own.filter(
            (pl.col("metric") == "calibration_intercept")
            & (pl.col("combination") == row["combination"])
            & (pl.col("strategy") == row["strategy"])
        )
        if slope.height and not missing(slope["value"][0]):
            off = slope.row(0, named=True)
            sure = not missing(off["low"]) and (off["low"] > 0 or off["high"] < 0)
            way = "too low" if off["value"] > 0 else "too high"
            said.append(
                say(
                    "Its risks are {way} there by {value} in log odds ({low} to {high})."
                    if sure
                    else "Whether its risks are too high or too low there is undecided: {value} in log odds ({low} to"
                    " {high}).",
                    way=way,
                    value=number(off["value"], "external.value"),
                    low=number(off["low"], "external.low"),
                    high=number(off["high"], "external.high"),
                )
            )
    return said


def _verdict(row: Row) -> Markup:
    if missing(row["difference_low"]) or missing(row["difference_high"]):
        return Markup("how far they differ is not known")
    ends = say(
        "{value} points ({low} to {high})",
        value=signed(row["difference"], "external.difference"),
        low=signed(row["difference_low"], "external.difference_low"),
        high=signed(row["difference_high"], "external.difference_high"),
    )
    if row["difference_high"] < 0:
        return say("it is worse there by {ends}", ends=ends)
    if row["difference_low"] > 0:
        return say("it is better there by {ends}", ends=ends)
    return say("whether it is worse there is undecided: {ends}", ends=ends)


def _shift_sentences(tables: Tables) -> list[Markup]:
    said = []
    for row in frame(tables, "shift_classifier").filter(pl.col("modality").is_null()).iter_rows(named=True):
        if missing(row["auroc"]):
            continue
        told = "tells the two apart" if (row["low"] or 0) > 0.5 else "does not clearly tell the two apart"
        said.append(
            say(
                "{task}: a classifier of all modalities {told}: AUROC {auroc} ({ends}), where 50 is no shift.",
                task=task_title(row["task"]),
                told=told,
                auroc=percent(row["auroc"], "shift_classifier.auroc"),
                ends=interval(row["low"], row["high"], "shift_classifier", row["no_interval"]),
            )
        )
    return said


def _metric(row: Row, name: str, table: str = "external") -> Markup:
    value = row[name]
    if missing(value):
        return MISSING
    if row["metric"] in RANKS:
        return percent(value, f"{table}.{name}", sign=False)
    return number(value, f"{table}.{name}", 3 if row["metric"] == "brier" else 2)


def _ends(row: Row, prefix: str = "", table: str = "external", reason: str | None = None) -> Markup:
    low, high = f"{prefix}low", f"{prefix}high"
    if missing(row[low]) or missing(row[high]):
        return why_missing(reason)
    return say("{low} to {high}", low=_metric(row, low, table), high=_metric(row, high, table))


def _metric_columns(sure: float) -> list[Column]:
    return [
        Column("Metric", lambda row: TITLES.get(row["metric"], row["metric"]), choose=True, first=True),
        Column("There", lambda row: _metric(row, "value"), field("value"), numeric=True),
        Column(
            f"{level(sure)} interval", lambda row: _ends(row, reason=row["no_interval"]), field("low"), numeric=True
        ),
        Column("Here", lambda row: _metric(row, "internal"), field("internal"), numeric=True),
        Column("its interval", lambda row: _ends(row, "internal_"), field("internal_low"), numeric=True),
        Column("There − here", lambda row: _metric(row, "difference"), field("difference"), numeric=True),
        Column("its interval", lambda row: _ends(row, "difference_"), field("difference_low"), numeric=True),
        Column("Stays", lambda row: count(row["n"], "external.n"), field("n"), numeric=True),
        Column("Events", lambda row: count(row["positives"], "external.positives"), field("positives"), numeric=True),
    ]


def _scores(tables: Tables, about: dict[str, Any]) -> DataTable | None:
    rows = _as_they_are(tables)
    if rows.is_empty():
        return None
    reading = Markup(
        "Predictions averaged over seeds, AUROC and AUPRC in percent. “Here” are the run’s own test stays. AUPRC depends on"
        " how many stays have the outcome, so that a difference in it is not one of the models alone. Calibration is"
        " right with an intercept of 0 and a slope of 1. Marked: chosen by the run on its validation stays."
    )
    return DataTable(
        "external",
        "Every cell there and here",
        [*cell_columns(), *_metric_columns(about["confidence"])],
        rows,
        reading,
        mark=lambda row: bool(row["selected"]),
        tall=True,
        search=True,
    )


def _local(tables: Tables, about: dict[str, Any]) -> DataTable | None:
    rows = frame(tables, "external").filter(pl.col("recalibration") != "none")
    if rows.is_empty():
        return None
    columns = [
        *cell_columns(),
        Column("Fitted again", lambda row: row["recalibration"], choose=True),
        Column("Local stays", lambda row: count(row["n_local"], "external.n_local"), field("n_local"), numeric=True),
        *_metric_columns(about["confidence"]),
        Column("Fits told", lambda row: percent(row["fitted"], "external.fitted"), field("fitted"), numeric=True),
    ]
    reading = Markup(
        "Intercept, or intercept and slope, fitted on stays of the other source; means over draws of these stays, judged"
        " on the remaining ones. A fit with few stays may be worse than none. The order of stays hardly changes, so"
        " AUROC does not."
    )
    return DataTable("local", "Recalibration on local stays", columns, rows, reading, tall=True, search=True)


def _value(tables: Tables, about: dict[str, Any]) -> DataTable | None:
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


def _sufficient(tables: Tables, about: dict[str, Any]) -> DataTable | None:
    rows = frame(tables, "external_sufficient")
    if rows.is_empty():
        return None
    source = "external_sufficient"

    def named(name: str) -> Any:
        return lambda row: combination_text(row[name]) if row[name] else "undecided"

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
        Column("Enough in the run", named("combination")),
        Column("Best in the run", lambda row: combination_text(row["best"]) if row["best"] else MISSING),
        Column("There, points below it", lambda row: signed(row["difference"], f"{source}.difference"), numeric=True),
        Column(f"{level(about['confidence'])} interval", ends, numeric=True),
        Column("Enough there too", confirmed),
        Column("Enough by its stays alone", named("there")),
        Column("Stays to decide", lambda row: count(row["needed"], f"{source}.needed"), field("needed"), numeric=True),
        Column("Stays", lambda row: count(row["n"], f"{source}.n"), field("n"), numeric=True),
        Column("Events", lambda row: count(row["events"], f"{source}.events"), field("events"), numeric=True),
    ]
    reading = say(
        "Enough: not worse than the best by more than {margin} points.",
        margin=number(about["margin"], f"{source}.margin", 1, scale=100),
    )
    return DataTable("external-sufficient", "Is the combination that is enough enough there?", columns, rows, reading)


def _classifier(tables: Tables, about: dict[str, Any]) -> DataTable | None:
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
            lambda row: interval(row["low"], row["high"], source, row["no_interval"]),
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


def _presence(tables: Tables, about: dict[str, Any]) -> DataTable | None:
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


def _shift(tables: Tables) -> DataTable | None:
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


def _stays(tables: Tables) -> DataTable | None:
    rows = frame(tables, "external_stays")
    if rows.is_empty():
        return None
    columns = [
        Column("Task", lambda row: task_title(row["task"])),
        Column("What became of the stays", lambda row: row["place"]),
        Column("Stays", lambda row: count(row["stays"], "external_stays.stays"), field("stays"), numeric=True),
    ]
    return DataTable("stays-there", "Which stays are judged", columns, rows)


def _variables(tables: Tables) -> DataTable | None:
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
