from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from picme.errors import ConfigError
from picme.finetune.baselines import MODELS, fit_predict, series_features, summary_features, table_features

if TYPE_CHECKING:
    from pathlib import Path


def loop(values: np.ndarray, seen: np.ndarray) -> list[float]:
    """The six statistics of one variable of one stay, the slow way."""
    known = [float(v) for v, s in zip(values, seen, strict=True) if s]
    if not known:
        return [math.nan] * 5 + [0]
    return [sum(known) / len(known), min(known), max(known), known[0], known[-1], len(known)]


def test_series_features_equal_a_loop() -> None:
    rng = np.random.default_rng(0)
    lengths = [5, 0, 1, 7, 0, 0, 3, 0]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    columns = ["hr", "rhythm->a", "rhythm->b", "free", "mask->hr", "mask->rhythm", "since->hr"]
    values = rng.normal(size=(offsets[-1], len(columns))).astype(np.float32)
    values[:, 4:6] = rng.random((offsets[-1], 2)) < 0.4
    values[rng.random(offsets[-1]) < 0.3, 3] = np.nan
    found, names = series_features(values, offsets, columns)
    assert names[:7] == ["hr mean", "hr min", "hr max", "hr first", "hr last", "hr count", "rhythm->a mean"]
    assert found.shape == (8, 24)
    for stay in range(8):
        hours = values[offsets[stay] : offsets[stay + 1]]
        seen = [hours[:, 4] == 1, hours[:, 5] == 1, hours[:, 5] == 1, np.isfinite(hours[:, 3])]
        expected = [number for column in range(4) for number in loop(hours[:, column], seen[column])]
        np.testing.assert_allclose(found[stay], expected, rtol=1e-6)


def test_series_without_any_stay() -> None:
    found, _ = series_features(np.empty((0, 2), np.float32), np.zeros(4, int), ["x", "mask->x"])
    assert found.shape == (3, 6)
    assert np.isnan(found[:, :5]).all()
    assert (found[:, 5] == 0).all()


def test_table_features() -> None:
    frame = pl.DataFrame({"age": [1.0, None, 3.0, 4.0], "unit": ["b", "a", None, "c"]})
    train = np.array([True, True, True, False])
    found, names = table_features(frame, np.array([True, True, True, True]), train)
    assert names == ["age", "unit=a", "unit=b"]  # c is seen in no training stay
    nan = math.nan
    np.testing.assert_array_equal(found, [[1, 0, 1], [nan, 1, 0], [3, nan, nan], [4, 0, 0]])
    found, _ = table_features(frame, np.array([True, False, True, True]), train)
    assert np.isnan(found[1]).all()


def test_summary_features_of_stored_modalities(tmp_path: Path) -> None:
    for name in ("series", "table", "note"):
        (tmp_path / name).mkdir()
    np.save(tmp_path / "series/values.npy", np.array([[1, 1], [2, 1], [9, 0]], np.float32))
    np.save(tmp_path / "series/offsets.npy", np.array([0, 2, 3]))
    (tmp_path / "series/columns.json").write_text(
        json.dumps({"columns": ["x", "mask->x"], "continuous": [True, False]})
    )
    pl.DataFrame({"age": [5.0, 6.0]}).write_parquet(tmp_path / "table/table.parquet")
    np.save(tmp_path / "table/present.npy", np.array([True, False]))
    folders = {name: tmp_path / name for name in ("series", "note", "table")}
    found, names, used = summary_features(folders, np.array([True, True]))
    assert used == ["series", "table"]
    assert names[0] == "series: x mean"
    assert names[-1] == "table: age"
    np.testing.assert_array_equal(found, [[1.5, 1, 2, 1, 2, 2, 5], [*[math.nan] * 5, 0, math.nan]])


def made(n: int = 900) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 6))
    y = (x[:, 0] + 0.5 * x[:, 1] + rng.normal(size=n) > 1).astype(float)
    x[rng.random(x.shape) < 0.1] = np.nan
    x[:, 5] = np.nan
    return x, y[:, None], np.where(np.arange(n) % 3 == 0, "test", np.where(np.arange(n) % 9 == 1, "val", "train"))


