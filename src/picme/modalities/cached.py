"""Modality that holds the stored output of its encoder's locked trunk instead of texts or images."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from picme.errors import DataError
from picme.modalities.base import Modality, load_array
from picme.modalities.summaries import unknown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import polars as pl

    from picme.modalities.summaries import Summary
    from picme.schema import Rows

COMPONENTS = 32
"""Most columns to which an item's features are reduced where stays are summarised: more help no tree."""


class CachedModality(Modality):
    """Modality of stored features: a view's `index.npy` into what `pretrain.trunk_cache` keeps of a pool's items.

    Features are vectors, feature maps, or (text with adapters above a locked part) one vector per token.
    """

    def __init__(self, folder: Path, features: Path) -> None:
        self.folder, self.features_folder = folder, features
        self.index = load_array(folder / "index.npy")
        self.features = load_array(features / "features.npy")
        about = json.loads((features / "meta.json").read_text(encoding="utf-8"))
        self.ragged = bool(about["ragged"])
        self.n_items = int(about["items"])
        if int(np.max(self.index, initial=-1)) >= self.n_items:
            raise DataError(f"{folder / 'index.npy'} names items that {features / 'features.npy'} does not hold")
        self.present = np.asarray(self.index >= 0)
        self.offsets: np.ndarray | None = None
        if self.ragged:
            self.offsets = load_array(features / "offsets.npy", mapped=False)
            counts = np.diff(self.offsets)
            self.lengths = np.where(self.present, counts[self.index] if self.n_items else 0, 0)

    @staticmethod
    def write_views(rows: Mapping[str, Rows], folders: Mapping[str, Path], pool: Path, **options: Any) -> pl.DataFrame:
        """Raise DataError: features are written by the trunk cache, not from rows."""
        raise DataError("cached features are written by the trunk cache, not from rows")

    @classmethod
    def open(cls, folder: Path, pool: Path) -> Self:
        """Open the view in `folder` with the features in the folder `pool`."""
        return cls(folder, pool)

    def spec(self) -> dict[str, Any]:
        """Return `feature_dim`, the size of vectors (channels of maps), and `feature_shape` of one item or token."""
        shape = [int(size) for size in self.features.shape[1:]]
        return {"feature_dim": shape[0], "feature_shape": shape}

    def batch(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """Return `features` (batch, …) float32, 0 where absent; with one vector per token also `attention_mask`."""
        items = np.asarray(self.index[np.asarray(rows)])
        held = np.flatnonzero(items >= 0)
        if self.offsets is None:
            features = np.zeros((len(items), *self.features.shape[1:]), dtype=np.float32)
            features[held] = self.features[items[held]]
            return {"features": torch.from_numpy(features)}
        counts = np.where(items >= 0, self.offsets[items + 1] - self.offsets[items], 1)
        features = np.zeros((len(items), int(counts.max(initial=1)), self.features.shape[1]), dtype=np.float32)
        for place in held:
            start, end = self.offsets[items[place]], self.offsets[items[place] + 1]
            features[place, : end - start] = self.features[start:end]
        mask = (np.arange(features.shape[1]) < counts[:, None]).astype(np.int64)
        return {"features": torch.from_numpy(features), "attention_mask": torch.from_numpy(mask)}

    def learn_summary(self, train_rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the mean (dim,) and the first principal components (component, dim) of the training stays' features.

        There are `COMPONENTS` of them, or as many as stays and dimensions allow.
        """
        from sklearn.decomposition import PCA  # only models without encoders read summaries

        rows = np.asarray(train_rows)[self.present[train_rows]]
        items, place = np.unique(self.index[rows], return_inverse=True)
        seen = self._pooled(items)[place]
        number = min(COMPONENTS, seen.shape[1], len(items) - 1)
        if number < 1:
            return {"mean": np.zeros(seen.shape[1]), "components": np.zeros((0, seen.shape[1]))}
        found = PCA(number, svd_solver="covariance_eigh").fit(seen)
        return {"mean": found.mean_, "components": found.components_}

    def summary(self, learnt: Mapping[str, np.ndarray]) -> Summary:
        """Return the features along the components that training stays have; see `learn_summary`."""
        components = learnt["components"]
        values = np.full((len(self), len(components)), np.nan, np.float32)
        if len(components) and self.present.any():
            items, place = np.unique(self.index[self.present], return_inverse=True)
            values[self.present] = ((self._pooled(items) - learnt["mean"]) @ components.T)[place]
        return unknown(values, [f"component {number + 1}" for number in range(len(components))])

    def _pooled(self, items: np.ndarray) -> np.ndarray:
        """Return one vector for each item (item, dim): the mean over tokens, or over the places of a feature map."""
        dim = self.features.shape[1]
        if self.offsets is not None:
            spans = zip(self.offsets[items], self.offsets[items + 1], strict=True)
            vectors = [self.features[start:end].mean(axis=0, dtype=np.float64) for start, end in spans]
        else:
            vectors = [self.features[item].reshape(dim, -1).mean(axis=1, dtype=np.float64) for item in items]
        return np.array(vectors, np.float64).reshape(len(items), dim)

    def _recipe(self) -> tuple[Any, ...]:
        return self.folder, self.features_folder

    @classmethod
    def _from_recipe(cls, folder: Path, features: Path) -> CachedModality:
        return cls(folder, features)
