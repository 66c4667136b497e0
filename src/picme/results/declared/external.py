"""Tables of an external validation; they are in its own folder, not in that of the run."""

from __future__ import annotations

from picme.results.columns import CELL, FLAG, MODALITY, NUMBER, STRATEGY, TASK, TEXT, WHOLE, bounds, no_interval
from picme.results.table import Column, Table

METRIC = Column("metric", TEXT, "The metric: `auroc` or `auprc`.")
VARIABLE = Column("variable", TEXT, "The variable, as the run's models call it.")

EXTERNAL = Table(
    "external",
    "One row is a metric of a cell on the other source's stays, beside that on the run's own test stays.",
    (
        *CELL,
        Column(
            "metric",
            TEXT,
            "The metric of the prediction averaged over seeds: `auroc`, `auprc`, and of calibrated probabilities "
            "`brier`, `calibration_intercept` (right at 0) and `calibration_slope` (right at 1).",
        ),
        Column(
            "recalibration",
            TEXT,
            "What was fitted again on stays of the other source: `none`, the `intercept`, or `both` it and the slope.",
        ),
        Column("n_local", WHOLE, "The number of its stays on which that was fitted; the remaining ones judge."),
        Column(
            "value",
            NUMBER,
            "The metric there; where something was fitted, the mean over draws of the local stays, or the calibration "
            "of all draws together. After a fit of the intercept alone the slope is as it was, and is not told.",
        ),
        *bounds("", "`value`", ""),
        no_interval("", "`value`"),
        Column("n", WHOLE, "The number of stays that judge; a mean over draws where something was fitted."),
        Column("positives", WHOLE, "The number of true labels among them, over all labels of the task."),
        Column("fitted", NUMBER, "The share of draws and labels in which the local stays allowed a fit.", "fraction"),
        Column("internal", NUMBER, "The metric on the run's own test stays, as its models were calibrated."),
        *bounds("internal_", "`internal`", ""),
        Column("difference", NUMBER, "The column `value` minus `internal`."),
        *bounds("difference_", "`difference`", "", " The two groups of stays are independent."),
        Column("selected", FLAG, "True for the cell that the run chose on its own validation stays."),
    ),
)
VARIABLES = Table(
    "external_variables",
    "One row says where a variable of the run comes from in the other source.",
    (
        TASK,
        MODALITY,
        VARIABLE,
        Column("status", TEXT, "What became of it: `read`, `converted`, or `absent` where no judged stay has it."),
        Column("source_modality", TEXT, "The other source's modality that has it; null if it is absent."),
        Column("source_variable", TEXT, "Its name there; null if it is absent."),
        Column("conversion", TEXT, "What was done to its values; null if nothing was."),
        Column("stays", WHOLE, "The number of judged stays in which it is known."),
        Column("stays_total", WHOLE, "The number of stays that are judged."),
    ),
)
STAYS = Table(
    "external_stays",
    "One row counts stays of the other source by what became of them; those of a task add up to all that it has.",
    (
        TASK,
        Column("place", TEXT, "What became of them: `judged`, or why they are not."),
        Column("stays", WHOLE, "The number of stays."),
    ),
)
SHIFT = Table(
    "shift",
    "One row compares a variable between the run's training stays and the other source's stays.",
    (
        TASK,
        MODALITY,
        VARIABLE,
        Column("category", TEXT, "The category whose share is compared; null for a number."),
        Column("run", NUMBER, "The mean, or the share, among the training stays."),
        Column("run_std", NUMBER, "The standard deviation among them; null for a share."),
        Column("there", NUMBER, "The mean, or the share, among the other source's stays."),
        Column("there_std", NUMBER, "The standard deviation among them; null for a share."),
        Column("smd", NUMBER, "The standardised difference: there minus run, over the root of the mean variance."),
        Column("run_known", WHOLE, "The number of training stays in which the variable is known."),
        Column("there_known", WHOLE, "The number of the other source's stays in which it is known."),
    ),
)
SHIFT_PRESENCE = Table(
    "shift_presence",
    "One row compares how many stays have a modality.",
    (
        TASK,
        MODALITY,
        Column("run", NUMBER, "The share of the training stays that have it.", "fraction"),
        *bounds("run_", "that share", "fraction"),
        Column("there", NUMBER, "The share of the other source's stays that have it.", "fraction"),
        *bounds("there_", "that share", "fraction"),
        Column("difference", NUMBER, "The column `there` minus `run`.", "fraction"),
        *bounds("difference_", "`difference`", "fraction"),
    ),
)
SHIFT_CLASSIFIER = Table(
    "shift_classifier",
    "One row says how well a classifier tells from a stay which of the two sources it is of.",
    (
        TASK,
        Column("modality", TEXT, "The modality that it reads; null for all, with which of them a stay has."),
        Column(
            "auroc", NUMBER, "Its AUROC on stays of subjects that it was not fitted to; 0.5 is no shift.", "fraction"
        ),
        *bounds("", "`auroc`", "fraction"),
        no_interval("", "`auroc`"),
        Column("n_run", WHOLE, "The number of training stays."),
        Column("n_there", WHOLE, "The number of the other source's stays."),
    ),
)
EXTERNAL_VALUE = Table(
    "external_value",
    "One row says what a modality is worth in the other source, beside what it is worth in the run.",
    (
        TASK,
        STRATEGY,
        METRIC,
        Column("quantity", TEXT, "The quantity: `alone`, `added` (to all others) or `shapley`."),
        MODALITY,
        Column("value", NUMBER, "The quantity among the other source's stays that have every modality.", "fraction"),
        *bounds("", "`value`", "fraction"),
        no_interval("", "`value`"),
        Column("verdict", TEXT, "What follows: `adds`, `nothing measurable` or `undecided`."),
        Column("at_most", NUMBER, "The upper bound where nothing is measurable.", "fraction"),
        Column("internal", NUMBER, "The same in the run; see the table `value`.", "fraction"),
        Column("internal_verdict", TEXT, "What followed there."),
        Column("difference", NUMBER, "The column `value` minus `internal`.", "fraction"),
        *bounds("difference_", "`difference`", "fraction"),
    ),
)
EXTERNAL_SUFFICIENT = Table(
    "external_sufficient",
    "One row says whether the combination that is enough in the run is enough in the other source.",
    (
        TASK,
        STRATEGY,
        METRIC,
        Column("margin", NUMBER, "By how much a combination may be worse than the best.", "fraction"),
        Column("combination", TEXT, "The combination that is enough in the run; null if undecided or none is needed."),
        Column(
            "none_needed", FLAG, "True where in the run no combination is better than none by more than the margin."
        ),
        Column("best", TEXT, "The combination that is best in the run."),
        Column("against", TEXT, "The one that it is compared with: `best`, or the next best where it is that itself."),
        Column("difference", NUMBER, "In the other source, its metric above that of the column `against`.", "fraction"),
        *bounds("", "`difference`", "fraction"),
        no_interval("", "`difference`"),
        Column("confirmed", FLAG, "True if it is not worse by more than the margin there; null if that is not known."),
        Column(
            "there",
            TEXT,
            "The combination that is enough by the other source's stays alone; null if undecided or none is needed.",
        ),
        Column("there_none_needed", FLAG, "True where none is needed by the other source's stays alone."),
        Column("needed", WHOLE, "About how many stays there would decide it; null if it is decided, or none would."),
        Column("n", WHOLE, "The number of its stays that have every modality."),
        Column("events", WHOLE, "The number of true labels among them, of the label with the fewest."),
    ),
)

TABLES = (
    EXTERNAL,
    VARIABLES,
    STAYS,
    SHIFT,
    SHIFT_PRESENCE,
    SHIFT_CLASSIFIER,
    EXTERNAL_VALUE,
    EXTERNAL_SUFFICIENT,
)
