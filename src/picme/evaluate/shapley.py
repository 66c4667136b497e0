"""Values of a coalition game, such as modalities that share in an AUROC, as weighted sums over its coalitions.

Each is Σ w(S) v(S) over the coalitions S, and is given here by its weights w.
"""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

from picme.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Weights = dict[frozenset[str], float]
"""A weight for each coalition that has one."""
Game = dict[frozenset[str], float]
"""The value of each coalition."""


def added(name: str, to: frozenset[str] = frozenset()) -> Weights:
    """Return the weights of what a name adds to others, v(S ∪ {i}) − v(S): by itself, to none."""
    return {to | {name}: 1.0, to: -1.0}


def shapley_weights(name: str, names: Sequence[str]) -> Weights:
    """Return the weights of a name's Shapley value: what it adds, averaged over all orders.

    φ_i = Σ over S without i of |S|! (K − |S| − 1)! / K! · (v(S ∪ {i}) − v(S))   (Shapley, 1953)
    """
    count, found = len(names), Weights()
    for inside in _coalitions([one for one in names if one != name]):
        # |S|! (K − |S| − 1)! / K! written as 1 / (K · C(K − 1, |S|))
        weight = 1 / (count * comb(count - 1, len(inside)))
        found |= {inside | {name}: weight, inside: -weight}
    return found


def interaction_weights(one: str, other: str, names: Sequence[str]) -> Weights:
    """Return the weights of the Shapley interaction index of two names (Grabisch and Roubens, 1999, eq. 9).

    I(i, j) = Σ over T without i and j of |T|! (K − |T| − 2)! / (K − 1)! · (v(T ∪ ij) − v(T ∪ i) − v(T ∪ j) + v(T))
    """
    count, found = len(names), Weights()
    for inside in _coalitions([name for name in names if name not in (one, other)]):
        weight = 1 / ((count - 1) * comb(count - 2, len(inside)))
        found |= {inside | {one, other}: weight, inside | {one}: -weight, inside | {other}: -weight, inside: weight}
    return found


def shapley(values: Mapping[frozenset[str], float]) -> dict[str, float]:
    """Compute the Shapley value of every name.

    Args:
        values: value of each of the 2^K coalitions of K names, the empty one included (for AUROC it is 0.5).

    Returns:
        Value per name, in the unit of `values`; they add up to the value of all minus that of none. Names in the
        order in which they first appear. NaN in a coalition makes the names it touches NaN.

    Raises:
        DataError: if a coalition is missing.
    """
    game, names, missing = _game(values)
    if missing:
        raise DataError(
            f"Shapley values need all {2 ** len(names)} coalitions; {len(missing)} are missing, such as "
            f"{_text(missing[0])}"
        )
    return {name: _sum(game, shapley_weights(name, names)) for name in names}


def interactions(values: Mapping[frozenset[str], float]) -> dict[tuple[str, str], float]:
    """Compute the Shapley interaction index of every pair of names: above 0 synergy, below 0 redundancy.

    Args:
        values: value of each of the 2^K coalitions of K names, the empty one included.

    Returns:
        The index of each pair, in the unit of `values`; names in the order in which they first appear.

    Raises:
        DataError: if a coalition is missing.
    """
    game, names, missing = _game(values)
    if missing:
        raise DataError(f"interactions need every coalition; {_text(missing[0])} is missing")
    return {pair: _sum(game, interaction_weights(*pair, names)) for pair in combinations(names, 2)}


def _sum(game: Game, weights: Weights) -> float:
    return sum(weight * game[coalition] for coalition, weight in weights.items())


def _game(
    values: Mapping[frozenset[str], float],
) -> tuple[dict[frozenset[str], float], list[str], list[frozenset[str]]]:
    """Return the value of each coalition, the names, and the coalitions that are missing."""
    game = {frozenset(coalition): float(value) for coalition, value in values.items()}
    names = list(dict.fromkeys(name for coalition in values for name in sorted(coalition)))
    return game, names, [coalition for coalition in _coalitions(names) if coalition not in game]


def _coalitions(names: Sequence[str]) -> Iterator[frozenset[str]]:
    for size in range(len(names) + 1):
        yield from map(frozenset, combinations(names, size))


def _text(coalition: frozenset[str]) -> str:
    return "+".join(sorted(coalition)) or "the empty one"
