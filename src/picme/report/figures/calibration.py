"""Figure of calibration: predicted risks against observed shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Choice, Plate
from picme.report.facts import by_rank, frame, shown_first
from picme.report.figures.dots import points, strategies_of, visible
from picme.report.numbers import number, percent, say
from picme.report.theme import MUTED, safe, strategy_style
from picme.report.words import combination_text, strategy_text, task_title

if TYPE_CHECKING:
    from picme.report.facts import Row, Tables


def calibration(tables: Tables, config: dict[str, Any]) -> Plate | None:
    """Draw observed against predicted, by bins of the predicted probability; one view for each task and combination."""
    rows = frame(tables, "calibration")
    views = [
        _view(cell, (task_title(task), combination_text(combination)), shown_first(tables, config, task))
        for task, combination, cell in by_rank(tables, config, rows)
    ]
    if not views:
        return None
    note = Markup(
        "On the dashed line, of the stays given a risk of 30\u00a0%, 30\u00a0% had the outcome. Above it risks are too"
        " low, below it too high. Larger symbols stand for more predictions;"
        " lines are the interval of the observed share. The chosen strategy and its control are shown first; press"
        " another’s name to see it."
    )
    return Plate("calibration", "Predicted and observed risk", views, ("Task", "Combination"), note)


def _view(rows: pl.DataFrame, choice: tuple[str, ...], first: list[str]) -> Choice:
    cells = (
        rows.filter(pl.col("mean_predicted").is_not_null() & pl.col("observed").is_not_null()).sort("bin").to_dicts()
    )
    known = strategies_of(rows.to_dicts())
    most = max((row["n"] or 0 for row in cells), default=0) or 1
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [0, 100],
            "y": [0, 100],
            "line": {"color": MUTED, "dash": "dot", "width": 1},
            "hoverinfo": "skip",
            "showlegend": False,
        }
    ]
    for name in known:
        own = [row for row in cells if row["strategy"] == name]
        colour, symbol = strategy_style(name, known)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": safe(strategy_text(name)),
                "visible": visible(name, known, first),
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [round(((row["high"] or row["observed"]) - row["observed"]) * 100, 2) for row in own],
                    "arrayminus": [_below(row) for row in own],
                    "color": colour,
                    "thickness": 1,
                    "width": 0,
                },
                "x": [round(row["mean_predicted"] * 100, 2) for row in own],
                "y": [round(row["observed"] * 100, 2) for row in own],
                "line": {"color": colour, "width": 1.4},
                "marker": {
                    "color": colour,
                    "symbol": symbol,
                    "size": [round(5 + 9 * ((row["n"] or 0) / most) ** 0.5, 1) for row in own],
                },
                "text": [
                    f"{safe(strategy_text(name))}<br>predicted {points(row['mean_predicted'])}, observed"
                    f" {points(row['observed'])}{_ends(row)}"
                    f"<br>{row['n']} predictions"
                    for row in own
                ],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    layout = {
        "height": 420,
        "xaxis": {"title": {"text": "predicted risk, %"}, "range": [-2, 102], "zeroline": False},
        "yaxis": {"title": {"text": "observed, %"}, "range": [-4, 104], "zeroline": False},
    }
    errors = {row["strategy"]: row for row in rows.to_dicts() if row["ece"] is not None}
    shown = [name for name in first if name in known] or known
    each = [
        say(
            "{ece} for {strategy} (Brier score {brier})",
            ece=percent(errors[name]["ece"], "calibration.ece"),
            strategy=strategy_text(name),
            brier=number(errors[name]["brier"], "calibration.brier", 3),
        )
        for name in shown
        if name in errors
    ]
    reading = (
        say("The mean gap between predicted and observed risk (ECE) is {each}.", each=Markup(", ").join(each))
        if each
        else Markup("No calibration error is defined here.")
    )
    return Choice(choice, {"data": traces, "layout": layout}, rows, reading)


def _below(row: Row) -> float:
    return 0.0 if row["low"] is None else round((row["observed"] - row["low"]) * 100, 2)


def _ends(row: Row) -> str:
    return "" if row["low"] is None or row["high"] is None else f" ({points(row['low'])} to {points(row['high'])})"
