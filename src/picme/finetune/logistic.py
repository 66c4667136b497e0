"""Logistic regression on summary features, its penalty searched by folds."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.special import expit

STRENGTHS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 1.0)
"""Inverses of the ridge penalty that are searched."""
FEW = {"strength": 0.01}
"""Settings where there are too few stays to search."""
# Laboratory values can lie a hundred standard deviations out; without a limit they would dominate a linear model.
CLIP = 5.0


def search(x: np.ndarray, y: np.ndarray, categorical: np.ndarray, fold: np.ndarray) -> dict[str, Any]:
    """Return the strength with the least mean log loss over the folds; arguments as of `boosting.search`."""
    losses = np.zeros(len(STRENGTHS))
    for one in np.unique(fold):
        train = fold != one
        scaling = _scaling(x[train], categorical)
        fitted, held_out = _scaled(x[train], scaling), _scaled(x[~train], scaling)
        model = _model()
        for place, strength in enumerate(STRENGTHS):  # each starts where the one before has ended
            model.set_params(C=strength).fit(fitted, y[train])
            out = held_out @ model.coef_[0] + model.intercept_[0]
            losses[place] += np.mean(np.logaddexp(0, out) - y[~train] * out)
    return {"strength": STRENGTHS[int(losses.argmin())]}


def fit(x: np.ndarray, y: np.ndarray, categorical: np.ndarray, settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Fit a ridge-penalised logistic regression on filled, standardised and clipped features.

    Gaps are filled with the stays' medians; a category becomes a 0/1 feature, a missing one is none of them.

    Returns:
        The model as plain values.
    """
    scaling = _scaling(x, categorical)
    model = _model().set_params(C=settings["strength"]).fit(_scaled(x, scaling), y)
    return {**scaling, "weights": model.coef_[0].tolist(), "bias": float(model.intercept_[0])}


def probabilities(model: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """Return the probability (stay,) of each stay's features (stay, feature)."""
    return np.asarray(expit(_scaled(x, model) @ np.array(model["weights"]) + model["bias"]), np.float64)


def _model() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000, warm_start=True)


def _scaling(x: np.ndarray, categorical: np.ndarray) -> dict[str, Any]:
    """Return what features are filled with and divided by, as plain values."""
    numbers = x[:, ~categorical]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a feature that no stay of a fold knows
        median = np.nan_to_num(np.nanmedian(numbers, axis=0))
    filled = np.where(np.isfinite(numbers), numbers, median).astype(np.float64)
    deviation = filled.std(axis=0)
    codes = [np.unique(column[np.isfinite(column)]).tolist() for column in x[:, categorical].T]
    return {
        "categorical": categorical.tolist(),
        "median": median.tolist(),
        "mean": filled.mean(axis=0).tolist(),
        "deviation": np.where(deviation > 0, deviation, 1).tolist(),
        "codes": codes,
    }


def _scaled(x: np.ndarray, scaling: dict[str, Any]) -> np.ndarray:
    categorical = np.array(scaling["categorical"], bool)
    found = x[:, ~categorical].astype(np.float64)
    found = np.where(np.isfinite(found), found, scaling["median"])
    found -= scaling["mean"]
    found /= scaling["deviation"]
    np.clip(found, -CLIP, CLIP, out=found)
    codes = zip(x[:, categorical].T, scaling["codes"], strict=True)
    hot = [(column == code)[:, None].astype(np.float64) for column, known in codes for code in known]
    return np.concatenate([found, *hot], axis=1)
