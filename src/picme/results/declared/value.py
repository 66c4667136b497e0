"""Result tables about what each modality is worth."""

from __future__ import annotations

from picme.results.columns import MODALITY, NUMBER, STRATEGY, TASK, TEXT, bounds, no_interval
from picme.results.table import Column, Table

METRIC = Column("metric", TEXT, "The metric, the mean over the seeds' single models: `auroc` or `auprc`.")
SOURCE = Column(
    "source",
    TEXT,
    "Whose predictions tell it: models `dedicated` to each subset of the modalities, or one `shared` by all subsets.",
)

VALUE = Table(
    "value",
    "One row is what a modality is worth to a strategy, among the test stays that have every modality.",
    (
        TASK,
        STRATEGY,
        METRIC,
        Column(
            "quantity",
            TEXT,
            "What is told: `alone` is the metric of the modality by itself above that of none, `added` that of all "
            "modalities above all but this one, `shapley` what it adds on average over all orders.",
        ),
        MODALITY,
        Column("value", NUMBER, "The quantity.", "fraction"),
        *bounds("", "the quantity, over subjects and seeds", "fraction"),
        Column(
            "verdict",
            TEXT,
            "The judgement: `adds` where the interval lies above 0, `nothing measurable` where it holds 0 and its "
            "upper end is under `evaluate.margin`, else `undecided`.",
        ),
        Column("at_most", NUMBER, "The upper end of the interval, where nothing measurable is added.", "fraction"),
        SOURCE,
        no_interval("", "the quantity"),
    ),
)
INTERACTIONS = Table(
    "interactions",
    "One row is the Shapley interaction index of two modalities, among the test stays that have every modality.",
    (
        TASK,
        STRATEGY,
        METRIC,
        Column("modality_a", TEXT, "The first modality."),
        Column("modality_b", TEXT, "The second modality."),
        Column(
            "value",
            NUMBER,
            "What the two add together above what each adds alone: above 0 they complement one another (synergy), "
            "below 0 they repeat one another (redundancy).",
            "fraction",
        ),
        *bounds("", "the index, over subjects and seeds", "fraction"),
        SOURCE,
        no_interval("", "the index"),
    ),
)
LATTICE = Table(
    "lattice",
    "One row is a subset of the modalities, or one modality added to it, among the test stays that have every one.",
    (
        TASK,
        STRATEGY,
        METRIC,
        Column("combination", TEXT, "The modalities of the subset joined by `+`; empty for none."),
        Column("added", TEXT, "The modality that is added; null for the subset itself."),
        Column("value", NUMBER, "The metric of the subset, or what the modality adds to it.", "fraction"),
        *bounds("", "the value, over subjects and seeds", "fraction"),
        SOURCE,
        no_interval("", "the value"),
    ),
)

TABLES = (VALUE, INTERACTIONS, LATTICE)
