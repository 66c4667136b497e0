"""Dots with intervals, one series for each strategy, and rows that carry their label above them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from picme.report.theme import GRID, INK, MUTED, safe, strategy_style
from picme.report.words import strategy_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from picme.report.facts import Row


def strategies_of(rows: Sequence[Row]) -> list[str]:
    """Return the strategies in the tables' order."""
    return list(dict.fromkeys(row["strategy"] for row in rows if row["strategy"] is not None))


def visible(strategy: str, known: Sequence[str], first: Sequence[str]) -> bool | str:
    """Return whether a curve is drawn at first: those of `first`, or all where none of them is there."""
    return True if strategy in first or not {*first} & {*known} else "legendonly"


def dodge(names: Sequence[str], room: float = 0.62) -> dict[str, float]:
    """Return an offset for each series, so that the dots of one row do not hide one another."""
    step = min(room / max(len(names), 1), 0.2)
    return {name: (index - (len(names) - 1) / 2) * step for index, name in enumerate(names)}


def dots(
    rows: Sequence[Row],
    strategy: str,
    known: list[str],
    x: Callable[[Row], float],
    y: Callable[[Row], float],
    hover: Callable[[Row], str],
    ends: Callable[[Row], tuple[float, float] | None] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return the trace of one strategy.

    Args:
        rows: its rows; those without a value must be left out before.
        strategy: its name.
        known: all strategies shown.
        x: value of a row, in the axis's unit.
        y: place of a row.
        hover: text of a row, safe already.
        ends: ends of the interval of a row, None where it has none.
        more: settings that go into the trace.
    """
    colour, symbol = strategy_style(strategy, known)
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "name": safe(strategy_text(strategy)),
        "legendgroup": safe(strategy),
        "x": [round(x(row), 3) for row in rows],
        "y": [round(y(row), 3) for row in rows],
        "marker": {
            "color": colour,
            "symbol": symbol,
            "size": 8,
            "line": {"width": 1.4 if symbol.endswith("open") else 0},
        },
        "text": [hover(row) for row in rows],
        "hovertemplate": "%{text}<extra></extra>",
    }
    if ends:
        pairs = [ends(row) for row in rows]
        trace["error_x"] = {
            "type": "data",
            "symmetric": False,
            "array": [
                None if pair is None else round(pair[1] - x(row), 3) for row, pair in zip(rows, pairs, strict=True)
            ],
            "arrayminus": [
                None if pair is None else round(x(row) - pair[0], 3) for row, pair in zip(rows, pairs, strict=True)
            ],
            "color": colour,
            "thickness": 1.4,
            "width": 0,
        }
    return {**trace, **more}


def labelled_rows(
    labels: Sequence[tuple[str, str]], height: int, title: str, span: tuple[float, float] | None = None
) -> dict[str, Any]:
    """Return a layout whose rows carry their label above the dots, so that long names cost no width.

    Args:
        labels: the labels of each row from top to bottom: main text, and a quieter remark.
        height: the height of a row in pixels.
        title: the title of the value axis.
        span: range of the value axis, if it is not to be found from the data.
    """
    notes = [
        {
            "name": "row",
            "xref": "paper",
            "x": 0,
            "xanchor": "left",
            "yref": "y",
            "y": index - 0.36,
            "yanchor": "middle",
            "text": f"{safe(main)}" + (f"  <span style='color:{MUTED}'>{safe(remark)}</span>" if remark else ""),
            "showarrow": False,
            "font": {"size": 11, "color": INK},
            "align": "left",
        }
        for index, (main, remark) in enumerate(labels)
    ]
    lines = [
        {
            "type": "line",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "y0": index - 0.56,
            "y1": index - 0.56,
            "line": {"color": GRID, "width": 1},
        }
        for index in range(1, len(labels))
    ]
    axis: dict[str, Any] = {"title": {"text": title}, "zeroline": False}
    if span:
        axis["range"] = list(span)
    return {
        "height": 60 + height * len(labels),
        "margin": {"l": 10, "r": 16, "t": 8, "b": 46},
        "yaxis": {"visible": False, "range": [len(labels) - 0.35, -0.62], "automargin": False},
        "xaxis": axis,
        "annotations": notes,
        "shapes": lines,
    }


def epoch_axis(rows: pl.DataFrame) -> dict[str, Any]:
    """Return an axis of whole epochs."""
    few = rows["epoch"].n_unique() <= 12
    return {"title": {"text": "epoch"}, "zeroline": False, **({"dtick": 1} if few else {})}


def guess_line(x: float = 50.0, axis: str = "x") -> dict[str, Any]:
    """Return an upright dashed line at the value of guessing."""
    return {
        "type": "line",
        "xref": axis,
        "yref": "paper",
        "x0": x,
        "x1": x,
        "y0": 0,
        "y1": 1,
        "line": {"color": MUTED, "width": 1, "dash": "dot"},
        "layer": "below",
    }


def points(value: float | None) -> str:
    """Return a fraction in percent for a hover text."""
    return "–" if value is None else f"{value * 100:.1f} %"
