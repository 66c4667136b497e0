"""Figures of the modalities' weights: λ over pretraining, beside two measures of what a model uses and gains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Choice, Plate
from picme.report.facts import by_rank, frame, modalities
from picme.report.figures.dots import epoch_axis, labelled_rows
from picme.report.numbers import percent, say, signed
from picme.report.paper import attribution_of_paper
from picme.report.theme import BLUE, GREEN, MUTED, ORANGE, PURPLE, safe, series_style
from picme.report.words import combination_text, strategy_text, task_title

if TYPE_CHECKING:
    from picme.report.facts import Row, Tables

METHODS = {
    "lambda": ("λ of pretraining", BLUE),
    "integrated_gradients": ("integrated gradients", ORANGE),
    "integrated_gradients_mean": ("integrated gradients from the mean", PURPLE),
    "shapley": ("Shapley values", GREEN),
}
# What a view shows: values in AUROC, or shares that add up to all of it.
_ADDED, _SHARES = "AUROC added (Shapley values)", "shares (integrated gradients, λ)"
_SYMBOLS = ("circle", "square", "triangle-up", "diamond", "x", "cross")


def method_text(method: str) -> str:
    """Return a method's name in the report; one that is not known keeps its own."""
    return METHODS[method][0] if method in METHODS else method


def trajectory(tables: Tables, config: dict[str, Any]) -> Plate | None:
    """Draw λ of each modality over the epochs of pretraining; one view for each combination."""
    rows = frame(tables, "lambdas").filter(pl.col("weight").is_not_null())
    names = modalities(tables, config)
    order = sorted(rows["combination"].unique(maintain_order=True).to_list(), key=lambda item: -item.count("+"))
    views = [_trajectory(rows.filter(pl.col("combination") == name), name, names) for name in order]
    limit = int((config.get("report") or {}).get("combinations", 30))
    if not views:
        return None
    note = Markup(
        "λ weights the terms of the pretraining objective and adds up to 100\u00a0%. It follows how easily a modality"
        " is aligned with the others; it says nothing about what matters to a patient or what predicts an outcome. The"
        " upright line marks the checkpoint in use."
    )
    return Plate("lambda", "λ over the epochs of pretraining", views[:limit], ("Combination",), note)


def _trajectory(rows: pl.DataFrame, combination: str, names: list[str]) -> Choice:
    traces, ends = [], []
    for name in [item for item in names if item in rows["modality"].to_list()]:
        own = rows.filter(pl.col("modality") == name).sort("epoch")
        colour, symbol = series_style(names.index(name))
        last = own.filter(pl.col("selected").fill_null(False)).to_dicts() or own.tail(1).to_dicts()
        ends.append(last[-1])
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": safe(name),
                "x": own["epoch"].to_list(),
                "y": [round(value * 100, 2) for value in own["weight"].to_list()],
                "line": {"color": colour, "width": 2},
                "marker": {"color": colour, "symbol": symbol, "size": 6},
                "hovertemplate": f"{safe(name)}, epoch %{{x}}: %{{y:.1f}} %<extra></extra>",
            }
        )
    layout: dict[str, Any] = {
        "height": 320,
        "xaxis": epoch_axis(rows),
        "yaxis": {"title": {"text": "λ, %"}, "rangemode": "tozero"},
        "shapes": [
            {
                "type": "line",
                "x0": ends[0]["epoch"],
                "x1": ends[0]["epoch"],
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "line": {"color": MUTED, "width": 1, "dash": "dot"},
            }
        ]
        if ends
        else [],
    }
    return Choice((combination_text(combination),), {"data": traces, "layout": layout}, rows, _trajectory_reading(ends))


def _trajectory_reading(ends: list[Row]) -> Markup:
    top, low = max(ends, key=lambda row: row["weight"]), min(ends, key=lambda row: row["weight"])
    if top["weight"] - low["weight"] < 0.0005:
        return say(
            "At the checkpoint in use every modality has the same weight, {value}.",
            value=percent(top["weight"], "lambdas.weight"),
        )
    warning = (
        Markup(" One weight holds nearly all: the objective has collapsed on it.")
        if top["weight"] > 0.8
        else Markup("")
    )
    return say(
        "At the checkpoint in use {top} has {high} and {bottom} {low}.{warning}",
        top=top["modality"],
        high=percent(top["weight"], "lambdas.weight"),
        bottom=low["modality"],
        low=percent(low["weight"], "lambdas.weight"),
        warning=warning,
    )


def with_weights(tables: Tables) -> pl.DataFrame:
    """Return `attributions` with λ of the checkpoint in use for each combination and task without a row of it."""
    rows = frame(tables, "attributions").filter(pl.col("value").is_not_null())
    general = rows.filter(pl.col("task").is_null()).drop("task")
    rows = rows.filter(pl.col("task").is_not_null())
    places = rows.select("task", "combination").unique(maintain_order=True)
    spread = places.join(general, on="combination", maintain_order="left").select(rows.columns)
    known = pl.concat([rows, spread]).filter(pl.col("method") == "lambda")
    chosen = frame(tables, "lambdas").filter(pl.col("selected").fill_null(False) & pl.col("weight").is_not_null())
    missing = places.join(known, on=["task", "combination"], how="anti", maintain_order="left")
    weights = missing.join(chosen, on="combination", maintain_order="left_right").select(
        "task",
        "combination",
        pl.lit(None, pl.String).alias("strategy"),
        "modality",
        pl.lit("lambda").alias("method"),
        pl.col("weight").alias("value"),
        pl.lit(None, pl.Float64).alias("std"),
    )
    return pl.concat([weights, spread, rows])


