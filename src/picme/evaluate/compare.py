"""Differences between cells on the same stays: paired bootstrap, two-sided p-values, Holm's correction.

The same resamples of subjects serve every cell, so a difference is taken resample by resample. Its p-value is that of
the test whose interval is shown: below 1 − confidence exactly where the interval leaves 0 out. Correction is
Holm's (1979) over the members of one family for one task and metric; a family is one question, such as
`contrastive vs random`, asked of every combination.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from picme.evaluate.intervals import METRICS, estimated
from picme.evaluate.summary import CellResult, select

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from picme.config.evaluate import EvaluateConfig
    from picme.evaluate.bootstrap import SubjectResamples
    from picme.evaluate.intervals import Estimate
    from picme.evaluate.predictions import TaskPredictions

Pair = tuple[str, CellResult, CellResult]


def holm(p_values: list[float]) -> list[float]:
    """Return Holm's step-down adjusted p-values, in the order given; NaN ones are not counted and stay NaN."""
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p, kind="stable")[: int((~np.isnan(p)).sum())]
    steps = p[order] * (len(order) - np.arange(len(order)))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted.tolist()


def pairs(results: list[CellResult], config: EvaluateConfig) -> list[Pair]:
    """List the pairs of cells that are compared, each with its family; at most a few comparisons per cell."""
    settings = config.comparisons
    cells = {(r.combination, r.strategy): r for r in results}
    combinations = list(dict.fromkeys(r.combination for r in results))
    strategies = list(dict.fromkeys(r.strategy for r in results))
    found: list[Pair] = []
    seen: set[tuple[str, str]] = set()
    for kind in ("controls", "strategies"):
        if kind not in settings.families:
            continue
        for a, b in settings.controls if kind == "controls" else settings.strategies:
            if (a, b) in seen:
                continue
            seen.add((a, b))
            both = [c for c in combinations if (c, a) in cells and (c, b) in cells]
            found += [(f"{a} vs {b}", cells[c, a], cells[c, b]) for c in both]
    if "combinations" in settings.families:
        for strategy in strategies:
            of_strategy = [r for r in results if r.strategy == strategy]
            defined = [r for r in of_strategy if not np.isnan(r.validation["auroc"])]
            if config.selectable(strategy) and defined:
                best = max(defined, key=lambda r: r.validation["auroc"])
                found += [(f"combinations: {strategy}", best, other) for other in of_strategy if other is not best]
    if "singles" in settings.families:
        best_of_all = select(results, config)
        best_single = select([r for r in results if "+" not in r.combination], config)
        if best_of_all is not None and best_single is not None and best_of_all is not best_single:
            found.append(("best vs best single", best_of_all, best_single))
    if "baselines" in settings.families:
        for baseline in settings.baselines:
            for combination in combinations:
                best_here = select([r for r in results if r.combination == combination], config)
                if best_here is not None and (combination, baseline) in cells:
                    found.append((f"best vs {baseline}", best_here, cells[combination, baseline]))
    return found


def comparison_rows(
    results: list[CellResult], task: TaskPredictions, resamples: SubjectResamples, config: EvaluateConfig
) -> list[dict[str, Any]]:
    """Return rows of `comparisons` for one task.

    `difference` is the metric of a's seed-averaged prediction on test minus that of b's.
    """
    rows: list[dict[str, Any]] = []
    cache: dict[Any, dict[str, Estimate]] = {}
    for family, a, b in pairs(results, config):
        first, second = _on_common_stays(a, b, task, resamples, cache)
        for metric in METRICS:
            difference = first[metric].minus(second[metric])
            rows.append(
                {
                    "task": a.task,
                    "combination_a": a.combination,
                    "strategy_a": a.strategy,
                    "combination_b": b.combination,
                    "strategy_b": b.strategy,
                    "metric": metric,
                    "difference": difference.value,
                    **difference.columns(config.confidence),
                    "p_value": difference.p_value(),
                    "family": family,
                }
            )
    correct(rows)
    return rows


def correct(rows: list[dict[str, Any]]) -> None:
    """Add Holm's `p_adjusted` to rows with `family`, `metric` and `p_value`, within each family and metric."""
    for group in {(row["family"], row["metric"]) for row in rows}:
        members = [row for row in rows if (row["family"], row["metric"]) == group]
        for row, adjusted in zip(members, holm([row["p_value"] for row in members]), strict=True):
            row["p_adjusted"] = adjusted


def _on_common_stays(
    a: CellResult, b: CellResult, task: TaskPredictions, resamples: SubjectResamples, cache: dict[Any, Any]
) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    """Return both cells' estimates on the stays that both predict."""
    if np.array_equal(a.defined, b.defined):
        return a.ensemble, b.ensemble
    both = a.defined & b.defined
    return _judge(a, both, task, resamples, cache), _judge(b, both, task, resamples, cache)


def _judge(
    result: CellResult,
    where: NDArray[np.bool_],
    task: TaskPredictions,
    resamples: SubjectResamples,
    cache: dict[Any, dict[str, Estimate]],
) -> dict[str, Estimate]:
    """Estimate a cell's headline metrics on some of its test stays, to take differences of.

    Results are cached, as many pairs share the same stays.
    """
    if np.array_equal(where, result.defined):
        return result.ensemble
    key = (result.combination, result.strategy, np.packbits(where).tobytes())
    if key not in cache:
        cell = task.cell(result.combination, result.strategy)
        y = np.where(where, cell.y["test"], np.nan)
        cache[key] = estimated(y, cell.ensemble("test"), task.stays["test"].subject, resamples, others=False)
    return cache[key]
