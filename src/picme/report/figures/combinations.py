"""Figures of all combinations side by side: alignment against prediction, and every seed as a dot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Choice, Plate
from picme.report.facts import frame, headline_label, modalities, tasks
from picme.report.figures.alignment import _means
from picme.report.figures.dots import dodge, dots, points, strategies_of
from picme.report.figures.matrix import Matrix
from picme.report.numbers import many, number, percent, say
from picme.report.theme import FAINT, safe
from picme.report.words import combination_text, strategy_text, task_title

if TYPE_CHECKING:
    from picme.report.facts import Row, Tables


def overview(tables: Tables, config: dict[str, Any]) -> Plate | None:
    """Draw every combination, best first, with its alignment and each strategy's AUROC; one view for each task."""
    summary = frame(tables, "summary").filter(pl.col("auroc_mean").is_not_null())
    means = _means(tables).filter((pl.col("metric") == "retrieval") & (pl.col("k") == 5))
    names = modalities(tables, config)
    views = [
        _overview(summary.filter(pl.col("task") == task), means, names, (task_title(task),))
        for task in tasks(tables, config)
        if not summary.filter(pl.col("task") == task).is_empty()
    ]
    if not views:
        return None
    note = Markup(
        "Best combination on top. Bars: recall@5 of the alignment. Symbols: AUROC of each strategy, mean over seeds;"
        " the line through a symbol spans one standard deviation to either side. Combinations without a symbol were"
        " pretrained and aligned but not fine-tuned."
    )
    return Plate("combinations", "Alignment beside prediction", views, ("Task",), note)


def _overview(rows: pl.DataFrame, means: pl.DataFrame, names: list[str], choice: tuple[str, ...]) -> Choice:
    best = (
        rows.group_by("combination", maintain_order=True)
        .agg(pl.col("auroc_mean").max())
        .sort("auroc_mean", descending=True)
    )
    order = best["combination"].to_list()
    aligned = {row["combination"]: row for row in means.iter_rows(named=True)}
    order += [name for name in sorted(aligned, key=lambda key: -aligned[key]["value"]) if name not in order]
    cells = rows.to_dicts()
    known = strategies_of(cells)
    matrix = Matrix(order, names, grouped=False, height=max(22, 3 * len(known) + 8))
    y, shift = matrix.positions(), dodge(known, 0.7)
    traces = matrix.traces()
    bars = [aligned[name] for name in order if name in aligned]
    if bars:
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": "alignment",
                "showlegend": False,
                "x": [round(row["value"] * 100, 2) for row in bars],
                "y": [y[row["combination"]] for row in bars],
                "xaxis": "x2",
                "width": 0.55,
                "marker": {"color": FAINT},
                "hovertext": [
                    f"{safe(combination_text(row['combination']))}<br>recall@5 {points(row['value'])}" for row in bars
                ],
                "hovertemplate": "%{hovertext}<extra></extra>",
            }
        )
    for name in known:
        own = [row for row in cells if row["strategy"] == name]
        traces.append(
            dots(
                own,
                name,
                known,
                lambda row: row["auroc_mean"] * 100,
                lambda row, s=shift[name]: y[row["combination"]] + s,  # type: ignore[misc]
                lambda row: (
                    f"{safe(combination_text(row['combination']))}<br>{safe(strategy_text(row['strategy']))}: "
                    f"{points(row['auroc_mean'])} ± {points(row['auroc_std'])}"
                ),
                _spread,
                xaxis="x3" if bars else "x2",
            )
        )
    panels = [{"title": {"text": "recall@5, %"}, "share": 0.6, "rangemode": "tozero"}] if bars else []
    panels.append({"title": {"text": "AUROC, %"}, "share": 1, "zeroline": False})
    figure = {"data": traces, "layout": matrix.layout(panels)}
    top = max(cells, key=lambda row: row["auroc_mean"])
    reading = say(
        "Of {n}, the highest mean AUROC on test stays is {auroc} ({combination}, {strategy}). The choice above was"
        " made on validation stays, so it need not be this one.",
        n=many(len(order), "derived:alignment", "combination", "combinations"),
        auroc=percent(top["auroc_mean"], "summary.auroc_mean"),
        combination=combination_text(top["combination"]),
        strategy=strategy_text(top["strategy"]),
    )
    columns = ["task", "combination", "strategy", "n_seeds", "auroc_mean", "auroc_std"]
    data = rows.select(columns).join(
        means.select("combination", alignment_recall5=pl.col("value")),
        on="combination",
        how="full",
        coalesce=True,
        maintain_order="left_right",
    )
    return Choice(choice, figure, data, reading)


