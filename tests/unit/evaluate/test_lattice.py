"""What modalities are worth, from the scores of every subset: sums, intervals, verdicts."""

from __future__ import annotations

from itertools import chain, combinations, permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picme.errors import DataError
from picme.evaluate import interactions, shapley
from picme.evaluate.bootstrap import SubjectResamples
from picme.evaluate.by_subset import subsets_of
from picme.evaluate.shapley import interaction_weights, shapley_weights
from picme.evaluate.value import lattices, table_rows, verdict
from picme.metrics.classification import auprc, auroc

NAMES = ("labs", "notes", "image")
SUBSETS = [frozenset(one) for one in chain.from_iterable(combinations(NAMES, size) for size in range(4))]
VALUES = st.lists(st.floats(0, 1, allow_subnormal=False), min_size=8, max_size=8).map(
    lambda values: dict(zip(SUBSETS, values, strict=True))
)


@given(VALUES)
def test_shapley_values_equal_the_mean_over_all_orders_and_add_up(values: dict[frozenset[str], float]) -> None:
    found = {name: sum(weight * values[one] for one, weight in shapley_weights(name, NAMES).items()) for name in NAMES}
    for name in NAMES:
        gains = []
        for order in permutations(NAMES):
            before = frozenset(order[: order.index(name)])
            gains.append(values[before | {name}] - values[before])
        assert found[name] == pytest.approx(np.mean(gains), abs=1e-12)
    assert found == pytest.approx(shapley(values), abs=1e-12)
    assert sum(found.values()) == pytest.approx(values[frozenset(NAMES)] - values[frozenset()], abs=1e-12)


@given(VALUES)
def test_the_interaction_index_equals_a_brute_force_one(values: dict[frozenset[str], float]) -> None:
    """The index is the Shapley value of the pair as one player, less those of each where the other is never there."""
    for one, other in combinations(NAMES, 2):
        pair = "both"
        joined = {
            frozenset({pair, *rest} if taken else rest): values[frozenset(rest) | ({one, other} if taken else set())]
            for rest in ([], [name for name in NAMES if name not in (one, other)])
            for taken in (False, True)
        }
        expected = shapley(joined)[pair]
        for gone, left in ((one, other), (other, one)):
            expected -= shapley({inside: value for inside, value in values.items() if gone not in inside})[left]
        assert interactions(values)[one, other] == pytest.approx(expected, abs=1e-12)


def test_interactions_of_known_games() -> None:
    both = {one: float({"labs", "image"} <= one) for one in SUBSETS}  # only together
    either = {one: float(bool(one & {"labs", "image"})) for one in SUBSETS}  # either is enough
    apart = {one: 0.1 * len(one) for one in SUBSETS}
    assert interactions(both)["labs", "image"] == 1 and interactions(both)["labs", "notes"] == 0
    assert interactions(either)["labs", "image"] == -1
    assert interactions(apart) == pytest.approx(dict.fromkeys(combinations(NAMES, 2), 0.0))
    with pytest.raises(DataError, match=r"need every coalition; labs\+notes is missing"):
        interactions({one: 0.0 for one in SUBSETS if one != frozenset({"labs", "notes"})})
    assert sum(interaction_weights("labs", "image", NAMES).values()) == 0


def simulated(rng: np.random.Generator, effect: tuple[float, ...], stays: int, seeds: int, noise: float) -> Any:
    """Scores of every subset: the best ones of independent signs, with a noise of each seed's own."""
    y = (rng.random(stays) < 0.3).astype(float)
    signs = y * np.array(effect)[:, None] + rng.normal(size=(len(effect), stays))
    scores = np.array([(signs * np.array(effect)[:, None])[subset].sum(axis=0) for subset in subsets_of(len(effect))])
    models = scores + rng.normal(0, noise, (seeds, *scores.shape))
    return y[None], (1 / (1 + np.exp(-models)))[:, :, None]


def test_rows_equal_plain_formulas() -> None:
    rng = np.random.default_rng(0)
    y, p = simulated(rng, (1.0, 0.7, 0.4), 300, 3, 0.2)
    subject = np.arange(300) // 2
    resamples = SubjectResamples.draw(150, 200, 0)
    for lattice, score, none in zip(
        lattices(y, p, subject, resamples, NAMES), (auroc, auprc), (0.5, y.mean()), strict=True
    ):
        v = {
            frozenset(name for name, inside in zip(NAMES, subset, strict=True) if inside): np.mean(
                [score(y[0], p[seed, place, 0]) for seed in range(3)]
            )
            for place, subset in enumerate(subsets_of(3))
        } | {frozenset(): none}
        rows: dict[str, list[dict[str, Any]]] = {"value": [], "interactions": [], "lattice": []}
        for name, row in table_rows(lattice, 0.95, 0.01):
            rows[name].append(row)
        assert [len(each) for each in rows.values()] == [9, 3, 8 + 12]
        for row in rows["value"]:
            m, every = row["modality"], frozenset(NAMES)
            expected = {"alone": v[frozenset({m})] - none, "added": v[every] - v[every - {m}], "shapley": shapley(v)[m]}
            assert row["value"] == pytest.approx(expected[row["quantity"]], abs=1e-9)
            assert row["low"] < row["value"] < row["high"]
        for row in rows["interactions"]:
            assert row["value"] == pytest.approx(interactions(v)[row["modality_a"], row["modality_b"]], abs=1e-9)
        for row in rows["lattice"]:
            inside = frozenset(filter(None, row["combination"].split("+")))
            expected_value = v[inside] if row["added"] is None else v[inside | {row["added"]}] - v[inside]
            assert row["value"] == pytest.approx(expected_value, abs=1e-9)


def test_a_modality_without_effect_is_covered_and_seldom_found_to_add() -> None:
    """250 studies of 400 stays and four seeds in which the third modality adds nothing but noise."""
    rng = np.random.default_rng(1)
    resamples = SubjectResamples.draw(400, 200, 0)
    inside = adds = 0
    for _ in range(250):
        y, p = simulated(rng, (1.0, 0.7, 0.0), 400, 4, 0.4)
        lattice = next(iter(lattices(y, p, np.arange(400), resamples, NAMES)))
        row = next(
            row
            for name, row in table_rows(lattice, 0.95, 0.01)
            if name == "value" and (row["quantity"], row["modality"]) == ("added", "image")
        )
        inside += row["low"] <= 0 <= row["high"]
        adds += row["verdict"] == "adds"
    assert 0.93 <= inside / 250 <= 1.0
    assert adds / 250 <= 0.05


@pytest.mark.parametrize(
    ("low", "high", "said", "at_most"),
    [
        (0.001, 0.03, "adds", None),
        (-0.01, 0.009, "nothing measurable", 0.009),
        (-0.01, 0.02, "undecided", None),
        (0.0, 0.005, "nothing measurable", 0.005),
        (-0.03, -0.01, "undecided", None),
        (None, None, "undecided", None),
    ],
)
def test_the_verdict_goes_by_the_interval(low: float | None, high: float | None, said: str, at_most: Any) -> None:
    found = verdict({"value": 0.5, "low": low, "high": high}, 0.01)
    assert (found["verdict"], found.get("at_most")) == (said, at_most)
