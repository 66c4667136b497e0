"""Baselines: gradient boosting and logistic regression on summary features of series and tables.

Gradient boosting on mean, minimum, maximum, first, last and count of each variable is the reference that a deep model
of ICU series has to beat (Harutyunyan et al. 2019 use the same features for their logistic regression).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from picme.errors import ConfigError, near
from picme.schema import MASK, SINCE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import polars as pl

Predict = Callable[[np.ndarray], np.ndarray]
"""Features (stay, feature) → probabilities (stay, label), or (stay,) of one label."""
STATISTICS = ("mean", "min", "max", "first", "last", "count")
STEPS = 400
REGULARISATION = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 1.0)
# Laboratory values can lie a hundred standard deviations out; without a limit they would dominate a linear model.
CLIP = 5.0


def summary_features(folders: Mapping[str, Path], train: np.ndarray) -> tuple[np.ndarray, list[str], list[str]]:
    """Compute features of every modality that is stored as a series or a table; other kinds have none.

    Args:
        folders: modality → folder of a view, as `prepare` wrote it.
        train: (stay,) bool, the training stays, whose categories a table's features are for.

    Returns:
        Features (stay, feature) float32 with NaN where unknown, their names, and the modalities they come from.
    """
    import polars as pl

    parts, names, used = [], [], []
    for modality, folder in folders.items():
        if (folder / "values.npy").is_file() and (folder / "offsets.npy").is_file():
            columns = json.loads((folder / "columns.json").read_text(encoding="utf-8"))["columns"]
            values = np.load(folder / "values.npy", mmap_mode="r", allow_pickle=False)
            found = series_features(values, np.load(folder / "offsets.npy", allow_pickle=False), columns)
        elif (folder / "table.parquet").is_file():
            present = np.load(folder / "present.npy", allow_pickle=False)
            found = table_features(pl.read_parquet(folder / "table.parquet"), present, train)
        else:
            continue
        parts.append(found[0])
        names += [f"{modality}: {name}" for name in found[1]]
        used.append(modality)
    return (np.concatenate(parts, axis=1) if parts else np.empty((len(train), 0), np.float32)), names, used


def series_features(values: np.ndarray, offsets: np.ndarray, columns: list[str]) -> tuple[np.ndarray, list[str]]:
    """Compute mean, minimum, maximum, first, last and count of each column over the hours in which it was measured.

    A column `x` or a category `x->y` was measured where `mask->x` is 1; without such a mask, where the value is finite.

    Args:
        values: (sum of lengths, column), stays one after the other; read column by column.
        offsets: (stay + 1,) first row of each stay.
        columns: names of the columns.

    Returns:
        (stay, 6 × column) float32, NaN (count: 0) where nothing was measured, and the features' names.
    """
    filled = np.flatnonzero(np.diff(offsets) > 0)
    starts = np.asarray(offsets)[filled]
    row = np.arange(len(values))
    wanted = [name for name in columns if not name.startswith((MASK, SINCE))]
    features = np.full((len(offsets) - 1, len(STATISTICS) * len(wanted)), np.nan, np.float32)
    features[:, len(STATISTICS) - 1 :: len(STATISTICS)] = 0
    for place, name in enumerate(wanted if len(filled) else ()):
        value = np.asarray(values[:, columns.index(name)], np.float64)
        mask = next((MASK + x for x in (name, name.split("->")[0]) if MASK + x in columns), None)
        seen = np.isfinite(value) if mask is None else (values[:, columns.index(mask)] > 0) & np.isfinite(value)
        count = np.add.reduceat(seen.astype(np.int64), starts)
        some = count > 0
        first = np.minimum.reduceat(np.where(seen, row, len(values)), starts)[some]
        last = np.maximum.reduceat(np.where(seen, row, -1), starts)[some]
        found = np.stack(
            [
                np.add.reduceat(np.where(seen, value, 0), starts)[some] / count[some],
                np.minimum.reduceat(np.where(seen, value, np.inf), starts)[some],
                np.maximum.reduceat(np.where(seen, value, -np.inf), starts)[some],
                value[first],
                value[last],
                count[some],
            ],
            axis=1,
        )
        features[filled[some], len(STATISTICS) * place : len(STATISTICS) * (place + 1)] = found
    return features, [f"{name} {statistic}" for name in wanted for statistic in STATISTICS]


def table_features(frame: pl.DataFrame, present: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return numbers as they are, and one 0/1 column for each category of the training stays; NaN where absent.

    Args:
        frame: one row per stay.
        present: (stay,) bool, whether the stay has the table.
        train: (stay,) bool, the training stays.

    Returns:
        (stay, feature) float32 and the features' names.
    """
    parts, names = [], []
    for name in frame.columns:
        column = frame[name]
        if column.dtype.is_numeric():
            parts.append(column.to_numpy().astype(np.float32))
            names.append(name)
            continue
        known = column.is_not_null().to_numpy()
        for category in column.filter(train & present).drop_nulls().unique().sort().to_list():
            hot = (column == category).fill_null(False).to_numpy().astype(np.float32)
            parts.append(np.where(known, hot, np.float32(np.nan)))
            names.append(f"{name}={category}")
    features = np.stack(parts, axis=1) if parts else np.empty((len(frame), 0), np.float32)
    features[~present] = np.nan
    return features, names


