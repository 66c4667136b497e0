"""Series of a study as one array."""

from __future__ import annotations

import numpy as np
import pytest

from picme.study import Series

LENGTHS = (3, 0, 5, 1)


@pytest.mark.parametrize("length", [None, 2, 7, 0])
def test_series_are_padded_behind_their_last_hour(length: int | None) -> None:
    lengths = np.array(LENGTHS)
    flat = np.random.default_rng(0).normal(size=(lengths.sum(), 2)).astype(np.float32)
    series = Series(np.arange(len(lengths)), flat, lengths, ["a", "b"])
    values, mask = series.padded(length)
    size = 5 if length is None else length
    assert values.shape == (4, size, 2)
    assert mask.shape == (4, size)
    for stay, own in enumerate(np.split(flat, lengths.cumsum()[:-1])):
        for hour in range(size):
            there = hour < len(own)
            assert mask[stay, hour] == there
            np.testing.assert_array_equal(values[stay, hour], own[hour] if there else 0)
