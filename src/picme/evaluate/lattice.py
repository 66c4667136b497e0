"""The lattice of subsets: what combinations of modalities score, and what follows from that as weighted sums.

What a modality is worth, what two are worth together, and what a combination scores are all sums Σ w(S) v(S) over the
subsets S of the modalities, where v(S) is a metric of the models that read S. So each is estimated alike: in the same
resamples of subjects for every subset, and for every seed by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from math import factorial
from typing import TYPE_CHECKING

import numpy as np

from picme.errors import DataError
from picme.evaluate.intervals import Estimate, mean_over_seeds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

Weights = dict[frozenset[str], float]
"""A weight for each subset that has one."""


def alone(name: str) -> Weights:
    """Return the weights of what a modality is worth by itself: v({m}) − v(∅)."""
    return {frozenset({name}): 1.0, frozenset(): -1.0}


def added(name: str, to: frozenset[str]) -> Weights:
    """Return the weights of what a modality adds to others: v(S ∪ {m}) − v(S)."""
    return {to | {name}: 1.0, to: -1.0}


def shapley_weights(name: str, names: Sequence[str]) -> Weights:
    """Return the weights of a modality's Shapley value: what it adds, averaged over all orders (Shapley, 1953)."""
    others, count = [one for one in names if one != name], len(names)
    found: Weights = {}
    for inside in _subsets(others):
        weight = factorial(len(inside)) * factorial(count - len(inside) - 1) / factorial(count)
        found[inside | {name}] = weight
        found[inside] = -weight
    return found


def interaction_weights(one: str, other: str, names: Sequence[str]) -> Weights:
    """Return the weights of the Shapley interaction index of two modalities (Grabisch and Roubens, 1999, eq. 9).

    I(i, j) = Σ over T without i and j of |T|! (K − |T| − 2)! / (K − 1)! · (v(T ∪ ij) − v(T ∪ i) − v(T ∪ j) + v(T))
    """
    others, count = [name for name in names if name not in (one, other)], len(names)
    found: Weights = {}
    for inside in _subsets(others):
        weight = factorial(len(inside)) * factorial(count - len(inside) - 2) / factorial(count - 1)
        found |= {inside | {one, other}: weight, inside | {one}: -weight, inside | {other}: -weight, inside: weight}
    return found


def interactions(values: Mapping[frozenset[str], float]) -> dict[tuple[str, str], float]:
    """Compute the Shapley interaction index of every pair of names: above 0 synergy, below 0 redundancy.

    Args:
        values: value of each of the 2^K coalitions of K names, the empty one included.

    Returns:
        The index of each pair, in the unit of `values`; names in the order in which they first appear.

    Raises:
        DataError: if a coalition is missing.
    """
    names = list(dict.fromkeys(name for coalition in values for name in sorted(coalition)))
    if missing := [one for one in _subsets(names) if one not in values]:
        raise DataError(
            f"interactions need every coalition; {'+'.join(sorted(missing[0])) or 'the empty one'} is missing"
        )
    return {
        pair: sum(weight * values[inside] for inside, weight in interaction_weights(*pair, names).items())
        for pair in combinations(names, 2)
    }


def _subsets(names: Sequence[str]) -> Iterator[frozenset[str]]:
    for size in range(len(names) + 1):
        yield from map(frozenset, combinations(names, size))


@dataclass(frozen=True)
class Lattice:
    """A metric of the models of every subset of the modalities, on the same stays.

    Attributes:
        names: the modalities.
        like: an estimate of one subset's metric, which has the metric's name and the sizes of its classes.
        values: (seed, subset) the metric, subsets in the order of `places`.
        drawn: (seed, subset, resample) the same in each resample of subjects.
        seeded: whether another seed gives other models.
        draws: draws of encoders that the seeds take in turn; see `over_seeds`.
    """

    names: tuple[str, ...]
    like: Estimate
    values: NDArray[np.float64] = field(repr=False)
    drawn: NDArray[np.float64] = field(repr=False)
    seeded: bool = True
    draws: int = 0

    @property
    def places(self) -> dict[frozenset[str], int]:
        """The place of each subset, the empty one first: its modalities as the bits of a number."""
        return {
            frozenset(name for bit, name in enumerate(self.names) if number >> bit & 1): number
            for number in range(2 ** len(self.names))
        }

    def sum(self, weights: Weights, difference: bool = True) -> Estimate:
        """Estimate a weighted sum over the subsets, of single models, with the error of subjects and of seeds.

        Args:
            weights: of the subsets.
            difference: whether it is a difference of metrics, which may be below 0, or a metric.
        """
        places = self.places
        chosen, by = [places[one] for one in weights], np.array(list(weights.values()))
        values, drawn = self.values[:, chosen] @ by, np.einsum("w,swr->sr", by, self.drawn[:, chosen])
        return mean_over_seeds(self.like, values, drawn, self.seeded, self.draws, difference)
