"""Tables of results: every cell of Table 1, and tests of differences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Column, DataTable
from picme.report.facts import confidence, frame, modalities, tasks
from picme.report.numbers import (
    MISSING,
    count,
    interval,
    level,
    missing,
    number,
    p_value,
    percent,
    say,
    signed,
    why_missing,
)
from picme.report.paper import Published, any_of_paper, score_of_paper
from picme.report.words import combination_text, strategy_text, task_title

if TYPE_CHECKING:
    from collections.abc import Callable

    from picme.report.facts import Row, Tables


def main_table(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List every cell's scores, the best mean of each task in bold, beside the paper's figure where it has one."""
    rows = frame(tables, "summary")
    if rows.is_empty():
        return None
    names, order = modalities(tables, config), tasks(tables, config)
    place = {name: index for index, name in enumerate(names)}
    cells = sorted(
        enumerate(rows.iter_rows(named=True)),
        key=lambda item: (
            order.index(item[1]["task"]) if item[1]["task"] in order else len(order),
            (item[1]["combination"] or "").count("+"),
            [place.get(part, len(place)) for part in (item[1]["combination"] or "").split("+")],
            item[0],
        ),
    )
    rows = rows[[index for index, _ in cells]]
    best = {
        (task, metric): rows.filter(pl.col("task") == task)[metric].max()
        for task in order
        for metric in ("auroc_mean", "auprc_mean")
    }
    columns = [
        Column("Task", lambda row: task_title(row["task"] or ""), choose=True, first=True),
        Column("Combination", _combination),
        Column("Size", lambda row: count(_size(row), "derived:summary"), _size, numeric=True, choose=True, hidden=True),
        Column("Strategy", lambda row: strategy_text(row["strategy"]), choose=True),
    ]
    for metric in ("auroc", "auprc"):
        columns += _metric_columns(metric, best, confidence(config))
    columns.append(
        Column("Seeds", lambda row: count(row["n_seeds"], "summary.n_seeds"), lambda row: row["n_seeds"], numeric=True)
    )
    if (config.get("report") or {}).get("paper", True) and any_of_paper(
        (row["combination"], row["strategy"], row["task"]) for row in rows.iter_rows(named=True)
    ):
        columns += [_paper_column(metric) for metric in ("auroc", "auprc")]
    stars = rows.filter(pl.col("selected").fill_null(False)).height
    reading = say(
        "Test scores of {n} cells. Bold: the highest mean of a task. {star}Intervals ({level}, resampling subjects)"
        " belong to the prediction averaged over seeds; in a small sample its AUPRC is too high and may lie above its"
        " interval, which allows for that.",
        level=level(confidence(config)),
        n=count(rows.height, "derived:summary"),
        star=Markup("★: chosen on validation stays. ") if stars else "",
    )
    return DataTable(
        "every-cell",
        "Every cell of Table 1, with intervals, AUPRC and seeds",
        columns,
        rows,
        reading,
        mark=lambda row: bool(row["selected"]),
        tall=True,
        search=True,
        folded=True,
    )


def _combination(row: Row) -> Markup:
    star = Markup(' <span class="star" title="chosen on validation">★</span>') if row["selected"] else ""
    return say("{name}{star}", name=combination_text(row["combination"]), star=star)


def _size(row: Row) -> int:
    return (row["combination"] or "").count("+") + 1


def _metric_columns(metric: str, best: dict[tuple[str, str], Any], sure: float) -> list[Column]:
    mean, std, whole = f"{metric}_mean", f"{metric}_std", f"ensemble_{metric}"

    def cell(row: Row) -> Markup:
        if missing(row[mean]):
            return MISSING
        shown = percent(row[mean], f"summary.{mean}", sign=False)
        if row[mean] == best.get((row["task"], mean)):
            shown = say("<b>{value}</b>", value=shown)
        if missing(row[std]):
            return shown
        return say("{mean}\u00a0±\u00a0{std}", mean=shown, std=percent(row[std], f"summary.{std}", sign=False))

    def averaged(row: Row) -> Markup:
        if missing(row[whole]):
            return MISSING
        ends = interval(row[f"{whole}_low"], row[f"{whole}_high"], f"summary.{whole}", row[f"{whole}_no_interval"])
        return say(
            '{value} <span class="interval">({ends})</span>',
            value=percent(row[whole], f"summary.{whole}", sign=False),
            ends=ends,
        )

    name = metric.upper()
    return [
        Column(f"{name}, mean ± std, %", cell, lambda row: row[mean], numeric=True),
        Column(f"{name} of the seed average ({level(sure)}), %", averaged, lambda row: row[whole], numeric=True),
    ]


