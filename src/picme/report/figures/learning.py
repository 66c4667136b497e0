"""Figure of recalibration on stays of another source: how many of them mend calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Choice, Plate
from picme.report.facts import frame
from picme.report.numbers import number, say
from picme.report.theme import MUTED, series_style
from picme.report.words import combination_text, strategy_text, task_title

if TYPE_CHECKING:
    from picme.report.facts import Tables

METRICS = {
    "calibration_intercept": ("calibration intercept (0 is right)", 0.0),
    "calibration_slope": ("calibration slope (1 is right)", 1.0),
    "brier": ("Brier score", None),
    "auroc": ("AUROC", None),
}
KINDS = {"intercept": "intercept fitted again", "both": "intercept and slope fitted again"}


def local_curve(tables: Tables) -> Plate | None:
    """Draw each metric by the number of local stays, beside that of the models as they are."""
    rows = frame(tables, "external")
    cells = (
        rows.filter(pl.col("recalibration") != "none")
        .select("task", "combination", "strategy")
        .unique(maintain_order=True)
    )
    views = []
    for cell in cells.iter_rows():
        own = rows.filter(*(pl.col(name) == value for name, value in zip(cells.columns, cell, strict=True)))
        for metric in METRICS:
            shown = own.filter(pl.col("metric") == metric)
            if shown.filter(pl.col("recalibration") != "none").height:
                name = f"{combination_text(cell[1])}, {strategy_text(cell[2])}"
                views.append(_view(shown, (task_title(cell[0]), name, METRICS[metric][0]), metric))
    if not views:
        return None
    note = Markup(
        "Stays of the other source are drawn many times to fit on; the remaining ones judge. Intervals say how well"
        " that is known, and not how far a single draw may be from it. The dashed line is the models as they are."
    )
    return Plate("local-curve", "How many local stays it takes", views, ("Task", "Cell", "Metric"), note)


def _view(rows: pl.DataFrame, choice: tuple[str, ...], metric: str) -> Choice:
    traces: list[dict[str, Any]] = []
    title, right = METRICS[metric]
    sizes = rows.filter(pl.col("n_local") > 0)["n_local"]
    ends = [sizes.min(), sizes.max()]
    as_is = rows.filter(pl.col("recalibration") == "none")["value"].to_list()
    levels = [("as they are", as_is[0], "dash")] if as_is else []
    levels += [("right", right, "dot")] if right is not None else []
    for name, height, dash in levels:
        traces.append(
            {
                "type": "scatter", "mode": "lines", "name": name, "x": ends, "y": [height, height],
                "line": {"color": MUTED, "dash": dash, "width": 1.2}, "hoverinfo": "skip",
            }
        )  # fmt: skip
    for place, (kind, words) in enumerate(KINDS.items()):
        own = rows.filter(pl.col("recalibration") == kind).sort("n_local").to_dicts()
        colour, symbol = series_style(place)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": words,
                "x": [row["n_local"] for row in own],
                "y": [row["value"] for row in own],
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [0 if row["high"] is None else row["high"] - row["value"] for row in own],
                    "arrayminus": [0 if row["low"] is None else row["value"] - row["low"] for row in own],
                    "color": colour,
                    "thickness": 1,
                    "width": 0,
                },
                "line": {"color": colour, "width": 1.4},
                "marker": {"color": colour, "symbol": symbol, "size": 7},
                "hovertemplate": f"{words}<br>%{{x}} local stays: %{{y:.3f}}<extra></extra>",
            }
        )
    layout = {
        "height": 360,
        "xaxis": {"title": {"text": "local stays"}, "type": "log", "tickvals": sorted(set(sizes.to_list()))},
        "yaxis": {"title": {"text": title}, "zeroline": False},
    }
    last = rows.filter(pl.col("n_local") == ends[1])
    each = [
        say("{value} with {words}", value=number(row["value"], "external.value", 3), words=KINDS[row["recalibration"]])
        for row in last.iter_rows(named=True)
    ]
    start = say("{value} as they are; ", value=number(as_is[0], "external.value", 3)) if as_is else Markup("")
    reading = say(
        "{title}: {start}by {n} local stays {each}.",
        title=title[0].upper() + title[1:],
        start=start,
        n=number(ends[1], "external.n_local", 0),
        each=Markup(", ").join(each),
    )
    return Choice(choice, {"data": traces, "layout": layout}, rows, reading)