def attributions(tables: Tables, config: dict[str, Any]) -> Plate | None:
    """Draw Shapley values in AUROC, and λ and integrated gradients as shares; a view for each task and combination."""
    rows = with_weights(tables)
    names = modalities(tables, config)
    paper = (config.get("report") or {}).get("paper", True)
    parts = by_rank(tables, config, rows)
    views = [
        _attributions(own, measure, task, combination, names, paper)
        for measure in (_ADDED, _SHARES)
        for task, combination, cell in parts
        if not (own := cell.filter((pl.col("method") == "shapley") == (measure == _ADDED))).is_empty()
    ]
    if not views:
        return None
    note = Markup(
        "Different questions. Shapley: how much test AUROC a modality adds, averaged over all orders of adding them;"
        " the values add up to the AUROC above guessing. Integrated gradients: how much of the model’s output moves"
        " with a modality’s embedding. λ: how the pretraining objective weighted a modality. Shares add up to"
        " 100\u00a0%. Hollow diamonds, where there are any, are the published figures, from another cohort."
    )
    return Plate(
        "attribution", "What each modality does in the models", views, ("Measure", "Task", "Combination"), note
    )


def _attributions(
    rows: pl.DataFrame, measure: str, task: str, combination: str, names: list[str], paper: bool
) -> Choice:
    parts = [name for name in names if name in combination.split("+")]
    place = {name: index for index, name in enumerate(parts)}
    series = _series_of(rows)
    of_method: dict[str, int] = {}
    traces = []
    for index, (method, strategy) in enumerate(series):
        label, colour = METHODS.get(method, (method, MUTED))
        shift = ((index + 0.5) / len(series) - 0.5) * 0.5 + 0.14
        symbol = _SYMBOLS[of_method.get(method, 0) % len(_SYMBOLS)]
        of_method[method] = of_method.get(method, 0) + 1
        own = [row for row in rows.iter_rows(named=True) if (row["method"], row["strategy"]) == (method, strategy)]
        own = [row for row in own if row["modality"] in place]
        name = safe(label if method == "lambda" or not strategy else f"{label}, {strategy_text(strategy)}")
        traces.append(_series(own, name, colour, symbol, place, shift))
    if paper and measure == _SHARES:
        traces += _paper(combination, task, place)
    title = "AUROC added, points" if measure == _ADDED else "share, %"
    layout = labelled_rows([(name, "") for name in parts], 30 + 9 * len(series), title)
    layout["xaxis"] |= {"zeroline": True} if measure == _ADDED else {"rangemode": "tozero"}
    return Choice(
        (measure, task_title(task), combination_text(combination)),
        {"data": traces, "layout": layout},
        rows,
        _reading(rows),
    )


def _series_of(rows: pl.DataFrame) -> list[tuple[str, str | None]]:
    """Return pairs of method and strategy in the order of `METHODS`; λ once, since every strategy has the same."""
    order = [*METHODS, *dict.fromkeys(name for name in rows["method"] if name not in METHODS)]
    pairs = rows.select("method", "strategy").unique(maintain_order=True).rows()
    found = [pair for name in order for pair in pairs if pair[0] == name]
    weights = [pair for pair in found if pair[0] == "lambda"]
    return [*weights[:1], *(pair for pair in found if pair[0] != "lambda")]


def _series(
    rows: list[Row], name: str, colour: str, symbol: str, place: dict[str, int], shift: float
) -> dict[str, Any]:
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [round(row["value"] * 100, 2) for row in rows],
        "y": [round(place[row["modality"]] + shift, 3) for row in rows],
        "marker": {"color": colour, "symbol": symbol, "size": 9},
        "text": [f"{safe(row['modality'])}<br>{name}: {row['value'] * 100:.1f}" for row in rows],
        "hovertemplate": "%{text}<extra></extra>",
    }
    if any(row["std"] is not None for row in rows):
        spread = [None if row["std"] is None else round(row["std"] * 100, 3) for row in rows]
        trace["error_x"] = {"type": "data", "array": spread, "color": colour, "thickness": 1.4, "width": 0}
    return trace


def _paper(combination: str, task: str, place: dict[str, int]) -> list[dict[str, Any]]:
    traces = []
    for method, (label, colour) in METHODS.items():
        values = attribution_of_paper(combination, task, method)
        if values:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": f"paper: {label}",
                    "x": [round(value * 100, 2) for value in values.values()],
                    "y": [place[name] + 0.14 for name in values],
                    "marker": {"color": colour, "symbol": "diamond-open", "size": 10, "line": {"width": 1.4}},
                    "hovertemplate": "paper: %{x:.1f} %<extra></extra>",
                }
            )
    return traces


def _reading(rows: pl.DataFrame) -> Markup:
    """Say which modality each method puts first, by the first strategy that it was applied to."""
    parts = []
    for method, (label, _) in METHODS.items():
        own = rows.filter(pl.col("method") == method).to_dicts()
        own = [row for row in own if row["strategy"] == own[0]["strategy"]]
        if not own:
            continue
        top = max(own, key=lambda row: row["value"])
        even = top["value"] - min(row["value"] for row in own) < 0.0005
        strategy = f" ({strategy_text(top['strategy'])})" if top["strategy"] and method != "lambda" else ""
        show = signed if method == "shapley" else percent
        parts.append(
            say(
                "{label}{strategy} it is {modality} ({value}{unit})",
                label=label,
                strategy=strategy,
                modality="none, all are equal" if even else top["modality"],
                value=show(top["value"], "attributions.value|lambdas.weight"),
                unit=" points" if method == "shapley" else "",
            )
        )
    return say("Which modality comes first: by {parts}.", parts=Markup("; by ").join(parts)) if parts else Markup("")
