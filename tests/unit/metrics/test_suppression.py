from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from picme.metrics.suppression import hidden

ALL = [(np.arange(3), None)]


def test_small_cells_are_hidden_and_a_partner_with_a_lone_one() -> None:
    assert hidden(np.array([[40], [30], [20]]), (10,), ALL).tolist() == [False, False, False]
    # 100 stays in all: 40 and 30 would tell the third, and 3 + 4 are still fewer than 10.
    assert hidden(np.array([[40], [30], [3]]), (10,), ALL).tolist() == [False, True, True]
    assert hidden(np.array([[40], [4], [3]]), (10,), ALL).tolist() == [True, True, True]
    assert hidden(np.array([[40], [7], [3]]), (10,), ALL).tolist() == [False, True, True]
    # Nobody is nobody's data, and hides no other.
    assert hidden(np.array([[40], [30], [0]]), (10,), ALL).tolist() == [False, False, False]
    assert hidden(np.array([[40], [3], [0]]), (10,), ALL).tolist() == [True, True, False]


def test_events_hide_as_stays_do() -> None:
    counts = np.array([[40, 20, 20], [30, 15, 15], [20, 2, 18]])
    assert hidden(counts, (10, 0, 0), ALL).tolist() == [False, False, False]
    assert hidden(counts, (10, 6, 6), ALL).tolist() == [False, True, True]
    assert hidden(counts[:, [0, 2, 1]], (10, 6, 6), ALL).tolist() == [False, True, True]


def test_a_total_is_hidden_from_its_parts_too() -> None:
    # Cells 0 and 1 add up to 2; 2 and 3 to all. 3 is small, so 2 is hidden, and one of its parts must be.
    counts = np.array([[30], [50], [80], [4]])
    assert hidden(counts, (10,), [(np.array([2, 3]), None), (np.array([0, 1]), 2)]).tolist() == [
        True,
        False,
        True,
        True,
    ]


def test_a_total_can_be_hidden_in_place_of_another_part() -> None:
    # Two splits that add up to the third cell: the small one is hidden, and the sum of both with it.
    counts, equations = np.array([[60], [4], [64]]), [(np.array([0, 1]), 2)]
    assert hidden(counts, (10,), equations).tolist() == [True, True, False]
    assert hidden(counts, (10,), equations, totals=True).tolist() == [False, True, True]


def test_what_is_secret_stays_so() -> None:
    secret = np.array([True, False, False])
    assert hidden(np.array([[40], [30], [20]]), (10,), ALL, secret).tolist() == [True, False, True]


@pytest.mark.parametrize("seed", range(20))
def test_no_cell_of_a_crossed_table_follows_from_what_is_told(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(2, 7, 2)
    inner = rng.poisson(rng.choice([3, 15, 40], (rows, columns)))
    at = np.arange(rows * columns).reshape(rows, columns)
    right, below = rows * columns + np.arange(rows), rows * columns + rows + np.arange(columns)
    counts = np.concatenate([inner.ravel(), inner.sum(axis=1), inner.sum(axis=0)])[:, None]
    equations = [(at[row], right[row]) for row in range(rows)] + [(at[:, one], below[one]) for one in range(columns)]
    equations += [(right, None), (below, None)]
    found = hidden(counts, (10,), equations)
    assert found[(counts[:, 0] > 0) & (counts[:, 0] < 10)].all()
    # An attacker knows the told cells and all sums: what are the least and greatest values of each hidden one?
    left, given = [], []
    for members, total in equations:
        row = np.zeros(len(counts))
        row[members] = 1
        if total is not None:
            row[total] = -1
        left.append(row)
        given.append(0 if total is not None else inner.sum())
    for place in np.flatnonzero(~found):
        left.append(np.eye(len(counts))[place])
        given.append(counts[place, 0])
    for place in np.flatnonzero(found):
        one = np.eye(len(counts))[place]
        least, most = (linprog(sign * one, A_eq=np.array(left), b_eq=given).fun * sign for sign in (1, -1))
        assert most - least > 0.5
