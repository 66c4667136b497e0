from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.preprocessing import StandardScaler

from picme.errors import DataError
from picme.evaluate import shapley
from picme.evaluate.attribution import shapley_rows
from picme.evaluate.coalitions import RIDGES, coalition_values, features, fit_path, logits

NAMES = ("a", "b", "noise")


def hospital(
    seed: int, stays: int = 400, dim: int = 6, labels: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Modality a shows one cause of the labels, b another of less weight, the third nothing."""
    rng = np.random.default_rng(seed)
    cause = rng.normal(size=(stays, 2))
    blocks = [cause[:, [k]] @ rng.normal(size=(1, dim)) + 0.5 * rng.normal(size=(stays, dim)) for k in range(2)]
    embeddings = np.stack([*blocks, rng.normal(size=(stays, dim))], axis=1).astype(np.float32)
    logit = cause @ np.array([2.0, 0.8]) - 0.5
    targets = (rng.random((stays, labels)) < 1 / (1 + np.exp(-logit[:, None]))).astype(np.float32)
    order = rng.permutation(stays)
    cut = [stays // 2, stays * 5 // 8]
    rows = dict(zip(("train", "val", "test"), np.split(order, cut), strict=True))
    return embeddings, np.ones((stays, 3), bool), targets, rows


def plain(embeddings: np.ndarray, targets: np.ndarray, rows: dict[str, np.ndarray], ridges: tuple[float, ...]) -> float:
    """scikit-learn, one label after the other; the ridge with the least cross-entropy on validation over all labels."""
    x = embeddings.reshape(len(embeddings), -1).astype(np.float64)
    x = StandardScaler().fit(x[rows["train"]]).transform(x)
    found = []
    for ridge in ridges:
        losses, scores = [], []
        for y in targets.T:
            train, val, test = (part[~np.isnan(y[part])] for part in (rows["train"], rows["val"], rows["test"]))
            model = LogisticRegression(C=1 / (ridge * len(train)), tol=1e-8, max_iter=2000).fit(x[train], y[train])
            losses.append(log_loss(y[val], model.predict_proba(x[val])[:, 1], normalize=False, labels=[0, 1]))
            scores.append(roc_auc_score(y[test], model.decision_function(x[test])))
        found.append((sum(losses), np.mean(scores)))
    return float(min(found)[1])


def test_heads_equal_scikit_learn() -> None:
    """Weights, intercepts and logits of every coalition, label and ridge, with unknown labels left out."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 12)) @ rng.normal(size=(12, 12)) / 3
    y = (rng.random((300, 4)) < 1 / (1 + np.exp(1.5 - x @ rng.normal(size=(12, 4))))).astype(np.float64)
    y[rng.random((300, 4)) < 0.15] = np.nan
    owner = np.repeat([0, 1, 2], 4)
    members = [part for size in (1, 2, 3) for part in combinations(range(3), size)]
    masks = torch.from_numpy(np.array([np.isin(owner, part) for part in members]))
    ridges = (0.5, 0.02, 0.001)
    found = list(fit_path(torch.from_numpy(x).float(), torch.from_numpy(y), masks, ridges, tolerance=1e-10))
    assert len(found) == len(ridges)
    for ridge, (weights, bias) in zip(ridges, found, strict=True):
        predicted = logits(torch.from_numpy(x).float(), weights, bias)
        for c, mask in enumerate(masks.numpy()):
            assert (weights[~mask, c] == 0).all()
            for j in range(4):
                known = ~np.isnan(y[:, j])
                model = LogisticRegression(C=1 / (ridge * known.sum()), tol=1e-10, max_iter=5000)
                model.fit(x[known][:, mask], y[known, j])
                np.testing.assert_allclose(weights[mask, c, j], model.coef_[0], atol=5e-3)
                np.testing.assert_allclose(bias[c, j], model.intercept_[0], atol=5e-3)
                np.testing.assert_allclose(predicted[:, c, j], model.decision_function(x[:, mask]), atol=1e-2)


@pytest.mark.parametrize("labels", [1, 3])
def test_values_equal_scikit_learn(labels: int) -> None:
    embeddings, present, targets, rows = hospital(5, labels=labels)
    targets[:7] = np.nan
    values = coalition_values(embeddings, present, targets, rows, NAMES)
    assert len(values) == 8
    assert values[frozenset()] == 0.5
    for size in (1, 2, 3):
        for part in combinations(range(3), size):
            expected = plain(embeddings[:, part], targets, rows, RIDGES)
            assert values[frozenset(NAMES[k] for k in part)] == pytest.approx(expected, abs=2e-3)


def test_shapley_values_add_up() -> None:
    values = coalition_values(*hospital(6, labels=2), NAMES)
    shares = shapley(values)
    assert abs(sum(shares.values()) - (values[frozenset(NAMES)] - 0.5)) < 1e-9
    assert shares["a"] > shares["b"] > shares["noise"]


def test_noise_and_copies_over_seeds() -> None:
    """A copy gets what the original gets, noise about nothing."""
    per_seed = []
    for seed in range(8):
        embeddings, _, targets, rows = hospital(seed)
        embeddings[:, 1] = embeddings[:, 0]
        per_seed.append(coalition_values(embeddings, np.ones((400, 3), bool), targets, rows, ("a", "copy", "noise")))
        exact = shapley(per_seed[-1])
        assert exact["a"] == pytest.approx(exact["copy"], abs=2e-3)
    rows_of = {row["modality"]: row for row in shapley_rows("t", "a+copy+noise", "s", per_seed)}
    error = {name: row["std"] / np.sqrt(8) for name, row in rows_of.items()}
    difference = abs(rows_of["a"]["value"] - rows_of["copy"]["value"])
    assert difference <= 2 * np.hypot(error["a"], error["copy"])
    # A head that is fitted to noise as well loses a little on new stays, so its value may be just below zero.
    assert abs(rows_of["noise"]["value"]) < 0.02
    assert rows_of["a"]["value"] > 0.1 + abs(rows_of["noise"]["value"])


def test_absent_modalities_are_not_looked_at_and_absence_may_tell() -> None:
    embeddings, present, targets, rows = hospital(9)
    present[:, 1] = np.random.default_rng(0).random(400) < 0.6
    values = coalition_values(embeddings, present, targets, rows, NAMES)
    spoiled = embeddings.copy()
    spoiled[~present[:, 1], 1] = np.nan
    assert coalition_values(spoiled, present, targets, rows, NAMES) == values
    # Presence alone: noise where it is there, but there only for one class.
    present[:, 2] = targets[:, 0] == 1
    assert coalition_values(embeddings, present, targets, rows, NAMES)[frozenset({"noise"})] > 0.99


def test_features_are_standardised_with_training_stays() -> None:
    embeddings, present, _, rows = hospital(10)
    embeddings[rows["test"]] *= 100
    embeddings[:, 1, 2] = 7
    present[: len(present) // 3, 0] = False
    x, owner = features(embeddings * 3 + 5, present, rows["train"])
    assert owner.tolist() == [0] * 7 + [1] * 6 + [2] * 6
    there = rows["train"][present[rows["train"], 0]]
    inside = x[there][:, :6].astype(np.float64)
    np.testing.assert_allclose(inside.mean(0), 0, atol=1e-4)
    # A rotation keeps the total variance: one of each standardised dimension, none of a constant one.
    assert inside.var(0).sum() == pytest.approx(6, abs=1e-3)
    assert x[rows["train"]][:, owner == 1].var(0).sum() == pytest.approx(5, abs=1e-3)
    assert (x[~present[:, 0]][:, :6] == 0).all()


def test_undefined_labels() -> None:
    embeddings, present, targets, rows = hospital(11, labels=3)
    only = coalition_values(embeddings, present, targets[:, :1], rows, NAMES)
    targets[rows["train"], 1] = 0
    targets[rows["test"], 2] = np.nan
    assert coalition_values(embeddings, present, targets, rows, NAMES) == pytest.approx(only, abs=1e-6)
    values = coalition_values(embeddings, present, targets[:, 1:], rows, NAMES)
    assert values.pop(frozenset()) == 0.5
    assert len(values) == 7
    assert np.isnan(list(values.values())).all()


def test_without_validation_labels_the_middle_ridge_is_taken() -> None:
    embeddings, present, targets, rows = hospital(12)
    middle = RIDGES[len(RIDGES) // 2]
    expected = coalition_values(embeddings, present, targets, rows, NAMES, ridges=(middle,))
    targets[rows["val"]] = np.nan
    found = coalition_values(embeddings, present, targets, rows, NAMES)
    assert found == pytest.approx(expected, abs=2e-3)


def test_groups_of_labels_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    data = hospital(13, labels=4)
    together = coalition_values(*data, NAMES)
    monkeypatch.setattr("picme.evaluate.coalitions._AT_ONCE", 1)
    assert coalition_values(*data, NAMES) == pytest.approx(together, abs=2e-3)


def test_bad_input_is_said() -> None:
    embeddings, present, targets, rows = hospital(14)
    with pytest.raises(DataError, match="do not match"):
        coalition_values(embeddings, present[:, :2], targets, rows, NAMES)
    with pytest.raises(DataError, match="stay, label"):
        coalition_values(embeddings, present, targets[:, 0], rows, NAMES)
    embeddings[3, 1, 0] = np.nan
    with pytest.raises(DataError, match="'b'"):
        coalition_values(embeddings, present, targets, rows, NAMES)
