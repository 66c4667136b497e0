"""Figures of tasks with many labels: each label, and labels by type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Choice, Plate
from picme.report.facts import by_rank, declared_task, frame, ranked, tasks
from picme.report.figures.dots import dodge, dots, guess_line, labelled_rows, points, strategies_of
from picme.report.numbers import percent, say
from picme.report.paper import types_of_paper
from picme.report.theme import safe, strategy_style
from picme.report.words import combination_text, strategy_text, task_title

if TYPE_CHECKING:
    from picme.report.facts import Row, Tables

_POOLED = ("macro", "micro")


def _order(tables: Tables, config: dict[str, Any], here: list[str]) -> list[str]:
    """Order combinations by the task whose labels have types, the best first."""
    task = next((name for name in tasks(tables, config) if declared_task(name, config).types), "")
    known = ranked(tables, task)[0]["combination"].unique(maintain_order=True).to_list()
    return [name for name in known if name in here] + [name for name in here if name not in known]


def labels(tables: Tables, config: dict[str, Any]) -> Plate | None:
    """Draw every label of each task that has several, seeds as dots; one view for each task and combination."""
    scores = frame(tables, "scores").filter((pl.col("split") == "test") & ~pl.col("label").is_in(_POOLED))
    scores = scores.filter(pl.col("label").n_unique().over("task") > 1)
    views = [
        _labels(cell, (task_title(task), combination_text(combination)))
        for task, combination, cell in by_rank(tables, config, scores)
    ]
    if not views:
        return None
    note = Markup(
        "Labels from the easiest to the hardest. One dot is one seed; counts are stays of the test split with the"
        " label."
    )
    return Plate("labels", "Each label", views, ("Task", "Combination"), note)


def _labels(rows: pl.DataFrame, choice: tuple[str, ...]) -> Choice:
    mean = (
        rows.group_by("label", maintain_order=True)
        .agg(pl.col("auroc").mean(), pl.col("positives").max())
        .sort("auroc", descending=True, nulls_last=True)
        .to_dicts()
    )
    place = {row["label"]: index for index, row in enumerate(mean)}
    cells = rows.filter(pl.col("auroc").is_not_null()).to_dicts()
    known = strategies_of(rows.to_dicts())
    shift = dodge(known, 0.5)
    traces = []
    for name in known:
        trace = dots(
            [row for row in cells if row["strategy"] == name],
            name,
            known,
            lambda row: row["auroc"] * 100,
            lambda row, s=shift[name]: place[row["label"]] + 0.16 + s,  # type: ignore[misc]
            lambda row: (
                f"{safe(row['label'])}<br>{safe(strategy_text(row['strategy']))}, seed {row['seed']}:"
                f" {points(row['auroc'])}"
            ),
        )
        trace["marker"] |= {"size": 6, "opacity": 0.8}
        traces.append(trace)
    names = [(row["label"], _positives(row)) for row in mean]
    layout = labelled_rows(names, 28 + 4 * len(known), "AUROC, %")
    layout["shapes"] = [*layout["shapes"], guess_line()]
    if not cells:
        reading = Markup("No label has a defined AUROC: none has both outcomes among the test stays.")
    else:
        low, high = min(cells, key=lambda row: row["auroc"]), max(cells, key=lambda row: row["auroc"])
        reading = say(
            "Best is {best} with up to {high} ({one}), worst {worst} with down to {low} ({two}).",
            best=high["label"],
            high=percent(high["auroc"], "scores.auroc"),
            one=strategy_text(high["strategy"]),
            worst=low["label"],
            low=percent(low["auroc"], "scores.auroc"),
            two=strategy_text(low["strategy"]),
        )
    data = rows.select("task", "combination", "strategy", "seed", "label", "auroc", "auprc", "n", "positives")
    return Choice(choice, {"data": traces, "layout": layout}, data, reading)


def _positives(row: Row) -> str:
    if row["positives"] is None:
        return ""
    return f"{row['positives']} positive" + (", AUROC undefined" if row["auroc"] is None else "")


def types(tables: Tables, config: dict[str, Any]) -> Plate | None:
    """Draw acute, chronic and mixed phenotypes; one view for each combination."""
    rows = frame(tables, "phenotype_types").filter(pl.col("auroc_mean").is_not_null())
    limit = int((config.get("report") or {}).get("combinations", 30))
    here = rows["combination"].unique(maintain_order=True).to_list()
    order = _order(tables, config, here)[:limit]
    paper = bool((config.get("report") or {}).get("paper", True))
    views = [_types(rows.filter(pl.col("combination") == name), name, paper) for name in order]
    if not views:
        return None
    note = Markup(
        "Mean AUROC of the phenotypes of a type, mean over seeds; lines span one standard deviation to either side."
        " Hollow stars, where there are any, are the published figures, from another cohort."
    )
    return Plate("phenotype-types", "Types of phenotypes", views, ("Combination",), note)


def _types(rows: pl.DataFrame, combination: str, paper: bool) -> Choice:
    cells = rows.to_dicts()
    known = strategies_of(cells)
    place = {name: index for index, name in enumerate(dict.fromkeys(row["type"] for row in cells))}
    shift = dodge(known, 0.5)
    traces = []
    for name in known:
        traces.append(
            dots(
                [row for row in cells if row["strategy"] == name],
                name,
                known,
                lambda row: row["auroc_mean"] * 100,
                lambda row, s=shift[name]: place[row["type"]] + 0.16 + s,  # type: ignore[misc]
                lambda row: f"{safe(row['type'])}, {safe(strategy_text(row['strategy']))}: {points(row['auroc_mean'])}",
                lambda row: (
                    None
                    if row["auroc_std"] is None
                    else ((row["auroc_mean"] - row["auroc_std"]) * 100, (row["auroc_mean"] + row["auroc_std"]) * 100)
                ),
            )
        )
        published = types_of_paper(combination, name) if paper else {}
        shown = [kind for kind in published if kind in place]
        if shown:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": safe(f"paper: {strategy_text(name)}"),
                    "x": [published[kind].mean for kind in shown],
                    "y": [round(place[kind] + 0.16 + shift[name], 3) for kind in shown],
                    "marker": {
                        "color": strategy_style(name, known)[0],
                        "symbol": "star-open",
                        "size": 10,
                        "line": {"width": 1.3},
                    },
                    "hovertemplate": "paper: %{x:.1f} %<extra></extra>",
                }
            )
    layout = labelled_rows([(kind, "") for kind in place], 28 + 9 * len(known), "AUROC, %")
    top = max(cells, key=lambda row: row["auroc_mean"])
    low = min((row for row in cells if row["strategy"] == top["strategy"]), key=lambda row: row["auroc_mean"])
    reading = say(
        "With {strategy}, {kind} phenotypes are recognised best ({high}) and {other} ones worst ({low}).",
        strategy=strategy_text(top["strategy"]),
        kind=top["type"],
        high=percent(top["auroc_mean"], "phenotype_types.auroc_mean"),
        other=low["type"],
        low=percent(low["auroc_mean"], "phenotype_types.auroc_mean"),
    )
    return Choice((combination_text(combination),), {"data": traces, "layout": layout}, rows, reading)
