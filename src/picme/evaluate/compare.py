"""Differences between cells on the same stays: paired bootstrap, two-sided p-values, Holm's correction.

The same resamples of subjects serve every cell, so a difference is taken resample by resample. Its p-value is that of
the t test whose interval is shown: below 1 − confidence exactly where the interval leaves 0 out. Correction is
Holm's (1979) over the members of one family for one task and metric; a family is one question, such as
`contrastive vs random`, asked of every combination.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr, stdtr

from picme.evaluate.bootstrap import Judged, bootstrap_areas, class_sizes, effective_size, interval
from picme.evaluate.metrics import areas, macro
from picme.evaluate.summary import METRICS, CellResult, select

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from picme.config.evaluate import EvaluateConfig
    from picme.evaluate.bootstrap import SubjectResamples
    from picme.evaluate.predictions import TaskPredictions

Pair = tuple[str, CellResult, CellResult]
# Headline metrics, the same in each resample, and the number of subjects in the smaller class.
Scored = tuple["dict[str, float]", "dict[str, NDArray[np.float64]]", float]


def two_sided_p(differences: NDArray[np.floating], judged: Judged | None = None) -> float:
    """Compute the two-sided p-value of resampled differences (resample,).

    With `judged` it is that of the t test of `interval`. Without, it is that of the percentile interval,
    2 · min(1 + #{d* ≤ 0}, 1 + #{d* ≥ 0}) / (R + 1), at most 1 (Davison and Hinkley, 1997, chapter 4). NaN differences
    are left out; the p-value is NaN if more than half of them are, and where no interval is shown.
    """
    if judged is not None:
        error, freedom = judged.spread(differences)
        if np.isnan(error):
            return float("nan")
        if error == 0:
            return 1.0 if judged.estimate == 0 else 0.0
        ratio = -abs(judged.estimate) / error
        return float(2 * (ndtr(ratio) if np.isinf(freedom) else stdtr(freedom, ratio)))
    defined = differences[~np.isnan(differences)]
    if len(defined) == 0 or 2 * len(defined) < len(differences):
        return float("nan")
    fewer = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return min(1.0, 2 * (1 + fewer) / (1 + len(defined)))


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
    cache: dict[Any, Scored] = {}
    for family, a, b in pairs(results, config):
        point, resampled, size = _paired(a, b, task, resamples, cache)
        for metric in METRICS:
            defined = not np.isnan(point[metric])
            judged = Judged(metric, point[metric], size, difference=True)
            low, high = interval(resampled[metric], config.confidence, judged) if defined else (np.nan, np.nan)
            rows.append(
                {
                    "task": a.task,
                    "combination_a": a.combination,
                    "strategy_a": a.strategy,
                    "combination_b": b.combination,
                    "strategy_b": b.strategy,
                    "metric": metric,
                    "difference": point[metric],
                    "low": low,
                    "high": high,
                    "p_value": two_sided_p(resampled[metric], judged) if defined else np.nan,
                    "family": family,
                }
            )
    for group in {(row["family"], row["metric"]) for row in rows}:
        members = [row for row in rows if (row["family"], row["metric"]) == group]
        for row, adjusted in zip(members, holm([row["p_value"] for row in members]), strict=True):
            row["p_adjusted"] = adjusted
    return rows


def _paired(
    a: CellResult, b: CellResult, task: TaskPredictions, resamples: SubjectResamples, cache: dict[Any, Scored]
) -> Scored:
    """Return the difference for each metric, the same for each resample, and the size, on stays that both predict."""
    judged: list[Scored]
    if np.array_equal(a.defined, b.defined):
        judged = [(a.ensemble, a.resampled, a.size), (b.ensemble, b.resampled, b.size)]
    else:
        both = a.defined & b.defined
        judged = [_judge(result, both, task, resamples, cache) for result in (a, b)]
    (point_a, drawn_a, size), (point_b, drawn_b, _) = judged
    return (
        {name: point_a[name] - point_b[name] for name in METRICS},
        {name: drawn_a[name] - drawn_b[name] for name in METRICS},
        size,
    )


def _judge(
    result: CellResult,
    where: NDArray[np.bool_],
    task: TaskPredictions,
    resamples: SubjectResamples,
    cache: dict[Any, Scored],
) -> Scored:
    """Compute a cell's headline metrics on some of its test stays.

    Results are cached, as many pairs share the same stays.
    """
    if np.array_equal(where, result.defined):
        return result.ensemble, result.resampled, result.size
    key = (result.combination, result.strategy, np.packbits(where).tobytes())
    if key not in cache:
        cell = task.cell(result.combination, result.strategy)
        y, p = np.where(where, cell.y["test"], np.nan), cell.ensemble("test")
        drawn = bootstrap_areas(y, p, task.stays["test"].subject, resamples)
        cache[key] = (
            {name: float(macro(values)) for name, values in zip(METRICS, areas(y, p), strict=True)},
            {name: macro(values, axis=0) for name, values in zip(METRICS, drawn, strict=True)},
            effective_size(class_sizes(y, task.stays["test"].subject)),
        )
    return cache[key]
