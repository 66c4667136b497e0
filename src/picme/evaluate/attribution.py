"""Contribution of each modality by several methods (table `attributions`), and the agreement of the methods.

λ and integrated gradients are shares that add up to 1 over a combination's modalities; Shapley values are in the
metric's own unit (AUROC). The methods measure different things: λ what is easy to align, integrated gradients what one
trained head uses, Shapley values what the metric loses. Therefore only their ranks are compared (Kendall, 1938).
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import kendalltau

from picme.errors import DataError
from picme.evaluate.shapley import shapley

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray


def shares(attributions: ArrayLike) -> NDArray[np.float64]:
    """Compute the share of each modality.

    Args:
        attributions: (stay, modality), of either sign: per stay the sum over a modality's dimensions.

    Returns:
        Mean over the stays of the absolute value, divided by its sum over modalities: (modality,), adding up to 1;
        NaN if nothing is attributed at all.

    Raises:
        DataError: if the array is not two-dimensional.
    """
    array = np.asarray(attributions, dtype=np.float64)
    if array.ndim != 2:
        raise DataError(f"attributions must be of shape (stay, modality), not {array.shape}")
    size = np.abs(array).mean(axis=0) if len(array) else np.full(array.shape[1], np.nan)
    total = size.sum()
    return size / total if total > 0 else np.full(len(size), np.nan)


def contributions(signed: ArrayLike, modalities: Sequence[str]) -> dict[str, float]:
    """Return each modality's contribution to one prediction's logit, from its integrated gradients (modality,).

    Raises:
        DataError: if there is not one attribution per modality.
    """
    row = np.asarray(signed, dtype=np.float64)
    if row.shape != (len(modalities),):
        raise DataError(f"one attribution per modality is expected: {len(modalities)} modalities, shape {row.shape}")
    return dict(zip(modalities, row.tolist(), strict=True))


def attribution_rows(
    task: str, combination: str, strategy: str, method: str, per_seed: Sequence[Mapping[str, float]]
) -> list[dict[str, Any]]:
    """Return rows of `attributions`: mean and standard deviation over seeds of each modality's value.

    The standard deviation has ddof = 1 and is None for one seed.

    Args:
        task: name of the task.
        combination: modality names joined by +.
        strategy: name of the strategy.
        method: `lambda`, `integrated_gradients`, `shapley` (names of further variants may follow, such as
            `integrated_gradients_mean`).
        per_seed: {modality: value} of each seed.

    Raises:
        DataError: if a seed lacks one of the combination's modalities.
    """
    rows = []
    for modality in combination.split("+"):
        if any(modality not in values for values in per_seed):
            raise DataError(f"attribution by {method} of {combination} lacks the modality {modality!r} for some seed")
        values = np.array([values[modality] for values in per_seed], dtype=np.float64)
        spread = float(values.std(ddof=1)) if len(values) > 1 else None
        rows.append(
            {
                "task": task,
                "combination": combination,
                "strategy": strategy,
                "modality": modality,
                "method": method,
                "value": _null(float(values.mean()) if len(values) else None),
                "std": _null(spread),
            }
        )
    return rows


def shapley_rows(
    task: str, combination: str, strategy: str, per_seed: Sequence[Mapping[frozenset[str], float]]
) -> list[dict[str, Any]]:
    """Return rows of `attributions` from each seed's metric for all coalitions of the combination's modalities."""
    return attribution_rows(task, combination, strategy, "shapley", [shapley(values) for values in per_seed])


def rank_agreement(values: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Compute Kendall's τ-b of every pair of methods over the modalities that both rate.

    Args:
        values: {method: {modality: value}}; NaN or None values are left out.

    Returns:
        Rows method_a, method_b, tau, modalities (how many were ranked); tau is None for fewer than two modalities or
        where a method gives all the same value.
    """
    rows = []
    for a, b in combinations(values, 2):
        pairs = [
            (x, y)
            for modality, x in values[a].items()
            if x is not None and (y := values[b].get(modality)) is not None and not (np.isnan(x) or np.isnan(y))
        ]
        tau = float(kendalltau(*zip(*pairs, strict=True)).statistic) if len(pairs) > 1 else None
        rows.append({"method_a": a, "method_b": b, "tau": _null(tau), "modalities": len(pairs)})
    return rows


def agreement_rows(attributions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of `rank_agreement` from `attributions`.

    Columns are task, combination, strategy, method_a, method_b, tau, modalities. A method that rates a combination once
    for all tasks or strategies (task or strategy None, as λ may be) is compared with the methods of every task and
    strategy.
    """
    cells: dict[tuple[Any, Any, Any], dict[str, dict[str, float]]] = {}
    for row in attributions:
        key = (row["task"], row["combination"], row["strategy"])
        cells.setdefault(key, {}).setdefault(row["method"], {})[row["modality"]] = row["value"]
    rows = []
    for (task, combination, strategy), methods in cells.items():
        if task is None or strategy is None:
            continue
        general = {
            method: values
            for (t, c, s), found in cells.items()
            if c == combination and t in (None, task) and s in (None, strategy) and (t is None or s is None)
            for method, values in found.items()
        }
        place = {"task": task, "combination": combination, "strategy": strategy}
        rows += [{**place, **row} for row in rank_agreement({**general, **methods})]
    return rows


def _null(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else value
