"""Figure of every subset of the modalities, each joined to those with one modality more."""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Choice, Plate
from picme.report.facts import frame, modalities
from picme.report.figures.missing import DEDICATED, METRICS, ON_SCALE, SCALE
from picme.report.numbers import count, many, percent, say
from picme.report.theme import FAINT, INK, MUTED, PAPER, VERMILLION, safe
from picme.report.words import combination_text, strategy_text, task_title

if TYPE_CHECKING:
    from picme.report.facts import Row, Tables

# Most subsets of one size that leave room for labels on a phone.
_MOST_LABELLED = 10
_LEVEL = 84  # pixels


def lattice(tables: Tables, config: dict[str, Any]) -> Plate | None:
    """Draw the subsets of the modalities by size; one view for task, strategy and whether models are dedicated."""
    rows = frame(tables, "missing").filter(
        (pl.col("mechanism") == "subset")
        & (pl.col("metric") == "auroc")
        & pl.col("trained_on").is_in(["as is", DEDICATED])
        & pl.col("subset").is_not_null()
    )
    found = {part for subset in rows["subset"].unique() for part in subset.split("+")}
    names = [name for name in modalities(tables, config) if name in found]
    names += sorted(found - set(names))
    letters = initials(names)
    ends: dict[Any, tuple[Any, Any]] = {
        task: (part["value"].min(), part["value"].max()) for (task,), part in rows.group_by("task")
    }
    views = []
    for task, strategy, trained_on in rows.select("task", "strategy", "trained_on").unique(maintain_order=True).rows():
        own = rows.filter(
            (pl.col("task") == task) & (pl.col("strategy") == strategy) & (pl.col("trained_on") == trained_on)
        )
        if own["value"].drop_nulls().n_unique() > 1:
            models = "dedicated to each subset" if trained_on == DEDICATED else "of all modalities"
            views.append(_lattice(own, letters, (task_title(task), strategy_text(strategy), models), ends[task]))
    if not views:
        return None
    key = Markup("")
    if _labelled(letters):
        key = say(
            " Letters name the modalities ({names}), numbers are the AUROC in percent.",
            names=", ".join(f"{letter}: {name}" for name, letter in letters.items()),
        )
    note = say(
        "Each square is a subset of the modalities: the darker, the higher the AUROC on the test stays that have all of"
        " the modalities, with the others withheld.{key} A line joins a subset with the same and one modality more; it"
        " is dashed where more is worse, by however little.",
        key=key,
    )
    return Plate("lattice", "Every subset of the modalities", views, ("Task", "Strategy", "Models"), note)


def initials(names: list[str]) -> dict[str, str]:
    """Return a letter for each name, its first that no earlier name has; a number where there is none."""
    taken: dict[str, str] = {}
    for number, name in enumerate(names, 1):
        letters = (sign for sign in name.upper() if sign.isalpha() and sign not in taken.values())
        taken[name] = next(letters, str(number))
    return taken


