"""Tables about the cohort: stays left out and why, who they are, and the leakage audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Column, DataTable
from picme.report.facts import frame
from picme.report.numbers import count, many, missing, number, percent, say
from picme.report.words import split_text, task_title

if TYPE_CHECKING:
    from collections.abc import Callable

    from picme.report.facts import Row, Tables

# Checks of the table `leakage` whose rows measure a leak rather than check a rule.
_MEASURED = pl.col("auroc").is_not_null() | (pl.col("check") == "measured_leak").fill_null(False)


def flow(tables: Tables) -> list[dict[str, Any]]:
    """Return for each task its steps: the stays that remained, how many the step left out, and whether it is a part."""
    rows = frame(tables, "cohort_flow").filter(pl.col("stays").is_not_null())
    made = []
    for task in rows["task"].unique(maintain_order=True).to_list():
        steps: list[dict[str, Any]] = []
        before: Row | None = None
        for row in rows.filter(pl.col("task").eq_missing(task)).iter_rows(named=True):
            lost = None if before is None or row["split"] else before["stays"] - row["stays"]
            steps.append(
                {
                    "step": _step(row),
                    "stays": count(row["stays"], "cohort_flow.stays"),
                    "subjects": None if row["subjects"] is None else count(row["subjects"], "cohort_flow.subjects"),
                    "events": None if row["events"] is None else count(row["events"], "cohort_flow.events"),
                    "lost": count(lost, "derived:cohort_flow") if lost is not None and lost > 0 else None,
                    "part": row["split"] is not None,
                }
            )
            before = before if row["split"] else row
        made.append({"task": task_title(task or "all tasks"), "steps": steps})
    return made


def _step(row: Row) -> str:
    """Return a step's name; of the lines about the splits, what the split is for."""
    step = (row["step"] or "").replace("_", " ")
    return f"{split_text(row['split'])} stays" if step == f"in the split {row['split']}" else step


