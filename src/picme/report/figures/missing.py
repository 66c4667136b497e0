"""Words of the missingness grid, and the figure of what models were trained on against what they are tested on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Choice, Plate
from picme.report.facts import frame, unselectable
from picme.report.figures.dots import points
from picme.report.numbers import missing, number, percent, say
from picme.report.theme import safe
from picme.report.words import strategy_text, task_title

if TYPE_CHECKING:
    from picme.report.facts import Row, Tables


@dataclass(frozen=True)
class Metric:
    """A metric of the missingness grid.

    Attributes:
        title: its name in the report.
        share: whether it is a fraction that is shown in percent.
        rises: whether greater is better.
    """

    title: str
    share: bool = True
    rises: bool = True

    @property
    def scale(self) -> int:
        """Return the factor between the table's value and an axis."""
        return 100 if self.share else 1

    @property
    def axis(self) -> str:
        """Return the title of an axis."""
        return f"{self.title}, %" if self.share else self.title

    def number(self, value: float | None, source: str, sign: bool = True) -> Markup:
        """Return a value as a sentence or a cell has it, with its percent sign where it has one."""
        return percent(value, source, sign=sign) if self.share else number(value, source, 3)

    def hover(self, row: Row) -> str:
        """Return a row's value and interval as a hover text has them, safe already."""
        if row["value"] is None:
            return f"undefined: {safe(row['no_interval'])}" if row["no_interval"] else "undefined"
        value, low, high = (
            points(each) if self.share or each is None else f"{each:.3f}"
            for each in (row["value"], row["low"], row["high"])
        )
        if not missing(row["low"]) and not missing(row["high"]):
            return f"{value} ({low} to {high})"
        return f"{value}, no interval" + (f": {safe(row['no_interval'])}" if row["no_interval"] else "")


METRICS = {
    "auroc": Metric("AUROC"),
    "auprc": Metric("AUPRC"),
    "brier": Metric("Brier score", share=False, rises=False),
    "ece": Metric("ECE", rises=False),
}
MECHANISMS = ("mcar", "mar", "mnar")
DEDICATED = "dedicated"
# From low to high, pale enough for one ink, and the same on the light and the dark page.
SCALE = [[0, "#f4f8fb"], [1, "#6aa8d8"]]
ON_SCALE = "#101418"


def trained_text(trained_on: str | None) -> Markup:
    """Return what models were trained on as a sentence has it."""
    rate = _rate(trained_on)
    if rate is not None:
        return say("stays with {rate} withheld", rate=rate_number(rate, "derived:missing"))
    words = {"as is": "all stays as they are", "complete": "complete stays", DEDICATED: "each subset by itself"}
    return Markup.escape(words.get(trained_on or "", trained_on or ""))


