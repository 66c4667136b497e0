"""The page of `picme compare`: the report's tables, style and script around a comparison of studies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from picme.evaluate.between import CHOSEN
from picme.report.blocks import Column, DataTable
from picme.report.build import asset, environment
from picme.report.export import embedded
from picme.report.numbers import MISSING, count, level, missing, p_value, percent, say, signed
from picme.report.results import cell_columns, difference_interval
from picme.report.theme import DARK, template
from picme.report.words import combination_text, strategy_text, task_title

if TYPE_CHECKING:
    import polars as pl

    from picme.compare import Comparison, Opened
    from picme.evaluate.between import Pairing
    from picme.report.facts import Row


def page(comparison: Comparison) -> str:
    """Return the comparison as HTML that needs no other file."""
    blocks = {
        "tests": _tests(comparison),
        "scores": _scores(comparison),
        "settings": _settings("settings", "Settings that differ", comparison.settings, comparison.runs),
        "made": _settings("made", "Versions, machine and data that differ", comparison.made, comparison.runs),
    }
    tables = [block for block in blocks.values() if block is not None]
    context = {
        "runs": [(run.name, run.tree.get("name"), _when(run.info.get("finished"))) for run in comparison.runs],
        "sentences": [sentence for pairing in comparison.pairings for sentence in _sentences(pairing)],
        "unpaired": [
            (pairing.run_b, task_title(pairing.task), pairing.reason)
            for pairing in comparison.pairings
            if pairing.reason
        ],
        **blocks,
        "payload": embedded(
            {
                "plates": {},
                "tables": {block.key: block.payload() for block in tables},
                "themes": {"light": template(), "dark": template(dark=True)},
                "dark": DARK,
            }
        ),
        "style": asset("report.css"),
        "script": asset("report.js"),
    }
    return environment().get_template("compare.html.j2").render(context)


def _when(time: str | None) -> str | None:
    """Return a time of `run.json`, which is exact to the second, as day and minute."""
    return time[:16].replace("T", " ") if time else None


def _sentences(pairing: Pairing) -> list[Markup]:
    """Say how many cells differ beyond chance, and how the chosen cell changed."""
    rows = [row for row in pairing.rows if row["metric"] == "auroc" and not missing(row["difference"])]
    cells = [row for row in rows if row["family"] != CHOSEN and not missing(row["p_adjusted"])]
    found = []
    if cells:
        clear = [row for row in cells if row["p_adjusted"] < 0.05]
        better = sum(row["difference"] > 0 for row in clear)
        found.append(
            say(
                "{task}: on the {stays} test stays that both have, {b} scores higher than {a} in {better} and lower in"
                " {worse} of {n} cells beyond chance (AUROC, p < 0.05 after Holm’s correction).",
                task=task_title(pairing.task),
                stays=count(pairing.common, "tests.stays"),
                b=pairing.run_b,
                a=pairing.run_a,
                better=count(better, "derived:tests"),
                worse=count(len(clear) - better, "derived:tests"),
                n=count(len(cells), "derived:tests"),
            )
        )
    found += [
        say(
            "The cell that {b} chose on validation ({cell_b}) differs from the one that {a} chose ({cell_a}) by"
            " {difference} points ({ends}).",
            b=pairing.run_b,
            a=pairing.run_a,
            cell_b=_cell(row, "b"),
            cell_a=_cell(row, "a"),
            difference=signed(row["difference"], "tests.difference"),
            ends=difference_interval(row, "tests"),
        )
        for row in rows
        if row["family"] == CHOSEN
    ]
    if pairing.conflicts:
        found.append(
            say(
                "{n} labels of common stays differ between the two and are left out.",
                n=count(pairing.conflicts, "derived:tests"),
            )
        )
    return found


def _cell(row: Row, side: str) -> str:
    return f"{combination_text(row[f'combination_{side}'])}, {strategy_text(row[f'strategy_{side}'])}"


def _tests(comparison: Comparison) -> DataTable | None:
    rows = comparison.tests
    if rows.is_empty():
        return None

    def value(name: str) -> Any:
        return lambda row: row[name]

    def cells(row: Row) -> str:
        first, second = _cell(row, "a"), _cell(row, "b")
        return first if first == second else f"{first} → {second}"

    columns = [
        Column("Task", lambda row: task_title(row["task"]), choose=True),
        Column("Study", lambda row: row["run_b"], choose=len(comparison.runs) > 2, hidden=len(comparison.runs) == 2),
        Column("Combination, strategy", cells),
        Column("Question", lambda row: row["family"], choose=True),
        Column("Metric", lambda row: row["metric"].upper(), choose=True, first=True),
        Column(
            comparison.runs[0].name,
            lambda row: percent(row["value_a"], "tests.value_a"),
            value("value_a"),
            numeric=True,
        ),
        Column(
            comparison.runs[1].name if len(comparison.runs) == 2 else "The other",
            lambda row: percent(row["value_b"], "tests.value_b"),
            value("value_b"),
            numeric=True,
        ),
        Column(
            "Difference, points",
            lambda row: signed(row["difference"], "tests.difference"),
            value("difference"),
            numeric=True,
        ),
        Column(
            f"{level(comparison.confidence)} interval",
            lambda row: difference_interval(row, "tests"),
            value("low"),
            numeric=True,
        ),
        Column(
            "p (Holm)", lambda row: p_value(row["p_adjusted"], "tests.p_adjusted"), value("p_adjusted"), numeric=True
        ),
        Column("Stays", lambda row: count(row["stays"], "tests.stays"), value("stays"), numeric=True),
    ]
    reading = Markup(
        "Means over seeds of single models on the test stays that both studies have; the other study minus the first."
        " Intervals and p-values rest on paired resamples of subjects and on how much seeds differ; p-values are"
        " corrected within each task, question and metric."
    )
    return DataTable(
        "tests",
        "Paired differences",
        columns,
        rows,
        reading,
        mark=lambda row: row["p_adjusted"] is not None and row["p_adjusted"] < 0.05,
        tall=True,
        search=True,
    )


def _scores(comparison: Comparison) -> DataTable | None:
    rows = comparison.scores
    if rows.is_empty():
        return None
    columns = [
        *cell_columns(),
    ]
    for metric in ("auroc", "auprc"):
        columns += [_score(metric, run) for run in comparison.runs]
    return DataTable(
        "scores",
        "Scores side by side",
        columns,
        rows,
        Markup(
            "Mean ± standard deviation over each study’s seeds, in percent, on its own test stays. ★: chosen on"
            " validation."
        ),
        mark=lambda row: any(row[f"selected [{run.name}]"] for run in comparison.runs),
        tall=True,
        search=True,
    )


def _score(metric: str, run: Opened) -> Column:
    mean, std, chosen = (f"{part} [{run.name}]" for part in (f"{metric}_mean", f"{metric}_std", "selected"))

    def cell(row: Row) -> Markup:
        if missing(row[mean]):
            return MISSING
        shown = percent(row[mean], f"scores.{mean}", sign=False)
        if not missing(row[std]):
            shown = say("{mean}\u00a0±\u00a0{std}", mean=shown, std=percent(row[std], f"scores.{std}", sign=False))
        return say('{shown} <span class="star">★</span>', shown=shown) if row[chosen] else shown

    return Column(f"{metric.upper()}, {run.name}", cell, lambda row: row[mean], numeric=True)


def _settings(key: str, title: str, frame: pl.DataFrame, runs: list[Opened]) -> DataTable | None:
    if frame.is_empty():
        return None

    def cell(name: str) -> Any:
        return lambda row: MISSING if row[name] is None else row[name]

    columns = [Column("Key", lambda row: row["key"]), *(Column(run.name, cell(run.name)) for run in runs)]
    return DataTable(key, title, columns, frame, tall=True)
