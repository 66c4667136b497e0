"""Choice of a cell on validation stays, and how sure it is.

Among many cells judged by few events the best one is partly luck. So the cells that cannot be told apart from the best
are found first, and of these the simplest is chosen: that with the fewest modalities, and of several such the one with
the highest validation AUROC.

A cell can be told apart from the best if some other cell beats it by more than chance allows: the largest of the
studentised differences of all others to it is compared with the same maximum in resamples of the validation subjects,
centred (multiple comparisons with the best; Hsu, 1984, with the bootstrap in place of the normal distribution). The
truly best cell is among those kept in at least as many studies as `confidence` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from picme.config.evaluate import EvaluateConfig
    from picme.evaluate.summary import CellResult


@dataclass(frozen=True)
class Selection:
    """The choice of a cell.

    Attributes:
        chosen: the simplest of the cells that cannot be told apart; None where no cell may be chosen.
        candidates: the cells that may be chosen.
        tied: whether each of them cannot be told apart from the best (candidate,).
        best_share: share of the resamples in which each is the best (candidate,).
    """

    chosen: CellResult | None
    candidates: list[CellResult]
    tied: NDArray[np.bool_]
    best_share: NDArray[np.float64]

    def columns(self, result: CellResult) -> dict[str, bool | float | None]:
        """Return the columns of `summary` that tell of a cell's part in the choice."""
        place = next((index for index, one in enumerate(self.candidates) if one is result), None)
        if place is None:
            return {"selected": False, "tied": None, "best_share": None}
        return {
            "selected": result is self.chosen,
            "tied": bool(self.tied[place]),
            "best_share": float(self.best_share[place]),
        }


def best(results: list[CellResult], config: EvaluateConfig) -> CellResult | None:
    """Return the cell with the greatest validation AUROC among those that may be chosen; None without one.

    Of equal cells it is the first.
    """
    return max(_candidates(results, config), key=lambda one: one.validation["auroc"].value, default=None)


def choose(results: list[CellResult], config: EvaluateConfig) -> Selection:
    """Return the simplest of the cells that cannot be told apart from the best, and how sure the choice is."""
    candidates = _candidates(results, config)
    if not candidates:
        return Selection(None, [], np.zeros(0, dtype=bool), np.zeros(0))
    values = np.array([one.validation["auroc"].value for one in candidates])
    drawn = np.array([one.validation["auroc"].drawn for one in candidates])
    drawn = drawn[:, np.isfinite(drawn).all(axis=0)]
    size = min(one.validation["auroc"].size for one in candidates)
    if size <= 1 or not drawn.shape[1]:  # of a single subject no resample tells how far it may be off
        tied = np.ones(len(candidates), dtype=bool)
    else:
        tied = indistinguishable(values, drawn, size, config.confidence)
    chosen = min(
        (one for one, kept in zip(candidates, tied, strict=True) if kept),
        key=lambda one: (one.combination.count("+"), -one.validation["auroc"].value),
    )
    return Selection(chosen, candidates, tied, _shares(drawn) if drawn.shape[1] else np.full(len(values), np.nan))


def indistinguishable(
    values: NDArray[np.float64], drawn: NDArray[np.float64], size: float, confidence: float
) -> NDArray[np.bool_]:
    """Return which cells cannot be told apart from the best.

    Args:
        values: score of each cell (cell,).
        drawn: the same in resamples (cell, resample), all finite.
        size: number of subjects in the smaller class, above 1. A resample of so many varies by (size − 1)/size too
            little, which is made up for.
        confidence: share of studies in which the truly best cell shall be among those returned.

    Returns:
        A mask (cell,); the cell with the greatest score is always in it.
    """
    kept = np.empty(len(values), dtype=bool)
    for index in range(len(values)):
        ahead, moved = values - values[index], drawn - drawn[index]
        error = moved.std(axis=1, ddof=1)
        differs = error > 1e-12
        # Cells with the same predictions never differ; one that is ahead by the same in all resamples is better.
        certain = bool((ahead[~differs] > 1e-12).any())
        if not differs.any():
            kept[index] = not certain
            continue
        farthest = (ahead[differs] / error[differs]).max()
        by_chance = ((moved - ahead[:, None])[differs] / error[differs, None]).max(axis=0)
        allowed = max(0.0, float(np.quantile(by_chance, confidence))) * np.sqrt(size / (size - 1))
        kept[index] = not certain and farthest <= allowed
    return kept


def _candidates(results: list[CellResult], config: EvaluateConfig) -> list[CellResult]:
    return [one for one in results if config.selectable(one.strategy) and not np.isnan(one.validation["auroc"].value)]


def _shares(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of resamples in which each cell is the best; cells that are equally good share it."""
    first = drawn == drawn.max(axis=0)
    shares: NDArray[np.float64] = (first / first.sum(axis=0)).mean(axis=1)
    return shares
