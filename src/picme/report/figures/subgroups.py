"""Figure of scores in subgroups, as dots with intervals; groups too small to show are shown as such."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.evaluate.subgroups import CROSS
from picme.report.blocks import Choice, Plate
from picme.report.facts import by_rank, confidence, frame
from picme.report.figures.dots import dodge, dots, guess_line, labelled_rows, points, strategies_of
from picme.report.numbers import count, level, many, percent, say, signed
from picme.report.theme import MUTED, safe
from picme.report.words import combination_text, strategy_text, task_title

if TYPE_CHECKING:
    from picme.report.facts import Row, Tables

# What a suppressed group must not tell.
HIDDEN: tuple[str, ...] = (
    *("n_stays", "n_subjects", "positives", "auroc", "low", "high", "no_interval"),
    *("gap", "gap_low", "gap_high", "gap_no_interval", "best"),
    *("observed_expected", "observed_expected_low", "observed_expected_high"),
)


def subgroup_rows(tables: Tables) -> pl.DataFrame:
    """Return the table without anything that was counted in a suppressed group."""
    rows = frame(tables, "subgroups")
    hidden = pl.col("suppressed").fill_null(False)
    return rows.with_columns(pl.when(hidden).then(None).otherwise(pl.col(name)).alias(name) for name in HIDDEN)


def subgroups(tables: Tables, config: dict[str, Any]) -> Plate | None:
    """Draw the scores in subgroups; one view for each task and combination, best combination first."""
    views = []
    for task, combination, cell in by_rank(tables, config, subgroup_rows(tables)):
        name = (task_title(task), combination_text(combination))
        crossed = pl.col("attribute").str.contains(CROSS, literal=True).fill_null(False)
        single = cell.filter(~crossed)
        if not single.is_empty():
            views.append(_view(single, (*name, "one attribute at a time")))
        views += [
            _view(cell.filter(pl.col("attribute") == attribute), (*name, _plain(attribute)))
            for attribute in cell.filter(crossed)["attribute"].unique(maintain_order=True).to_list()
        ]
    if not views:
        return None
    note = say(
        "Symbols are the AUROC within a group, lines its {level} interval; there is none where too few subjects have"
        " or lack the outcome. A group’s AUROC is undefined where its stays all have the same outcome. Groups that are"
        " too small are suppressed, counts included. A gap is the AUROC of all other stays minus the group’s, over the"
        " labels that both can judge; the intervals of all gaps of a strategy hold together. A gap that may be zero"
        " does not show that groups are treated alike: there may be too few stays to tell.",
        level=level(confidence(config)),
    )
    return Plate("subgroups", "Scores in subgroups", views, ("Task", "Combination", "Groups"), note)


def _view(rows: pl.DataFrame, choice: tuple[str, ...]) -> Choice:
    cells = rows.to_dicts()
    known = strategies_of(cells)
    places = {key: index for index, key in enumerate(dict.fromkeys((row["attribute"], row["group"]) for row in cells))}
    first = {key: next(row for row in cells if (row["attribute"], row["group"]) == key) for key in places}
    one = len({attribute for attribute, _ in places}) == 1
    labels = [
        (_plain(group) if one else f"{_plain(attribute)}: {_plain(group)}", _remark(first[attribute, group]))
        for attribute, group in places
    ]
    shift = dodge(known, 0.5)
    traces = []
    for name in known:
        own = [row for row in cells if row["strategy"] == name and row["auroc"] is not None]
        traces.append(
            dots(
                own,
                name,
                known,
                lambda row: row["auroc"] * 100,
                lambda row, s=shift[name]: places[row["attribute"], row["group"]] + 0.16 + s,  # type: ignore[misc]
                lambda row: (
                    f"{safe(_plain(row['group']))}, {safe(strategy_text(row['strategy']))}<br>"
                    f"{points(row['auroc'])} ({_ends(row)})<br>{_gap(row)}"
                ),
                lambda row: (
                    None if row["low"] is None or row["high"] is None else (row["low"] * 100, row["high"] * 100)
                ),
            )
        )
    layout = labelled_rows(labels, 26 + 7 * len(known), "AUROC, %")
    layout["shapes"] = [*layout["shapes"], guess_line()]
    for key, index in places.items():
        if first[key]["suppressed"] or all(
            row["auroc"] is None for row in cells if (row["attribute"], row["group"]) == key
        ):
            layout["annotations"].append(
                {
                    "x": 50,
                    "xanchor": "left",
                    "xshift": 6,
                    "y": index + 0.16,
                    "text": "suppressed" if first[key]["suppressed"] else "AUROC undefined",
                    "showarrow": False,
                    "font": {"size": 11, "color": MUTED},
                }
            )
    return Choice(choice, {"data": traces, "layout": layout}, rows, _reading(cells))


def _ends(row: Row) -> str:
    if row["low"] is None or row["high"] is None:
        return f"no interval: {safe(row['no_interval'] or 'undefined')}"
    return f"{points(row['low'])} to {points(row['high'])}"


def _gap(row: Row) -> str:
    if row["gap"] is None:
        return f"no gap: {safe(row['gap_no_interval'])}" if row["gap_no_interval"] else ""
    ends = "" if row["gap_low"] is None else f" ({row['gap_low'] * 100:+.1f} to {row['gap_high'] * 100:+.1f})"
    return f"all others: {row['gap'] * 100:+.1f} points{ends}"


def _plain(text: str | None) -> str:
    return (text or "not recorded").replace("_", " ")


def _remark(row: Row) -> str:
    if row["suppressed"]:
        return "too few to show"
    if row["n_stays"] is None:
        return ""
    positives = f", {row['positives']} positive" if row["positives"] is not None else ""
    return f"{row['n_stays']} stays{positives}"


def _reading(cells: list[Row]) -> Markup:
    known = [row for row in cells if row["auroc"] is not None]
    hidden = len({(row["attribute"], row["group"]) for row in cells if row["suppressed"]})
    tail = say(" Suppressed: {n}.", n=many(hidden, "derived:subgroups", "group", "groups")) if hidden else Markup("")
    if not known:
        return say("No group has a defined score.{tail}", tail=tail)
    low, high = min(known, key=lambda row: row["auroc"]), max(known, key=lambda row: row["auroc"])
    return say(
        "Lowest is {low} ({group}, {strategy}), highest {high} ({other}, {second}). {gaps}{tail}",
        low=percent(low["auroc"], "subgroups.auroc"),
        group=f"{_plain(low['attribute'])}: {_plain(low['group'])}",
        strategy=strategy_text(low["strategy"]),
        high=percent(high["auroc"], "subgroups.auroc"),
        other=f"{_plain(high['attribute'])}: {_plain(high['group'])}",
        second=strategy_text(high["strategy"]),
        gaps=_gaps(cells),
        tail=tail,
    )


def _gaps(cells: list[Row]) -> Markup:
    """Say how many gaps are not zero, and name the largest of those above."""
    judged = [row for row in cells if row["gap_low"] is not None]
    if not judged:
        return Markup("No gap to all other stays can be judged: too few subjects have or lack the outcome.")
    worse = [row for row in judged if row["gap_low"] > 0]
    start = say(
        "Of {n}, {k} above zero beyond chance, {m} below",
        n=many(len(judged), "derived:subgroups", "gap to all other stays", "gaps to all other stays"),
        k=count(len(worse), "derived:subgroups"),
        m=count(sum(row["gap_high"] < 0 for row in judged), "derived:subgroups"),
    )
    if not worse:
        return say("{start}.", start=start)
    row = max(worse, key=lambda row: row["gap"])
    return say(
        "{start}; the largest is that of {group} ({strategy}): {gap} points ({low} to {high}).",
        start=start,
        group=f"{_plain(row['attribute'])}: {_plain(row['group'])}",
        strategy=strategy_text(row["strategy"]),
        gap=signed(row["gap"], "subgroups.gap"),
        low=signed(row["gap_low"], "subgroups.gap_low"),
        high=signed(row["gap_high"], "subgroups.gap_high"),
    )
