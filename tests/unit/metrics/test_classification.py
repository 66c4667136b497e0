from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from picme.errors import DataError
from picme.evaluate import auprc, auroc
from picme.metrics.classification import areas, macro


def labels_and_scores(seed: int, n: int, levels: int | None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < rng.uniform(0.05, 0.9)).astype(float)
    y[:2] = [0, 1]
    p = rng.random(n) if levels is None else rng.integers(0, levels, n) / levels
    return y, p


@pytest.mark.parametrize("levels", [None, 2, 3, 10, 1000])
@pytest.mark.parametrize("seed", range(5))
def test_equal_scikit_learn(seed: int, levels: int | None) -> None:
    y, p = labels_and_scores(seed, 50 + 400 * seed, levels)
    assert auroc(y, p) == pytest.approx(roc_auc_score(y, p), abs=1e-9)
    assert auprc(y, p) == pytest.approx(average_precision_score(y, p), abs=1e-9)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40))
def test_equal_scikit_learn_on_small_tied_input(pairs: list[tuple[bool, int]]) -> None:
    y, p = np.array(pairs, dtype=float).T
    assume(0 < y.sum() < len(y))
    assert auroc(y, p) == pytest.approx(roc_auc_score(y, p), abs=1e-9)
    assert auprc(y, p) == pytest.approx(average_precision_score(y, p), abs=1e-9)


def test_by_hand() -> None:
    # Pairs (positive, negative): 0.9 beats both; 0.4 beats 0.1 and ties with 0.4: 3.5 of 4.
    y, p = [1, 1, 0, 0], [0.9, 0.4, 0.4, 0.1]
    assert auroc(y, p) == pytest.approx(3.5 / 4)
    # Precision 1 at recall 1/2, then 2/3 at recall 1.
    assert auprc(y, p) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_auroc_properties(seed: int) -> None:
    y, p = labels_and_scores(seed, 60, 12)
    assert auroc(y, -p) == pytest.approx(1 - auroc(y, p), abs=1e-12)
    assert auroc(1 - y, p) == pytest.approx(1 - auroc(y, p), abs=1e-12)
    assert auroc(y, np.exp(3 * p)) == pytest.approx(auroc(y, p), abs=1e-12)
    assert auprc(y, np.exp(3 * p)) == pytest.approx(auprc(y, p), abs=1e-12)


def test_undefined_labels_are_left_out() -> None:
    y, p = labels_and_scores(3, 300, 20)
    y[10:100] = np.nan
    keep = ~np.isnan(y)
    expected = roc_auc_score(y[keep], p[keep]), average_precision_score(y[keep], p[keep])
    assert (auroc(y, p), auprc(y, p)) == pytest.approx(expected, abs=1e-9)
    # A score may be missing too where the label is.
    p[10:100] = np.nan
    assert (auroc(y, p), auprc(y, p)) == pytest.approx(expected, abs=1e-9)
    assert auroc([1, 0, None], [0.7, 0.2, 0.9]) == 1.0


@pytest.mark.parametrize("y", [[], [1.0], [0.0, 0.0], [1.0, 1.0], [np.nan, np.nan], [np.nan, 1.0]])
def test_degenerate_is_nan(y: list[float]) -> None:
    p = [0.5] * len(y)
    assert np.isnan(auroc(y, p))
    assert np.isnan(auprc(y, p))


def test_many_rows_at_once_equal_one_by_one() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random((40, 57)) < 0.3).astype(float)
    y[5], y[6] = 0, np.nan
    p = rng.integers(0, 9, y.shape) / 9
    roc, prc = areas(y, p)
    assert np.isnan(roc[[5, 6]]).all()
    for row in range(len(y)):
        assert roc[row] == pytest.approx(auroc(y[row], p[row]), nan_ok=True)
        assert prc[row] == pytest.approx(auprc(y[row], p[row]), nan_ok=True)


def test_macro_is_the_mean_of_what_is_defined() -> None:
    assert macro(np.array([0.5, np.nan, 0.9])) == pytest.approx(0.7)
    assert np.isnan(macro(np.array([np.nan, np.nan])))
    np.testing.assert_allclose(macro(np.array([[0.2, np.nan], [0.4, 0.6]]), axis=0), [0.3, 0.6])


@pytest.mark.parametrize(
    ("y", "p", "words"),
    [
        ([0, 1], [0.5], "shape"),
        ([0, 2], [0.5, 0.1], "0 or 1"),
        ([0, 1], [0.5, np.nan], "NaN"),
        (["a", "b"], [0.5, 0.1], "numbers"),
        ([[0, 1], [1, 0]], [[0.5, 1], [0, 1]], "one-dimensional"),
    ],
)
def test_bad_input_is_said(y: list, p: list, words: str) -> None:
    with pytest.raises(DataError, match=words):
        auroc(y, p)


def test_importing_the_package_needs_no_torch() -> None:
    code = (
        "import sys, picme.evaluate as e; from picme.evaluate import evaluate, auroc, auprc, fit_calibration, shares;"
        "import picme.config.evaluate, picme.evaluate.attribution;"
        "assert callable(e.shapley) and callable(e.evaluate); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
