"""Reader of what models predict from every subset of the modalities for validation and test, and its calibration."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from picme.evaluate.by_subset import dedicated_models, subsets_of, whole_models
from picme.evaluate.calibration import apply_calibration, fit_calibration
from picme.evaluate.folds import largest_cell
from picme.pretrain.features import open_encoded
from picme.tasks import build as build_task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from picme.engine.step import Context
    from picme.finetune.step import Finetune

COMPLETE, ALL = "complete", "all"
"""Names of the stays that are judged: those that have every modality, or all that have at least one."""


def shares(y: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the share of positive stays of each label (label, stay), (label,); 0 where no stay has a label."""
    known = (~np.isnan(y)).sum(axis=1)
    return np.divide(np.nansum(y, axis=1), known, out=np.zeros(len(y)), where=known > 0)


@dataclass(frozen=True)
class Predicted:
    """The predictions of models from every subset of the modalities for the stays of one split.

    Attributes:
        y: labels (label, stay), NaN where undefined.
        p: probabilities (seed, subset, label, stay), subsets as in `by_subset.subsets_of`; NaN for a label that the
            models do not know.
        subject: whose each stay is (stay,).
        has: which modalities each stay has (stay, modality).
        rows: the stay's place in its fold's arrays (stay,).
    """

    y: NDArray[np.float64] = field(repr=False)
    p: NDArray[np.float64] = field(repr=False)
    subject: NDArray[Any] = field(repr=False)
    has: NDArray[np.bool_] = field(repr=False)
    rows: NDArray[np.integer] = field(repr=False)

    def of(self, stays: str) -> Predicted:
        """Return those of the stays that have every modality (`complete`), or of all."""
        kept = self.has.all(axis=1) | (stays == ALL)
        return Predicted(self.y[:, kept], self.p[..., kept], self.subject[kept], self.has[kept], self.rows[kept])

    @cached_property
    def reads(self) -> NDArray[np.bool_]:
        """True where a stay has something of a subset (subset, stay)."""
        return np.any(self.has & subsets_of(self.has.shape[1])[:, None], axis=2)

    def calibrated(self, on: Predicted) -> Predicted:
        """Return the probabilities by a slope and intercept for each model and label that other stays tell.

        Where a stay has nothing of a subset, the probability is the share of the other stays with the label.
        """
        p = self.p.copy()
        unknown = np.asarray(np.isnan(self.p).all(axis=(0, 1, 3)))
        for seed, subset, place in np.ndindex(p.shape[:3]):
            if not unknown[place]:
                here, there, at = self.reads[subset], on.reads[subset], (seed, subset, place)
                fit = fit_calibration(on.p[at][there], on.y[place, there])
                p[at][here] = apply_calibration(p[at][here], *fit)
        p = np.where(self.reads[:, None], p, np.where(unknown, np.nan, shares(on.y))[:, None])
        return replace(self, p=p)


def predicted(finetuned: Sequence[Finetune], dedicated: bool, split: str, context: Context) -> Predicted:
    """Read what one fold's models predict for the stays of a split that have at least one modality."""
    cell = largest_cell(finetuned)
    task = build_task(cell.task.name, cell.task.section)
    view = open_encoded(cell.prepare, task.name, cell.encodings, context.store)
    rows = view.usable(cell.combination, split)
    predict = dedicated_models if dedicated else whole_models
    seeds = sorted({one.seed for one in finetuned})
    p = np.empty((len(seeds), 2 ** len(cell.combination) - 1, len(task.labels), 0))
    if len(rows):
        each = ([one for one in finetuned if one.seed == seed] for seed in seeds)
        p = np.stack([predict(models, view, rows, context) for models in each]).transpose(0, 1, 3, 2)
    y = view.labels(task.labels)[rows].T.astype(np.float64)
    return Predicted(y, p, view.cohort["subject_id"].to_numpy()[rows], view.present(cell.combination)[rows], rows)


def together(folds: Sequence[Predicted]) -> Predicted:
    """Return the stays of all folds, one after the other."""
    axes = {"y": 1, "p": 3, "subject": 0, "has": 0, "rows": 0}
    return Predicted(
        **{name: np.concatenate([getattr(one, name) for one in folds], axis) for name, axis in axes.items()}
    )