def fit_predict(name: str, features: np.ndarray, targets: np.ndarray, split: np.ndarray, seed: int) -> np.ndarray:
    """Fit one model per label on the training stays, and predict all stays; see `fit`."""
    return fit(name, features, targets, split, seed)(features)


def fit(name: str, features: np.ndarray, targets: np.ndarray, split: np.ndarray, seed: int) -> Predict:
    """Fit one model per label on the training stays, with its size chosen on the validation stays.

    Args:
        name: `gradient_boosting`, `logistic_regression`, or `presence_only`, which is a logistic regression too.
        features: (stay, feature), NaN where unknown.
        targets: (stay, label) 0 or 1, NaN where unknown (left out of the fit).
        split: (stay,) `train`, `val` or `test`; test stays take no part in the fit.
        seed: seed of the random choice of features that each split of a tree may use.

    Returns:
        What gives (stay, label) probabilities for features (stay, feature); NaN for a label with one class in training.

    Raises:
        ConfigError: if there is no model of this name.
    """
    if name not in MODELS:
        raise ConfigError(f"unknown baseline {name!r}{near(name, MODELS)}")
    split = np.asarray(split)
    finite = np.isfinite(features)
    models: list[Predict | None] = []
    for target in targets.T:
        known = np.isfinite(target)
        train, val = known & (split == "train"), known & (split == "val")
        # A feature that is never known in training is of no use, and has no median to fill its gaps with.
        known_there = finite[train].any(axis=0)
        if not known_there.any() or len(np.unique(target[train])) < 2:
            models.append(None)
            continue
        chosen = val if len(np.unique(target[val])) == 2 else np.zeros_like(val)
        models.append(_of(known_there, MODELS[name](features[:, known_there], target, train, chosen, seed)))

    def predict(others: np.ndarray) -> np.ndarray:
        nothing = np.full(len(others), np.nan)
        return np.stack([nothing if model is None else model(others) for model in models], axis=1)

    return predict


def _of(columns: np.ndarray, model: Predict) -> Predict:
    """Return a model that takes all features and looks at some of them."""
    return lambda others: model(others[:, columns])


def _gradient_boosting(x: np.ndarray, y: np.ndarray, train: np.ndarray, val: np.ndarray, seed: int) -> Predict:
    """Fit as many boosted trees as give the least log loss on validation (100 without validation stays)."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=STEPS if val.any() else 100,
        max_leaf_nodes=15,
        min_samples_leaf=20,
        l2_regularization=1.0,
        max_features=0.3,
        early_stopping=False,
        random_state=seed,
    ).fit(x[train], y[train])
    if not val.any():
        return lambda others: model.predict_proba(others)[:, 1]
    losses = [_log_loss(y[val], staged[:, 1]) for staged in model.staged_predict_proba(x[val])]
    best = int(np.argmin(losses))
    return lambda others: next(islice(model.staged_predict_proba(others), best, None))[:, 1]


def _logistic_regression(x: np.ndarray, y: np.ndarray, train: np.ndarray, val: np.ndarray, seed: int) -> Predict:
    """Fit a ridge-penalised logistic regression on filled, standardised and clipped features.

    Gaps are filled with the training stays' medians; the penalty is the one with the least log loss on validation.
    """
    from sklearn.linear_model import LogisticRegression

    median = np.nanmedian(x[train], axis=0)

    def filled(others: np.ndarray) -> np.ndarray:
        return np.where(np.isfinite(others), others, median).astype(np.float64)

    mean, deviation = filled(x[train]).mean(axis=0), filled(x[train]).std(axis=0)

    def scaled(others: np.ndarray) -> np.ndarray:
        return np.clip((filled(others) - mean) / np.where(deviation > 0, deviation, 1), -CLIP, CLIP)

    fitted, held_out = scaled(x[train]), scaled(x[val])
    best, chosen = np.inf, None
    for strength in REGULARISATION if val.any() else (0.01,):
        model = LogisticRegression(C=strength, max_iter=1000, random_state=seed).fit(fitted, y[train])
        loss = _log_loss(y[val], model.predict_proba(held_out)[:, 1]) if val.any() else 0.0
        if loss < best:
            best, chosen = loss, model
    assert chosen is not None  # a log loss is finite
    model = chosen
    return lambda others: model.predict_proba(scaled(others))[:, 1]


def _log_loss(y: np.ndarray, p: np.ndarray) -> float:
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return float(-np.mean(y * np.log(p) + (1 - y) * np.log1p(-p)))


PRESENCE_ONLY = "presence_only"
"""Name of the model whose features are only which modalities a stay has."""
MODELS: dict[str, Any] = {
    "gradient_boosting": _gradient_boosting,
    "logistic_regression": _logistic_regression,
    PRESENCE_ONLY: _logistic_regression,
}
