"""Differences between cells on the same stays: paired bootstrap, two-sided p-values, Holm's correction.

A difference is tested in two ways. That of **single models** is of the mean over seeds, and its error holds what other
subjects and what other seeds would give. That of **ensembles** is of the prediction averaged over seeds. Averaging
gains the more, the more models differ from seed to seed, so an ensemble can win by differing alone: whether a strategy
helps is a question about single models.

The same resamples of subjects serve every cell, so a difference is taken resample by resample. Its p-value is that of
the test whose interval is shown: below 1 − confidence exactly where the interval leaves 0 out. Correction is
Holm's (1979) over the members of one family for one task and metric; a family is one question, such as
`contrastive vs random`, asked of every combination.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from picme.evaluate.intervals import METRICS, Estimate, estimated, over_seeds
from picme.evaluate.selection import best
from picme.evaluate.summary import CellResult, seeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from picme.config.evaluate import EvaluateConfig
    from picme.evaluate.bootstrap import SubjectResamples
    from picme.evaluate.predictions import CellPredictions

Pair = tuple[str, CellResult, CellResult]
# Estimates by metric, as single models and as an ensemble.
Judged = tuple[dict[str, Estimate], dict[str, Estimate]]
# Prefixes of the columns of each.
PREFIXES = ("", "ensemble_")
CELL = ("combination", "strategy")


def holm(p_values: list[float]) -> list[float]:
    """Return Holm's step-down adjusted p-values, in the order given; NaN ones are not counted and stay NaN."""
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p, kind="stable")[: int((~np.isnan(p)).sum())]
    steps = p[order] * (len(order) - np.arange(len(order)))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted.tolist()


def pairs(results: list[CellResult], chosen: CellResult | None, config: EvaluateConfig) -> list[Pair]:
    """List the pairs of cells that are compared, each with its family; at most a few comparisons per cell.

    `chosen` is the cell that validation chose, if any.
    """
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
            first = best(of_strategy, config)
            found += [(f"combinations: {strategy}", first, one) for one in of_strategy if first and one is not first]
    if "singles" in settings.families:
        single, several = (
            best([r for r in results if ("+" in r.combination) == many], config) for many in (False, True)
        )
        if single is not None and several is not None:
            found.append(("best vs best single", several, single))
            if chosen is not None and chosen is not single and chosen is not several:
                combined = "+" in chosen.combination
                found.append(("best vs best single", *((chosen, single) if combined else (several, chosen))))
    if "baselines" in settings.families:
        for baseline in settings.baselines:
            for combination in combinations:
                best_here = best([r for r in results if r.combination == combination], config)
                if best_here is not None and (combination, baseline) in cells:
                    found.append((f"best vs {baseline}", best_here, cells[combination, baseline]))
    return found


def comparison_rows(
    results: list[CellResult],
    chosen: CellResult | None,
    read: Callable[[str, str], CellPredictions],
    subject: NDArray[np.integer],
    resamples: SubjectResamples,
    config: EvaluateConfig,
) -> list[dict[str, Any]]:
    """Return rows of `comparisons` for one task, each with its test of single models and of ensembles.

    Args:
        results: the results of all cells.
        chosen: the cell that validation chose, if any.
        read: returns the predictions of a combination and strategy.
        subject: index of each test stay's subject (stay,).
        resamples: those that the results have.
        config: how to judge.
    """

    def on(result: CellResult, where: NDArray[np.bool_]) -> Judged:
        """Estimate a cell's metrics on some of its test stays; many pairs share the same stays."""
        if np.array_equal(where, result.defined):
            return result.single, result.ensemble
        key = (result.combination, result.strategy, np.packbits(where).tobytes())
        if key not in cache:
            cell = read(result.combination, result.strategy)
            y = np.where(where, cell.y["test"], np.nan)
            cache[key] = judge(y, cell.p["test"], subject, resamples, seeded(result.strategy), cell.draws)
        return cache[key]

    rows: list[dict[str, Any]] = []
    cache: dict[Any, Judged] = {}
    for family, a, b in pairs(results, chosen, config):
        both = a.defined & b.defined
        judged = on(a, both), on(b, both)
        cells = {f"{name}_{side}": cell.key[name] for side, cell in zip("ab", (a, b), strict=True) for name in CELL}
        rows += [
            {"task": a.task, **cells, "metric": metric, **tested(*judged, metric, config.confidence), "family": family}
            for metric in METRICS
        ]
    correct(rows)
    return rows


def tested(a: Judged, b: Judged, metric: str, confidence: float) -> dict[str, Any]:
    """Return the columns of a test of a minus b: of single models, and with the prefix `ensemble_` of ensembles."""
    found: dict[str, Any] = {}
    for prefix, first, second in zip(PREFIXES, a, b, strict=True):
        difference = first[metric].minus(second[metric])
        found |= {f"{prefix}difference": difference.value, **difference.columns(confidence, prefix)}
        found[f"{prefix}p_value"] = difference.p_value()
    return found


def correct(rows: list[dict[str, Any]]) -> None:
    """Add Holm's `p_adjusted` to rows with `family`, `metric` and `p_value`, within each family and metric."""
    for prefix in PREFIXES:
        for group in {(row["family"], row["metric"]) for row in rows}:
            members = [row for row in rows if (row["family"], row["metric"]) == group]
            for row, adjusted in zip(members, holm([row[f"{prefix}p_value"] for row in members]), strict=True):
                row[f"{prefix}p_adjusted"] = adjusted


def judge(
    y: NDArray[np.float64],
    p: NDArray[np.floating],
    subject: NDArray[np.integer],
    resamples: SubjectResamples,
    depends_on_seed: bool,
    draws: int = 0,
) -> Judged:
    """Estimate the metrics of predictions (seed, label, stay) as single models and as an ensemble."""
    ensemble = estimated(y, p.mean(axis=0, dtype=np.float64), subject, resamples, others=False)
    return over_seeds(y, p, subject, resamples, depends_on_seed, draws), ensemble
