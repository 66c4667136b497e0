from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from picme.errors import ConfigError
from picme.finetune import baselines, boosting, logistic
from picme.finetune.baselines import MODELS, divided, fit, probabilities, search

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = np.zeros(6, bool)


def made(n: int = 900) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 6))
    y = (x[:, 0] + 0.5 * x[:, 1] + rng.normal(size=n) > 1).astype(float)
    x[rng.random(x.shape) < 0.1] = np.nan
    x[:, 5] = np.nan
    return x, y[:, None], np.arange(n) % 3 == 0


def fitted(name: str, x: np.ndarray, y: np.ndarray, train: np.ndarray, seed: int = 0) -> np.ndarray:
    """Search, fit and predict as a study does."""
    categorical = np.zeros(x.shape[1], bool)
    found = search(name, x[train], categorical, y[train], np.arange(len(x))[train])
    return probabilities(name, fit(name, x[train], categorical, y[train], found, seed), x)


@pytest.mark.parametrize("name", list(MODELS))
def test_finds_the_signal_and_repeats_itself(name: str) -> None:
    x, y, test = made()
    p = fitted(name, x, y, ~test, seed=3)
    assert p.shape == y.shape
    assert ((p > 0) & (p < 1)).all()
    # The true score reaches about 0.87 here.
    assert roc_auc_score(y[test], p[test]) > 0.8
    # Chosen by log loss, so calibrated: the mean prediction is the frequency.
    assert p[test].mean() == pytest.approx(y[test].mean(), abs=0.05)
    np.testing.assert_array_equal(p, fitted(name, x, y, ~test, seed=3))


def test_seeds_of_boosting_differ_and_agree() -> None:
    x, y, test = made()
    one, other = (fitted("gradient_boosting", x, y, ~test, seed) for seed in (0, 1))
    assert not np.array_equal(one, other)
    assert np.corrcoef(one[:, 0], other[:, 0])[0, 1] > 0.9


@pytest.mark.parametrize("name", list(MODELS))
def test_shuffled_labels_give_chance(name: str) -> None:
    x, y, test = made()
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(8):
        shuffled = rng.permutation(y)
        scores.append(roc_auc_score(shuffled[test], fitted(name, x, shuffled, ~test)[test]))
    # Each has a standard error of about 0.04.
    assert np.mean(scores) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("name", list(MODELS))
def test_awkward_labels(name: str) -> None:
    x, y, test = made(300)
    targets = np.concatenate([y, np.zeros_like(y), y, np.full_like(y, np.nan), y], axis=1)
    targets[np.flatnonzero(targets[:, 2] == 1)[1:], 2] = 0  # one positive
    test[targets[:, 2] == 1] = False
    targets[::5, 4] = np.nan
    p = fitted(name, x, targets, ~test)
    assert np.isfinite(p[:, [0, 2, 4]]).all()
    assert np.isnan(p[:, [1, 3]]).all()
    assert np.isnan(fitted(name, x[:, :0], y, ~test)).all()
    # With one positive there is nothing to search by, but a model.
    assert np.isfinite(fitted(name, x, targets[:, [2]], ~test)).all()


def test_unknown_name() -> None:
    x, y, _ = made(30)
    with pytest.raises(ConfigError, match="did you mean 'gradient_boosting'"):
        search("gradient_bosting", x, NUMBERS, y, np.arange(30))


@pytest.mark.parametrize("name", list(MODELS))
def test_a_model_is_plain_values_that_predict_the_same(name: str) -> None:
    x, y, test = made(300)
    models = fit(name, x[~test], NUMBERS, y[~test], search(name, x[~test], NUMBERS, y[~test], np.arange(200)), 0)
    read = json.loads(json.dumps(models))
    np.testing.assert_array_equal(probabilities(name, read, x), probabilities(name, models, x))


@pytest.mark.parametrize("name", ["gradient_boosting", "logistic_regression"])
def test_a_feature_unknown_wherever_a_label_is_known(name: str) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 2)).astype(np.float32)
    targets = np.stack([features[:, 0] > 0, features[:, 0] > 0.3], axis=1).astype(float)
    targets[:80, 1] = np.nan
    features[80:, 1] = np.nan
    assert np.isfinite(fitted(name, features, targets, np.arange(200) < 120)).all()


@pytest.mark.parametrize("name", ["gradient_boosting", "logistic_regression"])
def test_categories_tell_by_what_they_are_and_not_by_their_number(name: str) -> None:
    """Odd numbers are ill: no threshold on the number tells that, and what is unknown is a category of its own."""
    rng = np.random.default_rng(0)
    code = rng.integers(0, 8, 1200).astype(np.float32)
    y = (rng.random(1200) < np.where(code % 2 == 1, 0.8, 0.2)).astype(float)[:, None]
    code[700:800] = np.nan
    x, train = np.stack([code, rng.normal(size=1200)], axis=1), np.arange(1200) < 800
    scores = {}
    for native in (True, False):
        categorical = np.array([native, False])
        found = search(name, x[train], categorical, y[train], np.arange(800))
        p = probabilities(name, fit(name, x[train], categorical, y[train], found, 0), x[~train])
        scores[native] = roc_auc_score(y[~train], p)
    assert scores[True] > 0.75  # the truth has 0.8
    if name == "logistic_regression":
        assert scores[False] < 0.6


