"""Figure of a metric by how much is withheld, for each mechanism."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Choice, Plate
from picme.report.facts import confidence
from picme.report.figures.dots import points, strategies_of
from picme.report.figures.missing import DEDICATED, MECHANISMS, METRICS, comparable, known_rows, model_text, rate_number
from picme.report.numbers import level, percent, say
from picme.report.theme import MUTED, safe, strategy_style
from picme.report.words import strategy_text, task_title
from picme.strategies.built_in import PRESENCE_ONLY

if TYPE_CHECKING:
    from picme.report.facts import Row, Tables
    from picme.report.figures.missing import Metric

_TITLES = {
    "mcar": "Withheld by chance<br>alone (MCAR)",
    "mar": "More from stays that look<br>less severely ill (MAR)",
    "mnar": "More from stays without<br>the outcome (MNAR)",
}


def curves(tables: Tables, config: dict[str, Any]) -> Plate | None:
    """Draw a metric by the rate that is withheld, a panel for each mechanism; one view for each task and metric."""
    rows = known_rows(tables).filter(
        pl.col("trained_on").is_in(["as is", DEDICATED])
        & ((pl.col("mechanism") == "natural") | (pl.col("mechanism").is_in([*MECHANISMS]) & (pl.col("rate") > 0)))
    )
    views = []
    for task in rows["task"].unique(maintain_order=True).to_list():
        for metric, about in METRICS.items():
            own = rows.filter((pl.col("task") == task) & (pl.col("metric") == metric))
            if own["rate"].is_not_null().any():
                views.append(_curves(own, (task_title(task), about.title), metric, config))
    if not views:
        return None
    note = say(
        "Modalities are withheld from test stays at a rate, the same ones for every strategy. MCAR, missing completely"
        " at random: chance alone decides. MAR, missing at random: what is observed decides, here how severely ill a"
        " stay looks by a modality that is never withheld. MNAR, missing not at random: what is not observed decides,"
        " here the outcome. Lines start where nothing is withheld, though modalities that a stay never had are missing"
        " there too. A stay keeps at least one, so less is withheld than the rate says. Bands are {level} intervals."
        " Dashed lines: models dedicated to each subset of the modalities. The sentence above counts controls and"
        " baselines only where nothing else is.",
        level=level(confidence(config)),
    )
    return Plate("withheld", "Scores by how much is withheld", views, ("Task", "Metric"), note)


def _curves(rows: pl.DataFrame, choice: tuple[str, ...], metric: str, config: dict[str, Any]) -> Choice:
    about, known = METRICS[metric], strategies_of(rows.to_dicts())
    kinds = [kind for kind in MECHANISMS if kind in rows["mechanism"].to_list()]
    models = rows.select("strategy", "trained_on").unique(maintain_order=True).rows()
    traces: list[dict[str, Any]] = []
    seen: set[tuple[str, str]] = set()
    for panel, kind in enumerate(kinds):
        for model in models:
            own = rows.filter(
                (pl.col("strategy") == model[0])
                & (pl.col("trained_on") == model[1])
                & pl.col("mechanism").is_in(["natural", kind])
            )
            line = own.with_columns(pl.col("rate").fill_null(0)).sort("rate").to_dicts()
            if kind in own["mechanism"].to_list():
                axes = {"xaxis": f"x{_place(panel)}", "yaxis": f"y{_place(panel)}"}
                colour, symbol = strategy_style(model[0], known)
                bands = [_band(part, about.scale, colour) for part in _runs(line)]
                drawn = _line(line, about, model, (colour, symbol)) | {"showlegend": model not in seen}
                traces += [trace | axes | {"legendgroup": drawn["name"]} for trace in (*bands, drawn)]
                seen.add(model)
    lowest = min(row["value"] for row in rows.iter_rows(named=True))
    layout = _panels(kinds, about, max(rows["rate"].drop_nulls()), guess=metric == "auroc" and lowest < 0.6)
    return Choice(choice, {"data": traces, "layout": layout}, rows, _falls(rows, kinds, metric, config))


def _place(panel: int) -> str:
    """Return what plotly adds to the names of a panel's axes."""
    return str(panel + 1) if panel else ""


def _runs(line: list[Row]) -> list[list[Row]]:
    """Return the stretches of a line whose points all have an interval."""
    runs: list[list[Row]] = [[]]
    for row in line:
        if row["low"] is None or row["high"] is None:
            runs.append([])
        else:
            runs[-1].append(row)
    return [run for run in runs if len(run) > 1]


def _band(rows: list[Row], scale: int, colour: str) -> dict[str, Any]:
    there, back = rows, rows[::-1]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [_percent(row["rate"]) for row in (*there, *back)],
        "y": [round(value * scale, 3) for value in (*(row["low"] for row in there), *(row["high"] for row in back))],
        "fill": "toself",
        "fillcolor": colour,
        "line": {"width": 0, "color": colour},
        "opacity": 0.1,
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _percent(rate: float) -> float:
    return round(rate * 100, 2) or 0


