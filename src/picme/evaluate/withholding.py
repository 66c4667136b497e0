"""Modalities that the missingness grid withholds from each test stay: at random, by severity (MAR) or outcome (MNAR).

The mechanisms are those of Rubin (1976): missing completely at random does not depend on the stay, missing at random on
what is observed of it, missing not at random on what is not, here the outcome that is to be predicted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import rankdata

from picme.finetune.without_encoders import fit_model
from picme.pretrain.features import open_encoded
from picme.tasks import build as build_task

if TYPE_CHECKING:
    from pathlib import Path

    from picme.engine.step import Context
    from picme.evaluate.step import Severity


def order_of(values: np.ndarray) -> np.ndarray:
    """Return the places of values (stay,): 0 of the first, 1 of the last, ties halfway between those around them.

    A value that is not known is in the middle, and so are all where there is one value only.
    """
    known = ~np.isnan(values)
    places = np.full(len(values), 0.5)
    ranks = rankdata(values[known])
    if len(ranks) and np.ptp(ranks):
        places[known] = (ranks - ranks.min()) / np.ptp(ranks)
    return places


def shares(order: np.ndarray, rate: float, slope: float) -> np.ndarray:
    """Return each stay's probability that a modality is withheld: falling with its place, `rate` on average.

    Args:
        order: (stay,) from 0 to 1.
        rate: the mean.
        slope: log odds of the first place over the last one's.
    """

    def probability(intercept: float) -> np.ndarray:
        return np.asarray(expit(intercept - slope * order))

    # Between these, the mean goes from next to 0 to next to 1, whatever the order.
    ends = (-40.0, 40.0 + slope)
    return probability(brentq(lambda intercept: probability(intercept).mean() - rate, *ends))


def measure_severity(step: Severity, folder: Path, context: Context) -> dict[str, Any]:
    """Keep the risk (stay,) of a task's labels, their mean, as one modality's summary features tell it."""
    task = build_task(step.task.name, step.task.section)
    cell = step.cell
    view = open_encoded(cell.prepare, task.name, cell.encodings, context.store)
    rows = {split: view.usable(cell.combination, split) for split in ("train", "val", "test")}
    risk = np.full(len(view), np.nan)
    kept = view.present(cell.combination)[rows["test"]][None]
    model = fit_model(cell, view, task.labels, 0, rows["train"])
    found = model.probabilities(view, cell.combination, rows["test"], kept)[0]
    defined = ~np.isnan(found).all(axis=0)
    risk[rows["test"]] = found[:, defined].mean(axis=1) if defined.any() else np.nan
    np.save(folder / "severity.npy", risk)
    return {"task": task.name, "modality": cell.combination[0]}
