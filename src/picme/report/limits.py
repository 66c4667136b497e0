"""Limits of a result, told from its tables and configuration alone, and where TRIPOD+AI's items are found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.facts import folds, frame
from picme.report.figures.subgroups import subgroup_rows
from picme.report.judgements import of_chosen
from picme.report.numbers import count, many, say
from picme.report.words import task_title

if TYPE_CHECKING:
    from collections.abc import Iterator

    from picme.report.facts import Tables

ENOUGH = 100
"""Stays with the outcome, and without it, that a test of a model is advised to have (Vergouwe and others, 2005)."""

# The 27 items of the checklist TRIPOD+AI under its own names (Collins and others, BMJ 2024;385:e078378), each with the
# places on the page that tell of it (id and title; those that are there are linked), and what no report of picme tells.
ITEMS: tuple[tuple[str, tuple[tuple[str, str], ...], str], ...] = (
    ("Title", (), "a title with the target population and the outcome"),
    ("Abstract", (("answer", "The answer"),), "a structured abstract"),
    ("Background", (), "the context of care, intended purpose and users, known health inequalities"),
    ("Objectives", (("answer", "The answer"),), ""),
    ("Data", (("studied", "What was studied"),), "why these data, whom they represent, dates"),
    (
        "Participants",
        (("cohort-flow", "Cohort flow"), ("rules", "Rules of this study")),
        "setting, treatments received",
    ),
    (
        "Data preparation",
        (("quarantine", "Set aside"), ("configuration", "Configuration")),
        "whether it was alike across sociodemographic groups",
    ),
    ("Outcome", (("rules", "Rules of this study"),), "how, when and by whom it was assessed"),
    ("Predictors", (("availability", "Availability"), ("configuration", "Configuration")), "why these, how measured"),
    ("Sample size", (("cohort-flow", "Cohort flow"), ("sufficient", "Stays needed")), "a calculation made beforehand"),
    ("Missing data", (("presence", "Which modalities stays have"), ("missing", "Missing modalities")), ""),
    (
        "Analytical methods",
        (("strategies", "Strategies compared"), ("configuration", "Configuration")),
        "differences between hospitals",
    ),
    ("Class imbalance", (("calibration-errors", "Calibration errors"), ("configuration", "Configuration")), "reasons"),
    ("Fairness", (("groups", "Subgroups"),), "what was done for it, and why these groups"),
    ("Model output", (("thresholds", "Decisions at a threshold"),), "why these thresholds"),
    ("Training versus evaluation", (("baseline", "Who the stays are"),), ""),
    ("Ethical approval", (), "approval and consent"),
    (
        "Open science",
        (("made", "How it was made"),),
        "funding, conflicts of interest, protocol, registration, data sharing",
    ),
    ("Patient and public involvement", (), "whether there was any"),
    ("Participants", (("cohort-flow", "Cohort flow"), ("baseline", "Who the stays are")), "dates, treatments received"),
    ("Model development", (("cohort-flow", "Cohort flow"),), ""),
    ("Model specification", (("made", "How it was made"),), "restrictions of its use"),
    (
        "Model performance",
        (("scores", "Scores"), ("risk", "Calibration and thresholds"), ("groups", "Subgroups")),
        "differences between hospitals",
    ),
    ("Model updating", (("calibration-errors", "Calibration errors"),), ""),
    ("Interpretation", (("answer", "The answer"),), "comparison with earlier studies"),
    ("Limitations", (("limits", "Limits"),), "those that only the authors know"),
    (
        "Usability of the model in the context of current care",
        (("missing", "Missing modalities"),),
        "who would use it, with what expertise; next steps",
    ),
)


def checklist(places: set[str]) -> list[dict[str, Any]]:
    """Return each item with its number, the places on the page where it is told, and what is not told.

    Args:
        places: ids that the page has.
    """
    found = []
    for item, (name, where, lacking) in enumerate(ITEMS, 1):
        there = [place for place in where if place[0] in places]
        found.append({"item": item, "name": name, "where": there, "lacking": lacking})
    return found


def limits(tables: Tables, config: dict[str, Any]) -> list[Markup]:
    """Return what the result does not show, one sentence or two each."""
    return [*_of_data(config), *_of_numbers(tables), *_of_groups(tables, config), *_of_rules(tables, config)]


def _of_data(config: dict[str, Any]) -> Iterator[Markup]:
    if (config.get("source") or {}).get("kind") == "synthetic":
        yield Markup("The data are made by a program. Nothing here holds for patients.")
    if folds(config):
        yield Markup(
            "Scores are of the models of all folds together: they judge how models are made here, and no single model."
        )
    kind = (config.get("splits") or {}).get("kind")
    held = {"group": "whole groups of stays", "time": "later periods"}.get(str(kind))
    if held:
        yield say("Models were tested on {held} that they were not trained on, of the same source.", held=held)
    yield Markup("No model was tested on another hospital’s data: there is no external validation.")
    if config.get("require") == "complete":
        yield Markup("Only stays that have every modality are studied, so nothing is said of stays that lack some.")


def _of_numbers(tables: Tables) -> Iterator[Markup]:
    lines = frame(tables, "cohort_flow").filter(pl.col("events").is_not_null())
    for row in lines.unique(["task", "split"], keep="last", maintain_order=True).iter_rows(named=True):
        fewest = min(row["events"], row["stays"] - row["events"])
        if row["split"] not in ("val", "test") or fewest >= ENOUGH:
            continue
        yield say(
            "{task}: {events} of {stays} {split} stays have the outcome; at least a hundred with and without it are"
            " advised.{chosen}",
            task=task_title(row["task"] or ""),
            events=count(row["events"], "cohort_flow.events"),
            stays=count(row["stays"], "cohort_flow.stays"),
            split="validation" if row["split"] == "val" else "test",
            chosen=" Which combination and strategy is best was chosen on them." if row["split"] == "val" else "",
        )
    judged = frame(tables, "summary").drop_nulls("task").group_by("task", maintain_order=True).len()
    if not judged.is_empty():
        among = [
            say("{n} for {task}", n=count(cells, "derived:summary"), task=task_title(task).lower())
            for task, cells in judged.rows()
        ]
        yield say(
            "The best was chosen on validation stays, among many combinations and strategies ({among}): another sample"
            " may favour another.",
            among=Markup(", ").join(among),
        )


def _of_groups(tables: Tables, config: dict[str, Any]) -> Iterator[Markup]:
    rows = of_chosen(subgroup_rows(tables), tables, config)
    silent = rows.filter(pl.col("suppressed") | pl.col("low").is_null()).height
    if silent:
        yield say(
            "For {n} of {all} there are too few stays or outcomes to say how well they are served.",
            n=count(silent, "derived:subgroups"),
            all=many(rows.height, "derived:subgroups", "group", "groups"),
        )


def _of_rules(tables: Tables, config: dict[str, Any]) -> Iterator[Markup]:
    broken = frame(tables, "leakage").filter(pl.col("violation").fill_null(False)).height
    if broken:
        yield say(
            "The audit found {n} of the study’s own cut-offs: scores may be too high.",
            n=many(broken, "derived:leakage", "violation", "violations"),
        )
    if (config.get("cohort") or {}).get("admit") == "paper":
        yield Markup("Data recorded after the prediction time are admitted, which nobody would have at that time.")
    yield Markup("Risks are recalibrated on validation stays of the same source; elsewhere they have to be again.")
