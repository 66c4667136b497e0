"""Result tables about modalities that are missing: the grid of what is withheld, and how robust strategies are."""

from __future__ import annotations

from picme.results.columns import NUMBER, STRATEGY, TASK, TEXT, WHOLE, bounds, no_interval
from picme.results.table import Column, Table

TRAINED_ON = Column(
    "trained_on",
    TEXT,
    "What the models were trained on: stays `as is`, the `complete` ones, all with a share of their "
    "modalities withheld at random (such as `0.2`), or `dedicated` where every subset has the model trained for it.",
)
METRIC = Column("metric", TEXT, "The metric of the seed-averaged prediction: `auroc`, `auprc`, `brier` or `ece`.")

MISSING = Table(
    "missing",
    "One row scores the models of all modalities on test stays of which some modalities are withheld; the same ones "
    "for every strategy.",
    (
        TASK,
        STRATEGY,
        TRAINED_ON,
        Column(
            "mechanism",
            TEXT,
            "What decides what a stay keeps: `natural` withholds nothing, `subset` keeps the modalities of `subset` of "
            "the stays that have every one, `mcar` withholds at random, `mar` more often from stays that look less "
            "severely ill, `mnar` more often from stays without the outcome.",
        ),
        Column("rate", NUMBER, "The share of modalities to withhold, of `mcar`, `mar` and `mnar`.", "fraction"),
        Column("subset", TEXT, "The modalities that are kept, joined by `+`, of `subset`."),
        METRIC,
        Column("value", NUMBER, "The metric on these stays; the mean over the labels, for Brier score and ECE of all."),
        *bounds("", "the metric", ""),
        no_interval("", "the metric"),
        Column("n", WHOLE, "The number of test stays.", "stays"),
        Column(
            "withheld",
            NUMBER,
            "The share of the stays' modalities that was withheld: less than `rate`, since every stay keeps one and "
            "`mar` spares the modality that tells severity.",
            "fraction",
        ),
    ),
)
_AREA = "The mean height of the metric's curve from nothing withheld to the greatest rate under"
ROBUSTNESS = Table(
    "robustness",
    "One row measures how well the models of all modalities bear that some are missing, from the table `missing`.",
    (
        TASK,
        STRATEGY,
        TRAINED_ON,
        METRIC,
        Column("worst_subset", TEXT, "The subset of the modalities on which the metric is worst."),
        Column("worst", NUMBER, "The metric on that subset."),
        *bounds("worst_", "the metric on the worst subset", ""),
        *(
            column
            for name, mechanism in (("area", "mcar"), ("area_mar", "mar"), ("area_mnar", "mnar"))
            for column in (
                Column(name, NUMBER, f"{_AREA} `{mechanism}`."),
                *bounds(f"{name}_", f"`{name}`", ""),
            )
        ),
        Column(
            "more_is_worse",
            NUMBER,
            "The share of pairs of a subset and the same with one modality more where more is worse.",
            "fraction",
        ),
        no_interval("worst_", "the metric on the worst subset"),
        *(no_interval(f"{name}_", f"`{name}`") for name in ("area", "area_mar", "area_mnar")),
    ),
)

TABLES = (MISSING, ROBUSTNESS)
