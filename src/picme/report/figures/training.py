"""Figures of training: learning curves of pretraining and fine-tuning, and label efficiency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Choice, Plate
from picme.report.facts import by_rank, frame, shown_first
from picme.report.figures.dots import epoch_axis, strategies_of, visible
from picme.report.figures.matrix import size_words
from picme.report.numbers import count, many, percent, say
from picme.report.theme import safe, series_style, strategy_style
from picme.report.words import combination_text, strategy_text, task_title

if TYPE_CHECKING:
    from picme.report.facts import Tables

_MEASURES = {
    "val_recall5": ("Validation recall@5", "recall@5, %", 100.0),
    "val_loss": ("Validation loss", "loss", 1.0),
    "train_loss": ("Training loss", "loss", 1.0),
    "val_reconstruction": ("Validation loss of reconstruction", "loss", 1.0),
    "train_reconstruction": ("Training loss of reconstruction", "loss", 1.0),
    "temperature": ("Temperature", "τ", 1.0),
}


def pretraining(tables: Tables, config: dict[str, Any]) -> Plate | None:
    """Draw each combination as a line with the checkpoint in use marked; one view for each measure."""
    rows = frame(tables, "pretraining")
    views = []
    for measure, (title, axis, scale) in _MEASURES.items():
        own = rows.filter(pl.col(measure).is_not_null() & pl.col("epoch").is_not_null())
        if not own.is_empty():
            views.append(_pretraining(own, measure, title, axis, scale))
    if not views:
        return None
    note = Markup("Each line is a combination; the symbol on it is the epoch whose checkpoint is used.")
    return Plate("pretraining", "Pretraining", views, ("Measure",), note)


def _pretraining(rows: pl.DataFrame, measure: str, title: str, axis: str, scale: float) -> Choice:
    traces: list[dict[str, Any]] = []
    seen: set[int] = set()
    for combination in sorted(
        rows["combination"].unique(maintain_order=True).to_list(), key=lambda item: item.count("+")
    ):
        own = rows.filter(pl.col("combination") == combination).sort("epoch")
        size = combination.count("+") + 1
        colour, symbol = series_style(size - 2)
        marks = [8 if chosen else 0.1 for chosen in own["selected"].fill_null(False)]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": size_words(size),
                "legendgroup": str(size),
                "showlegend": size not in seen,
                "x": own["epoch"].to_list(),
                "y": [round(value * scale, 4) for value in own[measure].to_list()],
                "line": {"color": colour, "width": 1.2},
                "marker": {"color": colour, "symbol": symbol, "size": marks, "line": {"width": 0}},
                "opacity": 0.8,
                "hovertemplate": f"{safe(combination_text(combination))}<br>epoch %{{x}}: %{{y:.3g}}<extra></extra>",
            }
        )
        seen.add(size)
    layout = {
        "height": 340,
        "xaxis": epoch_axis(rows),
        "yaxis": {"title": {"text": axis}, "zeroline": False},
    }
    chosen = rows.filter(pl.col("selected").fill_null(False))
    if chosen.is_empty():
        reading = say("Pretrained: {n}.", n=_combinations(rows))
    else:
        reading = say(
            "Pretrained: {n}; the earliest checkpoint in use is of epoch {low}, the latest of epoch {high}.",
            n=_combinations(rows),
            low=count(chosen["epoch"].min(), "pretraining.epoch"),
            high=count(chosen["epoch"].max(), "pretraining.epoch"),
        )
    data = rows.select("combination", "epoch", measure, "selected")
    return Choice((title,), {"data": traces, "layout": layout}, data, reading)


def _combinations(rows: pl.DataFrame) -> Markup:
    return many(rows["combination"].n_unique(), "derived:pretraining", "combination", "combinations")


def finetuning(tables: Tables, config: dict[str, Any]) -> Plate | None:
    """Draw validation AUROC by epoch, one line for each seed; one view for each task and combination."""
    rows = frame(tables, "finetuning").filter(pl.col("val_auroc").is_not_null() & pl.col("epoch").is_not_null())
    views = [
        _finetuning(cell, task, combination, shown_first(tables, config, task))
        for task, combination, cell in by_rank(tables, config, rows)[:24]
    ]
    note = Markup(
        "Each line is a seed; the symbol on it is the epoch whose checkpoint is used. The chosen strategy and its"
        " control are shown first; press another’s name to see it."
    )
    return Plate("finetuning", "Fine-tuning", views, ("Task", "Combination"), note) if views else None


def _finetuning(rows: pl.DataFrame, task: str, combination: str, first: list[str]) -> Choice:
    known = strategies_of(rows.to_dicts())
    traces: list[dict[str, Any]] = []
    for name in known:
        colour, symbol = strategy_style(name, known)
        for index, seed in enumerate(sorted(rows.filter(pl.col("strategy") == name)["seed"].unique().to_list())):
            own = rows.filter((pl.col("strategy") == name) & (pl.col("seed") == seed)).sort("epoch")
            best = own["best_epoch"].to_list()
            marks = [8 if epoch == best[0] else 0.1 for epoch in own["epoch"].to_list()]
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": safe(strategy_text(name)),
                    "legendgroup": safe(name),
                    "showlegend": index == 0,
                    "visible": visible(name, known, first),
                    "x": own["epoch"].to_list(),
                    "y": [round(value * 100, 2) for value in own["val_auroc"].to_list()],
                    "line": {"color": colour, "width": 1.2, "dash": "dot" if symbol.endswith("open") else "solid"},
                    "marker": {"color": colour, "symbol": symbol, "size": marks},
                    "hovertemplate": (
                        f"{safe(strategy_text(name))}, seed {seed}<br>epoch %{{x}}: %{{y:.1f}} %<extra></extra>"
                    ),
                }
            )
    layout = {
        "height": 340,
        "xaxis": epoch_axis(rows),
        "yaxis": {"title": {"text": "validation AUROC, %"}, "zeroline": False},
    }
    top = rows.sort("val_auroc").to_dicts()[-1]
    reading = say(
        "The highest validation AUROC of one seed is {value}, reached by {strategy} in epoch {epoch}.",
        value=percent(top["val_auroc"], "finetuning.val_auroc"),
        strategy=strategy_text(top["strategy"]),
        epoch=count(top["epoch"], "finetuning.epoch"),
    )
    data = rows.select("task", "combination", "strategy", "seed", "epoch", "train_loss", "val_auroc", "best_epoch")
    return Choice((task_title(task), combination_text(combination)), {"data": traces, "layout": layout}, data, reading)


def label_efficiency(tables: Tables, config: dict[str, Any]) -> Plate | None:
    """Draw AUROC by the share of labelled training stays, a line per seed; one view for each task and combination."""
    rows = frame(tables, "label_efficiency").filter(pl.col("auroc").is_not_null() & pl.col("share").is_not_null())
    views = []
    for task, combination in rows.select("task", "combination").unique(maintain_order=True).rows():
        own = rows.filter((pl.col("task") == task) & (pl.col("combination") == combination))
        views.append(_efficiency(own, task, combination))
    return (
        Plate("label-efficiency", "Scores by the share of labels used", views, ("Task", "Combination"))
        if views
        else None
    )


def _efficiency(rows: pl.DataFrame, task: str, combination: str) -> Choice:
    known = strategies_of(rows.to_dicts())
    traces: list[dict[str, Any]] = []
    for name in known:
        colour, symbol = strategy_style(name, known)
        for index, seed in enumerate(sorted(rows.filter(pl.col("strategy") == name)["seed"].unique().to_list())):
            own = rows.filter((pl.col("strategy") == name) & (pl.col("seed") == seed)).sort("share")
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": safe(strategy_text(name)),
                    "legendgroup": safe(name),
                    "showlegend": index == 0,
                    "x": [round(value * 100, 3) for value in own["share"].to_list()],
                    "y": [round(value * 100, 2) for value in own["auroc"].to_list()],
                    "line": {"color": colour, "width": 1, "dash": "dot" if symbol.endswith("open") else "solid"},
                    "marker": {"color": colour, "symbol": symbol, "size": 7},
                    "hovertemplate": (
                        f"{safe(strategy_text(name))}, seed {seed}<br>%{{x}} % of labels: %{{y:.1f}} %<extra></extra>"
                    ),
                }
            )
    shares = sorted({round(value * 100, 3) for value in rows["share"].to_list()})
    layout = {
        "height": 340,
        "xaxis": {
            "title": {"text": "labelled training stays, %"},
            "type": "log",
            "tickvals": shares,
            "ticktext": [f"{value:g}" for value in shares],
        },
        "yaxis": {"title": {"text": "AUROC, %"}, "zeroline": False},
    }
    # The smallest share is mostly noise; the next one says more.
    told = sorted(set(rows["share"].to_list()))[:2][-1]
    means = rows.filter(pl.col("share") == told).group_by("strategy").agg(pl.col("auroc").mean()).sort("auroc")
    first, last = means.row(-1, named=True), means.row(0, named=True)
    reading = say(
        "Each line is a seed. With {share} of the labels, {strategy} scores highest in the mean over seeds ({auroc})"
        " and {other} lowest ({least}).",
        share=percent(told, "label_efficiency.share"),
        strategy=strategy_text(first["strategy"]),
        auroc=percent(first["auroc"], "derived:label_efficiency"),
        other=strategy_text(last["strategy"]),
        least=percent(last["auroc"], "derived:label_efficiency"),
    )
    return Choice((task_title(task), combination_text(combination)), {"data": traces, "layout": layout}, rows, reading)
