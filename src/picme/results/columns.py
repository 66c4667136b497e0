"""Columns that several result tables share, declared once."""

from __future__ import annotations

import polars as pl

from picme.results.table import Column

TEXT, WHOLE, NUMBER, FLAG = pl.String, pl.Int64, pl.Float64, pl.Boolean

TASK = Column("task", TEXT, "The task, as the configuration names it.")
COMBINATION = Column("combination", TEXT, "The names of the modalities, joined by `+` in the configuration's order.")
STRATEGY = Column("strategy", TEXT, "The strategy, one of `picme list strategies` or of `finetune.fusions`.")
SEED = Column("seed", WHOLE, "The seed of the training.")
# A cell of the study: what is fine-tuned and judged.
CELL = (TASK, COMBINATION, STRATEGY)

MODALITY = Column("modality", TEXT, "The modality, as the configuration names it.")
SPLIT = Column("split", TEXT, "The split of the stays: `train`, `val` or `test`.")
LABEL = Column("label", TEXT, "The label column of the task.")
EPOCH = Column("epoch", WHOLE, "The epoch, counted from 0.")
TRAIN_LOSS = Column("train_loss", NUMBER, "The mean loss over the training batches of the epoch.")
LEARNING_RATE = Column("learning_rate", NUMBER, "The learning rate, as configured or found by the search.")
BATCH_SIZE = Column(
    "batch_size", WHOLE, "The number of stays in a batch, as configured or found by the search.", "stays"
)

TEST_AUROC = Column(
    "auroc", NUMBER, "The AUROC on test stays; the mean over the labels where there are several.", "fraction"
)
TEST_AUPRC = Column(
    "auprc", NUMBER, "The AUPRC on test stays; the mean over the labels where there are several.", "fraction"
)


def bounds(prefix: str, of: str, unit: str, how: str = "") -> tuple[Column, Column]:
    """Declare the two ends of an interval.

    Args:
        prefix: what the columns' names begin with, before `low` and `high`.
        of: what the interval is about, such as `the AUROC`.
        unit: unit of both ends.
        how: a further sentence about the interval, with a space before it.
    """
    end = f"end of the interval of {of}; 95 % unless `evaluate.confidence` differs.{how}"
    return Column(f"{prefix}low", NUMBER, f"The lower {end}", unit), Column(
        f"{prefix}high", NUMBER, f"The upper {end}", unit
    )


def no_interval(prefix: str, of: str) -> Column:
    """Declare the column that says why an interval of `bounds` is missing."""
    return Column(
        f"{prefix}no_interval", TEXT, f"Why {of} has no interval, such as few positives; null where it has one."
    )
