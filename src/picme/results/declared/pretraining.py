"""Result tables about pretraining and how well it aligns the modalities."""

from __future__ import annotations

from picme.results.columns import (
    BATCH_SIZE,
    COMBINATION,
    EPOCH,
    FLAG,
    LEARNING_RATE,
    MODALITY,
    NUMBER,
    SPLIT,
    TEXT,
    TRAIN_LOSS,
    WHOLE,
)
from picme.results.table import Column, Table

SELECTED = Column("selected", FLAG, "True at the epoch whose encoders are used.")
RECALL = Column("val_recall5", NUMBER, "The recall@5 of finding the same stay, on validation stays.", "fraction")

PRETRAINING = Table(
    "pretraining",
    "One row is an epoch of pretraining a combination with the first seed; with `pretrain.mode: shared` the "
    "combination is all modalities.",
    (
        COMBINATION,
        EPOCH,
        TRAIN_LOSS,
        Column("val_loss", NUMBER, "The loss of contrast on validation stays after the epoch."),
        RECALL,
        Column(
            "train_reconstruction",
            NUMBER,
            "The mean loss of reconstruction over the training batches of the epoch, which `train_loss` has in it by "
            "its weight. Null without `pretrain.reconstruct`.",
        ),
        Column(
            "val_reconstruction",
            NUMBER,
            "The loss of reconstruction on validation stays after the epoch, of which the same is hidden every time. "
            "Null without `pretrain.reconstruct`.",
        ),
        Column("temperature", NUMBER, "The temperature τ of the objective after the epoch."),
        Column("seconds", NUMBER, "The time that the epoch took.", "seconds"),
        SELECTED,
    ),
)
PRETRAINING_SEEDS = Table(
    "pretraining_seeds",
    "One row is a whole pretraining of a combination with one seed.",
    (
        COMBINATION,
        Column("seed", WHOLE, "The seed; the seeds of fine-tuning take the encoders of one each, in turn."),
        Column(
            "val_recall5",
            NUMBER,
            "The recall@5 of finding the same stay, on validation stays at the best epoch.",
            "fraction",
        ),
        Column("best_epoch", WHOLE, "The epoch whose encoders are kept, counted from 0."),
        Column("epochs", WHOLE, "The number of epochs that were gone through.", "epochs"),
        LEARNING_RATE,
        BATCH_SIZE,
    ),
)
LAMBDAS = Table(
    "lambdas",
    "One row is the weight λ of a modality in the objective at an epoch, for combinations of three and more; with "
    "`pretrain.mode: shared` for pairs too.",
    (
        COMBINATION,
        EPOCH,
        MODALITY,
        Column("weight", NUMBER, "The weight λ; the weights of a combination add up to 1.", "fraction"),
        SELECTED,
    ),
)
ALIGNMENT = Table(
    "alignment",
    "One row is a measure of alignment of a combination, for one direction or as the mean over directions.",
    (
        COMBINATION,
        Column("n_modalities", WHOLE, "The number of modalities of the combination.", "modalities"),
        Column(
            "metric",
            TEXT,
            "The measure: `retrieval`, `ovo`, `neighbour`, `cross_neighbour`, `batch` or `same_modality_share`, "
            "[explained here](concepts.md#alignment).",
        ),
        Column("source", TEXT, "The modality that looks for the same stay, null for the mean."),
        Column("target", TEXT, "The modality that is searched, null for the mean and where it is all others."),
        Column("k", WHOLE, "The k of recall@k, which is the number of nearest candidates that count."),
        SPLIT,
        Column("candidates", WHOLE, "The number of candidates among which the stay is searched."),
        Column("chance", NUMBER, "The value that guessing would have.", "fraction"),
        Column("value", NUMBER, "The measured value.", "fraction"),
    ),
)
TSNE = Table(
    "tsne",
    "One row is the place of a stay's modality in the t-SNE picture of a combination at an epoch.",
    (
        COMBINATION,
        Column("epoch", WHOLE, "The epoch, counted from 0; −1 is before training."),
        Column("stay", WHOLE, "A running number of the stay, which is no identifier."),
        MODALITY,
        Column("x", NUMBER, "The horizontal place; distances have no unit."),
        Column("y", NUMBER, "The vertical place; distances have no unit."),
    ),
)

TABLES = (PRETRAINING, PRETRAINING_SEEDS, LAMBDAS, ALIGNMENT, TSNE)
