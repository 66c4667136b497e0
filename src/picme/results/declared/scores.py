"""Result tables of scores: predictions, their metrics, and the differences that are tested."""

from __future__ import annotations

from picme.results.columns import (
    CELL,
    COMBINATION,
    FLAG,
    NUMBER,
    SEED,
    STRATEGY,
    TASK,
    TEST_AUPRC,
    TEST_AUROC,
    TEXT,
    WHOLE,
    bounds,
    no_interval,
)
from picme.results.table import Column, Table

EVALUATED = Column("split", TEXT, "The split of the stays: `val` or `test`.")


def _over_seeds(metric: str) -> tuple[Column, Column]:
    name = metric.lower()
    return (
        Column(f"{name}_mean", NUMBER, f"The mean over the seeds of the {metric} on test stays.", "fraction"),
        Column(f"{name}_std", NUMBER, "The standard deviation over the seeds, null for a single seed.", "fraction"),
    )


def _ensemble(metric: str) -> tuple[Column, ...]:
    name = f"ensemble_{metric.lower()}"
    return (
        Column(name, NUMBER, f"The {metric} on test stays of the prediction averaged over the seeds.", "fraction"),
        *bounds(f"{name}_", f"`{name}`", "fraction"),
    )


PREDICTIONS = Table(
    "predictions",
    "One row is what one fine-tuning predicts for a label of a stay.",
    (
        *CELL,
        SEED,
        EVALUATED,
        Column("stay_id", None, "The identifier of the stay: text for own tables, else with the source's type."),
        Column("label", TEXT, "The label column of the task."),
        Column("target", NUMBER, "The true label, 1 or 0; null where it is not known."),
        Column("probability", NUMBER, "The predicted probability of the label, not calibrated.", "fraction"),
    ),
    per_stay=True,
)
SCORES = Table(
    "scores",
    "One row scores one fine-tuning on a label and split.",
    (
        *CELL,
        SEED,
        EVALUATED,
        Column("label", TEXT, "The label; for several also `macro`, their mean, and `micro`, all of them pooled."),
        Column("auroc", NUMBER, "The area under the ROC curve; guessing gives 0.5.", "fraction"),
        Column("auprc", NUMBER, "The area under precision against recall; guessing gives the prevalence.", "fraction"),
        Column("n", WHOLE, "The number of stays with a known label; of stays and labels for `macro` and `micro`."),
        Column("positives", WHOLE, "The number of those for which the label is true."),
    ),
)


def _tested(prefix: str, what: str) -> tuple[Column, ...]:
    """Declare the columns of a test of two cells' difference."""
    return (
        Column(f"{prefix}difference", NUMBER, f"The first cell's metric minus the second's, {what}.", "fraction"),
        *bounds(prefix, "that difference", "fraction"),
        Column(f"{prefix}p_value", NUMBER, "The two-sided p-value of the t test of the interval."),
        Column(f"{prefix}p_adjusted", NUMBER, "The p-value after Holm's correction within family, task and metric."),
    )


SUMMARY = Table(
    "summary",
    "One row is the result of a combination and strategy on a task, over all seeds.",
    (
        *CELL,
        Column("n_seeds", WHOLE, "The number of seeds.", "seeds"),
        *_over_seeds("AUROC"),
        *_over_seeds("AUPRC"),
        *_ensemble("AUROC"),
        *_ensemble("AUPRC"),
        Column(
            "selected", FLAG, "True for the chosen cell: the simplest of the tied ones, with the fewest modalities."
        ),
        Column("validation_auroc", NUMBER, "The AUROC on validation stays, on which the selection rests.", "fraction"),
        Column("validation_auprc", NUMBER, "The AUPRC on validation stays.", "fraction"),
        no_interval("ensemble_auroc_", "`ensemble_auroc`"),
        no_interval("ensemble_auprc_", "`ensemble_auprc`"),
        Column("tied", FLAG, "True if it cannot be told apart from the cell best on validation; null if never chosen."),
        Column("best_share", NUMBER, "The share of resamples of validation subjects in which it is best.", "fraction"),
    ),
)
COMPARISONS = Table(
    "comparisons",
    "One row tests the difference of two cells on the same test stays.",
    (
        TASK,
        Column("combination_a", TEXT, "The combination of the first cell."),
        Column("strategy_a", TEXT, "The strategy of the first cell."),
        Column("combination_b", TEXT, "The combination of the second cell."),
        Column("strategy_b", TEXT, "The strategy of the second cell."),
        Column("metric", TEXT, "The metric: `auroc` or `auprc`."),
        *_tested("", "of single models: of the means over seeds"),
        Column("family", TEXT, "The question that the test belongs to, such as `contrastive vs random`."),
        no_interval("", "the difference"),
        *_tested("ensemble_", "of ensembles: of the predictions averaged over seeds"),
        no_interval("ensemble_", "that difference"),
    ),
)
PHENOTYPE_TYPES = Table(
    "phenotype_types",
    "One row is the score of a combination and strategy on all labels of a type.",
    (
        COMBINATION,
        STRATEGY,
        Column("type", TEXT, "The type of the labels: `acute`, `chronic` or `mixed`."),
        Column(
            "auroc_mean", NUMBER, "The mean AUROC of the type's labels on test stays, averaged over seeds.", "fraction"
        ),
        Column("auroc_std", NUMBER, "The standard deviation over the seeds, null for a single seed.", "fraction"),
    ),
)
LABEL_EFFICIENCY = Table(
    "label_efficiency",
    "One row scores a fine-tuning with a share of the training labels; made with `finetune.label_efficiency`.",
    (
        *CELL,
        Column("share", NUMBER, "The share of the training labels that was used; 1 is all of them.", "fraction"),
        SEED,
        TEST_AUROC,
        TEST_AUPRC,
    ),
)
GATE_ORDERS = Table(
    "gate_orders",
    "One row scores a fine-tuning with an order of the gate's steps; made with `finetune.orders`.",
    (
        *CELL,
        Column(
            "order", TEXT, "The modalities in the order of the steps, joined by `>`; empty is the configured order."
        ),
        SEED,
        TEST_AUROC,
        TEST_AUPRC,
    ),
)

TABLES = (PREDICTIONS, SCORES, SUMMARY, COMPARISONS, PHENOTYPE_TYPES, LABEL_EFFICIENCY, GATE_ORDERS)
