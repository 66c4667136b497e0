"""Figures of alignment: retrieval scores of each combination, and the gap between its modalities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Choice, Plate
from picme.report.facts import frame, modalities
from picme.report.figures.matrix import Matrix, tick_line
from picme.report.numbers import count, percent, say
from picme.report.paper import alignment_of_paper
from picme.report.theme import BLUE, INK, SKY, safe
from picme.report.words import combination_text

if TYPE_CHECKING:
    from picme.report.facts import Row, Tables

METRICS = {
    "retrieval": "Retrieval of a stay’s other modality",
    "ovo": "Retrieval from one modality to the mean of the others",
    "cross_neighbour": "Nearest neighbours, own modality left out",
    "neighbour": "Nearest neighbours among all embeddings",
    "batch": "Retrieval within batches of training size",
}
GAP = "same_modality_share"


def _means(tables: Tables) -> pl.DataFrame:
    """Return the rows for whole combinations, on test stays where there are some, with the largest gallery."""
    rows = frame(tables, "alignment").filter(
        pl.col("source").is_null() & pl.col("target").is_null() & pl.col("value").is_not_null()
    )
    splits = rows["split"].drop_nulls().unique(maintain_order=True).to_list()
    split = next((name for name in ("test", "val") if name in splits), splits[0] if splits else None)
    rows = rows.filter(pl.col("split") == split) if split is not None else rows
    return rows.sort("candidates", descending=True, nulls_last=True, maintain_order=True).unique(
        ["combination", "metric", "k"], keep="first", maintain_order=True
    )


def alignment_bars(tables: Tables, config: dict[str, Any]) -> Plate | None:
    """Draw bars grouped by size with the chance level, one view for each metric and k."""
    rows, names, views = _means(tables), modalities(tables, config), []
    known = rows["metric"].drop_nulls().unique(maintain_order=True).to_list()
    for metric in [name for name in METRICS if name in known] + [n for n in known if n not in METRICS and n != GAP]:
        of_metric = rows.filter(pl.col("metric") == metric)
        ks = sorted(of_metric["k"].drop_nulls().unique().to_list(), key=lambda k: (k != 5, k)) or [None]
        for k in ks:
            chosen = of_metric.filter(pl.col("k") == k) if k is not None else of_metric
            choice = (METRICS.get(str(metric), str(metric)), str(k) if k is not None else "–")
            beside = metric == "batch" and k == 5 and (config.get("report") or {}).get("paper", True)
            views.append(_bars(chosen, names, choice, paper=beside))
    if not views:
        return None
    note = say(
        "Each row is a combination; filled dots say which modalities it has. The stroke is what chance would give with"
        " the same number of candidates. Alignment says how well the modalities of one stay find each other, not how"
        " well anything is predicted. A hollow diamond, in batches, is the paper’s Figure 2: its text speaks of nearest"
        " neighbours, its code measures small batches."
    )
    return Plate("alignment", "Alignment of each combination", views, ("Metric", "k"), note)


def _bars(rows: pl.DataFrame, names: list[str], choice: tuple[str, ...], paper: bool = False) -> Choice:
    ordered = rows.with_columns(size=pl.col("combination").str.count_matches(r"\+")).sort(
        "size", "value", descending=[False, True]
    )
    cells = ordered.to_dicts()
    matrix = Matrix([row["combination"] for row in cells], names)
    y = matrix.positions()
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [round(row["value"] * 100, 2) for row in cells],
        "y": [y[row["combination"]] for row in cells],
        "xaxis": "x2",
        "name": "value",
        "width": 0.62,
        "marker": {"color": SKY if choice[0] == "gap" else BLUE},
        "text": [f"{row['value'] * 100:.1f}" for row in cells],
        "textposition": "outside",
        "textfont": {"size": 10, "color": INK},
        "cliponaxis": False,
        "hovertext": [_hover(row) for row in cells],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }
    chance = [row for row in cells if row["chance"] is not None]
    strokes = tick_line(
        [round(row["chance"] * 100, 2) for row in chance],
        [y[row["combination"]] for row in chance],
        "chance",
        [f"chance {row['chance'] * 100:.1f} %" for row in chance],
    )
    axis = {"title": {"text": "percent"}, "rangemode": "tozero", "zeroline": True}
    figure = {"data": [*matrix.traces(), bars, strokes, *(_paper(y) if paper else [])], "layout": matrix.layout([axis])}
    return Choice(choice, figure, ordered.drop("size"), _reading(cells))


def _paper(places: dict[str, float]) -> list[dict[str, Any]]:
    """Return the trace of the published top-5 accuracy of the combinations at these places, if there is any."""
    found = {name: value for name in places if (value := alignment_of_paper(name)) is not None}
    trace = {
        "type": "scatter",
        "mode": "markers",
        "name": "paper",
        "x": [round(value * 100, 2) for value in found.values()],
        "y": [places[name] for name in found],
        "xaxis": "x2",
        "marker": {"color": INK, "symbol": "diamond-open", "size": 10, "line": {"width": 1.4}},
        "hovertemplate": "paper: %{x:.1f} %<extra></extra>",
    }
    return [trace] if found else []


def _hover(row: Row) -> str:
    of = f"<br>of {row['candidates']} candidates" if row["candidates"] is not None else ""
    return f"{safe(combination_text(row['combination']))}<br>{row['value'] * 100:.1f} %{of}"


def _reading(cells: list[Row]) -> Markup:
    best = max(cells, key=lambda row: row["value"])
    beaten = [row for row in cells if row["chance"] is not None and row["value"] <= row["chance"]]
    tail = (
        say(
            "; not above chance: {n} of {m}",
            n=count(len(beaten), "derived:alignment"),
            m=count(len(cells), "derived:alignment"),
        )
        if beaten
        else Markup("")
    )
    chance = (
        say(" (chance {value})", value=percent(best["chance"], "alignment.chance"))
        if best["chance"] is not None
        else Markup("")
    )
    return say(
        "Best aligned is {combination} with {value}{chance}{tail}.",
        combination=combination_text(best["combination"]),
        value=percent(best["value"], "alignment.value"),
        chance=chance,
        tail=tail,
    )


def modality_gap(tables: Tables, config: dict[str, Any]) -> Plate | None:
    """Draw the share of an embedding's nearest neighbours that are of its own modality."""
    rows = _means(tables).filter(pl.col("metric") == GAP)
    if rows.is_empty():
        return None
    rows = rows.unique("combination", keep="first", maintain_order=True)
    view = _bars(rows, modalities(tables, config), ("gap",))
    cells = rows.to_dicts()
    low, high = min(cells, key=lambda row: row["value"]), max(cells, key=lambda row: row["value"])
    reading = say(
        "Between {low} and {high} of an embedding’s nearest neighbours are of its own modality: where this is near"
        " 100\u00a0%, the modalities still lie apart, however well they are aligned.",
        low=percent(low["value"], "alignment.value"),
        high=percent(high["value"], "alignment.value"),
    )
    return Plate("modality-gap", "The modality gap", [Choice((), view.spec, view.data, reading)])


