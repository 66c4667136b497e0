"""Result tables about what each modality is worth."""

from __future__ import annotations

from picme.results.columns import COMBINATION, FLAG, MODALITY, NUMBER, STRATEGY, TASK, TEXT, WHOLE, bounds, no_interval
from picme.results.table import Column, Table

METRIC = Column(
    "metric",
    TEXT,
    "The metric, the mean over the seeds' single models: `auroc`, `auprc`, or the net benefit at a threshold of the "
    "calibrated probability, such as `net_benefit_0.1`.",
)
SOURCE = Column(
    "source",
    TEXT,
    "Whose predictions tell it: models `dedicated` to each subset of the modalities, or one `shared` by all subsets.",
)
STAYS = Column(
    "stays",
    TEXT,
    "Which stays it is told of: `complete` are those that have every modality, `all` those that have at least one, "
    "of which each subset is read as far as it is there.",
)
# What a net benefit per stay is, times 100.
_PER_STAY = "true positives that it finds per 100 stays, at the same number of false ones"
_PER_ACQUIRED = f"the {_PER_STAY.replace('100 stays', '100 stays for which it is acquired')}"

VALUE = Table(
    "value",
    "One row is what a modality is worth to a strategy.",
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
        STAYS,
        no_interval("", "the quantity"),
    ),
)
INTERACTIONS = Table(
    "interactions",
    "One row is the Shapley interaction index of two modalities.",
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
            "below 0 they are worth less together, as modalities that repeat one another are, and in AUROC to some "
            "points also independent ones, since it flattens near its top.",
            "fraction",
        ),
        *bounds("", "the index, over subjects and seeds", "fraction"),
        SOURCE,
        STAYS,
        no_interval("", "the index"),
    ),
)
LATTICE = Table(
    "lattice",
    "One row is a subset of the modalities, or one modality added to it.",
    (
        TASK,
        STRATEGY,
        METRIC,
        Column("combination", TEXT, "The modalities of the subset joined by `+`; empty for none."),
        Column("added", TEXT, "The modality that is added; null for the subset itself."),
        Column("value", NUMBER, "The metric of the subset, or what the modality adds to it.", "fraction"),
        *bounds("", "the value, over subjects and seeds", "fraction"),
        Column(
            "cost",
            NUMBER,
            "What the modalities of the subset cost together, or what the added one costs, by `modalities.NAME.cost`.",
        ),
        Column(
            "front",
            FLAG,
            "True where no subset that costs as much or less is better on validation; null where a modality is added.",
        ),
        SOURCE,
        STAYS,
        no_interval("", "the value"),
    ),
)
SUFFICIENT = Table(
    "sufficient",
    "One row is the combination that is enough, as validation stays choose it and test stays confirm it.",
    (
        TASK,
        STRATEGY,
        METRIC,
        Column(
            "margin", NUMBER, "By how much a combination may be worse than the best: `evaluate.margin`.", "fraction"
        ),
        Column(
            "combination",
            TEXT,
            "The smallest, then cheapest combination that validation shows not to be worse than any other by more than "
            "the margin; all modalities where each is needed; null where validation cannot tell.",
        ),
        Column("difference", NUMBER, "Its metric on test above that of the column `against`.", "fraction"),
        *bounds("", "the difference, over subjects and seeds", "fraction"),
        Column("n_val", WHOLE, "The number of validation stays that chose it.", "stays"),
        Column(
            "events_val",
            WHOLE,
            "The number of these with the outcome; of several labels, of the one that has the fewest.",
            "stays",
        ),
        Column("n_test", WHOLE, "The number of test stays that judged it.", "stays"),
        Column("events_test", WHOLE, "The number of these with the outcome, counted as for validation.", "stays"),
        Column("best", TEXT, "The combination with the best metric on validation."),
        Column(
            "against",
            TEXT,
            "The combination that test compares it with: `best`, or the best of the others where it is that itself.",
        ),
        Column("confirmed", FLAG, "True if the interval on test lies above the margin's loss; null without a choice."),
        Column(
            "needed",
            WHOLE,
            "The number of validation stays that would tell if the estimates stayed as they are, by the square root "
            "law; null where one is named, there is no interval, or it takes more seeds.",
            "stays",
        ),
        Column(
            "none_needed",
            FLAG,
            "True where no combination is better than no modality by more than the margin, so that none is named.",
        ),
        Column(
            "needs_seeds",
            FLAG,
            "True where no number of stays would tell, as the models differ by too much from seed to seed.",
        ),
        Column("cost", NUMBER, "What the combination's modalities cost together."),
        SOURCE,
        STAYS,
        no_interval("", "the difference"),
    ),
)
ACQUISITION = Table(
    "acquisition",
    "One row is a step of the order in which modalities are worth having: first the one that gains most per cost.",
    (
        TASK,
        STRATEGY,
        METRIC,
        Column("step", WHOLE, "The step, counted from 1."),
        Column("added", TEXT, "The modality that is added, the one that gains most per cost on validation."),
        COMBINATION,
        Column("cost", NUMBER, "What the combination's modalities cost together."),
        Column("value", NUMBER, "The metric of the combination on test.", "fraction"),
        Column("gain", NUMBER, "What the added modality gains on test.", "fraction"),
        *bounds("", "the gain, over subjects and seeds", "fraction"),
        Column("per_cost", NUMBER, "The gain by the modality's cost; null where it costs nothing."),
        Column("stop", FLAG, "True where from this step on no modality adds: no gain's interval lies above 0."),
        Column("per_100_stays", NUMBER, f"Of net benefit, the {_PER_STAY}.", "stays"),
        *bounds("per_100_stays_", "the true positives per 100 stays", "stays"),
        Column("per_100_acquired", NUMBER, f"Of net benefit, {_PER_ACQUIRED}.", "stays"),
        *bounds("per_100_acquired_", "the true positives per 100 stays for which it is acquired", "stays"),
        SOURCE,
        STAYS,
        no_interval("", "the gain"),
    ),
)

TABLES = (VALUE, INTERACTIONS, LATTICE, SUFFICIENT, ACQUISITION)