def _rate(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def rate_number(rate: float, source: str) -> Markup:
    """Return a rate in percent, with a decimal only where it has one."""
    return percent(rate, source, 0 if f"{rate * 100:g}".isdigit() else 1)


def model_text(strategy: str, trained_on: str) -> str:
    """Return a strategy's name as a legend has it, with `dedicated` where each subset has its own models."""
    return strategy_text(strategy) + (", dedicated" if trained_on == DEDICATED else "")


def known_rows(tables: Tables) -> pl.DataFrame:
    """Return the rows of the table `missing` that have a value."""
    return frame(tables, "missing").filter(pl.col("value").is_not_null())


def comparable(rows: list[Row], config: dict[str, Any]) -> list[Row]:
    """Return the rows of strategies that may be chosen, or all where there are only controls and baselines."""
    others = unselectable(config)
    return [row for row in rows if row["strategy"] not in others] or rows


def grid(tables: Tables, config: dict[str, Any]) -> Plate | None:
    """Draw what models were trained on against what they are tested on; a view for task, strategy and mechanism."""
    rows = known_rows(tables).filter((pl.col("metric") == "auroc") & (pl.col("trained_on") != DEDICATED))
    # Of the subsets, only the one with every modality: complete stays from which nothing is withheld.
    whole = (
        pl.col("subset")
        .str.count_matches("+", literal=True)
        .eq(pl.col("subset").str.count_matches("+", literal=True).max())
    )
    rows = rows.filter(
        pl.col("mechanism").is_in(["natural", *MECHANISMS]) | ((pl.col("mechanism") == "subset") & whole)
    )
    rows = rows.filter(pl.col("trained_on").n_unique().over("task", "strategy") > 1)
    ends: dict[Any, tuple[Any, Any]] = {
        task: (part["value"].min(), part["value"].max()) for (task,), part in rows.group_by("task")
    }
    views = []
    for task, strategy, kind in rows.select("task", "strategy", "mechanism").unique(maintain_order=True).rows():
        if kind in MECHANISMS:
            own = rows.filter(
                (pl.col("task") == task)
                & (pl.col("strategy") == strategy)
                & pl.col("mechanism").is_in(["subset", "natural", kind])
            )
            views.append(_grid(own, (task_title(task), strategy_text(strategy), kind.upper()), ends[task]))
    note = Markup(
        "AUROC in percent. Rows: the stays that the models were trained on; columns: the stays that they are tested on."
        " “as is” and “as they are” have nothing withheld, “complete” stays have every modality, and a rate is the"
        " share of the modalities that is withheld: in training completely at random, in testing by the mechanism"
        " chosen."
    )
    choices = ("Task", "Strategy", "Mechanism")
    return (
        Plate("trained-tested", "Trained and tested with modalities withheld", views, choices, note) if views else None
    )


def _grid(rows: pl.DataFrame, choice: tuple[str, ...], ends: tuple[float, float]) -> Choice:
    cells = {(row["trained_on"], row["mechanism"], row["rate"]): row for row in rows.iter_rows(named=True)}
    down = sorted(dict.fromkeys(key[0] for key in cells), key=_order)
    fixed = {"subset": "complete", "natural": "as they are"}
    across = sorted(
        dict.fromkeys(key[1:] for key in cells), key=lambda key: ([*fixed, key[0]].index(key[0]), key[1] or 0)
    )
    lines = [[cells.get((trained, *tested)) for tested in across] for trained in down]
    heat = {
        "type": "heatmap",
        "x": [fixed.get(kind, f"{(rate or 0) * 100:g} %") for kind, rate in across],
        "y": [safe(name if _rate(name) is None else f"{float(name) * 100:g} %") for name in down],
        "z": [[None if row is None else round(row["value"] * 100, 2) for row in line] for line in lines],
        "text": [["" if row is None else f"{row['value'] * 100:.1f}" for row in line] for line in lines],
        "texttemplate": "%{text}",
        "textfont": {"color": ON_SCALE},
        "customdata": [["" if row is None else METRICS["auroc"].hover(row) for row in line] for line in lines],
        "colorscale": SCALE,
        "zmin": round(ends[0] * 100, 2),
        "zmax": round(ends[1] * 100, 2),
        "showscale": False,
        "xgap": 2,
        "ygap": 2,
        "hovertemplate": "trained on %{y}, tested on %{x}<br>%{customdata}<extra></extra>",
    }
    layout = {
        "height": 110 + 44 * len(down),
        "yaxis": {"type": "category", "autorange": "reversed", "title": {"text": "trained on"}, "showgrid": False},
        "xaxis": {"type": "category", "title": {"text": "tested on"}, "showgrid": False},
        "margin": {"l": 60, "r": 10, "t": 8, "b": 60},
    }
    kind, rate = across[-1]
    column = [row for row in (cells.get((trained, kind, rate)) for trained in down) if row]
    best = max(column, key=lambda row: row["value"])
    usual = next((row for row in column if row["trained_on"] == "as is" and row is not best), None)
    reading = say(
        "Tested at a rate of {rate}, models trained on {best} have the highest AUROC, {value}{usual}.",
        rate=rate_number(rate, "missing.rate"),
        best=trained_text(best["trained_on"]),
        value=percent(best["value"], "missing.value"),
        usual=say(
            "; those trained on all stays as they are have {value}", value=percent(usual["value"], "missing.value")
        )
        if usual
        else "",
    )
    return Choice(choice, {"data": [heat], "layout": layout}, rows, reading)


def _order(trained_on: str) -> tuple[int, float]:
    known = ("complete", "as is")
    return (known.index(trained_on), 0) if trained_on in known else (2, _rate(trained_on) or 0)
