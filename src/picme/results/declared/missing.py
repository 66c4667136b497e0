"""Result tables about modalities that are missing: the grid of what is withheld, and how robust strategies are."""

from __future__ import annotations

from picme.results.columns import NUMBER, STRATEGY, TASK, TEXT, WHOLE, bounds, no_interval
from picme.results.table import Column, Table

TRAINED_ON = Column(
    "trained_on",
    TEXT,
    "What the models were trained on: `all` stays as they are, the `complete` ones, all with a share of their "
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
            "What decides what a stay keeps: `natural` withholds nothing, `complete` nothing of the stays that have "
            "all, `subset` keeps the modalities of `subset` of these, `mcar` withholds at random, `mar` more often "
            "from stays that look less severely ill, `mnar` more often from stays without the outcome.",
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
            "The share of the stays' modalities that was withheld; below `rate`, since every stay keeps one.",
            "fraction",
        ),
    ),
)
ROBUSTNESS = Table(
    "robustness",
    "One row measures how well the models of all modalities bear that some are missing, from the table `missing`.",
    (
        TASK,
        STRATEGY,
        TRAINED_ON,
        METRIC,
        Column(
            "measure",
            TEXT,
            "The measure: `worst_subset`, the metric on the subset where it is worst; `area_mcar`, `area_mar` or "
            "`area_mnar`, the mean height of the curve of the metric from nothing withheld to the greatest rate; "
            "`more_is_worse`, the share of pairs of a subset and the same with one modality more where more is worse.",
        ),
        Column("subset", TEXT, "The subset of `worst_subset`."),
        Column("value", NUMBER, "The measure."),
        *bounds("", "the measure", ""),
        no_interval("", "the measure"),
    ),
)

TABLES = (MISSING, ROBUSTNESS)
