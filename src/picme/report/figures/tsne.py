"""Figure of the embeddings of some stays in the plane, epoch by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Choice, Plate
from picme.report.facts import frame, modalities
from picme.report.numbers import count, say
from picme.report.theme import safe, series_style
from picme.report.words import combination_text

if TYPE_CHECKING:
    from picme.report.facts import Tables


def tsne(tables: Tables, config: dict[str, Any]) -> Plate | None:
    """Draw t-SNE frames over the epochs of pretraining; one view for each combination that has them."""
    rows = frame(tables, "tsne").drop_nulls(["x", "y", "epoch"])
    if rows.is_empty():
        return None
    rows = _thin(rows, int((config.get("report") or {}).get("tsne_points", 60_000)))
    names = modalities(tables, config)
    order = sorted(rows["combination"].unique(maintain_order=True).to_list(), key=lambda item: -item.count("+"))
    views = [_view(rows.filter(pl.col("combination") == name), name, names) for name in order]
    note = Markup(
        "Each stay is one dot for each of its modalities. Where the colours mix, a stay’s modalities lie near one"
        " another; where they form islands, each modality keeps to itself. Distances between islands mean little."
    )
    return Plate(
        "tsne", "Embeddings over the epochs of pretraining (t-SNE)", views, ("Combination",), note, step="Epoch"
    )


def _thin(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """Return every n-th stay, so that no more points than `most` remain."""
    every = -(-rows.height // most)
    return rows.filter(pl.col("stay").fill_null(0) % every == 0) if every > 1 else rows


def _view(rows: pl.DataFrame, combination: str, names: list[str]) -> Choice:
    epochs = sorted(rows["epoch"].unique().to_list())
    parts = [name for name in names if name in rows["modality"].to_list()]
    frames: list[dict[str, Any]] = []
    for epoch in epochs:
        at = rows.filter(pl.col("epoch") == epoch).sort("modality", "stay")
        data = [
            {
                "x": at.filter(pl.col("modality") == name)["x"].round(2).to_list(),
                "y": at.filter(pl.col("modality") == name)["y"].round(2).to_list(),
            }
            for name in parts
        ]
        frames.append({"name": _name(epoch), "data": [{"type": "scatter", **item} for item in data]})
    traces = []
    for name, item in zip(parts, frames[-1]["data"], strict=True):
        colour, symbol = series_style(names.index(name))
        traces.append(
            {
                **item,
                "mode": "markers",
                "name": safe(name),
                "marker": {"color": colour, "symbol": symbol, "size": 6, "opacity": 0.75},
                "hovertemplate": f"{safe(name)}<extra></extra>",
            }
        )
    reach_x, reach_y = ([rows[axis].min(), rows[axis].max()] for axis in ("x", "y"))
    layout = {
        "height": 460,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "xaxis": {"visible": False, "range": _wide(reach_x)},
        "yaxis": {"visible": False, "range": _wide(reach_y)},
    }
    stays = rows["stay"].n_unique()
    reading = say(
        "{n} stays of {combination}, from {first} to epoch {last} of pretraining.",
        n=count(stays, "derived:tsne"),
        combination=combination_text(combination),
        first="before training" if epochs[0] < 0 else say("epoch {epoch}", epoch=count(epochs[0], "tsne.epoch")),
        last=count(epochs[-1], "tsne.epoch"),
    )
    shown = rows.with_columns(pl.col("x", "y").round(2))
    figure = {"data": traces, "layout": layout, "frames": frames}
    return Choice((combination_text(combination),), figure, shown, reading, tuple(_name(epoch) for epoch in epochs))


def _name(epoch: int) -> str:
    """Return the text beside the slider."""
    return "Before training" if epoch < 0 else f"Epoch {epoch}"


def _wide(reach: list[Any]) -> list[float]:
    low, high = float(reach[0]), float(reach[1])
    pad = 0.04 * (high - low or 1.0)
    return [round(low - pad, 2), round(high + pad, 2)]