def _spread(row: Row) -> tuple[float, float] | None:
    if row["auroc_std"] is None:
        return None
    return (row["auroc_mean"] - row["auroc_std"]) * 100, (row["auroc_mean"] + row["auroc_std"]) * 100


def seeds(tables: Tables, config: dict[str, Any]) -> Plate | None:
    """Draw every seed of every cell as a dot; one view for each task."""
    scores = frame(tables, "scores")
    scores = scores.filter((pl.col("split") == "test") & pl.col("auroc").is_not_null())
    names, views = modalities(tables, config), []
    for task in tasks(tables, config):
        rows = scores.filter(
            (pl.col("task") == task) & pl.col("label").eq_missing(pl.lit(headline_label(scores, task)))
        )
        if not rows.is_empty():
            views.append(_seeds(rows, names, (task_title(task),)))
    if not views:
        return None
    note = Markup(
        "One dot is one fine-tuning. Where the dots of two strategies mix, one more seed could turn their order round."
    )
    return Plate("seeds", "Scores of single fine-tunings", views, ("Task",), note)


def _seeds(rows: pl.DataFrame, names: list[str], choice: tuple[str, ...]) -> Choice:
    cells = rows.to_dicts()
    place = {name: index for index, name in enumerate(names)}
    order = sorted(
        {row["combination"] for row in cells},
        key=lambda item: (item.count("+"), [place.get(part, len(place)) for part in item.split("+")]),
    )
    known = strategies_of(cells)
    matrix = Matrix(order, names, height=max(20, 5 * len(known) + 6))
    y, shift = matrix.positions(), dodge(known, 0.78)
    traces = matrix.traces()
    for name in known:
        own = [row for row in cells if row["strategy"] == name]
        trace = dots(
            own,
            name,
            known,
            lambda row: row["auroc"] * 100,
            lambda row, s=shift[name]: y[row["combination"]] + s,  # type: ignore[misc]
            lambda row: (
                f"{safe(combination_text(row['combination']))}<br>{safe(strategy_text(row['strategy']))}, "
                f"seed {row['seed']}: {points(row['auroc'])}"
            ),
            xaxis="x2",
        )
        trace["marker"] |= {"size": 6, "opacity": 0.85}
        traces.append(trace)
    layout = matrix.layout([{"title": {"text": "AUROC of one seed, %"}, "zeroline": False}])
    spread = (
        rows.group_by("combination", "strategy", maintain_order=True)
        .agg(low=pl.col("auroc").min(), high=pl.col("auroc").max())
        .with_columns(width=pl.col("high") - pl.col("low"))
        .sort("width", descending=True)
    )
    widest = spread.to_dicts()[0]
    reading = say(
        "Seeds differ most for {combination} with {strategy}: from {low} to {high}, {width} points apart.",
        combination=combination_text(widest["combination"]),
        strategy=strategy_text(widest["strategy"]),
        low=percent(widest["low"], "scores.auroc"),
        high=percent(widest["high"], "scores.auroc"),
        width=number(widest["width"], "derived:scores", 1, scale=100),
    )
    return Choice(choice, {"data": traces, "layout": layout}, rows, reading)
