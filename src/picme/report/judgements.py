"""Tables that judge a result: calibration errors, thresholds, fairness, agreement of attributions, robustness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Column, DataTable
from picme.report.facts import answers, confidence, frame
from picme.report.figures.missing import METRICS, comparable, trained_text
from picme.report.figures.subgroups import subgroup_rows
from picme.report.figures.weights import method_text
from picme.report.numbers import MISSING, count, interval, level, number, percent, say
from picme.report.results import cell_columns, field
from picme.report.words import combination_text, strategy_text, task_title

if TYPE_CHECKING:
    from picme.report.facts import Row, Tables


def calibration_errors(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List Brier score and expected calibration error of every cell."""
    rows = frame(tables, "calibration").unique(["task", "combination", "strategy"], keep="first", maintain_order=True)
    rows = rows.select(
        "task",
        "combination",
        "strategy",
        "brier",
        "ece",
        "slope",
        "intercept",
        "brier_recalibrated",
        "ece_recalibrated",
    )
    if rows.is_empty():
        return None
    columns = [
        *cell_columns(),
        Column("Brier score", lambda row: number(row["brier"], "calibration.brier", 3), field("brier"), numeric=True),
        Column("ECE, %", lambda row: percent(row["ece"], "calibration.ece", sign=False), field("ece"), numeric=True),
    ]
    if rows["ece_recalibrated"].is_not_null().any():
        columns += [_after("ece_recalibrated", "ECE recalibrated, %", 1, 100)]
        columns += [_after("slope", "Slope", 2), _after("intercept", "Intercept", 2)]
    reading = Markup(
        "Smaller is better for both: the Brier score is the mean squared error of the risk, ECE its mean gap by bins."
    )
    return DataTable("calibration-errors", "Calibration errors", columns, rows, reading, tall=True, search=True)


def _after(name: str, title: str, digits: int, scale: float = 1) -> Column:
    source = f"calibration.{name}"
    return Column(title, lambda row: number(row[name], source, digits, scale=scale), field(name), numeric=True)


