"""Exact Shapley values of the members of a coalition game, such as modalities that share in an AUROC.

φ_i = Σ over S without i of |S|! (K − |S| − 1)! / K! · (v(S ∪ {i}) − v(S))   (Shapley, 1953)
"""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

from picme.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    coalitions = {frozenset(coalition): float(value) for coalition, value in values.items()}
    names = list(dict.fromkeys(name for coalition in values for name in sorted(coalition)))
    every = [frozenset(members) for size in range(len(names) + 1) for members in combinations(names, size)]
    missing = [coalition for coalition in every if coalition not in coalitions]
    if missing:
        example = "+".join(sorted(missing[0])) or "the empty one"
        raise DataError(
            f"Shapley values need all {len(every)} coalitions; {len(missing)} are missing, such as {example}"
        )
    shares = {}
    for name in names:
        total = 0.0
        for coalition in every:
            if name not in coalition:
                # |S|! (K − |S| − 1)! / K! written as 1 / (K · C(K − 1, |S|))
                weight = 1 / (len(names) * comb(len(names) - 1, len(coalition)))
                total += weight * (coalitions[coalition | {name}] - coalitions[coalition])
        shares[name] = total
    return shares
