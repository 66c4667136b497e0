"""Figures of what the study cost: search trials, and time and memory of every job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Choice, Plate
from picme.report.facts import frame
from picme.report.figures.dots import points, strategies_of
from picme.report.numbers import count, many, number, percent, say, seconds
from picme.report.theme import INK, safe, series_style, strategy_style
from picme.report.words import combination_text, strategy_text, task_title

if TYPE_CHECKING:
    from picme.report.facts import Tables


def search(tables: Tables, config: dict[str, Any]) -> Plate | None:
    """Draw the trials of the search, value by learning rate; one view for each stage, task and combination."""
    rows = frame(tables, "search").filter(pl.col("value").is_not_null() & (pl.col("learning_rate") > 0))
    views = []
    for stage, task, combination in rows.select("stage", "task", "combination").unique(maintain_order=True).rows():
        own = rows.filter(
            pl.col("stage").eq_missing(stage)
            & pl.col("task").eq_missing(task)
            & pl.col("combination").eq_missing(combination)
        )
        choice = (
            "Pretraining" if stage == "pretrain" else task_title(task or stage or "all"),
            combination_text(combination) or "all",
        )
        views.append(_search(own, choice))
    return Plate("search", "Trials of learning rate and batch size", views, ("Task", "Combination")) if views else None


def _search(rows: pl.DataFrame, choice: tuple[str, ...]) -> Choice:
    cells = rows.to_dicts()
    known = strategies_of(cells)
    largest = max((row["batch_size"] or 1 for row in cells), default=1)
    traces: list[dict[str, Any]] = []
    named: list[str | None] = [*known] or [None]  # pretraining has no strategies
    for name in named:
        colour, symbol = series_style(0) if name is None else strategy_style(name, known)
        own = [row for row in cells if row["strategy"] == name]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": safe(strategy_text(name) or "trials"),
                "x": [row["learning_rate"] for row in own],
                "y": [round(row["value"] * 100, 2) for row in own],
                "marker": {
                    "color": colour,
                    "symbol": symbol,
                    "size": [round(6 + 8 * (row["batch_size"] or 1) / largest, 1) for row in own],
                    "opacity": 0.8,
                },
                "text": [
                    f"{safe(strategy_text(name) or 'pretraining')}, trial {row['trial']}<br>"
                    f"learning rate {row['learning_rate']:.2g}, batch {row['batch_size']}: {points(row['value'])}"
                    for row in own
                ],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    layout = {
        "height": 340,
        "xaxis": {"title": {"text": "learning rate"}, "type": "log", "exponentformat": "power", "dtick": 1},
        "yaxis": {"title": {"text": f"validation {'AUROC' if known else 'recall@5'}, %"}, "zeroline": False},
    }
    top = max(cells, key=lambda row: row["value"])
    reading = say(
        "The best of {n} is {value}{strategy} with learning rate {rate} and batches of {batch}; larger symbols"
        " stand for larger batches.",
        n=many(len(cells), "derived:search", "trial", "trials"),
        value=percent(top["value"], "search.value"),
        strategy=f", by {strategy_text(top['strategy'])}" if known else "",
        rate=number(top["learning_rate"], "search.learning_rate", 5),
        batch=count(top["batch_size"], "search.batch_size"),
    )
    return Choice(choice, {"data": traces, "layout": layout}, rows, reading)


def runtimes(tables: Tables, config: dict[str, Any]) -> Plate | None:
    """Draw every job as a dot, by its time or by its memory."""
    rows = frame(tables, "runtimes").filter(pl.col("seconds").is_not_null())
    if rows.is_empty():
        return None
    views = [_runtimes(rows, "seconds", "Time", "seconds")]
    memory = rows.filter(pl.col("peak_memory_mb").is_not_null())
    if not memory.is_empty():
        views.append(_runtimes(memory, "peak_memory_mb", "Memory", "megabytes at most"))
    return Plate(
        "runtimes",
        "Every job",
        views,
        ("Measure",),
        Markup("One dot is one job; jobs of a stage may run side by side."),
    )


def _runtimes(rows: pl.DataFrame, column: str, title: str, axis: str) -> Choice:
    stages = rows["stage"].unique(maintain_order=True).to_list()
    traces: list[dict[str, Any]] = []
    for index, stage in enumerate(stages):
        own = rows.filter(pl.col("stage").eq_missing(stage)).to_dicts()
        spread = [((number * 0.618034) % 1 - 0.5) * 0.5 for number in range(len(own))]
        colour, symbol = series_style(index)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "showlegend": False,
                "name": safe(stage or "?"),
                "x": [round(row[column], 3) for row in own],
                "y": [round(index + shift, 3) for shift in spread],
                "marker": {"color": colour, "symbol": symbol, "size": 6, "opacity": 0.65},
                "text": [_job(row, column) for row in own],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    layout: dict[str, Any] = {
        "height": 80 + 56 * len(stages),
        "xaxis": {"title": {"text": axis}, "rangemode": "tozero"},
        "yaxis": {
            "tickvals": list(range(len(stages))),
            "ticktext": [safe(stage or "?") for stage in stages],
            "tickfont": {"color": INK, "size": 12},
            "range": [len(stages) - 0.4, -0.6],
            "zeroline": False,
        },
    }
    if column == "seconds" and rows.filter(pl.col("seconds") <= 0).is_empty():
        layout["xaxis"] = {"title": {"text": f"{axis} (logarithmic)"}, "type": "log", "dtick": 1}
    top = rows.sort(column).to_dicts()[-1]
    shown = (
        seconds(top[column], "runtimes.seconds")
        if column == "seconds"
        else number(top[column], "runtimes.peak_memory_mb", 0, " MB")
    )
    verb = "The longest job took" if column == "seconds" else "The largest job held"
    reading = say("{verb} {value} (stage {stage}).", verb=verb, value=shown, stage=top["stage"] or "?")
    return Choice((title,), {"data": traces, "layout": layout}, rows, reading)


def _job(row: dict[str, Any], column: str) -> str:
    words = [row["stage"], row["task"], combination_text(row["combination"]), strategy_text(row["strategy"])]
    unit = "s" if column == "seconds" else "MB"
    return safe(", ".join(word for word in words if word)) + f"<br>{row[column]:.1f} {unit}"
