from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from picme.errors import DataError
from picme.evaluate import shapley

NAMES = ["discharge", "radiology", "image", "timeseries", "demographics"]
Game = dict[frozenset[str], float]


def coalitions(names: list[str]) -> list[frozenset[str]]:
    return [frozenset(members) for size in range(len(names) + 1) for members in combinations(names, size)]


def game(seed: int, names: list[str]) -> Game:
    rng = np.random.default_rng(seed)
    return {coalition: float(rng.uniform(0.4, 1)) for coalition in coalitions(names)}


def by_orders(values: Game, names: list[str]) -> dict[str, float]:
    """The definition by orders: mean marginal contribution over all permutations."""
    total = dict.fromkeys(names, 0.0)
    orders = list(permutations(names))
    for order in orders:
        for place, name in enumerate(order):
            before = frozenset(order[:place])
            total[name] += values[before | {name}] - values[before]
    return {name: value / len(orders) for name, value in total.items()}


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_equals_the_mean_over_orders(k: int) -> None:
    values = game(k, NAMES[:k])
    assert shapley(values) == pytest.approx(by_orders(values, NAMES[:k]), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_efficiency(seed: int, k: int) -> None:
    values = game(seed, NAMES[:k])
    assert sum(shapley(values).values()) == pytest.approx(values[frozenset(NAMES[:k])] - values[frozenset()], abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_symmetry_and_dummy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    base = {size: float(rng.uniform()) for size in range(3)}
    weight = {"c": float(rng.uniform())}
    # a and b are exchangeable, c adds a constant, d adds nothing.
    values = {
        coalition: base[len(coalition & {"a", "b"})] + sum(weight.get(name, 0.0) for name in coalition)
        for coalition in coalitions(["a", "b", "c", "d"])
    }
    found = shapley(values)
    assert found["a"] == pytest.approx(found["b"], abs=1e-12)
    assert found["c"] == pytest.approx(weight["c"], abs=1e-12)
    assert found["d"] == pytest.approx(0, abs=1e-12)


def test_linearity() -> None:
    one, two = game(1, NAMES[:4]), game(2, NAMES[:4])
    both = shapley({coalition: 2 * one[coalition] - 3 * two[coalition] for coalition in one})
    for name, value in both.items():
        assert value == pytest.approx(2 * shapley(one)[name] - 3 * shapley(two)[name], abs=1e-12)


def test_a_missing_coalition_is_named() -> None:
    values = game(0, ["a", "b"])
    del values[frozenset({"b"})]
    with pytest.raises(DataError, match=r"all 4 coalitions; 1 are missing, such as b"):
        shapley(values)
    with pytest.raises(DataError, match="the empty one"):
        shapley({frozenset({"a"}): 1.0})
    assert shapley({frozenset(): 0.5}) == {}
