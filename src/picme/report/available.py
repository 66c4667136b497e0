"""Tables of which modalities the stays have, and how much of their texts is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Column, DataTable
from picme.report.facts import folds, frame, modalities
from picme.report.numbers import count, missing, percent, say
from picme.report.words import split_text, task_title
from picme.schema import SPLITS

if TYPE_CHECKING:
    from collections.abc import Callable

    from picme.report.facts import Row, Tables


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
        Column("Task", lambda row: task_title(row["task"]), choose=True, first=True),
        *([] if crossed else [Column("Split", lambda row: split_text(row["split"]), choose=True)]),
        Column("Modalities", lambda row: (row["modalities"] or "none").replace("+", ", ")),
        Column("Stays", counted("stays"), lambda row: row["stays"], numeric=True),
        Column("With the outcome", outcomes, lambda row: row["with_outcome"], numeric=True),
    ]
    reading = Markup(
        "How many stays have exactly these modalities, before any is required. Where the outcome is more frequent in"
        " some rows than in others, what is missing tells something of it."
    )
    long = rows.height > 14
    return DataTable("presence", "Which modalities stays have", columns, rows, reading, tall=long, search=long)


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
