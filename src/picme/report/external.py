"""The page of `picme validate`: how a run's models do on stays of another source, in the report's style."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import DataTable, Plate
from picme.report.build import asset, environment, plotly
from picme.report.chapters import block
from picme.report.export import embedded
from picme.report.external_scores import as_they_are, between, local, scores, sufficient, value
from picme.report.external_shift import classifier, presence, shift, stays, variables
from picme.report.facts import frame
from picme.report.figures.learning import local_curve
from picme.report.numbers import count, missing, number, percent, say, signed
from picme.report.theme import DARK, template
from picme.report.words import combination_text, strategy_text, task_title

if TYPE_CHECKING:
    from pathlib import Path

    from picme.report.facts import Row, Tables


def write_page(path: Path, tables: Tables, about: dict[str, Any], config: dict[str, Any]) -> None:
    """Write the page, atomically.

    Args:
        path: the path of the file.
        tables: the tables of the validation.
        about: its record: `run`, `cohort`, `notes`, `confidence`, `margin`.
        config: the run's configuration as plain values.
    """
    part = path.with_name(f".{path.name}.part")
    part.write_text(page(tables, about, config), encoding="utf-8")
    part.replace(path)


def page(tables: Tables, about: dict[str, Any], config: dict[str, Any]) -> str:
    """Return the validation as HTML that needs no other file; arguments as for `write_page`."""
    sections: list[tuple[str, str, list[Plate | DataTable | None]]] = [
        ("scores-chapter", "Scores there and here", [scores(tables, about)]),
        (
            "calibration-chapter",
            "Calibration, and what local stays mend",
            [local_curve(tables), local(tables, about), block("figures.calibration:calibration", tables, config)],
        ),
        ("worth-chapter", "What modalities are worth there", [sufficient(tables, about), value(tables, about)]),
        (
            "shift-chapter",
            "How the stays differ",
            [classifier(tables, about), presence(tables, about), shift(tables)],
        ),
        ("groups-chapter", "Subgroups there", [block("figures.subgroups:subgroups", tables, config)]),
        ("stays-chapter", "Stays and variables", [stays(tables), variables(tables)]),
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


def _sentences(tables: Tables, about: dict[str, Any]) -> list[Markup]:
    """Say for each task how the chosen cell does there; of a validation without it, how the best cell does."""
    said = []
    rows = as_they_are(tables)
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
                ends=between(row, "external"),
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


def _told_apart(row: Row) -> str:
    """Say whether a classifier tells the stays of two sources apart."""
    if not missing(row["low"]):
        return "tells the two apart" if row["low"] > 0.5 else "does not clearly tell the two apart"
    if row["auroc"] == 1:
        return "tells the two apart without an error"
    return "has no interval that would say whether it tells the two apart"


def _shift_sentences(tables: Tables) -> list[Markup]:
    said = []
    for row in frame(tables, "shift_classifier").filter(pl.col("modality").is_null()).iter_rows(named=True):
        if missing(row["auroc"]):
            continue
        said.append(
            say(
                "{task}: a classifier of all modalities {told}: AUROC {auroc} ({ends}), where 50 is no shift.",
                task=task_title(row["task"]),
                told=_told_apart(row),
                auroc=percent(row["auroc"], "shift_classifier.auroc"),
                ends=between(row, "shift_classifier"),
            )
        )
    return said
