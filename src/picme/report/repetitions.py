"""Tables of repetitions: other seeds of pretraining, other orders of the gate's steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.blocks import Column, DataTable
from picme.report.facts import frame
from picme.report.numbers import count, number, percent, say
from picme.report.results import cell_columns, field
from picme.report.words import combination_text

if TYPE_CHECKING:
    from picme.report.facts import Tables


def pretraining_seeds(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List the result of every pretraining of every combination."""
    rows = frame(tables, "pretraining_seeds")
    if rows.is_empty():
        return None
    columns = [
        Column("Combination", lambda row: combination_text(row["combination"] or "")),
        Column("Seed", lambda row: count(row["seed"], "pretraining_seeds.seed"), field("seed"), numeric=True),
        Column(
            "Validation recall@5, %",
            lambda row: percent(row["val_recall5"], "pretraining_seeds.val_recall5", sign=False),
            field("val_recall5"),
            numeric=True,
        ),
        Column(
            "Best epoch",
            lambda row: count(row["best_epoch"], "pretraining_seeds.best_epoch"),
            field("best_epoch"),
            numeric=True,
        ),
        Column("Epochs", lambda row: count(row["epochs"], "pretraining_seeds.epochs"), field("epochs"), numeric=True),
    ]
    reading = Markup(
        "The epoch whose encoders are kept, and how many were gone through. Of several seeds, the seeds of fine-tuning"
        " take one each in turn; alignment is measured on the first."
    )
    return DataTable(
        "pretraining-seeds", "Every pretraining", columns, rows, reading, tall=True, search=rows.height > 8
    )


def gate_orders(tables: Tables, config: dict[str, Any]) -> DataTable | None:
    """List the scores of the gated LSTM with its modalities in other orders."""
    rows = frame(tables, "gate_orders").filter(pl.col("auroc").is_not_null())
    if rows.is_empty():
        return None
    columns = [
        *cell_columns(),
        Column(
            "Order of the steps",
            lambda row: Markup(" → ").join(row["order"].split(">")) if row["order"] else "the configuration’s",
        ),
        Column("AUROC, %", lambda row: percent(row["auroc"], "gate_orders.auroc"), field("auroc"), numeric=True),
        Column("AUPRC, %", lambda row: percent(row["auprc"], "gate_orders.auprc"), field("auprc"), numeric=True),
    ]
    widest = (
        rows.group_by("task", "combination")
        .agg((pl.col("auroc").max() - pl.col("auroc").min()).alias("range"))["range"]
        .max()
    )
    reading = say(
        "One seed, trained with its steps in different orders: test AUROC moves by up to {points} points with the order"
        " alone.",
        points=number(widest, "derived:gate_orders", 1, scale=100),
    )
    return DataTable("gate-orders", "Order of the gate’s steps", columns, rows, reading, search=rows.height > 8)
