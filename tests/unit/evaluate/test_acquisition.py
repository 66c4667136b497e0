"""In which order modalities are worth having, against plain sums over known values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_sufficient import planted

from picme.evaluate.acquisition import acquisition, front
from picme.evaluate.intervals import Estimate
from picme.evaluate.lattice import Lattice

VALUES = {"a": 0.7, "b": 0.75, "c": 0.5, "ab": 0.8, "ac": 0.7, "bc": 0.76, "abc": 0.8}
SHARES = {"a": 1.0, "b": 1.0, "c": 0.5}


def test_the_path_takes_the_most_gain_per_cost_and_stops_where_nothing_adds() -> None:
    val = planted(VALUES)
    rows = acquisition(val, val, {"a": 1.0, "b": 2.0, "c": 1.0}, 0.95, SHARES)
    assert [row["added"] for row in rows] == ["a", "b", "c"]  # 0.2 and 0.25 / 2, then 0.1 / 2 and 0
    assert [row["combination"] for row in rows] == ["a", "a+b", "a+b+c"]
    assert [row["cost"] for row in rows] == [1, 3, 4]
    assert [row["gain"] for row in rows] == pytest.approx([0.2, 0.1, 0.0])
    assert [row["per_cost"] for row in rows] == pytest.approx([0.2, 0.05, 0.0])
    assert [row["value"] for row in rows] == pytest.approx([0.7, 0.8, 0.8])
    assert [row["stop"] for row in rows] == [False, False, True]
    assert "per_100_stays" not in rows[0]
    assert [row["added"] for row in acquisition(val, val, dict.fromkeys("abc", 1.0), 0.95, SHARES)] == ["b", "a", "c"]


def test_what_costs_nothing_comes_first_if_it_gains() -> None:
    val = planted(VALUES)
    rows: list[Any] = acquisition(val, val, {"a": 1.0, "b": 1.0, "c": 0.0}, 0.95, SHARES)
    assert [row["added"] for row in rows] == ["b", "c", "a"]
    assert rows[1]["per_cost"] is None
    # By itself c gains nothing, so that what costs something comes before it; beside b it gains a little.
    assert rows[1]["gain"] == pytest.approx(0.01)


def test_true_positives_are_the_net_benefit_of_a_hundred() -> None:
    auroc = planted({name: value - 0.5 for name, value in VALUES.items()})
    like = Estimate("net_benefit_0.2", 0.0, np.zeros(50), 80.0, difference=True)
    values, drawn = auroc.values.copy(), auroc.drawn.copy()
    values[:, 0], drawn[:, 0] = 0, 0
    val = Lattice(auroc.names, like, values, drawn, seeded=False)
    rows = acquisition(val, val, dict.fromkeys("abc", 1.0), 0.95, SHARES)
    for row in rows:
        for end, of in (("", "gain"), ("_low", "low"), ("_high", "high")):
            assert row["per_100_stays" + end] == pytest.approx(100 * row[of])
            assert row["per_100_acquired" + end] == pytest.approx(100 * row[of] / SHARES[row["added"]])


def test_the_front_has_what_nothing_cheaper_beats() -> None:
    found = front(planted(VALUES), {"a": 1.0, "b": 1.5, "c": 0.5})
    assert {"".join(sorted(one)) for one in found} == {"", "a", "b", "bc", "ab"}
    # Equal values: the cheaper one alone is on the front; equal in both, both are.
    level = dict.fromkeys(VALUES, 0.7)
    assert {"".join(sorted(one)) for one in front(planted(level), {"a": 1.0, "b": 1.0, "c": 2.0})} == {"", "a", "b"}
