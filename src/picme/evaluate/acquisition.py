"""The order in which modalities are worth having: what each adds for its cost, and the front of value against cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from picme.config.combinations import label
from picme.evaluate.shapley import added

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from picme.evaluate.lattice import Lattice


def cost_of(subset: frozenset[str], costs: Mapping[str, float]) -> float:
    """Return what the modalities of a subset cost together."""
    return sum(costs[name] for name in sorted(subset))


def path(val: Lattice, costs: Mapping[str, float]) -> Iterator[tuple[frozenset[str], str]]:
    """Yield what there is already and the modality to add to it: the one with most gain per cost on validation."""
    scores, inside = val.values.mean(axis=0), frozenset[str]()

    def worth(name: str) -> tuple[float, float]:
        gain = scores[val.places[inside | {name}]] - scores[val.places[inside]]
        # What costs nothing comes first if it gains anything, and last if it loses.
        per_cost = gain / costs[name] if costs[name] else (float("inf") if gain > 0 else float("-inf"))
        return per_cost, gain

    while len(inside) < len(val.names):
        name = max((one for one in val.names if one not in inside), key=worth)
        yield inside, name
        inside |= {name}


def acquisition(
    val: Lattice, test: Lattice, costs: Mapping[str, float], confidence: float, shares: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return the rows of the table `acquisition`: the path that validation chooses, and what it gains on test.

    Args:
        val: the lattice of a metric on validation.
        test: the lattice of the same models on test.
        costs: what each modality costs.
        confidence: the confidence level of the intervals.
        shares: the shares of the test stays that have each modality.
    """
    rows: list[dict[str, Any]] = []
    last = 0
    for step, (inside, name) in enumerate(path(val, costs), start=1):
        whole, gain = inside | {name}, test.sum(added(name, inside))
        low, high = gain.interval(confidence)
        last = step if low > 0 else last
        row: dict[str, Any] = {
            "step": step,
            "added": name,
            "combination": label([one for one in test.names if one in whole]),
            "cost": cost_of(whole, costs),
            "value": float(test.values.mean(axis=0)[test.places[whole]]),
            "gain": gain.value,
            **gain.columns(confidence),
            "per_cost": gain.value / costs[name] if costs[name] else None,
        }
        if gain.metric.startswith("net_benefit"):
            for end, fraction in (("", gain.value), ("_low", low), ("_high", high)):
                row["per_100_stays" + end] = 100 * fraction
                row["per_100_acquired" + end] = 100 * fraction / shares[name] if shares[name] else None
        rows.append(row)
    return [row | {"stop": row["step"] > last} for row in rows]


def front(val: Lattice, costs: Mapping[str, float]) -> set[frozenset[str]]:
    """Return the subsets such that, on validation, none that costs as much or less is better."""
    scores = val.values.mean(axis=0)
    worth = {one: (cost_of(one, costs), scores[place]) for one, place in val.places.items()}
    return {
        one
        for one, (cost, score) in worth.items()
        if not any(
            (less <= cost and better > score) or (less < cost and better >= score) for less, better in worth.values()
        )
    }
