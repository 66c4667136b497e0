from __future__ import annotations

import numpy as np
import pytest

from picme.errors import DataError
from picme.evaluate import rank_agreement, shares
from picme.evaluate.attribution import agreement_rows, attribution_rows, contributions, shapley_rows


def test_shares_by_hand() -> None:
    # Mean absolute values 2, 1, 0: signs of different stays do not cancel.
    found = shares([[2.0, -1.0, 0.0], [-2.0, 1.0, 0.0]])
    np.testing.assert_allclose(found, [2 / 3, 1 / 3, 0])
    assert np.isnan(shares(np.zeros((3, 2)))).all()
    assert np.isnan(shares(np.zeros((0, 2)))).all()
    with pytest.raises(DataError, match="stay, modality"):
        shares([1.0, 2.0])


def test_rows() -> None:
    rows = attribution_rows("mortality", "a+b", "gated", "lambda", [{"a": 0.2, "b": 0.8}, {"a": 0.4, "b": 0.6}])
    assert [row["modality"] for row in rows] == ["a", "b"]
    assert [row["value"] for row in rows] == pytest.approx([0.3, 0.7])
    assert [row["std"] for row in rows] == pytest.approx([np.sqrt(0.02)] * 2)
    single = attribution_rows("mortality", "a+b", "gated", "lambda", [{"a": 0.2, "b": float("nan")}])
    assert [(row["value"], row["std"]) for row in single] == [(0.2, None), (None, None)]
    with pytest.raises(DataError, match="'b'"):
        attribution_rows("mortality", "a+b", "gated", "lambda", [{"a": 1.0}])


def test_shapley_rows_add_up_to_the_mean_gain() -> None:
    def seed(a: float, b: float, both: float) -> dict[frozenset[str], float]:
        return {frozenset(): 0.5, frozenset("a"): a, frozenset("b"): b, frozenset("ab"): both}

    rows = shapley_rows("mortality", "a+b", "contrastive", [seed(0.7, 0.6, 0.8), seed(0.72, 0.58, 0.84)])
    assert sum(row["value"] for row in rows) == pytest.approx((0.3 + 0.34) / 2, abs=1e-12)
    # By hand: φ_a = ½ (0.2 + 0.2) and ½ (0.22 + 0.26).
    assert rows[0]["value"] == pytest.approx((0.2 + 0.24) / 2)
    assert rows[0]["std"] == pytest.approx(np.std([0.2, 0.24], ddof=1))


def test_rank_agreement() -> None:
    one = {"a": 0.6, "b": 0.25, "c": 0.1, "d": 0.05}
    same = {"a": 0.1, "b": 0.06, "c": 0.01, "d": -0.02}
    swapped = {"a": 0.25, "b": 0.6, "c": 0.1, "d": 0.05}
    rows = rank_agreement({"one": one, "same": same, "swapped": swapped})
    tau = {(row["method_a"], row["method_b"]): row["tau"] for row in rows}
    assert tau["one", "same"] == pytest.approx(1)
    # One of six pairs is discordant: (5 − 1) / 6.
    assert tau["one", "swapped"] == pytest.approx(4 / 6)
    assert rank_agreement({"x": one, "y": {k: -v for k, v in one.items()}})[0]["tau"] == pytest.approx(-1)


def test_rank_agreement_where_it_means_nothing() -> None:
    rows = rank_agreement({"x": {"a": 0.5, "b": 0.5}, "y": {"a": 0.9, "b": 0.1}, "z": {"a": 1.0, "b": float("nan")}})
    assert [row["tau"] for row in rows] == [None, None, None]
    assert [row["modalities"] for row in rows] == [2, 1, 1]


def test_agreement_rows_pair_methods_of_one_cell() -> None:
    rows = attribution_rows("t", "a+b", "gated", "integrated_gradients", [{"a": 0.7, "b": 0.3}])
    rows += attribution_rows("t", "a+b", "gated", "shapley", [{"a": 0.1, "b": 0.2}])
    rows += attribution_rows("t", "a+b", "contrastive", "shapley", [{"a": 0.3, "b": 0.2}])
    rows += [{**row, "task": None, "strategy": None, "method": "lambda"} for row in rows[:2]]
    found = {(row["strategy"], row["method_a"], row["method_b"]): row["tau"] for row in agreement_rows(rows)}
    assert found == {
        ("gated", "lambda", "integrated_gradients"): pytest.approx(1),
        ("gated", "lambda", "shapley"): pytest.approx(-1),
        ("gated", "integrated_gradients", "shapley"): pytest.approx(-1),
        ("contrastive", "lambda", "shapley"): pytest.approx(1),
    }


def test_contributions_of_one_prediction() -> None:
    assert contributions(np.array([0.4, -0.1]), ["a", "b"]) == {"a": 0.4, "b": -0.1}
    with pytest.raises(DataError, match="2 modalities"):
        contributions([0.4], ["a", "b"])
