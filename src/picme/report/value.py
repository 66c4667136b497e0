"""Tables of what each modality is worth: alone, beside the others and to every subset, and which ones are enough."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Column, DataTable
from picme.report.enough import stays_needed
from picme.report.facts import confidence, frame
from picme.report.numbers import MISSING, count, level, number, percent, say, signed
from picme.report.results import difference_interval, field
from picme.report.words import combination_text, strategy_text, task_title

if TYPE_CHECKING:
    from picme.report.facts import Row, Tables

NET_BENEFIT = "net_benefit_"
WHICH = {"complete": "with every modality", "all": "with any"}
QUANTITIES = {"alone": "alone", "added": "added to all others", "shapley": "Shapley value"}


def value(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List what each modality is worth, with the verdict."""
    rows = frame(tables, "value").filter(pl.col("value").is_not_null())
    if rows.is_empty():
        return None
    columns = [
        *_told_by(),
        *_stays(rows),
        Column("Modality", lambda row: row["modality"] or ""),
        Column("What is told", lambda row: QUANTITIES.get(row["quantity"], row["quantity"] or ""), choose=True),
        *_estimate("value", config),
        Column("Verdict", _verdict),
    ]
    judged = rows.filter(
        (pl.col("quantity") == "added") & (pl.col("metric") == "auroc") & (pl.col("stays") == "complete")
    )
    adds = judged.filter(pl.col("verdict") == "adds").height
    reading = say(
        "What a modality scores by itself above guessing, what it adds to all others, and what it adds on average over"
        " all orders, in points, among test stays that have every modality; {level} intervals allow for other subjects"
        " and other seeds. Of {n} times that a strategy is given a modality beside all others, {k} add to AUROC.{who}",
        level=level(confidence(config)),
        n=count(judged.height, "derived:value"),
        k=count(adds, "derived:value"),
        who=_depends(who_has(frame(tables, "presence"))),
    )
    return DataTable("value", "By itself and beside the others", columns, rows, reading, tall=True, search=True)