def pairs(tables: Tables, config: dict[str, Any]) -> Plate | None:
    """Draw retrieval from each modality to each other, for one combination at a time."""
    rows = frame(tables, "alignment").filter(
        pl.col("source").is_not_null()
        & pl.col("target").is_not_null()
        & (pl.col("metric") == "retrieval")
        & pl.col("value").is_not_null()
    )
    if rows.is_empty():
        return None
    five = rows.filter(pl.col("k") == 5)
    rows = five if not five.is_empty() else rows.filter(pl.col("k") == rows["k"].min())
    if "test" in rows["split"].to_list():
        rows = rows.filter(pl.col("split") == "test")
    order = rows["combination"].unique(maintain_order=True).to_list()
    views = [
        _heat(rows.filter(pl.col("combination") == combination), combination, modalities(tables, config))
        for combination in sorted(order, key=lambda item: -item.count("+"))
        if combination.count("+") > 1
    ]
    limit = int((config.get("report") or {}).get("combinations", 30))
    note = Markup("Recall in percent when the row’s modality looks for the same stay among the column’s embeddings.")
    return Plate("pairs", "From which modality to which", views[:limit], ("Combination",), note) if views else None


def _heat(rows: pl.DataFrame, combination: str, names: list[str]) -> Choice:
    parts = [name for name in names if name in combination.split("+")]
    cells = {(row["source"], row["target"]): row for row in rows.iter_rows(named=True)}
    grid = [[cells.get((a, b), {}).get("value") for b in parts] for a in parts]
    heat = {
        "type": "heatmap",
        "x": [safe(name) for name in parts],
        "y": [safe(name) for name in parts],
        "z": [[None if value is None else round(value * 100, 2) for value in line] for line in grid],
        "text": [["" if value is None else f"{value * 100:.1f}" for value in line] for line in grid],
        "texttemplate": "%{text}",
        "colorscale": [[0, "#f2f6fa"], [1, "#0b5c94"]],
        "zmin": 0,
        "showscale": False,
        "xgap": 2,
        "ygap": 2,
        "hovertemplate": "from %{y} to %{x}: %{text} %<extra></extra>",
    }
    layout = {
        "height": 120 + 44 * len(parts),
        "yaxis": {"autorange": "reversed", "title": {"text": "from"}, "showgrid": False, "ticks": ""},
        "xaxis": {"title": {"text": "to"}, "showgrid": False, "side": "bottom"},
        "margin": {"l": 100, "r": 16, "t": 8, "b": 60},
    }
    known = [row for row in cells.values() if row["value"] is not None]
    best, worst = max(known, key=lambda row: row["value"]), min(known, key=lambda row: row["value"])
    reading = say(
        "Easiest is {a} → {b} with {value}, hardest {c} → {d} with {least}.",
        a=best["source"],
        b=best["target"],
        value=percent(best["value"], "alignment.value"),
        c=worst["source"],
        d=worst["target"],
        least=percent(worst["value"], "alignment.value"),
    )
    return Choice((combination_text(combination),), {"data": [heat], "layout": layout}, rows, reading)
