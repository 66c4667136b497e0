"""Which combination is enough: planted sets, and how often one is named that is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.special import ndtr
from test_lattice import NAMES, simulated

from picme.evaluate.bootstrap import SubjectResamples
from picme.evaluate.by_subset import subsets_of
from picme.evaluate.intervals import Estimate
from picme.evaluate.lattice import Lattice
from picme.evaluate.sufficient import sufficient
from picme.evaluate.value import lattices

if TYPE_CHECKING:
    from collections.abc import Sequence

COSTS = dict.fromkeys(NAMES, 1.0)
NOISE = 0.3


def drawn(rng: np.random.Generator, effect: tuple[float, ...], stays: int, resamples: SubjectResamples) -> Lattice:
    """AUROC of models that know the best score of each subset but for a noise of their seed."""
    y, p = simulated(rng, effect, stays, 3, NOISE)
    return next(iter(lattices(y, p, np.arange(stays), resamples, NAMES)))


def true_auroc(effect: Sequence[float]) -> float:
    """AUROC of the sum of signs with these effects, of two normal classes."""
    apart = sum(one**2 for one in effect)
    return float(ndtr(apart / np.sqrt(2 * (apart + NOISE**2))))


def test_a_planted_set_is_found_where_there_are_enough_stays() -> None:
    rng, resamples = np.random.default_rng(0), SubjectResamples.draw(4000, 100, 0)
    found = []
    for _ in range(8):
        val, test = (drawn(rng, (1.0, 0.7, 0.0), 4000, resamples) for _ in range(2))
        found.append(sufficient(val, test, COSTS, 0.95, 0.02, 4000))
    assert [one["combination"] for one in found].count("labs+notes") >= 7
    assert {one["combination"] for one in found} <= {"labs+notes", None}
    for one in found:
        if one["combination"] is not None:
            assert one["low"] < one["difference"] < one["high"] and one["confirmed"] == (one["low"] > -0.02)
            assert (one["against"] == one["best"]) == (one["best"] != one["combination"])


def test_all_modalities_are_named_where_each_is_needed() -> None:
    rng, resamples = np.random.default_rng(1), SubjectResamples.draw(3000, 100, 0)
    found = [
        sufficient(val := drawn(rng, (0.8, 0.8, 0.8), 3000, resamples), val, COSTS, 0.95, 0.01, 3000) for _ in range(5)
    ]
    assert {one["combination"] for one in found} == {"labs+notes+image"}
    assert all(one["confirmed"] and one["low"] > 0 for one in found), "each is compared with the best of two"
    assert {one["against"] for one in found} <= {"labs+notes", "labs+image", "notes+image"}


def test_few_events_leave_it_undecided_and_tell_how_many_stays_would_not() -> None:
    rng, resamples = np.random.default_rng(2), SubjectResamples.draw(100, 200, 0)
    found = [
        sufficient(val := drawn(rng, (1.0, 0.7, 0.0), 100, resamples), val, COSTS, 0.95, 0.01, 100) for _ in range(20)
    ]
    assert {one.get("combination") for one in found} == {None}
    needed = [one["needed"] for one in found if not one.get("needs_seeds")]
    assert len(needed) > 10 and min(needed) > 100
    assert 300 < np.median(needed) < 5000


@pytest.mark.parametrize("effect", [(1.0, 0.7, 0.7), (0.8, 0.8, 0.8)])
def test_a_set_just_worse_than_the_margin_is_seldom_named(effect: tuple[float, ...]) -> None:
    """The margin is such that two of three modalities lose a hair more than it allows: the hardest case."""
    rng, resamples = np.random.default_rng(3), SubjectResamples.draw(400, 100, 0)
    margin = true_auroc(effect) - true_auroc(effect[:2]) - 1e-9
    wrong = 0
    for _ in range(80):
        val = drawn(rng, effect, 400, resamples)
        wrong += sufficient(val, val, COSTS, 0.95, margin, 400).get("combination") not in (None, "+".join(NAMES))
    assert wrong / 80 <= 0.05 + 1.65 * np.sqrt(0.05 * 0.95 / 80)


def planted(values: dict[str, float], spread: float = 1e-4) -> Lattice:
    """A lattice of known values, `values` by modalities, each with a little noise of its own."""
    like = Estimate("auroc", 0.0, np.zeros(50), 80.0)
    names = ("a", "b", "c")
    scores = np.array([0.5, *(values["".join(np.array(names)[one])] for one in subsets_of(3))])[None]
    noise = np.random.default_rng(0).normal(0, spread, (1, 8, 50))
    return Lattice(names, like, scores, scores[..., None] + noise, seeded=False)


LEVEL = {"a": 0.8, "b": 0.8, "c": 0.6, "ab": 0.8, "ac": 0.8, "bc": 0.8, "abc": 0.8}


@pytest.mark.parametrize(
    ("values", "costs", "expected"),
    [
        ({}, (1, 2, 1), "a"),
        ({}, (2, 1, 1), "b"),  # the cheaper of two that are equal
        ({"b": 0.78}, (2, 1, 1), "a"),  # too much worse
        ({"a": 0.6, "b": 0.6}, (1, 1, 1.5), "a+b"),
        ({"a": 0.6, "b": 0.6}, (1, 2, 1), "a+c"),
        ({"abc": 0.9}, (1, 1, 1), "a+b+c"),
        ({"abc": 0.805}, (1, 1, 1), "a"),  # worse, but within the margin
    ],
)
def test_the_smallest_then_cheapest_within_the_margin_is_named(
    values: dict[str, float], costs: tuple[float, ...], expected: str
) -> None:
    val = planted(LEVEL | values)
    found = sufficient(val, val, dict(zip("abc", costs, strict=True)), 0.95, 0.01, 100)
    assert found["combination"] == expected
    assert found["cost"] == sum(costs["abc".index(name)] for name in expected.split("+"))


def test_no_modality_is_named_where_none_is_needed() -> None:
    """As where acting on everybody has about the best net benefit that there is."""
    val = planted(dict.fromkeys(LEVEL, 0.505))
    found = sufficient(val, val, dict.fromkeys("abc", 1.0), 0.95, 0.01, 100)
    assert found["none_needed"] and "combination" not in found
    val = planted(dict.fromkeys(LEVEL, 0.52))
    assert sufficient(val, val, dict.fromkeys("abc", 1.0), 0.95, 0.01, 100)["combination"] == "a"


def test_test_stays_confirm_what_validation_chose_or_do_not() -> None:
    val, costs = planted(LEVEL | {"abc": 0.805}), dict.fromkeys("abc", 1.0)
    kept = sufficient(val, val, costs, 0.95, 0.01, 100)
    lost: Any = sufficient(val, planted(LEVEL | {"abc": 0.83}), costs, 0.95, 0.01, 100)
    assert (kept["combination"], kept["best"], kept["confirmed"]) == ("a", "a+b+c", True)
    assert (lost["combination"], lost["against"], lost["confirmed"]) == ("a", "a+b+c", False)
    assert lost["difference"] == pytest.approx(-0.03) and lost["high"] < -0.01


def test_the_stays_that_would_tell_grow_with_the_square_of_the_error() -> None:
    costs = dict.fromkeys("abc", 1.0)
    near, far = (
        sufficient(val := planted(LEVEL, spread), val, costs, 0.95, 0.01, 1000)["needed"] for spread in (0.05, 0.1)
    )
    assert far == pytest.approx(4 * near, rel=0.02)


@pytest.mark.parametrize(("between", "seeds_first"), [(0.0005, False), (0.03, True)])
def test_stays_are_not_promised_to_tell_what_differs_from_seed_to_seed(between: float, seeds_first: bool) -> None:
    """Eight seeds, whose models of a subset differ by `between` whatever the stays."""
    rng, one = np.random.default_rng(6), planted(LEVEL, 0.05)
    apart = rng.normal(0, between, (8, 8))
    apart[:, 0] = 0
    val = Lattice(one.names, one.like, one.values + apart, one.drawn + apart[..., None])
    found = sufficient(val, val, dict.fromkeys("abc", 1.0), 0.95, 0.01, 1000)
    assert found.get("combination") is None
    assert (found.get("needs_seeds") is True, found.get("needed") is None) == (seeds_first, seeds_first)
    if not seeds_first:
        assert found["needed"] > sufficient(one, one, dict.fromkeys("abc", 1.0), 0.95, 0.01, 1000)["needed"]