def interactions(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List what pairs of modalities are worth together, beyond what each is worth apart."""
    rows = frame(tables, "interactions").filter(pl.col("value").is_not_null())
    if rows.is_empty():
        return None
    columns = [
        *_told_by(),
        *_stays(rows),
        Column("First", lambda row: row["modality_a"] or ""),
        Column("Second", lambda row: row["modality_b"] or ""),
        *_estimate("interactions", config),
    ]
    reading = Markup(
        "What two modalities add together above what each adds without the other, in points, on average over the"
        " others (the Shapley interaction index). With a gain they complement one another. A loss has two causes: they"
        " repeat one another, or AUROC flattens near its top, so that independent ones have one of some points, too."
    )
    return DataTable("interactions", "What pairs are worth together", columns, rows, reading, tall=True, search=True)


def lattice(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List what every subset scores, and what each modality adds to it."""
    # With a row for every modality added to every subset, the rows about all stays would double the page.
    rows = frame(tables, "lattice").filter(pl.col("value").is_not_null(), pl.col("stays") == "complete")
    if rows.is_empty():
        return None
    columns = [
        *_told_by(),
        Column("Given", lambda row: combination_text(row["combination"]) if row["combination"] else "nothing"),
        Column("Added", lambda row: row["added"] or "", choose=True),
        Column("Score, %, or what is added, points", _score_or_gain, field("value"), numeric=True),
        Column(f"{level(confidence(config))} interval", _ends, field("low"), numeric=True),
        Column("Cost", partial(_cost, "lattice"), field("cost"), numeric=True),
        Column("None cheaper is better", lambda row: "yes" if row["front"] else ""),
    ]
    reading = Markup(
        "What every subset of the modalities scores, what one modality more adds to it, and what it costs. Marked are"
        " the subsets such that, on validation, none that costs as much or less is better."
    )
    return DataTable("subsets", "Every subset, and one modality more", columns, rows, reading, tall=True, search=True)


def _enough(row: Row) -> str:
    if row["none_needed"]:
        return "none is needed"
    return combination_text(row["combination"]) if row["combination"] else "undecided"


def sufficient(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List which combination is enough."""
    rows = frame(tables, "sufficient")
    if rows.is_empty():
        return None
    columns = [
        *_told_by(),
        *_stays(rows),
        Column("Enough", _enough),
        Column("Best on validation", lambda row: combination_text(row["best"])),
        *_estimate("sufficient", config, "difference", "Points to the (next) best, on test"),
        Column("Confirmed", lambda row: {True: "yes", False: "no", None: ""}[row["confirmed"]]),
        Column("Events of stays, validation", partial(_events, "val"), field("n_val"), numeric=True),
        Column("Events of stays, test", partial(_events, "test"), field("n_test"), numeric=True),
        Column("Stays needed", _needed, field("needed"), numeric=True),
    ]
    reading = say(
        "The smallest, then cheapest combination that validation stays show not to be worse than any other by more"
        " than {margin} points, and how it compares on test with the best on validation, or the next best where it is"
        " that itself. Where validation cannot tell,"
        " the last column has the number of validation stays that would be needed, if the estimates stay as they are.",
        margin=number(rows["margin"][0], "sufficient.margin", 1, scale=100),
    )
    return DataTable("sufficient", "Which combination is enough", columns, rows, reading, tall=True, search=True)


def acquisition(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List in which order modalities are worth having."""
    rows = frame(tables, "acquisition").filter(pl.col("gain").is_not_null())
    if rows.is_empty():
        return None
    columns = [
        *_told_by(),
        *_stays(rows),
        Column("Step", lambda row: count(row["step"], "acquisition.step"), field("step"), numeric=True),
        Column("Added", lambda row: row["added"] or ""),
        Column("Cost so far", partial(_cost, "acquisition"), field("cost"), numeric=True),
        *_estimate("acquisition", config, "gain", "Points gained"),
        Column(
            "By its cost", lambda row: signed(row["per_cost"], "acquisition.per_cost"), field("per_cost"), numeric=True
        ),
        Column(
            "True positives per 100 stays that get it",
            lambda row: number(row["per_100_acquired"], "acquisition.per_100_acquired", 1),
            field("per_100_acquired"),
            numeric=True,
        ),
        Column("Nothing adds from here", lambda row: "yes" if row["stop"] else ""),
    ]
    reading = Markup(
        "In which order modalities are worth having: each time the one that gains most for its cost on validation, and"
        " what it gains on test. True positives are further ones at the same number of false ones, by net benefit."
    )
    return DataTable("acquisition", "What to have next", columns, rows, reading, tall=True, search=True)


def who_has(presence: pl.DataFrame) -> list[Row]:
    """Return the modalities of which those who have them have the outcome more or less often than those who do not.

    Returns:
        `task`, `modality`, and the outcome's share among stays that have it (`having`) and that lack it (`lacking`),
        where these differ by more than chance would in 95 % of cases.
    """
    found = []
    known = presence.filter(pl.col("with_outcome").is_not_null())
    for (task,), part in known.group_by("task", maintain_order=True):
        held = part.with_columns(pl.col("modalities").str.split("+"))
        for modality in sorted({name for names in held["modalities"] for name in names if name}):
            has = pl.col("modalities").list.contains(modality)
            sums = [held.filter(one).select("stays", "with_outcome").sum().row(0) for one in (has, ~has)]
            (n, k), (m, j) = sums
            if min(n, m) and 0 < k + j < n + m:
                pooled = (k + j) / (n + m)
                if abs(k / n - j / m) > 1.96 * (pooled * (1 - pooled) * (1 / n + 1 / m)) ** 0.5:
                    found.append({"task": task, "modality": modality, "having": k / n, "lacking": j / m})
    return found


def _depends(found: list[Row]) -> Markup:
    each = [
        say(
            "{modality} ({task}: {having} with it have the outcome, {lacking} without)",
            modality=row["modality"],
            task=task_title(row["task"]),
            having=percent(row["having"], "derived:presence"),
            lacking=percent(row["lacking"], "derived:presence"),
        )
        for row in found
    ]
    said = " Who has these depends on severity, so their value among those who have them may not hold for all: {each}."
    return say(said, each=Markup(", ").join(each)) if each else Markup("")


def metric_text(metric: str | None) -> str:
    """Return a metric's name as words have it: `AUROC`, or `net benefit at 10 %`."""
    name = metric or ""
    if name.startswith(NET_BENEFIT):
        return f"net benefit at {100 * float(name.removeprefix(NET_BENEFIT)):g}\u00a0%"
    return name.upper()


def _cost(table: str, row: Row) -> Markup:
    """Return a cost with as many decimals as it has, six at most."""
    decimals = "" if row["cost"] is None else f"{row['cost']:.6f}".partition(".")[2].rstrip("0")
    return number(row["cost"], f"{table}.cost", len(decimals))


def _needed(row: Row) -> Markup:
    return MISSING if row["needed"] is None else stays_needed(row["needed"])


def _events(split: str, row: Row) -> Markup:
    stays, events = f"n_{split}", f"events_{split}"
    return say(
        "{events} of {n}",
        n=count(row[stays], f"sufficient.{stays}"),
        events=count(row[events], f"sufficient.{events}"),
    )


def _stays(rows: pl.DataFrame) -> list[Column]:
    """Return the column of which stays it is told of, where there are several choices."""
    if not (rows["stays"] == "all").any():
        return []
    return [Column("Stays", lambda row: WHICH.get(row["stays"], ""), choose=True, first=True)]


def _told_by() -> list[Column]:
    return [
        Column("Task", lambda row: task_title(row["task"] or ""), choose=True, first=True),
        Column("Metric", lambda row: metric_text(row["metric"]), choose=True, first=True),
        Column("Strategy", lambda row: strategy_text(row["strategy"]), choose=True, first=True),
    ]


def _estimate(source: str, config: dict[str, Any], column: str = "value", title: str = "Points") -> list[Column]:
    return [
        Column(title, lambda row: signed(row[column], f"{source}.{column}"), field(column), numeric=True),
        Column(
            f"{level(confidence(config))} interval",
            lambda row: difference_interval(row, source),
            field("low"),
            numeric=True,
        ),
    ]


def _verdict(row: Row) -> Markup:
    if row["at_most"] is None:
        return Markup.escape(row["verdict"] or "")
    return say("{verdict} (at most {most})", verdict=row["verdict"], most=signed(row["at_most"], "value.at_most"))


def _score_or_gain(row: Row) -> Markup:
    if row["added"] is None and not row["metric"].startswith(NET_BENEFIT):
        return percent(row["value"], "lattice.value", sign=False)
    return signed(row["value"], "lattice.value")


def _ends(row: Row) -> Markup:
    if row["added"] is not None or row["low"] is None or row["metric"].startswith(NET_BENEFIT):
        return difference_interval(row, "lattice")
    return say(
        "{low}–{high}",
        low=percent(row["low"], "lattice.low", sign=False),
        high=percent(row["high"], "lattice.high", sign=False),
    )