def thresholds(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List what a decision at a threshold would mean, for the cell chosen for each task."""
    rows = of_chosen(frame(tables, "thresholds"), tables, config)
    if rows.is_empty():
        return None

    def share(name: str, title: str) -> Column:
        def cell(row: Row) -> Markup:
            value = percent(row[name], f"thresholds.{name}", sign=False)
            low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
            return (
                value if low is None or high is None else _with_ends(value, interval(low, high, f"thresholds.{name}"))
            )

        return Column(title, cell, field(name), numeric=True)

    columns = [
        Column("Task", lambda row: task_title(row["task"] or ""), choose=True),
        Column("Label", lambda row: row["label"] or ""),
        Column("Rule", lambda row: (row["rule"] or "").replace("_", " "), choose=True, first=True),
        share("threshold", "Threshold, %"),
        share("sensitivity", "Sensitivity, %"),
        share("specificity", "Specificity, %"),
        share("ppv", "Positive predictive value, %"),
        share("npv", "Negative predictive value, %"),
        share("min_sensitivity_ppv", "Lesser of sensitivity and PPV, %"),
    ]
    reading = say(
        "The combination and strategy chosen for each task. Thresholds are set by the rule named, as the"
        " median over resamples of the validation subjects; the other columns are measured on test stays, with their"
        " {level} intervals at that threshold.",
        level=level(confidence(config)),
    )
    return DataTable("thresholds", "Decisions at a threshold", columns, rows, reading, tall=True, search=True)


def of_chosen(rows: pl.DataFrame, tables: Tables, config: dict[str, Any]) -> pl.DataFrame:
    """Return the rows of the cell chosen for each task."""
    chosen = [item.best for item in answers(tables, config)]
    names = ("task", "combination", "strategy")
    keys = pl.DataFrame([{name: row[name] for name in names} for row in chosen], schema=dict.fromkeys(names, pl.String))
    return rows.join(keys, on=names, how="semi", maintain_order="left")


def _with_ends(value: Markup, ends: Markup) -> Markup:
    return say('{value} <span class="interval">({ends})</span>', value=value, ends=ends)


def group_calibration(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List observed outcomes for each expected one by group, for the cell chosen for each task."""
    rows = of_chosen(subgroup_rows(tables), tables, config).filter(pl.col("observed_expected").is_not_null())
    if rows.is_empty():
        return None

    def ratio(row: Row) -> Markup:
        name = "observed_expected"
        value = number(row[name], f"subgroups.{name}")
        ends = [number(row[f"{name}_{end}"], f"subgroups.{name}_{end}") for end in ("low", "high")]
        return value if row[f"{name}_low"] is None else _with_ends(value, Markup("–").join(ends))

    columns = [
        Column("Task", lambda row: task_title(row["task"] or ""), choose=True),
        Column("Attribute", lambda row: (row["attribute"] or "").replace("_", " "), choose=True),
        Column("Group", lambda row: (row["group"] or "").replace("_", " ")),
        Column("Stays", lambda row: count(row["n_stays"], "subgroups.n_stays"), field("n_stays"), numeric=True),
        Column("Observed to expected", ratio, field("observed_expected"), numeric=True),
    ]
    reading = say(
        "Outcomes observed for each one that the chosen prediction expects, once it is recalibrated on all validation"
        " stays: above one, risks are too low for the group. Intervals are of {level}; where one is within, risks may"
        " fit.",
        level=level(confidence(config)),
    )
    return DataTable("group-calibration", "Do risks fit the groups?", columns, rows, reading, tall=True, search=True)


def fairness(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List differences in decisions between groups, for the cell chosen for each task."""
    rows = frame(tables, "fairness").filter(pl.col("value").is_not_null())
    if rows.is_empty():
        return None
    columns = [
        Column("Task", lambda row: task_title(row["task"] or ""), choose=True),
        Column("Attribute", lambda row: (row["attribute"] or "").replace("_", " ")),
        Column("Measure", lambda row: (row["metric"] or "").replace("_", " "), choose=True),
        Column("Largest difference, points", lambda row: _points(row["value"]), field("value"), numeric=True),
        Column("Groups compared", lambda row: count(row["groups"], "fairness.groups"), field("groups"), numeric=True),
        Column("Labels averaged", lambda row: count(row["labels"], "fairness.labels"), field("labels"), numeric=True),
    ]
    reading = Markup(
        "How far decisions at the threshold of Youden’s rule differ between the groups that are treated most"
        " differently; zero is the same for all. Small groups make large differences by chance."
    )
    return DataTable("fairness", "Decisions by group", columns, rows, reading, tall=True, search=rows.height > 8)


def _points(value: float | None) -> Markup:
    return number(value, "fairness.value", 1, scale=100)


def agreement(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List how far the methods of attribution put the modalities in the same order."""
    rows = frame(tables, "agreement").filter(pl.col("tau").is_not_null())
    if rows.is_empty():
        return None
    columns = [
        *cell_columns(),
        Column("First method", lambda row: method_text(row["method_a"])),
        Column("Second method", lambda row: method_text(row["method_b"])),
        Column("Kendall’s τ", lambda row: number(row["tau"], "agreement.tau"), field("tau"), numeric=True),
        Column(
            "Modalities",
            lambda row: count(row["modalities"], "agreement.modalities"),
            field("modalities"),
            numeric=True,
        ),
    ]
    reading = Markup(
        "Rank correlation of two methods over the modalities of a combination: one where they agree on the order,"
        " minus one where they reverse it. With so few modalities only the extremes mean anything."
    )
    return DataTable("agreement", "Do the methods agree?", columns, rows, reading, tall=True, search=True)


# Columns of the table `robustness` by mechanism.
AREAS = {"area": "mcar", "area_mar": "mar", "area_mnar": "mnar"}


def robustness(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List how well each strategy bears that modalities are missing: its worst subset, and its means over the rates."""
    measures = {"worst": "Worst subset", **{name: f"Mean under {kind.upper()}" for name, kind in AREAS.items()}}
    measures["more_is_worse"] = "More is worse"
    rows = frame(tables, "robustness").filter(
        pl.any_horizontal(pl.col(name).is_not_null() for name in measures) & pl.col("metric").is_in([*METRICS])
    )
    if rows.is_empty():
        return None
    columns = [
        Column("Task", lambda row: task_title(row["task"] or ""), choose=True, first=True),
        Column("Metric", lambda row: METRICS[row["metric"]].title, choose=True, first=True),
        Column("Strategy", lambda row: strategy_text(row["strategy"]), choose=True),
        Column("Trained on", lambda row: trained_text(row["trained_on"])),
        *[_measured(name, title) for name, title in measures.items() if rows[name].is_not_null().any()],
    ]
    best = [
        _most_robust(rows.filter(pl.col("task") == task), config) for task in rows["task"].unique(maintain_order=True)
    ]
    reading = say(
        "{best}The worst subset is the one of all subsets of the modalities on which a strategy scores worst; the means"
        " are over the rates from nothing withheld to the greatest; “more is worse” is the share of steps to one"
        " modality more that make it worse.",
        best=Markup("").join(best),
    )
    return DataTable("robustness", "Robustness to missing modalities", columns, rows, reading, tall=True, search=True)


def _measured(name: str, title: str) -> Column:
    """Return the column of a measure: its value with its interval, of the worst subset also which it is."""

    def cell(row: Row) -> Markup:
        if row[name] is None:
            return MISSING
        about = METRICS["auroc" if name == "more_is_worse" else row["metric"]]
        value = about.number(row[name], f"robustness.{name}")
        low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
        if low is not None and high is not None:
            value = say(
                '{value} <span class="interval">({low}–{high})</span>',
                value=value,
                low=about.number(low, f"robustness.{name}_low", sign=False),
                high=about.number(high, f"robustness.{name}_high", sign=False),
            )
        if name != "worst":
            return value
        return say(
            '{value}<br><span class="quiet">{subset}</span>',
            value=value,
            subset=combination_text(row["worst_subset"]),
        )

    return Column(title, cell, lambda row: row[name], numeric=True)


def _most_robust(rows: pl.DataFrame, config: dict[str, Any]) -> Markup:
    """Say which strategy has the highest AUROC on its worst subset, of those that may be chosen."""
    worst = rows.filter(pl.col("worst").is_not_null() & (pl.col("metric") == "auroc")).to_dicts()
    if not worst:
        return Markup("")
    row = max(comparable(worst, config), key=lambda row: row["worst"])
    return say(
        "For {task}, {strategy} trained on {trained_on} has the highest AUROC on a worst subset, {value} on {subset}. ",
        task=(row["task"] or "").replace("_", " "),
        strategy=strategy_text(row["strategy"]),
        trained_on=trained_text(row["trained_on"]),
        value=percent(row["worst"], "robustness.worst"),
        subset=combination_text(row["worst_subset"]),
    )
