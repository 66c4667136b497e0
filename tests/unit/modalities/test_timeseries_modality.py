from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest

from picme.errors import DataError
from picme.modalities import open_modality, write_views
from picme.schema import SeriesRows, TextRows

if TYPE_CHECKING:
    from pathlib import Path

LENGTHS = np.array([3, 0, 5, 2, 4])


@pytest.fixture
def rows() -> SeriesRows:
    values = np.random.default_rng(0).normal(50, 9, (LENGTHS.sum(), 3)).astype(np.float32)
    values[:, 1] = values[:, 1] > 50
    return SeriesRows(values, LENGTHS, ["rate", "mask", "pressure"], [True, False, True])


def stays(rows: SeriesRows) -> list[np.ndarray]:
    return np.split(rows.values, np.cumsum(rows.lengths)[:-1])


def test_a_batch_is_padded_to_its_own_longest(rows: SeriesRows, tmp_path: Path) -> None:
    write_views("timeseries", {"v": rows}, {"v": tmp_path / "v"}, tmp_path / "pool")
    series = open_modality("timeseries", tmp_path / "v", tmp_path / "pool")
    assert series.present.tolist() == [True, False, True, True, True]
    batch = series.batch(np.array([3, 1, 0]))
    assert batch["values"].shape == (3, 3, 3)
    assert batch["lengths"].tolist() == [2, 1, 3]
    np.testing.assert_array_equal(batch["values"][0, :2], stays(rows)[3])
    assert not batch["values"][0, 2:].any()
    assert not batch["values"][1].any()
    np.testing.assert_array_equal(batch["values"][2], stays(rows)[0])


def test_statistics_are_of_training_stays_and_continuous_columns(rows: SeriesRows, tmp_path: Path) -> None:
    write_views("timeseries", {"v": rows}, {"v": tmp_path / "v"}, tmp_path / "pool")
    series = open_modality("timeseries", tmp_path / "v", tmp_path / "pool")
    statistics = json.loads(json.dumps(series.fit(np.array([0, 1, 3]))))
    train = np.concatenate([stays(rows)[0], stays(rows)[3]]).astype(np.float64)
    np.testing.assert_allclose(statistics["mean"], [train[:, 0].mean(), 0, train[:, 2].mean()])
    np.testing.assert_allclose(statistics["std"], [train[:, 0].std(), 1, train[:, 2].std()])
    normalised = series.with_statistics(statistics)
    got = normalised.batch(np.array([2]))["values"][0].numpy()
    expected = (stays(rows)[2] - np.array(statistics["mean"])) / np.array(statistics["std"])
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    # The instance it came from does not change.
    np.testing.assert_array_equal(series.batch(np.array([2]))["values"][0], stays(rows)[2])


def test_gaps_become_the_mean_and_flat_columns_stay(tmp_path: Path) -> None:
    values = np.array([[1, 7], [np.nan, 7], [3, 7]], dtype=np.float32)
    rows = SeriesRows(values, np.array([3]), ["a", "b"], [True, True])
    write_views("timeseries", {"v": rows}, {"v": tmp_path / "v"}, tmp_path / "pool")
    series = open_modality("timeseries", tmp_path / "v", tmp_path / "pool")
    statistics = series.fit(np.array([0]))
    assert statistics["mean"] == [2, 7]
    assert statistics["std"] == [1, 1]
    got = series.with_statistics(statistics).batch(np.array([0]))["values"][0]
    assert got.tolist() == [[-1, 0], [0, 0], [1, 0]]


def test_a_worker_gets_the_way_to_the_file_not_the_data(rows: SeriesRows, tmp_path: Path) -> None:
    big = SeriesRows(np.tile(rows.values, (500, 1)), np.tile(LENGTHS, 500), rows.columns, rows.continuous)
    write_views("timeseries", {"v": big}, {"v": tmp_path / "v"}, tmp_path / "pool")
    series = open_modality("timeseries", tmp_path / "v", tmp_path / "pool")
    series = series.with_statistics(series.fit(np.arange(10)))
    sent = pickle.dumps(series)
    assert len(sent) < 2000
    chosen = np.array([0, 4])
    assert (pickle.loads(sent).batch(chosen)["values"] == series.batch(chosen)["values"]).all()


def test_what_does_not_belong_together_is_refused(rows: SeriesRows, tmp_path: Path) -> None:
    folder, pool = tmp_path / "v", tmp_path / "pool"
    with pytest.raises(DataError, match="needs SeriesRows"):
        write_views("timeseries", {"v": TextRows([])}, {"v": folder}, pool)
    with pytest.raises(DataError, match="do not fit"):
        write_views("timeseries", {"v": SeriesRows(rows.values, LENGTHS + 1, rows.columns, [])}, {"v": folder}, pool)
    with pytest.raises(DataError, match="cannot be read"):
        open_modality("timeseries", folder, pool)
    write_views("timeseries", {"v": rows}, {"v": folder}, pool)
    series = open_modality("timeseries", folder, pool)
    with pytest.raises(DataError, match="other columns"):
        series.with_statistics({"columns": ["x"], "mean": [0], "std": [1]})


def test_the_spec_says_which_columns_belong_together(tmp_path: Path) -> None:
    columns = ["hr", "rhythm->a", "rhythm->b", "free", "mask->hr", "mask->rhythm", "since->hr"]
    series = SeriesRows(np.zeros((1, 7), np.float32), np.array([1]), columns, [False] * 7)
    write_views("timeseries", {"v": series}, {"v": tmp_path / "v"}, tmp_path / "pool")
    assert open_modality("timeseries", tmp_path / "v", tmp_path / "pool").spec() == {
        "n_columns": 7,
        "values": [0, 1, 2, 3],
        "masks": [4, 5, 5, -1],
        "since": [6, -1, -1, -1],
    }
