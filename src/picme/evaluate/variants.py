"""Tables of fine-tunings beside the study's own: with fewer labels, and with other orders of the gate's steps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.metrics.classification import areas, macro
from picme.results.tables import table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from picme.tasks import Task

PLACE = ("task", "combination", "strategy", "seed")


def variant_tables(
    cells: Sequence[dict[str, Any]],
    variants: Sequence[dict[str, Any]],
    cohorts: Mapping[str, pl.DataFrame],
    tasks: Mapping[str, Task],
) -> dict[str, pl.DataFrame]:
    """Make `label_efficiency` and `gate_orders`, as far as there are such fine-tunings.

    Each has test AUROC and AUPRC of every seed (several labels: their mean; null where undefined), and beside the
    variants the study's own fine-tunings: share 1, or the configuration's order, which `order` leaves empty.

    Args:
        cells: task, combination, strategy, seed and `path` of the artifact.
        variants: the same, with `share` or `order`.
        cohorts: by task.
        tasks: by name.
    """
    found = {}
    fewer = [cell for cell in variants if "share" in cell]
    if fewer:
        rows = [
            {**_place(cell), "share": cell.get("share", 1.0), **_scores(cell, cohorts, tasks)}
            for cell in [*fewer, *_same_cells(cells, fewer)]
        ]
        made = table("label_efficiency").frame(rows)
        found["label_efficiency"] = made.sort("task", "combination", "strategy", "share", "seed", maintain_order=True)
    ordered = [cell for cell in variants if "order" in cell]
    if ordered:
        rows = [
            {**_place(cell), "order": ">".join(cell.get("order", ())), **_scores(cell, cohorts, tasks)}
            for cell in [*_same_cells(cells, ordered), *ordered]
        ]
        found["gate_orders"] = table("gate_orders").frame(rows)
    return found


def _place(cell: dict[str, Any]) -> dict[str, Any]:
    return {name: cell[name] for name in PLACE}


def _same_cells(cells: Sequence[dict[str, Any]], variants: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the study's own fine-tunings that the variants are to be compared with."""
    wanted = {tuple(_place(cell).values()) for cell in variants}
    return [cell for cell in cells if tuple(_place(cell).values()) in wanted]


def _scores(
    cell: dict[str, Any], cohorts: Mapping[str, pl.DataFrame], tasks: Mapping[str, Task]
) -> dict[str, float | None]:
    """Return macro AUROC and AUPRC on test stays."""
    labels = tasks[cell["task"]].labels
    targets = cohorts[cell["task"]].select(pl.col(name).cast(pl.Float64) for name in labels).to_numpy()
    with np.load(Path(cell["path"]) / "predictions.npz") as saved:
        target, predicted = targets[saved["test_rows"]].T, saved["test"].T
    # A baseline has no probability for a label of which it saw one class only.
    roc, prc = areas(np.where(np.isnan(predicted), np.nan, target), np.nan_to_num(predicted))
    return {"auroc": _known(macro(roc)), "auprc": _known(macro(prc))}


def _known(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
