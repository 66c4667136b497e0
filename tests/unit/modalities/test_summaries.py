from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from picme.modalities import summaries
from picme.modalities.absent import AbsentModality
from picme.modalities.cached import COMPONENTS, CachedModality
from picme.modalities.summaries import STATISTICS, series_summary
from picme.modalities.tabular import TabularModality
from picme.schema import TableRows

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

COLUMNS = ["hr", "rhythm->a", "rhythm->b", "free", "mask->hr", "mask->rhythm", "since->hr"]
# Of each value column, the mask that says where it was measured.
MASKS = [4, 5, 5, None]


def one_by_one(value: np.ndarray, seen: np.ndarray, first: int) -> list[float]:
    """The statistics of one variable of one stay over its hours from `first`, the slow way."""
    length = len(value)
    hours = [hour for hour in range(first, length) if seen[hour]]
    known = np.array([value[hour] for hour in hours], np.float64)
    if not hours:
        return [0.0] + [math.nan] * 10 + [0.0]
    slope = np.polyfit(hours, known, 1)[0] if len(hours) > 1 else math.nan
    return [
        len(hours), known[0], known[-1], known.min(), known.max(), known.mean(), float(np.median(known)),
        known.std(), slope, known[-1] - known[0], length - 1 - hours[-1], len(hours) / (length - first),
    ]  # fmt: skip


def expected(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    rows = []
    for start, end in pairwise(offsets):
        hours, row = values[start:end], []
        for column, mask in enumerate(MASKS):
            seen = np.isfinite(hours[:, column]) & (True if mask is None else hours[:, mask] == 1)
            for first in (0, len(hours) - math.ceil(len(hours) / 4)):
                row += one_by_one(hours[:, column], seen, first) if len(hours) else [0.0] + [math.nan] * 10 + [0.0]
        rows.append(row)
    return np.array(rows).reshape(len(offsets) - 1, 2 * len(STATISTICS) * len(MASKS))


def drawn(lengths: list[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    values = rng.normal(size=(offsets[-1], len(COLUMNS))).astype(np.float32)
    values[:, 4:6] = rng.random((offsets[-1], 2)) < rng.random()
    values[rng.random(offsets[-1]) < 0.3, 3] = np.nan
    return values, offsets


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 11), max_size=9), st.integers(0, 2**32 - 1))
def test_series_summary_is_that_of_a_loop_over_stays_and_variables(lengths: list[int], seed: int) -> None:
    values, offsets = drawn(lengths, seed)
    found = series_summary(values, offsets, COLUMNS)
    np.testing.assert_allclose(found.values, expected(values, offsets), rtol=1e-4, atol=1e-5)
    assert len(found.names) == found.values.shape[1] == len(found.blank) == 96
    assert found.names[:2] == ("hr whole count", "hr whole first")
    assert found.names[-1] == "free last quarter share"
    assert not found.categorical.any()


def test_hours_read_in_parts_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    values, offsets = drawn([5, 0, 0, 9, 30, 1, 0, 7, 3, 0], 1)
    whole = series_summary(values, offsets, COLUMNS)
    for hours in (1, 9, 10, 31):
        monkeypatch.setattr(summaries, "CHUNK", hours)
        np.testing.assert_array_equal(series_summary(values, offsets, COLUMNS).values, whole.values)


def test_a_stay_without_hours_is_blank() -> None:
    values, offsets = drawn([0, 4], 2)
    found = series_summary(values, offsets, COLUMNS)
    np.testing.assert_array_equal(found.values[0], found.blank)
    empty = series_summary(values[:0], np.zeros(4, np.int64), COLUMNS)
    np.testing.assert_array_equal(empty.values, np.tile(found.blank, (3, 1)))


def test_a_straight_line_has_its_slope_whatever_its_level() -> None:
    hours = np.arange(40)
    values = np.stack([20_000 - 0.5 * hours, np.isin(hours, [3, 4, 17, 36])], axis=1).astype(np.float32)
    made = series_summary(values, np.array([0, 40]), ["x", "mask->x"])
    found = dict(zip(made.names, made.values[0], strict=True))
    assert found["x whole slope"] == -0.5
    assert found["x whole change"] == -16.5
    assert found["x whole hours since"] == 3
    assert found["x last quarter count"] == 1
    assert math.isnan(found["x last quarter slope"])
    assert found["x last quarter share"] == np.float32(0.1)


def table(folder: Path, frame: pl.DataFrame, present: np.ndarray, train: np.ndarray) -> TabularModality:
    TabularModality.write(TableRows(frame, present), folder, folder)
    opened = TabularModality(folder)
    return opened.with_statistics(opened.fit(train))


