"""Figure of decision curves: what deciding by a prediction would gain at each threshold of the risk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from picme.report.blocks import Choice, Plate
from picme.report.facts import by_rank, confidence, frame, shown_first
from picme.report.figures.dots import strategies_of, visible
from picme.report.numbers import level, number, percent, say
from picme.report.theme import INK, MUTED, safe, strategy_style
from picme.report.words import combination_text, strategy_text, task_title

if TYPE_CHECKING:
    import polars as pl
    from markupsafe import Markup

    from picme.report.facts import Row, Tables

# Combinations of each task that are drawn, best first; the table has all.
MOST = 3


def decision_curve(tables: Tables, config: dict[str, Any]) -> Plate | None:
    """Draw net benefit by threshold; one view for each task and its best combinations."""
    rows = frame(tables, "decision_curve").drop_nulls(["threshold", "net_benefit"])
    parts = by_rank(tables, config, rows)[: MOST * max(1, rows["task"].n_unique())]
    views = [
        _view(cell, (task_title(task), combination_text(combination)), shown_first(tables, config, task))
        for task, combination, cell in parts
    ]
    if not views:
        return None
    note = say(
        "Net benefit counts true positives per hundred stays, less the false ones weighted by the odds of the"
        " threshold: who acts from a risk of one in ten accepts nine false alarms for one true one. A curve is of use"
        " where it is above both acting on everybody and acting on nobody (zero). Risks are recalibrated on validation"
        " stays; dotted lines are the {level} interval at each threshold. The chosen strategy and its control are shown"
        " first.",
        level=level(confidence(config)),
    )
    return Plate("decision-curve", "What deciding by the risk would gain", views, ("Task", "Combination"), note)


def _view(rows: pl.DataFrame, choice: tuple[str, ...], first: list[str]) -> Choice:
    cells = rows.sort("threshold").to_dicts()
    known = strategies_of(rows.to_dicts())
    every = [row for row in cells if row["strategy"] == known[0]]
    traces = [
        _line(every, "treat_all", name="acting on everybody", line={"color": MUTED, "dash": "dash", "width": 1.4})
    ]
    for name in known:
        own = [row for row in cells if row["strategy"] == name]
        colour, _ = strategy_style(name, known)
        shared = {"legendgroup": safe(name), "visible": visible(name, known, first)}
        text = [f"{safe(strategy_text(name))}<br>{_hover(row)}" for row in own]
        line = {"color": colour, "width": 1.8}
        traces.append(_line(own, "net_benefit", name=safe(strategy_text(name)), line=line, text=text, **shared))
        judged = [row for row in own if row["low"] is not None and row["high"] is not None]
        thin = {"color": colour, "width": 0.8, "dash": "dot"}
        traces += [_line(judged, end, line=thin, showlegend=False, **shared) for end in ("low", "high") if judged]
    best = max(row["net_benefit"] for row in cells)
    layout = {
        "height": 400,
        "xaxis": {"title": {"text": "threshold of the risk, %"}, "range": [0, 51], "zeroline": False},
        "yaxis": {
            "title": {"text": "net benefit, true positives per hundred stays"},
            "range": [-30 * max(best, 0.01), 130 * max(best, 0.01)],
            "zerolinecolor": INK,
        },
    }
    return Choice(choice, {"data": traces, "layout": layout}, rows, _reading(cells, known, first))


def _line(rows: list[Row], column: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [round(row["threshold"] * 100, 2) for row in rows],
        "y": [None if row[column] is None else round(row[column] * 100, 2) for row in rows],
        **({"hovertemplate": "%{text}<extra></extra>"} if "text" in more else {"hoverinfo": "skip"}),
        **more,
    }


def _hover(row: Row) -> str:
    ends = "" if row["low"] is None or row["high"] is None else f" ({row['low'] * 100:.1f} to {row['high'] * 100:.1f})"
    return f"from {row['threshold']:.0%}: {row['net_benefit'] * 100:.1f} per hundred stays{ends}"


def _reading(cells: list[Row], known: list[str], first: list[str]) -> Markup:
    """Say where the strategy shown first is better than acting on everybody and on nobody."""
    name = next((one for one in first if one in known), known[0])
    own = [row for row in cells if row["strategy"] == name]
    judged = [row for row in own if row["low"] is not None and row["treat_all"] is not None]
    useful = [row for row in judged if row["low"] > max(0.0, row["treat_all"])]
    top = max(useful or own, key=lambda row: row["net_benefit"] - max(0.0, row["treat_all"] or 0.0))
    threshold = percent(top["threshold"], "decision_curve.threshold", 0)
    value = number(top["net_benefit"], "decision_curve.net_benefit", 1, scale=100)
    everybody = number(top["treat_all"], "decision_curve.treat_all", 1, scale=100)
    if not useful:
        return say(
            "At no threshold is {strategy} better beyond chance than both acting on everybody and acting on nobody; at"
            " {threshold} it gains most: {value} true positives per hundred stays, where acting on everybody gives"
            " {all}.",
            strategy=strategy_text(name),
            threshold=threshold,
            value=value,
            all=everybody,
        )
    return say(
        "{strategy} is better beyond chance than acting on everybody and on nobody at {n} of {m} thresholds, most at"
        " {threshold}: {value} true positives per hundred stays ({low} to {high}), where acting on everybody gives"
        " {all}.",
        strategy=strategy_text(name).capitalize(),
        n=number(len(useful), "derived:decision_curve", 0),
        m=number(len(own), "derived:decision_curve", 0),
        threshold=threshold,
        value=value,
        low=number(top["low"], "decision_curve.low", 1, scale=100),
        high=number(top["high"], "decision_curve.high", 1, scale=100),
        all=everybody,
    )
