"""Tables of fine-tunings beside the study's own: with fewer labels, and with other orders of the gate's steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.metrics.classification import areas, macro
from picme.results.tables import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from picme.engine.store import Store
    from picme.finetune.step import Finetune


def variant_tables(
    own: Sequence[Finetune],
    variants: Sequence[Finetune],
    cohort: pl.DataFrame,
    labels: Sequence[str],
    store: Store,
) -> dict[str, pl.DataFrame]:
    """Make `label_efficiency` and `gate_orders` of a task, as far as there are such fine-tunings.

    Each has test AUROC and AUPRC of every seed (several labels: their mean; null where undefined), and beside the
    variants the study's own fine-tunings: share 1, or the configuration's order, which `order` leaves empty.

    Args:
        own: the study's own fine-tunings.
        variants: those with fewer labels or another order.
        cohort: the cohort of the task.
        labels: the labels of the task.
        store: where their predictions are.
    """

    targets = cohort.select(pl.col(name).cast(pl.Float64) for name in labels).to_numpy()

    def rows(steps: Sequence[Finetune], **column: Any) -> list[dict[str, Any]]:
        return [
            {
                **_place(one),
                **{name: value(one) for name, value in column.items()},
                **_scores(one, targets, store),
            }
            for one in steps
        ]

    found = {}
    fewer = [one for one in variants if one.share < 1]
    if fewer:
        made = table("label_efficiency").frame(rows([*fewer, *_beside(own, fewer)], share=lambda one: one.share))
        found["label_efficiency"] = made.sort("task", "combination", "strategy", "share", "seed", maintain_order=True)
    ordered = [one for one in variants if one.order]
    if ordered:
        both = [*_beside(own, ordered), *ordered]
        found["gate_orders"] = table("gate_orders").frame(rows(both, order=lambda one: ">".join(one.order)))
    return found


def _place(one: Finetune) -> dict[str, Any]:
    return {**one.cell.place, "seed": one.seed}


def _beside(own: Sequence[Finetune], variants: Sequence[Finetune]) -> list[Finetune]:
    """Return the study's own fine-tunings that the variants are to be compared with."""
    wanted = [_place(one) for one in variants]
    return [one for one in own if _place(one) in wanted]


def _scores(one: Finetune, targets: NDArray[np.float64], store: Store) -> dict[str, float | None]:
    """Return macro AUROC and AUPRC on test stays; `targets` are of all stays (stay, label)."""
    with np.load(store.path(one) / "predictions.npz") as saved:
        target, predicted = targets[saved["test_rows"]].T, saved["test"].T
    # A baseline has no probability for a label of which it saw one class only.
    roc, prc = areas(np.where(np.isnan(predicted), np.nan, target), np.nan_to_num(predicted))
    return {"auroc": float(macro(roc)), "auprc": float(macro(prc))}
