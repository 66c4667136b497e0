from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picme.errors import TrainingError
from picme.modalities.batch import combined_lengths, in_order, length_buckets, shuffled


@given(n=st.integers(2, 300), size=st.integers(2, 70), seed=st.integers(0, 5), drop=st.booleans())
def test_every_row_once_and_no_batch_of_one(n: int, size: int, seed: int, drop: bool) -> None:
    lengths = np.random.default_rng(n).integers(1, 100, n)
    rows = np.arange(n) + 1
    for batches in (
        shuffled(rows, size, seed, 3, drop),
        length_buckets(np.concatenate([[0], lengths]), size, seed, 3, rows, drop),
    ):
        sizes = [len(batch) for batch in batches]
        assert min(sizes) >= 2
        together = np.concatenate(batches)
        assert len(set(together)) == len(together)
        if drop and n >= size:
            assert set(sizes) == {size}
            assert len(together) == n // size * size
        else:
            assert sorted(together) == list(rows)
            assert max(sizes) <= size + 1


def test_equal_seed_and_epoch_give_equal_batches_and_others_do_not() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 200)
    first = length_buckets(lengths, 16, seed=1, epoch=2)
    again = length_buckets(lengths, 16, seed=1, epoch=2)
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    for seed, epoch in ((2, 2), (1, 3)):
        other = length_buckets(lengths, 16, seed=seed, epoch=epoch)
        assert not all(np.array_equal(one, two) for one, two in zip(first, other, strict=True))


def test_buckets_pad_far_less_than_shuffling() -> None:
    lengths = np.random.default_rng(0).lognormal(4, 0.8, 2000).astype(int) + 1

    def padded(batches: list[np.ndarray]) -> int:
        return sum(len(batch) * int(lengths[batch].max()) for batch in batches)

    bucketed = padded(length_buckets(lengths, 32, 0, 0))
    random = padded(shuffled(np.arange(2000), 32, 0, 0))
    assert bucketed < 1.4 * lengths.sum()
    assert random > 2 * lengths.sum()


def test_order_of_batches_does_not_follow_length() -> None:
    lengths = np.arange(640)
    firsts = [int(lengths[batch].mean()) for batch in length_buckets(lengths, 16, 0, 0)]
    assert firsts != sorted(firsts)
    assert firsts != sorted(firsts, reverse=True)


def test_too_few_rows_or_too_small_batches_are_refused() -> None:
    with pytest.raises(TrainingError, match="batch_size is 1"):
        shuffled(np.arange(10), 1, 0, 0)
    with pytest.raises(TrainingError, match="1 training stays"):
        shuffled(np.arange(1), 8, 0, 0)


def test_evaluation_takes_all_rows_sorted_by_length() -> None:
    batches = in_order(np.array([4, 0, 2]), 2, np.array([9, 0, 1, 0, 5]))
    assert [batch.tolist() for batch in batches] == [[2, 4], [0]]
    assert [batch.tolist() for batch in in_order(np.array([4, 0, 2]), 2)] == [[4, 0], [2]]


def test_lengths_of_modalities_count_alike() -> None:
    together = combined_lengths([np.array([100, 50]), None, np.array([1, 2])])
    assert together is not None
    np.testing.assert_allclose(together, [(1 + 0.5) / 2, (0.5 + 1) / 2])
    assert combined_lengths([None]) is None
