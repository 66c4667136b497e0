"""What modalities are worth, from the scores of every subset: sums, intervals, verdicts."""

from __future__ import annotations

from dataclasses import replace
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
from picme.evaluate.calibration import fit_calibration
from picme.evaluate.predicted import Predicted
from picme.evaluate.shapley import added, interaction_weights, shapley_weights
from picme.evaluate.value import events, lattices, table_rows, verdict
from picme.metrics.classification import auprc, auroc
from picme.metrics.net_benefit import net_benefit

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


def random_precision(y: np.ndarray) -> float:
    """Expected average precision of a random order: the mean over the places of each positive, term by term."""
    n, positives = len(y), y.sum()
    return float(np.mean([(1 + (k - 1) * (positives - 1) / (n - 1)) / k for k in range(1, n + 1)]))


def test_rows_equal_plain_formulas() -> None:
    rng = np.random.default_rng(0)
    y, p = simulated(rng, (1.0, 0.7, 0.4), 300, 3, 0.2)
    subject = np.arange(300) // 2
    resamples = SubjectResamples.draw(150, 200, 0)
    for lattice, score, none in zip(
        lattices(y, p, subject, resamples, NAMES), (auroc, auprc), (0.5, random_precision(y[0])), strict=True
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
        single = [row for row in rows["lattice"] if row["added"] is None and row["combination"]]
        assert all((row.get("low") is None) == (score is auprc) for row in single)
        for row in rows["lattice"]:
            inside = frozenset(filter(None, row["combination"].split("+")))
            expected_value = v[inside] if row["added"] is None else v[inside | {row["added"]}] - v[inside]
            assert row["value"] == pytest.approx(expected_value, abs=1e-9)


def test_a_modality_without_effect_is_covered_and_seldom_found_to_add() -> None:
    """250 studies of 400 stays and four seeds in which the third modality adds nothing but noise."""
    rng = np.random.default_rng(1)
    resamples = SubjectResamples.draw(400, 200, 0)
    found = {"auroc": [0, 0], "net_benefit_0.2": [0, 0]}
    for _ in range(250):
        y, p = simulated(rng, (1.0, 0.7, 0.0), 400, 4, 0.4)
        for lattice in lattices(y, p, np.arange(400), resamples, NAMES, thresholds=(0.2,)):
            if lattice.like.metric in found:
                row = lattice.sum(added("image", frozenset({"labs", "notes"}))).columns(0.95)
                found[lattice.like.metric][0] += row["low"] <= 0 <= row["high"]
                found[lattice.like.metric][1] += verdict(row, 0.01)["verdict"] == "adds"
    for metric, (covered, adds) in found.items():
        assert 0.93 <= covered / 250 <= 0.985, metric
        assert adds / 250 <= 0.05, metric


def test_a_modality_of_noise_is_worth_nothing_by_itself_whatever_the_metric() -> None:
    """120 studies of 300 stays, a fifth of them positive: no metric credits noise with what needs no modality."""
    rng = np.random.default_rng(7)
    resamples, prior = SubjectResamples.draw(300, 200, 0), np.array([0.2])
    found: dict[str, list[bool]] = {}
    centres: dict[str, list[float]] = {}
    for _ in range(120):
        y = (rng.random((1, 300)) < prior).astype(float)
        risk = 1 / (1 + np.exp(1.4 - 0.7 * rng.normal(size=(3, 7, 1, 300))))
        for lattice in lattices(y, risk, np.arange(300), resamples, NAMES, thresholds=(0.1, 0.2), prior=prior):
            estimate = lattice.sum(added("image"))
            said = verdict(estimate.columns(0.95), 0.01)["verdict"]
            found.setdefault(lattice.like.metric, []).append(said == "adds")
            centres.setdefault(lattice.like.metric, []).append(estimate.value)
    assert set(found) == {"auroc", "auprc", "net_benefit_0.1", "net_benefit_0.2"}
    for metric, adds in found.items():
        assert np.mean(adds) <= 0.08, metric
    for metric in ("auroc", "auprc"):
        assert abs(np.mean(centres[metric])) < 3 * np.std(centres[metric]) / np.sqrt(120), metric


def test_net_benefit_is_that_of_calibrated_probabilities_and_none_of_nothing() -> None:
    rng = np.random.default_rng(4)
    y, p = simulated(rng, (1.0, 0.7, 0.4), 200, 2, 0.2)
    y = np.concatenate([y, rng.integers(0, 2, (1, 200)).astype(float)])
    y[1, :50] = np.nan
    risk = np.concatenate([p, p**2], axis=2)
    subject, resamples = np.arange(200) // 2, SubjectResamples.draw(100, 50, 0)
    found = list(lattices(y, 1 - risk, subject, resamples, NAMES, risk=risk, thresholds=(0.1, 0.3)))
    assert [one.like.metric for one in found] == ["auroc", "auprc", "net_benefit_0.1", "net_benefit_0.3"]
    counts = np.concatenate(resamples.blocks, axis=1).astype(int)
    for lattice, threshold in zip(found[2:], (0.1, 0.3), strict=True):
        by_share = np.broadcast_to(np.nanmean(y, axis=1)[:, None], y.shape)
        assert lattice.values[:, 0] == pytest.approx(
            np.mean([net_benefit(y[row], by_share[row], threshold) for row in (0, 1)])
        )
        for seed, subset in ((0, 0), (1, 4), (1, 6)):
            each = [net_benefit(y[row], risk[seed, subset, row], threshold) for row in (0, 1)]
            assert lattice.values[seed, subset + 1] == pytest.approx(np.mean(each))
            again = np.repeat(np.arange(200), counts[subject, 7])
            each = [net_benefit(y[row, again], risk[seed, subset, row, again], threshold) for row in (0, 1)]
            assert lattice.drawn[seed, subset + 1, 7] == pytest.approx(np.mean(each))


def test_calibration_is_fitted_on_other_stays_and_who_has_nothing_of_a_subset_gets_their_share() -> None:
    rng = np.random.default_rng(5)
    val, test = (_predicted(rng, 3000) for _ in range(2))
    found = test.calibrated(val)
    for place, subset in enumerate(subsets_of(2)):
        reads = test.has[:, subset].any(axis=1)
        assert (found.p[0, place, 0, ~reads] == np.mean(val.y)).all()
        # The models are too sure of themselves by a slope of 2 and an intercept of 1.
        slope, intercept = fit_calibration(found.p[0, place, 0, reads], test.y[0, reads])
        assert slope == pytest.approx(1, abs=0.2) and intercept == pytest.approx(0, abs=0.35)
        assert auroc(test.y[0, reads], found.p[0, place, 0, reads]) == pytest.approx(
            auroc(test.y[0, reads], test.p[0, place, 0, reads])
        )
    complete = test.of("complete")
    assert complete.has.all() and complete.p.shape[3] == test.has.all(axis=1).sum() < test.of("all").p.shape[3] == 3000
    blind = replace(test, p=np.full_like(test.p, np.nan)).calibrated(replace(val, p=np.full_like(val.p, np.nan)))
    assert np.isnan(blind.p).all()  # a label that the models do not know stays unknown


def _predicted(rng: np.random.Generator, stays: int) -> Predicted:
    has = np.zeros((stays, 2), dtype=bool)
    has[np.arange(stays), rng.integers(0, 2, stays)] = True
    has |= rng.random((stays, 2)) < 0.5
    logits = rng.normal(-1, 1, (1, 3, 1, stays))
    y = (rng.random(stays) < 1 / (1 + np.exp(-logits[0, 0, 0]))).astype(float)
    p = np.repeat(1 / (1 + np.exp(-(2 * logits[:, :1] + 1))), 3, axis=1)
    p[0][~(has & subsets_of(2)[:, None]).any(axis=2)[:, None]] = np.nan
    return Predicted(y[None], p, np.arange(stays), has, np.arange(stays))


def test_events_are_of_the_rarest_label() -> None:
    assert events(np.array([[1.0, 1, 0, np.nan], [1, 0, 0, 0]])) == 1


@pytest.mark.parametrize(
    ("low", "high", "said", "at_most"),
    [
        (0.001, 0.03, "adds", None),
        (-0.01, 0.009, "nothing measurable", 0.009),
        (-0.01, 0.02, "undecided", None),
        (0.0, 0.005, "nothing measurable", 0.005),
        (-0.03, -0.01, "nothing measurable", 0.0),
        (None, None, "undecided", None),
    ],
)
def test_the_verdict_goes_by_the_interval(low: float | None, high: float | None, said: str, at_most: Any) -> None:
    found = verdict({"value": 0.5, "low": low, "high": high}, 0.01)
    assert (found["verdict"], found.get("at_most")) == (said, at_most)
