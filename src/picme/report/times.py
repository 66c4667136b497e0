"""Tables of what the study took, and of the paper's run times (its Table 5 and section 8.6) beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Column, DataTable
from picme.report.facts import frame
from picme.report.numbers import MISSING, number, say, seconds
from picme.report.paper import times_of_paper
from picme.report.words import combination_text, strategy_text, task_title

if TYPE_CHECKING:
    from picme.report.facts import Row, Tables


def cost_by_stage(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List what all jobs of each stage took together, and the combination whose jobs took most of it."""
    runs = frame(tables, "runtimes").filter(pl.col("seconds").is_not_null())
    if runs.is_empty():
        return None
    runs = runs.with_columns(total=pl.col("seconds") * pl.col("jobs").fill_null(1))
    by_combination = runs.group_by("stage", "combination", maintain_order=True).agg(pl.col("total").sum())
    longest = by_combination.sort("total", descending=True, maintain_order=True).unique("stage", keep="first")
    rows = runs.group_by("stage", maintain_order=True).agg(
        pl.col("jobs").fill_null(1).sum(),
        pl.col("total").sum(),
        pl.col("parameters").max(),
        pl.col("peak_memory_mb").max(),
        pl.col("device").drop_nulls().unique().sort().str.join(", "),
    )
    rows = rows.join(
        longest.select("stage", "combination", most="total"), on="stage", how="left", maintain_order="left"
    )

    def plain(name: str, title: str, digits: int = 0, scale: float = 1) -> Column:
        return Column(
            title,
            lambda row: number(row[name], "derived:runtimes", digits, scale=scale),
            lambda row: row[name],
            numeric=True,
        )

    columns = [
        Column("Stage", lambda row: row["stage"] or ""),
        plain("jobs", "Jobs"),
        Column("Total time", lambda row: seconds(row["total"], "derived:runtimes"), lambda row: row["total"], True),
        Column("Most of it by", lambda row: combination_text(row["combination"])),
        Column("Its time", lambda row: seconds(row["most"], "derived:runtimes"), lambda row: row["most"], True),
        plain("parameters", "Parameters trained by a job, at most, thousands", 1, 1e-3),
        plain("peak_memory_mb", "Memory at most, MB"),
        Column("Device", lambda row: row["device"] or ""),
    ]
    reading = say(
        "All jobs together took {total}; side by side they take less. A job is what is made once and kept: training a"
        " combination with one seed, or encoding one modality.",
        total=seconds(rows["total"].sum(), "derived:runtimes"),
    )
    return DataTable("cost-by-stage", "What the study took", columns, rows, reading, source=runs.drop("total"))


def published_times(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List the mean time of the study's trainings of each kind that the paper has a time for."""
    runs = frame(tables, "runtimes").filter(pl.col("seconds").is_not_null())
    rows = [row | {"seconds": _mean(runs, row)} for row in times_of_paper()]
    rows = [row for row in rows if row["seconds"] is not None]
    if not rows or not (config.get("report") or {}).get("paper", True):
        return None
    columns = [
        Column("Training", lambda row: row["what"]),
        Column("Task", lambda row: task_title(row["task"]) if row["task"] else ""),
        Column("Strategy", lambda row: strategy_text(row["strategy"]) if row["strategy"] else ""),
        Column("Mean time", lambda row: seconds(row["seconds"], "derived:runtimes"), lambda row: row["seconds"], True),
        Column("Paper’s time, h", _hours),
    ]
    reading = Markup(
        "Mean time of one training here, on this machine and cohort, and the paper’s, on a single GPU and all of MIMIC:"
        " their ratios between rows can be compared, their sizes cannot."
    )
    table = pl.DataFrame(rows, infer_schema_length=None)
    return DataTable("published-times", "Run times beside the paper’s", columns, table, reading, source=runs)


def _hours(row: Row) -> Markup:
    """Print a time, or both ends of a range of times."""
    ends = [number(end, "paper.times", 1) for end in row["hours"]]
    return Markup(" to ").join(ends) if ends else MISSING


def _mean(runs: pl.DataFrame, row: Row) -> float | None:
    """Return the mean seconds of the study's trainings that a row of the paper is about."""
    own = runs.filter(pl.col("stage") == row["stage"])
    for column in ("task", "strategy"):
        own = own if row[column] is None else own.filter(pl.col(column) == row[column])
    if row["modalities"] is not None:
        own = own.filter(pl.col("combination").str.count_matches(r"\+") + 1 == row["modalities"])
    found: Any = own["seconds"].mean()
    return found
