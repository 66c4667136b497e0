"""Figures and tables about the cohort: stays left out and why, data that are available, and the leakage audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Column, DataTable
from picme.report.facts import folds, frame, modalities
from picme.report.numbers import count, many, missing, number, percent, say
from picme.report.words import split_text, task_title
from picme.schema import SPLITS

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


def of_all_folds(rows: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Return counts of the first fold's splits taken together, which are the counts of all stays.

    Args:
        rows: a result table with the column `split`.
        keys: columns whose values stay apart.
    """
    counts = [name for name, kind in rows.schema.items() if kind == pl.Int64]
    # Where one split's count is not told, neither is the sum; a share of all stays is not had from shares of splits.
    sums = [pl.when(pl.col(name).is_not_null().all()).then(pl.col(name).sum()).alias(name) for name in counts]
    return (
        rows.group_by(keys, maintain_order=True)
        .agg(sums)
        .select(
            pl.col(name) if name in (*keys, *counts) else pl.lit(None, kind).alias(name)
            for name, kind in rows.schema.items()
        )
    )


def availability(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """Draw how many stays have each modality, by task and split; of a study by cross-fitting, by task."""
    rows = frame(tables, "availability").filter(pl.col("stays_total").is_not_null())
    if rows.is_empty():
        return None
    crossed = folds(config) > 0
    if crossed:
        rows = of_all_folds(rows, ["task", "modality"])
    cells = {(row["task"], row["modality"], row["split"]): row for row in rows.iter_rows(named=True)}
    tasks = list(dict.fromkeys(key[0] for key in cells))
    splits = [name for name in SPLITS if any(key[2] == name for key in cells)]
    splits += list(dict.fromkeys(key[2] for key in cells if key[2] not in splits))
    here = [name for name in modalities(tables, config) if any(key[1] == name for key in cells)]
    here += list(dict.fromkeys(key[1] for key in cells if key[1] not in here))

    def cell(task: str | None, split: str | None) -> Callable[[Row], Markup]:
        def show(row: Row) -> Markup:
            found = cells.get((task, row["modality"], split))
            if found is None:
                return Markup("")
            share = (
                found["stays_present"] / found["stays_total"]
                if found["stays_total"] and found["stays_present"] is not None
                else None
            )
            cut = found["cut_share"]
            return say(
                '{share} <span class="quiet">({n}{cut})</span>',
                share=percent(share, "derived:availability"),
                n=count(found["stays_present"], "derived:availability" if crossed else "availability.stays_present"),
                cut="" if missing(cut) else say("; cut {share}", share=percent(cut, "availability.cut_share")),
            )

        return show

    def total(task: str | None, split: str | None) -> int | None:
        return next((row["stays_total"] for key, row in cells.items() if (key[0], key[2]) == (task, split)), None)

    columns = [Column("Modality", lambda row: row["modality"] or "")]
    pairs = [(task, split) for task in tasks for split in splits if total(task, split) is not None]
    columns += [
        Column(": ".join(filter(None, [task_title(task or "all"), split_text(split)])), cell(task, split), None, True)
        for task, split in pairs
    ]
    totals = "derived:availability" if crossed else "availability.stays_total"
    parts = [
        say(
            "{task}: {splits}",
            task=task_title(task or "all"),
            splits=Markup(", ").join(
                say("{n} {split}", n=count(total(task, split), totals), split=split_text(split) or "stays")
                for split in splits
                if (task, split) in pairs
            ),
        )
        for task in tasks
    ]
    reading = say(
        "{which} ({parts}), before any modality is required. {division} by subject and the same for all tasks.{read}",
        which="All stays" if crossed else "Stays of each split",
        parts=Markup("; ").join(parts),
        division="Folds are" if crossed else "Splits are",
        read=_tokens_read(rows),
    )
    pivot = pl.DataFrame({"modality": here}, schema={"modality": pl.String})
    return DataTable("availability", "Availability: stays that have a modality", columns, pivot, reading, source=rows)


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


def presence(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List how many stays have which modalities, and how many of these have the outcome."""
    rows = frame(tables, "presence")
    if rows.height <= rows.select("task", "split").unique().height:
        return None  # all stays have the same
    crossed = folds(config) > 0
    if crossed:
        rows = of_all_folds(rows, ["task", "modalities"])

    def counted(name: str) -> Callable[[Row], Markup]:
        return lambda row: count(row[name], "derived:presence" if crossed else f"presence.{name}")

    def outcomes(row: Row) -> Markup:
        if missing(row["with_outcome"]):
            return Markup("")
        share = percent(row["with_outcome"] / row["stays"] if row["stays"] else None, "derived:presence")
        return say("{n} ({share})", n=counted("with_outcome")(row), share=share)

    columns = [
        Column("Task", lambda row: task_title(row["task"]), choose=True),
        *([] if crossed else [Column("Split", lambda row: split_text(row["split"]), choose=True)]),
        Column("Modalities", lambda row: (row["modalities"] or "none").replace("+", ", ")),
        Column("Stays", counted("stays"), lambda row: row["stays"], numeric=True),
        Column("With the outcome", outcomes, lambda row: row["with_outcome"], numeric=True),
    ]
    reading = Markup(
        "How many stays have exactly these modalities, before any is required. Where the outcome is more frequent in"
        " some rows than in others, what is missing tells something of it."
    )
    return DataTable("presence", "Which modalities stays have", columns, rows, reading, tall=rows.height > 14)


def _tokens_read(rows: pl.DataFrame) -> Markup:
    """Say what share of the texts' tokens the encoders read; nothing where there is no text."""
    texts = rows.filter(pl.col("tokens_total") > 0).group_by("modality", maintain_order=True)
    shares = [
        say("{read} of {modality}", read=percent(row["share"], "derived:availability"), modality=row["modality"])
        for row in texts.agg(share=pl.col("tokens_read").sum() / pl.col("tokens_total").sum()).iter_rows(named=True)
    ]
    cut = rows["cut_share"].is_not_null().any()
    explained = "“Cut” is the share of texts of which the encoder leaves something unread." if cut else ""
    said = " {explained} Of all tokens the encoders read {parts}."
    return say(said, explained=explained, parts=Markup(", ").join(shares)) if shares else Markup("")


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
