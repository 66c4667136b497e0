"""Boosted trees on summary features: LightGBM (Ke et al. 2017), its settings searched by folds."""

from __future__ import annotations

from typing import Any

import numpy as np

COMMON: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.04,
    "bagging_freq": 1,
    "bagging_fraction": 0.7,
    "lambda_l2": 10.0,
    # Coarse bins fit thousands of stays no worse than fine ones, in less time.
    "max_bin": 63,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}
SETTINGS: tuple[dict[str, Any], ...] = (
    {"num_leaves": 7},
    {"num_leaves": 15},
    {"num_leaves": 31},
)
"""Settings that are searched, beside the number of trees."""
SHARE, LEAST = 0.2, 10
"""Share of the features that a tree sees, and the fewest."""
MOST_TREES, PATIENCE = 1000, 25
FEW = {**SETTINGS[0], "trees": 50}
"""Settings where there are too few stays to search."""
# A table with fewer cells is fitted by one thread: more of them wait for one another, and for other programs.
LARGE = 20_000_000


def search(x: np.ndarray, y: np.ndarray, categorical: np.ndarray, fold: np.ndarray) -> dict[str, Any]:
    """Return the settings, the number of trees among them, with the least mean log loss over the folds.

    Args:
        x: (stay, feature), NaN where unknown.
        y: (stay,) 0 or 1.
        categorical: (feature,) bool, whether a feature is the number of a category.
        fold: (stay,) which fold a stay is held out in.
    """
    import lightgbm

    folds = [(np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in np.unique(fold)]
    least, best = np.inf, FEW
    for settings in SETTINGS:
        found = lightgbm.cv(
            {**_parameters(x, settings), "seed": 0, "metric": "binary_logloss"},
            _data(x, y, categorical),
            num_boost_round=MOST_TREES,
            folds=folds,
            callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
        )
        losses = np.array(found["valid binary_logloss-mean"])
        if losses.min() < least:
            least, best = float(losses.min()), {**settings, "trees": int(losses.argmin()) + 1}
    return best


def fit(x: np.ndarray, y: np.ndarray, categorical: np.ndarray, settings: dict[str, Any], seed: int) -> str:
    """Fit boosted trees with settings that `search` found; return them as LightGBM's text."""
    import lightgbm

    chosen = {name: value for name, value in settings.items() if name != "trees"}
    parameters = {**_parameters(x, chosen), "seed": seed}
    model = lightgbm.train(parameters, _data(x, y, categorical), settings["trees"])
    return str(model.model_to_string())


def probabilities(model: str, x: np.ndarray) -> np.ndarray:
    """Return the probability (stay,) of each stay's features (stay, feature)."""
    import lightgbm

    if not len(x):
        return np.empty(0)
    return np.asarray(lightgbm.Booster(model_str=model).predict(x, num_threads=_threads(x)), np.float64)


def _parameters(x: np.ndarray, settings: dict[str, Any]) -> dict[str, Any]:
    # Leaves of fewer stays where there are few, or no tree would have a branch.
    least = int(np.clip(len(x) // 20, 2, 20))
    share = min(1.0, max(SHARE, LEAST / max(1, x.shape[1])))
    more = {"min_data_in_leaf": least, "feature_fraction": share, "num_threads": _threads(x)}
    return {**COMMON, **settings, **more}


def _data(x: np.ndarray, y: np.ndarray, categorical: np.ndarray) -> Any:
    import lightgbm

    return lightgbm.Dataset(x, y, categorical_feature=np.flatnonzero(categorical).tolist(), free_raw_data=False)


def _threads(x: np.ndarray) -> int:
    import torch

    return 1 if x.size < LARGE else torch.get_num_threads()
