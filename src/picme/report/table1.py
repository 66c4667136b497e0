"""Table 1 as a matrix: a row for each combination, a column for each strategy, the tasks side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import EMPTY, Column, DataTable
from picme.report.facts import frame, modalities, tasks
from picme.report.numbers import MISSING, count, missing, percent, say, signed
from picme.report.paper import score_of_paper
from picme.report.words import combination_text, strategy_text, task_title

if TYPE_CHECKING:
    from picme.report.facts import Row, Tables

_BEST = Markup('<span class="web" title="highest mean of the task">▲</span>')
_CHOSEN = Markup('<span class="star" title="chosen on validation">★</span>')


def matrix(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """Show each cell's mean AUROC and its spread, the best of each task marked, and how far the paper's figure is."""
    summary = frame(tables, "summary").filter(pl.col("combination").is_not_null() & pl.col("task").is_not_null())
    if summary.is_empty():
        return None
    names = modalities(tables, config)
    place = {name: index for index, name in enumerate(names)}
    combinations = sorted(
        summary["combination"].unique(maintain_order=True),
        key=lambda text: (text.count("+"), [place.get(part, len(place)) for part in text.split("+")]),
    )
    beside = bool((config.get("report") or {}).get("paper", True))
    columns = [
        Column("Combination", lambda row: combination_text(row["combination"]), hidden=True),
        Column("Size", _size, numeric=True, choose=True, hidden=True),
        *[_dots(name) for name in names],
    ]
    compared = False
    for task in tasks(tables, config):
        own = summary.filter(pl.col("task") == task)
        best = own["auroc_mean"].max()
        for strategy in own["strategy"].drop_nulls().unique(maintain_order=True):
            cells = {row["combination"]: row for row in own.filter(pl.col("strategy") == strategy).to_dicts()}
            compared |= beside and any(score_of_paper(name, strategy, task, "auroc") for name in cells)
            columns.append(_scores(task, strategy, cells, best, beside))
    return DataTable(
        "table-1",
        "Table 1. AUROC by combination, strategy and task",
        columns,
        pl.DataFrame({"combination": combinations}),
        _reading(summary, len(combinations), compared, config),
        tall=True,
        search=True,
        source=summary,
        by=("combination",),
    )


def _size(row: Row) -> Markup:
    return count(row["combination"].count("+") + 1, "derived:summary")


def _dots(name: str) -> Column:
    def cell(row: Row) -> str:
        return "●" if name in row["combination"].split("+") else "·"

    return Column(name, cell, dot=True)


def _scores(task: str, strategy: str, cells: dict[str, Row], best: Any, beside: bool) -> Column:
    """Return the column of a strategy for one task.

    Args:
        task: the task's name.
        strategy: the strategy's name.
        cells: its rows of `summary` by combination.
        best: the highest mean AUROC of the task.
        beside: whether the paper's figures are shown.
    """

    def cell(row: Row) -> Markup:
        found = cells.get(row["combination"])
        if found is None:
            return EMPTY
        mean, std = found["auroc_mean"], found["auroc_std"]
        if missing(mean):
            return MISSING
        value = percent(mean, "summary.auroc_mean", sign=False)
        shown = say("{best}<b>{value}</b>", best=_BEST, value=value) if mean == best else value
        shown = say("{star}{shown}", shown=shown, star=_CHOSEN if found["selected"] else "")
        if not missing(std):
            spread = percent(std, "summary.auroc_std", sign=False)
            shown = say('{shown} <span class="quiet">±\u00a0{spread}</span>', shown=shown, spread=spread)
        paper = score_of_paper(row["combination"], strategy, task, "auroc") if beside else None
        if paper is None:
            return shown
        return say(
            '{shown} <span class="web">{by}</span>',
            shown=shown,
            by=signed(mean - paper.mean / 100, "derived:summary"),
        )

    def sort(row: Row) -> float | None:
        return cells.get(row["combination"], {}).get("auroc_mean")

    return Column(strategy_text(strategy), cell, sort, numeric=True, group=task_title(task))


def _reading(summary: pl.DataFrame, combinations: int, compared: bool, config: dict[str, Any]) -> Markup:
    stars = summary["selected"].fill_null(False).any()
    # The paper's cohort is MIMIC's stays with what it let through; a study of anything else is not comparable.
    same = (config.get("source") or {}).get("kind") == "mimic" and (config.get("cohort") or {}).get("admit") == "paper"
    return say(
        "Test AUROC in percent, mean ± standard deviation over seeds, of {n} cells. Each row is one of {k}"
        " combinations, with a dot for every modality it has. ▲ and bold: the highest mean of a task. {star}{paper}",
        n=count(summary.height, "derived:summary"),
        k=count(combinations, "derived:summary"),
        star=Markup("★: chosen on validation stays. ") if stars else "",
        paper=say(
            "Below a score, its difference to the paper’s figure in points{other}.",
            other="" if same else ", another cohort",
        )
        if compared
        else "",
    )
