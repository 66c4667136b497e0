from __future__ import annotations

import numpy as np
import pytest

from picme.sources.hourly import Reduce, hourly


@pytest.mark.parametrize("reduce", ["last", "mean", "sum"])
def test_a_measurement_outside_its_stay_is_written_into_no_stay(reduce: Reduce) -> None:
    stay = np.array([0, 0, 1, 1, 1, 1, 2])
    hours = np.array([1.0, 4.5, -3.0, -0.5, 2.0, np.nan, -1.0])
    value = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    grid = hourly(stay, hours, np.zeros(7, np.int64), value, np.array([4, 2, 0]), [reduce])
    assert grid[:, 0] == pytest.approx([np.nan, 1, np.nan, np.nan, np.nan, 5], nan_ok=True)
