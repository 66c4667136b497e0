"""Result tables about how fine-tuning and the search went, and what the study cost."""

from __future__ import annotations

from picme.results.columns import (
    BATCH_SIZE,
    CELL,
    EPOCH,
    LEARNING_RATE,
    NUMBER,
    SEED,
    TEXT,
    TRAIN_LOSS,
    WHOLE,
)
from picme.results.table import Column, Table

FINETUNING = Table(
    "finetuning",
    "One row is an epoch of one fine-tuning.",
    (
        *CELL,
        SEED,
        EPOCH,
        TRAIN_LOSS,
        Column(
            "val_auroc",
            NUMBER,
            "The AUROC on validation stays after the epoch, of a strategy for any subset the mean over subsets.",
            "fraction",
        ),
        Column("best_epoch", WHOLE, "The epoch whose model is used, counted from 0."),
        LEARNING_RATE,
        BATCH_SIZE,
    ),
)
SEARCH = Table(
    "search",
    "One row is a trial of the search for learning rate and batch size.",
    (
        Column("stage", TEXT, "The stage that is searched for: `pretrain` or `finetune`."),
        Column("task", TEXT, "The task, null for `pretrain`."),
        Column("combination", TEXT, "The combination that the trial is trained on."),
        Column("strategy", TEXT, "The strategy, null for `pretrain`."),
        Column("trial", WHOLE, "The number of the trial, counted from 0."),
        Column("learning_rate", NUMBER, "The learning rate that was tried."),
        Column("batch_size", WHOLE, "The number of stays in a batch that was tried.", "stays"),
        Column(
            "value",
            NUMBER,
            "The validation recall@5 of pretraining or AUROC of fine-tuning; null where the trial was pruned before "
            "its first epoch.",
            "fraction",
        ),
    ),
)
RUNTIMES = Table(
    "runtimes",
    "One row is what the jobs of a stage took for a combination, task and strategy, averaged over the seeds.",
    (
        Column("stage", TEXT, "The stage."),
        Column("combination", TEXT, "The combination, or the one modality of the stage `features`; null if none."),
        Column("task", TEXT, "The task, null for stages before fine-tuning."),
        Column("strategy", TEXT, "The strategy, null for stages before fine-tuning."),
        Column("seconds", NUMBER, "The mean time of a job.", "seconds"),
        Column("epochs", NUMBER, "The mean number of epochs of a job.", "epochs"),
        Column("peak_memory_mb", NUMBER, "The mean over the jobs of the largest memory that each held.", "MB"),
        Column("jobs", WHOLE, "The number of these jobs; their times add up to `seconds` times it."),
        Column("parameters", NUMBER, "The mean number of parameters that a job trains; null where none are."),
        Column("device", TEXT, "The kind of device that the jobs ran on, such as `cpu`; null where not told."),
    ),
)

TABLES = (FINETUNING, SEARCH, RUNTIMES)