def test_summary_of_a_table_keeps_numbers_and_numbers_categories(tmp_path: Path) -> None:
    frame = pl.DataFrame({"age": [1.0, None, 3.0, 4, 5, 6], "unit": ["b", "a", None, "c", "a", "b"]})
    present = np.array([True, True, True, True, True, False])
    found = table(tmp_path, frame.vstack(frame), np.tile(present, 2), np.array([0, 1, 2, 4, 6, 7, 8, 10])).summary({})
    nan = math.nan
    half = [[1, 1], [nan, 0], [3, nan], [4, 2], [5, 0], [nan, nan]]  # c is in no training stay
    np.testing.assert_array_equal(found.values, half + half)
    assert found.names == ("age", "unit")
    np.testing.assert_array_equal(found.categorical, [False, True])
    assert np.isnan(found.blank).all()


def stored(folder: Path, features: np.ndarray, index: np.ndarray, tokens: np.ndarray | None = None) -> CachedModality:
    (folder / "view").mkdir(parents=True)
    (folder / "kept").mkdir()
    np.save(folder / "view/index.npy", index)
    np.save(folder / "kept/features.npy", features.astype(np.float32))
    items = len(features)
    if tokens is not None:
        items = len(tokens)
        np.save(folder / "kept/offsets.npy", np.concatenate([[0], np.cumsum(tokens)]))
    about: dict[str, Any] = {"ragged": tokens is not None, "items": items}
    (folder / "kept/meta.json").write_text(json.dumps(about))
    return CachedModality(folder / "view", folder / "kept")


def test_features_are_reduced_by_what_training_stays_have(tmp_path: Path) -> None:
    """Two directions are planted; the components find them, and other stays have no influence on them."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(50, 50)))[0]
    told = rng.normal(size=(200, 2)) * (30, 3)
    items = told @ axes[:2] + rng.normal(size=(200, 50)) / 100 + 5
    index = np.concatenate([rng.permutation(200), [-1, -1]])
    train = np.arange(100)
    opened = stored(tmp_path / "one", items, index)
    learnt = opened.learn_summary(train)
    found = opened.summary(learnt)
    assert found.values.shape == (202, COMPONENTS)
    assert np.isnan(found.values[200:]).all()
    for place in (0, 1):
        assert abs(np.corrcoef(found.values[:200, place], told[index[:200], place])[0, 1]) > 0.99
    # Squared deviations from the training mean, by the definition: variances of components are in falling order.
    assert (np.diff(found.values[:100].var(axis=0)) <= 1e-6).all()
    np.testing.assert_allclose(found.values[:100].mean(axis=0), 0, atol=1e-4)
    others = items.copy()
    others[index[100:200]] += rng.normal(size=(100, 50)) * 50
    again = stored(tmp_path / "two", others, index).learn_summary(train)
    for name, array in learnt.items():
        np.testing.assert_array_equal(array, again[name])
    moved = stored(tmp_path / "three", others, index).learn_summary(np.arange(200))
    assert not np.allclose(moved["components"], learnt["components"])


def test_tokens_and_places_of_a_map_are_averaged(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, 6, 20)
    words = rng.normal(size=(tokens.sum(), 3))
    vectors = np.array([part.mean(axis=0) for part in np.split(words, np.cumsum(tokens)[:-1])])
    index = np.arange(20)
    plain = stored(tmp_path / "plain", vectors, index)
    ragged = stored(tmp_path / "ragged", words, index, tokens)
    maps = stored(tmp_path / "maps", vectors[:, :, None, None] + np.array([[-1, 1], [2, -2]]), index)
    mine = plain.summary(plain.learn_summary(index)).values
    for other in (ragged, maps):
        np.testing.assert_allclose(other.summary(other.learn_summary(index)).values, mine, atol=1e-5)


def test_few_training_stays_leave_few_components(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    opened = stored(tmp_path, rng.normal(size=(9, 5)), np.array([0, 0, 1, 2, 3, -1]))
    assert opened.summary(opened.learn_summary(np.array([0, 1, 2, 3]))).values.shape == (6, 2)
    assert opened.summary(opened.learn_summary(np.array([0, 1]))).values.shape == (6, 0)
    assert opened.summary(opened.learn_summary(np.array([5]))).values.shape == (6, 0)


def test_a_modality_that_new_stays_lack_is_blank(tmp_path: Path) -> None:
    frame = pl.DataFrame({"age": [1.0, 2.0], "unit": ["a", "a"]})
    like = table(tmp_path, frame, np.array([True, True]), np.array([0, 1]))
    found = AbsentModality(like, 5).summary({})
    assert found.names == ("age", "unit")
    assert found.values.shape == (5, 2)
    assert np.isnan(found.values).all()