def _paper_column(metric: str) -> Column:
    def published(row: Row) -> Published | None:
        return score_of_paper(row["combination"] or "", row["strategy"] or "", row["task"] or "", metric)

    def cell(row: Row) -> Markup:
        found = published(row)
        if found is None:
            return Markup("")
        source = "paper.table1"
        return say("{mean}\u00a0±\u00a0{std}", mean=number(found.mean, source), std=number(found.std, source))

    def sort(row: Row) -> float | None:
        found = published(row)
        return None if found is None else found.mean

    return Column(f"Paper’s {metric.upper()}, %", cell, sort, numeric=True)


def comparisons(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List paired tests of differences, with intervals."""
    rows = frame(tables, "comparisons").filter(pl.col("difference").is_not_null())
    if rows.is_empty():
        return None
    clear = rows.filter((pl.col("low") > 0) | (pl.col("high") < 0)).height
    ends = f"{level(confidence(config))} interval"
    columns = [
        Column("Task", lambda row: task_title(row["task"] or ""), choose=True, first=True),
        Column("First", lambda row: _cell_name(row, "a")),
        Column("Second", lambda row: _cell_name(row, "b")),
        Column(
            "First − second, points",
            lambda row: signed(row["difference"], "comparisons.difference"),
            field("difference"),
            True,
        ),
        Column(ends, lambda row: difference_interval(row, "comparisons"), field("low"), numeric=True),
        Column("p", lambda row: p_value(row["p_value"], "comparisons.p_value"), field("p_value"), numeric=True),
        Column(
            "adjusted p",
            lambda row: p_value(row["p_adjusted"], "comparisons.p_adjusted"),
            field("p_adjusted"),
            numeric=True,
        ),
        Column(
            "As ensembles, points",
            lambda row: signed(row["ensemble_difference"], "comparisons.ensemble_difference"),
            field("ensemble_difference"),
            True,
        ),
        Column(
            ends,
            lambda row: difference_interval(row, "comparisons", "ensemble_"),
            field("ensemble_low"),
            numeric=True,
        ),
        Column("Family", lambda row: (row["family"] or "").replace("_", " "), choose=True),
        Column("Metric", lambda row: (row["metric"] or "").upper(), choose=True, first=True),
    ]
    reading = say(
        "Of {n} paired differences of single models on the same test stays, {k} have an interval that leaves out zero;"
        " adjusted p-values allow for the number of tests in a family. Ensembles average the predictions of all seeds,"
        " which gains more where models differ more from seed to seed.",
        n=count(rows.height, "derived:comparisons"),
        k=count(clear, "derived:comparisons"),
    )
    return DataTable("comparisons", "Differences and how sure they are", columns, rows, reading, tall=True, search=True)


def cell_columns() -> list[Column]:
    """Return the columns that name a row's cell: task, combination and strategy."""
    return [
        Column("Task", lambda row: task_title(row["task"] or ""), choose=True, first=True),
        Column("Combination", lambda row: combination_text(row["combination"])),
        Column("Strategy", lambda row: strategy_text(row["strategy"]), choose=True),
    ]


def field(name: str) -> Callable[[Row], Any]:
    """Return a sort key: the row's own value in this column."""
    return lambda row: row[name]


def _cell_name(row: Row, side: str) -> Markup:
    return say(
        '{combination}<br><span class="quiet">{strategy}</span>',
        combination=combination_text(row[f"combination_{side}"]),
        strategy=strategy_text(row[f"strategy_{side}"]),
    )


def difference_interval(row: Row, source: str, prefix: str = "") -> Markup:
    """Return the interval of a row's difference in points, or why there is none.

    Args:
        row: a row with the columns of a test.
        source: the table's name.
        prefix: `ensemble_` for the test of ensembles; by default that of single models.
    """
    low, high = f"{prefix}low", f"{prefix}high"
    if missing(row[low]) or missing(row[high]):
        return why_missing(row[f"{prefix}no_interval"])
    return say("{low} to {high}", low=signed(row[low], f"{source}.{low}"), high=signed(row[high], f"{source}.{high}"))
