from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from picme.engine import memory
from picme.errors import DataError
from picme.modalities import open_modality, write_views
from picme.schema import TableRows

if TYPE_CHECKING:
    from pathlib import Path

    from picme.modalities.base import Modality


def written(frame: pl.DataFrame, tmp_path: Path, present: list[bool] | None = None) -> Modality:
    rows = TableRows(frame, np.array(present if present is not None else [True] * len(frame)))
    write_views("tabular", {"v": rows}, {"v": tmp_path / "v"}, tmp_path / "pool")
    return open_modality("tabular", tmp_path / "v", tmp_path / "pool")


def test_numbers_and_categories_by_training_statistics(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "age": [40, 60, None, 1000, 80],
            "unit": ["A", "A", "B", "C", None],
        }
    )
    table = written(frame, tmp_path, [True, True, True, True, False])
    train = np.array([0, 1, 2, 4])
    statistics = json.loads(json.dumps(table.fit(train)))
    # The absent stay's 80 and the test stay's 1000 are not in the statistics; B is held by one stay alone.
    described = {"stays": 2, "min": 40, "max": 60, "mean": 50, "quantiles": [42, 45, 50, 55, 58]}
    assert statistics["columns"][0] == {"name": "age", "mean": 50.0, "std": 10.0, "distribution": described}
    assert statistics["columns"][1] == {"name": "unit", "categories": ["A"], "unknown": pytest.approx(1 / 3)}
    encoded = table.with_statistics(statistics)
    assert encoded.columns == ["age", "age=missing", "unit=A", "unit=other", "unit=missing"]  # type: ignore[attr-defined]
    assert encoded.spec() == {"n_columns": 5}
    values = encoded.batch(np.arange(5))["values"]
    assert values.tolist() == [
        [-1, 0, 1, 0, 0],
        [1, 0, 1, 0, 0],
        [0, 1, 0, 1, 0],
        [95, 0, 0, 1, 0],
        [0, 0, 0, 0, 0],
    ]


def test_categories_that_memory_cannot_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pl.DataFrame({"age": range(400), "street": [f"street {row // 2}" for row in range(400)]})
    table = written(frame, tmp_path)
    statistics = table.fit(np.arange(400))
    statistics["columns"][1]["categories"] = [f"street {number}" for number in range(200)]
    size = 2 * 4 * 400 * (2 + 202)
    monkeypatch.setattr(memory, "memory_limit", lambda: size)
    table.with_statistics(statistics)
    monkeypatch.setattr(memory, "memory_limit", lambda: size - 1)
    with pytest.raises(DataError, match=r"with 204 columns .* most of all 'street' with 202"):
        table.with_statistics(statistics)


def test_missing_categories_truth_values_and_blanks(tmp_path: Path) -> None:
    frame = pl.DataFrame({"smoker": [True, True, False, False, None], "word": ["x ", "x", " ", None, "x"]})
    table = written(frame, tmp_path)
    encoded = table.with_statistics(table.fit(np.arange(5)))
    assert encoded.columns == [  # type: ignore[attr-defined]
        "smoker=false",
        "smoker=true",
        "smoker=other",
        "smoker=missing",
        "word=x",
        "word=other",
        "word=missing",
    ]
    values = encoded.batch(np.arange(5))["values"].numpy()
    assert values.sum(axis=1).tolist() == [2, 2, 2, 2, 2]
    assert values[:, 3].tolist() == [0, 0, 0, 0, 1]
    assert values[:, 6].tolist() == [0, 0, 1, 1, 0]


def test_a_category_of_one_in_a_hundred_is_common_but_ten_stays_always_are(tmp_path: Path) -> None:
    def common(counts: dict[str, int]) -> list[str]:
        frame = pl.DataFrame({"c": [name for name, count in counts.items() for _ in range(count)]})
        table = written(frame, tmp_path)
        found: list[str] = table.fit(np.arange(len(frame)))["columns"][0]["categories"]
        return found

    assert common({"a": 393, "b": 4, "c": 3}) == ["a", "b"]
    assert common({"a": 4981, "b": 10, "c": 9}) == ["a", "b"]


def test_infinite_and_flat_numbers(tmp_path: Path) -> None:
    table = written(pl.DataFrame({"x": [2.0, 2.0, float("inf"), float("nan")]}), tmp_path)
    values = table.with_statistics(table.fit(np.arange(4))).batch(np.arange(4))["values"]
    assert values.tolist() == [[0, 0], [0, 0], [0, 1], [0, 1]]


def test_pickles_as_its_path(tmp_path: Path) -> None:
    table = written(pl.DataFrame({"x": np.arange(5000.0)}), tmp_path)
    table = table.with_statistics(table.fit(np.arange(100)))
    sent = pickle.dumps(table)
    assert len(sent) < 2000
    assert (pickle.loads(sent).batch(np.arange(9))["values"] == table.batch(np.arange(9))["values"]).all()


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'when'.*expected numbers or categories"):
        written(pl.DataFrame({"when": [1]}).cast(pl.Date), tmp_path)
    with pytest.raises(DataError, match="does not fit"):
        written(pl.DataFrame({"x": [1]}), tmp_path, [True, True])
    table = written(pl.DataFrame({"x": [1, 2]}), tmp_path)
    with pytest.raises(DataError, match="with_statistics"):
        table.batch(np.array([0]))
    with pytest.raises(DataError, match="other columns"):
        table.with_statistics({"columns": [{"name": "y", "mean": 0, "std": 1}]})