@pytest.mark.parametrize("name", list(MODELS))
def test_finds_the_signal_and_repeats_itself(name: str) -> None:
    x, y, split = made()
    p = fit_predict(name, x, y, split, seed=3)
    assert p.shape == y.shape
    assert ((p > 0) & (p < 1)).all()
    # The true score reaches about 0.87 here.
    assert roc_auc_score(y[split == "test"], p[split == "test"]) > 0.8
    # Chosen by log loss, so calibrated: the mean prediction is the frequency.
    assert p[split == "test"].mean() == pytest.approx(y[split == "test"].mean(), abs=0.05)
    np.testing.assert_array_equal(p, fit_predict(name, x, y, split, seed=3))


@pytest.mark.parametrize("name", list(MODELS))
def test_test_targets_have_no_influence(name: str) -> None:
    x, y, split = made()
    p = fit_predict(name, x, y, split, seed=0)
    y[split == "test"] = 1 - y[split == "test"]
    np.testing.assert_array_equal(p, fit_predict(name, x, y, split, seed=0))
    y[split == "val"] = 1 - y[split == "val"]
    assert not np.array_equal(p, fit_predict(name, x, y, split, seed=0))


@pytest.mark.parametrize("name", list(MODELS))
def test_shuffled_labels_give_chance(name: str) -> None:
    x, y, split = made()
    rng = np.random.default_rng(0)
    scores = []
    for seed in range(8):
        shuffled = rng.permutation(y)
        p = fit_predict(name, x, shuffled, split, seed)
        scores.append(roc_auc_score(shuffled[split == "test"], p[split == "test"]))
    # Each has a standard error of about 0.04.
    assert np.mean(scores) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("name", list(MODELS))
def test_awkward_labels(name: str) -> None:
    x, y, split = made(300)
    targets = np.concatenate([y, np.zeros_like(y), y, np.full_like(y, np.nan), y], axis=1)
    targets[split == "val", 2] = 0  # one class in validation: no choice of size, but a model
    targets[::5, 4] = np.nan
    p = fit_predict(name, x, targets, split, seed=0)
    assert np.isfinite(p[:, [0, 2, 4]]).all()
    assert np.isnan(p[:, [1, 3]]).all()
    assert np.isnan(fit_predict(name, x[:, :0], y, split, seed=0)).all()


def test_unknown_name() -> None:
    x, y, split = made(30)
    with pytest.raises(ConfigError, match="did you mean 'gradient_boosting'"):
        fit_predict("gradient_bosting", x, y, split, 0)


def test_on_the_challenge(shared_data: Path) -> None:
    """Fitted on half of set a, tested on the other half: set b stays untouched by the tests."""
    from picme.config.sources import Physionet2012Source
    from picme.schema import SeriesRows, TableRows
    from picme.sources.physionet2012 import extract

    names = ("vitals", "labs", "blood_gas", "fluids", "demographics")
    source = Physionet2012Source(path=shared_data / "physionet-2012")
    view = extract(source, None, {n: {"table": n} for n in names}, {"mortality": {}}, 48).views["mortality"]
    place = np.cumsum(view.stays["set"] == "a")
    split = np.where(
        view.stays["set"] == "b", "unused", np.where(place > 2000, "test", np.where(place % 6, "train", "val"))
    )
    parts = []
    for rows in view.modalities.values():
        if isinstance(rows, SeriesRows):
            parts.append(series_features(rows.values, np.concatenate([[0], np.cumsum(rows.lengths)]), rows.columns)[0])
        elif isinstance(rows, TableRows):
            parts.append(table_features(rows.frame, rows.present, split == "train")[0])
    x, y = np.concatenate(parts, axis=1)[split != "unused"], view.stays["mortality"].to_numpy()[split != "unused"]
    split = split[split != "unused"]
    test = split == "test"
    for name, auroc, auprc in (("gradient_boosting", 0.82, 0.44), ("logistic_regression", 0.79, 0.38)):
        p = fit_predict(name, x, y[:, None].astype(float), split, seed=0)[:, 0]
        assert roc_auc_score(y[test], p[test]) > auroc, name
        assert average_precision_score(y[test], p[test]) > auprc, name


@pytest.mark.parametrize("name", ["gradient_boosting", "logistic_regression"])
def test_a_feature_unknown_wherever_a_label_is_known(name: str) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 2)).astype(np.float32)
    targets = np.stack([features[:, 0] > 0, features[:, 0] > 0.3], axis=1).astype(float)
    targets[:80, 1] = np.nan
    features[80:, 1] = np.nan
    split = np.repeat(["train", "val", "test"], [120, 40, 40])
    found = fit_predict(name, features, targets, split, 0)
    assert np.isfinite(found).all()
