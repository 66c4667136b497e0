"""Figure of value against cost, where the modalities do not all cost the same as given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.answer import interval_of
from picme.report.blocks import Choice, Plate
from picme.report.facts import frame
from picme.report.numbers import number, percent, say
from picme.report.theme import BLUE, FAINT, safe
from picme.report.words import combination_text, strategy_text, task_title

if TYPE_CHECKING:
    from collections.abc import Sequence

    from picme.report.facts import Row, Tables
    from picme.report.told import Told


def front(tables: Tables, told: Sequence[Told]) -> Plate | None:
    """Draw what every combination scores against what it costs; one view for each task."""
    lattice = frame(tables, "lattice").filter(metric="auroc", stays="complete")
    given = lattice.filter(pl.col("added").is_not_null())["cost"].drop_nulls()
    if given.is_empty() or (given == 1).all():
        return None
    known = lattice.filter(
        pl.col("added").is_null(),
        pl.col("combination") != "",
        pl.col("value").is_not_null(),
        pl.col("cost").is_not_null(),
    )
    views = [_front(rows, one) for one in told if (rows := known.filter(task=one.task, strategy=one.strategy)).height]
    if not views:
        return None
    note = Markup(
        "Each mark is a combination. The line joins those that no combination which costs as much or less was better"
        " than on validation, by however little. Scores are on test stays, so that the line may fall; whether a step"
        " is more than chance is told by its interval in “What to have next”."
    )
    return Plate("front", "Value against cost", views, ("Task",), note)


def _front(rows: pl.DataFrame, one: Told) -> Choice:
    ahead = rows["front"].fill_null(False)
    best = rows.filter(ahead).sort("cost").to_dicts()
    traces = [
        _marks(
            "other combinations", rows.filter(~ahead).to_dicts(), {"color": FAINT, "symbol": "circle-open", "size": 8}
        ),
        _marks("best for their cost on validation", best, {"color": BLUE, "symbol": "diamond", "size": 11})
        | {"mode": "lines+markers", "line": {"color": BLUE, "width": 1.6, "shape": "hv"}},
    ]
    most = max(row["cost"] for row in rows.to_dicts())  # what costs nothing needs room at the left
    layout = {
        "height": 360,
        "xaxis": {"title": {"text": "cost of a stay"}, "range": [-0.04 * most, 1.04 * most], "zeroline": False},
        "yaxis": {"title": {"text": "AUROC on test, %"}, "zeroline": False},
    }
    steps = [
        say(
            "{name} ({auroc}{ends} for {cost})",
            name=combination_text(row["combination"]),
            auroc=percent(row["value"], "lattice.value"),
            ends=say(", {ends}", ends=interval_of(row)) if row["low"] is not None else "",
            cost=number(row["cost"], "lattice.cost", 0 if row["cost"].is_integer() else 2),
        )
        for row in best
    ]
    reading = say(
        "Best for their cost on validation, from the cheapest: {steps}. Told by {strategy}.",
        steps=Markup("; ").join(steps),
        strategy=strategy_text(one.strategy),
    )
    return Choice((task_title(one.task),), {"data": traces, "layout": layout}, rows, reading)


def _marks(name: str, rows: list[Row], marker: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [round(row["cost"], 4) for row in rows],
        "y": [round(row["value"] * 100, 2) for row in rows],
        "marker": marker,
        "text": [f"{safe(combination_text(row['combination']))}<br>{row['value'] * 100:.1f} %" for row in rows],
        "hovertemplate": "%{text}<extra></extra>",
    }
