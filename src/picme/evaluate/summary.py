"""Scores of every seed, and of the seed-averaged prediction with intervals: the tables `scores` and `summary`.

The headline metric of a task is that of its only label, or the macro mean over the labels that are defined.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from picme.evaluate.intervals import METRICS, estimated, over_seeds
from picme.evaluate.predictions import SPLITS
from picme.metrics.classification import areas, macro
from picme.strategies import strategies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from picme.config.evaluate import EvaluateConfig
    from picme.evaluate.bootstrap import SubjectResamples
    from picme.evaluate.intervals import Estimate
    from picme.evaluate.predictions import CellPredictions, SplitStays
    from picme.evaluate.selection import Selection


@dataclass
class CellResult:
    """Results of a cell that later tables need; predictions themselves are not kept.

    Attributes:
        n_seeds: number of seeds.
        seed_auroc: AUROC on test, per seed and label (seed, label).
        per_seed: headline metric on test, per seed (seed,).
        single: the mean of that over the seeds, to take differences of.
        ensemble: headline metric of the seed-averaged prediction on test.
        validation: the same on validation, in resamples of the validation subjects.
        defined: mask of the defined test labels (label, stay), to tell whether two cells judge the same stays.
    """

    task: str
    combination: str
    strategy: str
    n_seeds: int
    seed_auroc: NDArray[np.float64]
    per_seed: dict[str, NDArray[np.float64]]
    single: dict[str, Estimate]
    ensemble: dict[str, Estimate]
    validation: dict[str, Estimate]
    defined: NDArray[np.bool_] = field(repr=False)

    @property
    def key(self) -> dict[str, str]:
        """Return the columns that name a cell in the tables."""
        return {"task": self.task, "combination": self.combination, "strategy": self.strategy}


def score_cell(
    cell: CellPredictions, stays: Mapping[str, SplitStays], resamples: Mapping[str, SubjectResamples]
) -> tuple[list[dict[str, Any]], CellResult]:
    """Return the rows of `scores` and the result of one cell; stays and resamples of subjects are those of a split."""
    rows: list[dict[str, Any]] = []
    seed_areas: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    for split in SPLITS:
        split_rows, seed_areas[split] = _split_scores(cell, split)
        rows += split_rows
    test, held_out = stays["test"].subject, stays["val"].subject
    validation = estimated(cell.y["val"], cell.ensemble("val"), held_out, resamples["val"], others=False)
    return rows, CellResult(
        **cell.key,
        n_seeds=len(cell.seeds),
        seed_auroc=seed_areas["test"][0],
        per_seed={name: macro(a) for name, a in zip(METRICS, seed_areas["test"], strict=True)},
        single=over_seeds(cell.y["test"], cell.p["test"], test, resamples["test"], seeded(cell.strategy), cell.draws),
        ensemble=estimated(cell.y["test"], cell.ensemble("test"), test, resamples["test"]),
        validation=validation,
        defined=~np.isnan(cell.y["test"]),
    )


def seeded(name: str) -> bool:
    """Return whether a strategy's result depends on the seed; one that is not declared here may."""
    declared = strategies().get(name)
    return declared is None or declared.seeded


def _split_scores(
    cell: CellPredictions, split: str
) -> tuple[list[dict[str, Any]], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return the rows of one split, and AUROC and AUPRC (seed, label)."""
    y, p = cell.y[split], cell.p[split]
    seeds, labels, stays = p.shape
    every = np.broadcast_to(y, p.shape)
    roc, prc = (a.reshape(seeds, labels) for a in areas(every.reshape(seeds * labels, stays), p.reshape(-1, stays)))
    if stays == 0 or (np.isnan(y).all() and not cell.unpredicted):
        return [], (roc, prc)
    n, positives = (~np.isnan(y)).sum(axis=1), (y == 1).sum(axis=1)
    names = list(cell.labels)
    columns = [roc, prc]
    if labels > 1:
        # The aggregates count pairs of stay and label.
        names += ["macro", "micro"]
        micro = areas(every.reshape(seeds, -1), p.reshape(seeds, -1))
        columns = [np.column_stack([a, macro(a), m]) for a, m in zip((roc, prc), micro, strict=True)]
        n, positives = np.append(n, [n.sum()] * 2), np.append(positives, [positives.sum()] * 2)
    rows = [
        {
            **cell.key,
            "seed": seed,
            "split": split,
            "label": name,
            "auroc": float(columns[0][i, j]),
            "auprc": float(columns[1][i, j]),
            "n": int(n[j]),
            "positives": int(positives[j]),
        }
        for i, seed in enumerate(cell.seeds)
        for j, name in enumerate(names)
    ]
    return rows, (roc, prc)


def summary_rows(results: list[CellResult], selection: Selection, config: EvaluateConfig) -> list[dict[str, Any]]:
    """Return rows of `summary` for one task: spread over seeds, and the seed-averaged prediction with its interval."""
    rows = []
    for result in results:
        row: dict[str, Any] = {**result.key, "n_seeds": result.n_seeds}
        for name in METRICS:
            values = result.per_seed[name]
            row[f"{name}_mean"] = float(values.mean())
            row[f"{name}_std"] = float(values.std(ddof=1)) if len(values) > 1 else None
        for name, estimate in result.ensemble.items():
            row[f"ensemble_{name}"] = estimate.value
            row |= estimate.columns(config.confidence, f"ensemble_{name}_")
        row |= {f"validation_{name}": estimate.value for name, estimate in result.validation.items()}
        row |= selection.columns(result)
        rows.append(row)
    return rows


def type_rows(result: CellResult, labels: list[str], types: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return rows of `phenotype_types`: mean AUROC over a type's phenotypes, then mean and deviation over the seeds."""
    rows = []
    for name in sorted({types[label] for label in labels if label in types}):
        members = [index for index, label in enumerate(labels) if types.get(label) == name]
        values = macro(result.seed_auroc[:, members])
        rows.append(
            {
                "combination": result.combination,
                "strategy": result.strategy,
                "type": name,
                "auroc_mean": float(values.mean()),
                "auroc_std": float(values.std(ddof=1)) if len(values) > 1 else None,
            }
        )
    return rows