def test_settings_come_from_the_label_that_tells_most() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 5))
    told, noise = (x[:, 0] > 0).astype(float), (rng.random(600) < 0.1).astype(float)
    both = search("logistic_regression", x, np.zeros(5, bool), np.stack([noise, told], axis=1), np.arange(600))
    alone = [search("logistic_regression", x, np.zeros(5, bool), y[:, None], np.arange(600)) for y in (noise, told)]
    assert both == alone[1] != alone[0]


def test_a_category_that_training_has_not() -> None:
    x = np.array([[0.0], [1.0]] * 20)
    y = x.copy()
    categorical = np.array([True])
    model = fit("logistic_regression", x, categorical, y, dict(logistic.FEW), 0)
    new = probabilities("logistic_regression", model, np.array([[0.0], [1.0], [7.0], [np.nan]]))[:, 0]
    assert new[0] < new[2] < new[1]
    assert new[2] == new[3]


def test_logistic_search_takes_the_penalty_of_least_loss_over_folds() -> None:
    """Against scikit-learn's own pipeline and scorer, penalty by penalty and fold by fold."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    x = rng.normal(size=(240, 30))
    y = (x[:, :5].sum(axis=1) + 2 * rng.normal(size=240) > 0).astype(float)
    fold = rng.integers(0, 4, 240)
    losses = []
    for strength in logistic.STRENGTHS:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength))
        each = [
            log_loss(y[fold == k], model.fit(x[fold != k], y[fold != k]).predict_proba(x[fold == k])[:, 1])
            for k in range(4)
        ]
        losses.append(np.mean(each))
    found = logistic.search(x, y, np.zeros(30, bool), fold)
    assert found == {"strength": logistic.STRENGTHS[int(np.argmin(losses))]}


def test_boosting_search_takes_no_more_trees_than_help() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 5))
    fold = np.arange(600) % 5
    noise = boosting.search(x, rng.integers(0, 2, 600).astype(float), np.zeros(5, bool), fold)
    told = boosting.search(x, (x[:, 0] > 0).astype(float), np.zeros(5, bool), fold)
    assert noise["trees"] < 40 < told["trees"]
    assert {name: told[name] for name in told if name != "trees"} in boosting.SETTINGS


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=60))
def test_folds_hold_subjects_whole_and_both_classes(stays: list[tuple[int, bool]]) -> None:
    subject, y = np.array([one for one, _ in stays]), np.array([float(label) for _, label in stays])
    fold = divided(y, subject)
    positive = {one for one, label in stays if label}
    rest = set(subject.tolist()) - positive
    assert (fold is None) == (min(len(positive), len(rest)) < 2)
    if fold is None:
        return
    assert all(len(set(fold[subject == one])) == 1 for one in set(subject.tolist()))
    number = len(set(fold.tolist()))
    assert number == min(5, len(positive), len(rest))
    for group in (positive, rest):
        counts = np.bincount([fold[subject == one][0] for one in group], minlength=number)
        assert counts.max() - counts.min() <= 1
    assert all(y[fold == one].any() and not y[fold == one].all() for one in range(number))


def test_of_many_stays_some_subjects_are_searched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = np.repeat(np.arange(50), 4)
    monkeypatch.setattr(baselines, "SEARCHED", 100)
    rows = baselines._some(np.arange(200), subject)
    assert len(rows) == 100
    assert all((subject[rows] == one).sum() in (0, 4) for one in range(50))
    assert np.ptp(subject[rows]) > 40


def test_on_the_challenge(shared_data: Path) -> None:
    """Fitted on half of set a, tested on the other half: set b stays untouched by the tests."""
    from picme.config.sources import Physionet2012Source
    from picme.modalities.summaries import series_summary
    from picme.schema import SeriesRows, TableRows
    from picme.sources.physionet2012 import extract

    names = ("vitals", "labs", "blood_gas", "fluids", "demographics")
    source = Physionet2012Source(path=shared_data / "physionet-2012")
    view = extract(source, None, {n: {"table": n} for n in names}, {"mortality": {}}, 48).views["mortality"]
    parts = []
    for rows in view.modalities.values():
        if isinstance(rows, SeriesRows):
            offsets = np.concatenate([[0], np.cumsum(rows.lengths)])
            parts.append(series_summary(rows.values, offsets, rows.columns).values)
        elif isinstance(rows, TableRows):
            parts.append(rows.frame.select("age", "height", "weight").to_numpy().astype(np.float32))
    of_a = (view.stays["set"] == "a").to_numpy()
    x, y = np.concatenate(parts, axis=1)[of_a], view.stays["mortality"].to_numpy()[of_a].astype(float)
    train = np.arange(len(y)) < 2000
    chosen = {
        "gradient_boosting": {**boosting.SETTINGS[1], "trees": 150},
        "logistic_regression": {"strength": 0.0003},
    }
    for name, auroc, auprc in (("gradient_boosting", 0.83, 0.45), ("logistic_regression", 0.81, 0.42)):
        categorical = np.zeros(x.shape[1], bool)
        models = fit(name, x[train], categorical, y[train, None], chosen[name], 0)
        p = probabilities(name, models, x[~train])[:, 0]
        assert roc_auc_score(y[~train], p) > auroc, name
        assert average_precision_score(y[~train], p) > auprc, name
