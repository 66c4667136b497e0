"""The combination that is enough: the smallest, then cheapest, not worse than any other by more than a margin.

The choice is made on validation. A combination S is enough where every v(S) − v(T) has a lower bound above −margin,
over all other combinations T. For each T the bounds hold for all S at once (as in Hsu's comparisons with the best,
1981), so that the probability of naming a combination that is worse than the truly best by more than the margin is at
most 1 − confidence, however many there are to choose from and whichever looks best. No modality at all is among them:
where acting on everybody, or on nobody, has about the best net benefit, none is needed. What is chosen is compared on
test with the best on validation, or, where it is that itself, with the best of the others there.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from picme.config.combinations import label
from picme.evaluate.acquisition import cost_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from picme.evaluate.lattice import Lattice

Subset = frozenset[str]


def sufficient(
    val: Lattice, test: Lattice, costs: Mapping[str, float], confidence: float, margin: float, stays: int
) -> dict[str, Any]:
    """Return the columns of the table `sufficient` that say which combination is enough.

    Args:
        val: the lattice of a metric on validation, which alone decides.
        test: the lattice of the same models on test.
        costs: what each modality costs.
        confidence: that the combination named is enough, and of the interval on test.
        margin: the amount by which a combination may be worse than the best, in the metric's unit.
        stays: the stays of validation.
    """
    subsets = sorted(val.places, key=lambda one: (len(one), cost_of(one, costs)))
    none, order = subsets[0], [val.places[one] for one in subsets]
    scores = val.values.mean(axis=0)[order]
    if np.isnan(scores).any():
        return {"margin": margin}
    gain, reach, fixed = _comparisons(val, subsets, confidence)
    best = subsets[1 + int(scores[1:].argmax())]
    enough = _chosen(gain, reach, margin, subsets)
    found: dict[str, Any] = {"margin": margin, "best": _label(best, val)}
    if enough is None:
        room = _room(gain, margin, subsets)
        times = _times(room, reach, fixed)
        if times is None:
            return found | {"needs_seeds": True if _times(room, reach, 0 * fixed) is not None else None}
        return found | {"needed": max(stays + 1, ceil(stays * times))}
    if enough == none:
        return found | {"none_needed": True}
    found["combination"] = _label(enough, val)
    found["cost"] = cost_of(enough, costs)
    others = [(score, one) for score, one in zip(scores, subsets, strict=True) if one not in (none, enough)]
    if not others:
        return found
    against = best if best != enough else max(others, key=lambda each: each[0])[1]
    return found | {"against": _label(against, val), **judged(test, enough, against, confidence, margin)}


def judged(test: Lattice, enough: Subset, against: Subset, confidence: float, margin: float) -> dict[str, Any]:
    """Return the columns that say how much better a combination is on test than another, and if not worse by a margin.

    Args:
        test: the lattice of a metric on stays that did not choose.
        enough: the combination that was chosen.
        against: the one that it is compared with.
        confidence: the confidence level of the interval.
        margin: the amount by which the chosen one may be worse.
    """
    apart = test.sum({enough: 1.0, against: -1.0})
    confirmed = None if apart.obstacle else apart.interval(confidence)[0] > -margin
    return {"difference": apart.value, **apart.columns(confidence), "confirmed": confirmed}


def _comparisons(
    val: Lattice, subsets: list[Subset], confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return v(S) − v(T), how far below it its lower bound is, and which share of that error seeds have, all (S, T).

    The bound is infinitely far where it is not known. The share is of the variance; more stays do not lessen it.
    """
    places = [val.places[one] for one in subsets]
    drawn = val.drawn.mean(axis=0)[places]
    size = len(subsets)
    gain, reach, fixed = (np.zeros((size, size)) for _ in range(3))
    for other in range(size):
        apart = drawn - drawn[other]
        apart = apart[:, np.isfinite(apart).all(axis=0)]
        spread = apart.std(axis=1, ddof=1) if apart.shape[1] > 1 else np.zeros(size)
        varies = spread > 0
        share = confidence
        if varies.any():
            ratio = (apart[varies] - apart[varies].mean(axis=1, keepdims=True)) / spread[varies, None]
            # The share of a single comparison's distribution that lies below what bounds all of them at once.
            share = float(ndtr(np.quantile(ratio.max(axis=0), confidence)))
        for one in range(size):
            if one == other:
                continue
            estimate = val.sum({subsets[one]: 1.0, subsets[other]: -1.0})
            gain[one, other] = estimate.value
            if estimate.obstacle is not None:
                reach[one, other] = np.inf
                continue
            many = ndtri(share) if np.isinf(estimate.freedom) else stdtrit(estimate.freedom, share)
            if estimate.error:
                reach[one, other] = many * estimate.error
                fixed[one, other] = sum(variance for variance, _ in estimate.seeds) / estimate.error**2
    return gain, reach, fixed


def _chosen(
    gain: NDArray[np.float64], reach: NDArray[np.float64], margin: float, subsets: list[Subset]
) -> Subset | None:
    """Return the first subset that is enough; all modalities only where each is needed; None if undecided."""
    enough = (reach < _room(gain, margin, subsets)).all(axis=1)
    return subsets[int(enough.argmax())] if enough.any() else None


def _times(room: NDArray[np.float64], reach: NDArray[np.float64], fixed: NDArray[np.float64]) -> float | None:
    """Return how many times the stays would let a subset be named if the estimates stayed as they are; None if none.

    Args:
        room: how far below its gain a bound may lie (S, T), from `_room`.
        reach: how far it lies.
        fixed: the share of its variance that more stays do not lessen.
    """
    known = np.isfinite(reach)
    squared = np.where(known, reach, 0.0) ** 2
    left = room**2 - fixed * squared
    can = known & (room > 0) & ((left > 0) | (squared == 0))
    times = np.where(can, (1 - fixed) * squared / np.where(left > 0, left, 1.0), np.inf)
    least = float(times.max(axis=1).min())
    return least if np.isfinite(least) else None


def _room(gain: NDArray[np.float64], margin: float, subsets: list[Subset]) -> NDArray[np.float64]:
    """Return how far below S's gain on T the bound may lie for S to be enough, (S, T).

    All modalities are enough of themselves. They are named only where each is needed: without it, it is clearly worse.
    """
    room = gain + margin
    one_less = [len(one) == len(subsets[-1]) - 1 for one in subsets]
    room[-1, one_less] -= margin
    return room


def _label(subset: Subset, lattice: Lattice) -> str:
    return label([name for name in lattice.names if name in subset])