def baseline(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List who the stays are: each variable by split and by the modalities that stays have."""
    rows = frame(tables, "baseline")
    if rows.is_empty():
        return None
    keys = ["task", "variable", "level"]
    cells = {(*(row[key] for key in keys), row["by"], row["group"]): row for row in rows.iter_rows(named=True)}
    groups = dict.fromkeys((row["by"], row["group"]) for row in cells.values())

    def cell(group: tuple[str, str]) -> Callable[[Row], Markup]:
        return lambda row: _described(cells.get((*(row[key] for key in keys), *group)))

    columns = [
        Column("Task", lambda row: task_title(row["task"] or ""), choose=True, first=True),
        Column("Variable", lambda row: _variable(row)),
        *[Column((name or "").replace("+", ", "), cell((by, name)), None, numeric=True) for by, name in groups],
    ]
    reading = Markup(
        "Stays that are studied: of words the number and share, of numbers the median and quartiles. “Few” stands for"
        " counts too small to tell, and for those from which such a count would follow; “about” for a share that is"
        " rounded so that none does. What is measured in every stay is not listed as missing."
    )
    pivot = rows.select(keys).unique(maintain_order=True)
    title = "Who the stays are, by split and by what they have"
    return DataTable("baseline", title, columns, pivot, reading, tall=True, search=True, source=rows)


def _variable(row: Row) -> str:
    name = (row["variable"] or "").replace("_", " ")
    return name if row["level"] in (None, "yes") else f"{name}: {row['level']}"


def _described(row: Row | None) -> Markup:
    if row is None:
        return Markup("")
    if row["suppressed"]:
        return Markup('<span class="quiet">few</span>')
    if row["median"] is not None:
        ends = [number(row[name], f"baseline.{name}", 1) for name in ("q1", "q3")]
        return say("{middle} ({ends})", middle=number(row["median"], "baseline.median", 1), ends=Markup("–").join(ends))
    if row["stays"] is None:
        return say("about {share}", share=percent(row["share"], "baseline.share", 0))
    return say(
        "{n} ({share})", n=count(row["stays"], "baseline.stays"), share=percent(row["share"], "baseline.share", 0)
    )


def quarantine(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List the broken rows and items that were set aside, with the reason."""
    rows = frame(tables, "quarantine").filter(pl.col("count") > 0)
    if rows.is_empty():
        return None
    columns = [
        Column("Modality", lambda row: row["modality"] or ""),
        Column("Reason", lambda row: (row["reason"] or "").replace("_", " ")),
        Column("Count", lambda row: count(row["count"], "quarantine.count"), lambda row: row["count"], numeric=True),
    ]
    reading = Markup("Rows and items of the raw data that could not be used, by reason.")
    return DataTable("quarantine", "Set aside", columns, rows, reading, tall=rows.height > 14)


def event_rows(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List where the rows of each event table ended."""
    rows = frame(tables, "event_rows")
    if rows.is_empty():
        return None
    columns = [
        Column("Table", lambda row: row["table"]),
        Column("Place", lambda row: row["place"]),
        Column("Rows", lambda row: count(row["rows"], "event_rows.rows"), lambda row: row["rows"], numeric=True),
    ]
    reading = Markup("Where each row of the event tables ended; the places of a table add up to its rows.")
    return DataTable("event-rows", "Rows of the event tables", columns, rows, reading, tall=rows.height > 14)


def audit(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List the checks of the leakage audit."""
    rows = frame(tables, "leakage").filter(~_MEASURED)
    if rows.is_empty():
        return None
    broken = rows.filter(pl.col("violation").fill_null(False)).height
    columns = [
        Column("Check", lambda row: (row["check"] or "").replace("_", " ")),
        Column("Modality", lambda row: row["modality"] or ""),
        Column("Split", lambda row: row["split"] or ""),
        Column("Count", lambda row: count(row["count"], "leakage.count"), lambda row: row["count"], numeric=True),
        Column("Detail", lambda row: row["detail"] or ""),
        Column("Finding", _finding),
    ]
    reading = (
        say("Violations of the study’s own cut-offs: {n}.", n=many(broken, "derived:leakage", "check", "checks"))
        if broken
        else Markup("No check found a violation of the study’s own cut-offs.")
    )
    return DataTable(
        "leakage",
        "Leakage audit",
        columns,
        rows,
        reading,
        mark=lambda row: bool(row["violation"]),
        tall=rows.height > 14,
    )


def _finding(row: Row) -> Markup:
    if row["violation"] is None:
        return Markup("")
    return (
        Markup('<span class="bad">violation</span>') if row["violation"] else Markup('<span class="good">none</span>')
    )


def measured_leak(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List how well a modality alone tells the outcome under each preset."""
    rows = frame(tables, "leakage").filter(_MEASURED & pl.col("auroc").is_not_null())
    if rows.is_empty():
        return None
    columns = [
        Column("Modality", lambda row: row["modality"] or "", choose=True),
        Column("Rule for notes", lambda row: row["preset"] or "", choose=True),
        Column("Label", lambda row: row["label"] or ""),
        Column(
            "AUROC, %",
            lambda row: percent(row["auroc"], "leakage.auroc", sign=False),
            lambda row: row["auroc"],
            numeric=True,
        ),
    ]
    reading = say(
        "How well a plain model tells a label from one modality’s words alone, at most: {parts}. What is well above"
        " what a clinician could know at that time is a leak.",
        parts=Markup("; ").join(_most(rows, name) for name in rows["preset"].unique(maintain_order=True)),
    )
    long = rows.height > 14
    return DataTable("measured-leak", "The leak, measured", columns, rows, reading, tall=long, search=long)


def _most(rows: pl.DataFrame, preset: str | None) -> Markup:
    top = rows.filter(pl.col("preset").eq_missing(pl.lit(preset, pl.String))).sort("auroc").to_dicts()[-1]
    return say(
        "{value} under the rule “{preset}” ({label}, {modality})",
        value=percent(top["auroc"], "leakage.auroc"),
        preset=preset or "–",
        label=top["label"] or "the outcome",
        modality=top["modality"] or "–",
    )


def agreement(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List how far two definitions of the labels differ."""
    rows = frame(tables, "label_agreement").filter(pl.col("positives_a").is_not_null())
    if rows.is_empty():
        return None

    def plain(name: str, title: str) -> Column:
        return Column(
            title, lambda row: count(row[name], f"label_agreement.{name}"), lambda row: row[name], numeric=True
        )

    def overlap(row: Row) -> float | None:
        if any(missing(row[name]) for name in ("positives_a", "positives_b", "both")):
            return None
        either = row["positives_a"] + row["positives_b"] - row["both"]
        return row["both"] / either if either else None

    columns = [
        Column("Label", lambda row: row["phenotype"] or ""),
        plain("positives_a", "Definition A"),
        plain("positives_b", "Definition B"),
        plain("both", "Both"),
        Column(
            "Overlap (both of either), %",
            lambda row: percent(overlap(row), "derived:label_agreement", sign=False),
            overlap,
            True,
        ),
    ]
    reading = Markup(
        "Positive stays under two definitions of the same label from diagnosis codes: scores hold for one of them only."
    )
    return DataTable("label-agreement", "Two definitions of the labels", columns, rows, reading, tall=True)