def _line(rows: list[Row], about: Metric, model: tuple[str, str], style: tuple[str, str]) -> dict[str, Any]:
    colour, symbol = style
    dash = "dash" if model[1] == DEDICATED else "dot" if symbol.endswith("open") else "solid"
    name = safe(model_text(*model))
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": [_percent(row["rate"]) for row in rows],
        "y": [round(row["value"] * about.scale, 3) for row in rows],
        "line": {"color": colour, "width": 1.6, "dash": dash},
        "marker": {"color": colour, "symbol": symbol, "size": 7},
        "text": [f"{name}<br>{_taken(row)}<br>{about.hover(row)}" for row in rows],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _taken(row: Row) -> str:
    if not row["rate"]:
        return "nothing withheld"
    return f"rate {_percent(row['rate']):g} %" + (f", {points(row['withheld'])} withheld" if row["withheld"] else "")


def _panels(kinds: list[str], about: Metric, most: float, guess: bool) -> dict[str, Any]:
    """Return a layout of panels side by side, which the page stacks on a narrow screen."""
    gap = 0.055
    width = (1 - gap * (len(kinds) - 1)) / len(kinds)
    layout: dict[str, Any] = {
        "height": 360,
        "margin": {"l": 48, "r": 16, "t": 44, "b": 46},
        "meta": {"panels": len(kinds)},
        "annotations": [],
        "shapes": [],
    }
    for panel, kind in enumerate(kinds):
        start, place = panel * (width + gap), _place(panel)
        x, y = f"x{place}", f"y{place}"
        layout[f"xaxis{place}"] = {
            "domain": [round(start, 4), round(start + width, 4)],
            "anchor": y,
            "title": {"text": "rate withheld, %"},
            "range": [-4, round(106 * most)],
            "zeroline": False,
        }
        layout[f"yaxis{place}"] = {
            "anchor": x,
            "zeroline": False,
            **({"matches": "y"} if panel else {"title": {"text": about.axis}}),
        }
        layout["annotations"].append(
            {
                "xref": f"{x} domain",
                "x": 0,
                "xanchor": "left",
                "yref": f"{y} domain",
                "y": 1,
                "yanchor": "bottom",
                "yshift": 6,
                "text": _TITLES[kind],
                "align": "left",
                "showarrow": False,
            }
        )
        if guess:
            line = {"color": MUTED, "width": 1, "dash": "dot"}
            ends = {"xref": f"{x} domain", "x0": 0, "x1": 1, "yref": y, "y0": 50, "y1": 50}
            layout["shapes"].append({"type": "line", "line": line, "layer": "below", **ends})
    return layout


def _falls(rows: pl.DataFrame, kinds: list[str], metric: str, config: dict[str, Any]) -> Markup:
    """Say which strategy loses least up to the greatest rate, and whether presence alone tells more than chance."""
    about = METRICS[metric]
    most: Any = rows["rate"].max()
    start = {(row["strategy"], row["trained_on"]): row for row in rows.filter(pl.col("rate").is_null()).to_dicts()}
    greatest = rows.filter(pl.col("rate") == most)
    clauses: dict[bool, list[Markup]] = {True: [], False: []}  # by whether the metric gets worse at all
    for kind in kinds:
        ends = [row for row in greatest.to_dicts() if row["mechanism"] == kind]
        ends = comparable([row for row in ends if (row["strategy"], row["trained_on"]) in start], config)
        if ends:
            lost = [(start[row["strategy"], row["trained_on"]]["value"], row["value"], row) for row in ends]
            first, last, row = min(lost, key=lambda item: (item[0] - item[1]) * (1 if about.rises else -1))
            clauses[(first > last) == about.rises and first != last].append(
                say(
                    "with {model} under {kind} (from {first} to {last})",
                    model=model_text(row["strategy"], row["trained_on"]),
                    kind=kind.upper(),
                    first=about.number(first, "missing.value"),
                    last=about.number(last, "missing.value"),
                )
            )
    if not any(clauses.values()):
        return say(
            "No strategy has its {metric} both with nothing withheld and at the greatest rate.", metric=about.title
        )
    verb = "fall" if about.rises else "rise"
    verbs = {True: f"{verb}s least", False: f"does not {verb}"}
    sentence = say(
        "From nothing withheld to a rate of {rate}, the {metric} {said}.",
        rate=rate_number(most, "missing.rate"),
        metric=about.title,
        said=Markup("; it ").join(
            say("{verb} {models}", verb=verbs[worse], models=Markup(", ").join(found))
            for worse, found in clauses.items()
            if found
        ),
    )
    presence = greatest.filter(
        (pl.col("strategy") == PRESENCE_ONLY.name) & (pl.col("trained_on") == "as is")
    ).to_dicts()
    return sentence + _presence(presence, kinds) if metric == "auroc" and presence else sentence


def _presence(rows: list[Row], kinds: list[str]) -> Markup:
    name = strategy_text(PRESENCE_ONLY.name)
    judged = {row["mechanism"]: row for row in rows if row["low"] is not None}
    above = [judged[kind] for kind in kinds if kind in judged and judged[kind]["low"] > 0.5]
    if all(row["value"] == 0.5 for row in rows):
        return say(" In the training stays there was nothing to learn from presence alone ({name}).", name=name)
    if not judged:
        return say(" Whether {name} tells more than chance cannot be judged: it has no interval.", name=name)
    if not above:
        return say(" Which modalities are left ({name}) is not shown to tell more than chance.", name=name)
    told = [
        say("{kind} ({value})", kind=row["mechanism"].upper(), value=percent(row["value"], "missing.value"))
        for row in above
    ]
    return say(
        " Which modalities are left ({name}) tells more than chance under {kinds}.",
        name=name,
        kinds=Markup(", ").join(told),
    )