def _widest(letters: dict[str, str]) -> int:
    """Return the number of subsets of the size that has the most."""
    return comb(len(letters), len(letters) // 2)


def _labelled(letters: dict[str, str]) -> bool:
    return _widest(letters) <= _MOST_LABELLED


def _lattice(rows: pl.DataFrame, letters: dict[str, str], choice: tuple[str, ...], ends: tuple[float, float]) -> Choice:
    cells = {frozenset(row["subset"].split("+")): row for row in rows.iter_rows(named=True)}
    places = _places(list(letters))
    known = {one: cells[one] for one in places if one in cells and cells[one]["value"] is not None}
    steps = [
        (row, known[one | {name}])
        for one, row in known.items()
        for name in letters
        if name not in one and one | {name} in known
    ]
    worse = [pair for pair in steps if pair[1]["value"] < pair[0]["value"]]
    joined = [
        (
            "more is not worse",
            [pair for pair in steps if pair[1]["value"] >= pair[0]["value"]],
            {"color": FAINT, "width": 1},
        ),
        ("more is worse", worse, {"color": VERMILLION, "width": 1.8, "dash": "dash"}),
    ]
    traces = [_edges(name, pairs, places, line) for name, pairs, line in joined if pairs]
    labelled = _labelled(letters)
    size = 32 if labelled else max(8, 320 // _widest(letters))
    square = {"symbol": "square", "size": size, "line": {"color": MUTED, "width": 1}}
    coloured = {
        **square,
        "color": [round(row["value"] * 100, 2) for row in known.values()],
        "colorscale": SCALE,
        "cmin": round(ends[0] * 100, 2),
        "cmax": round(ends[1] * 100, 2),
    }
    traces.append(_nodes(known, places, letters, coloured, ON_SCALE, labelled))
    undefined = {one: row for one, row in cells.items() if row["value"] is None}
    if undefined:
        traces.append(_nodes(undefined, places, letters, {**square, "color": PAPER}, MUTED, labelled))
    singles = [frozenset({name}) for name in letters]
    layout = {
        "height": 60 + _LEVEL * len(letters),
        "margin": {"l": 8, "r": 8, "t": 8, "b": 40},
        "xaxis": {
            "range": [0, 1],
            "tickvals": [places[one][0] for one in singles],
            "ticktext": [safe(name) for name in letters],
            "tickfont": {"color": INK, "size": 10},
            # Upright where they would not stand side by side on a phone.
            "tickangle": 0 if 5.6 * max(map(len, letters)) < 340 / len(letters) else -90,
            "showgrid": False,
            "zeroline": False,
        },
        "yaxis": {"visible": False, "range": [0.6, len(letters) + 0.35], "automargin": False},
    }
    return Choice(choice, {"data": traces, "layout": layout}, rows, _reading(list(known.values()), steps, worse))


def _places(names: list[str]) -> dict[frozenset[str], tuple[float, int]]:
    """Return the place of every subset: those of a size spread over the width, above those that are smaller."""
    places: dict[frozenset[str], tuple[float, int]] = {}
    for size in range(1, len(names) + 1):
        level = list(combinations(names, size))
        places |= {frozenset(one): ((index + 0.5) / len(level), size) for index, one in enumerate(level)}
    return places


def _edges(
    name: str,
    pairs: list[tuple[Row, Row]],
    places: dict[frozenset[str], tuple[float, int]],
    line: dict[str, Any],
) -> dict[str, Any]:
    ends = [[places[frozenset(row["subset"].split("+"))] for row in pair] for pair in pairs]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": [value for (a, b) in ends for value in (a[0], b[0], None)],
        "y": [value for (a, b) in ends for value in (a[1], b[1], None)],
        "line": line,
        "hoverinfo": "skip",
    }


def _nodes(
    drawn: dict[frozenset[str], Row],
    places: dict[frozenset[str], tuple[float, int]],
    letters: dict[str, str],
    marker: dict[str, Any],
    ink: str,
    labelled: bool,
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers+text" if labelled else "markers",
        "showlegend": False,
        "x": [places[one][0] for one in drawn],
        "y": [places[one][1] for one in drawn],
        "marker": marker,
        "text": [_label(one, row, letters) for one, row in drawn.items()],
        "textfont": {"size": 9, "color": ink},
        "customdata": [
            f"{safe(combination_text(row['subset']))}<br>{METRICS['auroc'].hover(row)}" for row in drawn.values()
        ],
        "hovertemplate": "%{customdata}<extra></extra>",
        "cliponaxis": False,
    }


def _label(one: frozenset[str], row: Row, letters: dict[str, str]) -> str:
    value = "–" if row["value"] is None else f"{row['value'] * 100:.1f}"
    return f"{''.join(letter for name, letter in letters.items() if name in one)}<br>{value}"


def _reading(known: list[Row], steps: list[tuple[Row, Row]], worse: list[tuple[Row, Row]]) -> Markup:
    low, high = min(known, key=lambda row: row["value"]), max(known, key=lambda row: row["value"])
    sentence = say(
        "AUROC is lowest with {low} ({least}) and highest with {high} ({most}).",
        low=combination_text(low["subset"]),
        least=percent(low["value"], "missing.value"),
        high=combination_text(high["subset"]),
        most=percent(high["value"], "missing.value"),
    )
    if not worse:
        return sentence + (Markup(" One modality more is never worse.") if steps else "")
    fewer, more = max(worse, key=lambda pair: pair[0]["value"] - pair[1]["value"])
    return sentence + say(
        " Of {n}, {k} {make} it worse, most of all adding {added} to {fewer} ({before} to {after}).",
        n=many(len(steps), "derived:missing", "step to one modality more", "steps to one modality more"),
        k=count(len(worse), "derived:missing"),
        make="makes" if len(worse) == 1 else "make",
        added=next(iter({*more["subset"].split("+")} - {*fewer["subset"].split("+")})),
        fewer=combination_text(fewer["subset"]),
        before=percent(fewer["value"], "missing.value"),
        after=percent(more["value"], "missing.value"),
    )
