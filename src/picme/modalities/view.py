"""One view of a prepared study as training reads it: rows by split, modalities opened, batches across modalities."""

from __future__ import annotations

import json
from copy import copy
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.modalities import open_modality
from picme.modalities.batch import combined_lengths, in_order, length_buckets, on_device, shuffled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import torch
    from torch import Tensor

    from picme.modalities.base import Modality


class ViewData:
    """A view's stays and modalities, memory-mapped, so that many processes share one copy.

    Args:
        prepared: the prepare artifact.
        name: the name of the view: a task, or `pretrain`.
        modalities: what has the `kind` and `encoder` of each modality, by name.
        features: trunk caches by modality; those modalities give cached features in place of their data.
        statistics: training statistics; the prepare artifact's own if not given.
        divided: the artifact of a fold, whose splits and statistics count in place of the prepare artifact's.

    Raises:
        DataError: if a modality is not there, or has other columns than its statistics.
    """

    def __init__(
        self,
        prepared: Path,
        name: str,
        modalities: Mapping[str, Any],
        features: Mapping[str, Path],
        statistics: Path | None = None,
        divided: Path | None = None,
    ) -> None:
        self.folder = prepared / "views" / name
        divided = divided or prepared
        self.cohort = _cohort(divided / "views" / name / "cohort.parquet")
        statistics = statistics or divided / "statistics.json"
        self.modalities: dict[str, Any] = {}
        self.kept: dict[str, np.ndarray] = {}
        for modality, config in modalities.items():
            folder, pool = self.folder / modality, prepared / "pool" / modality
            self.modalities[modality] = _opened(
                config.kind, folder, pool, config.encoder, statistics, modality, features.get(modality)
            )

    def __len__(self) -> int:
        return self.cohort.height

    @cached_property
    def splits(self) -> dict[str, np.ndarray]:
        """The row numbers of each split."""
        column = self.cohort.get_column("split").to_numpy()
        return {split: np.flatnonzero(column == split) for split in ("train", "val", "test")}

    def present(self, combination: Sequence[str]) -> np.ndarray:
        """Return the presence of each modality, (stay, modality) bool; withheld ones are not there."""
        found = np.stack([np.asarray(self.modalities[name].present, dtype=bool) for name in combination], axis=1)
        for place, name in enumerate(combination):
            found[:, place] &= self.kept.get(name, True)
        return found

    def keeping(self, kept: Mapping[str, np.ndarray]) -> ViewData:
        """Return the same view, in which stays have a modality only where a mask (stay,) bool says that they keep it.

        Args:
            kept: the mask of each modality of which something is withheld.
        """
        other = copy(self)
        other.kept = {**self.kept, **kept}
        return other

    def divided(self, splits: Mapping[str, np.ndarray]) -> ViewData:
        """Return the same view with other row numbers in its splits."""
        other = copy(self)
        other.splits = dict(splits)
        return other

    def usable(self, combination: Sequence[str], split: str, at_least: int = 1) -> np.ndarray:
        """Return the rows of a split that have at least so many of the combination's modalities."""
        rows = self.splits[split]
        return rows[self.present(combination)[rows].sum(axis=1) >= at_least]

    def batch(self, combination: Sequence[str], rows: np.ndarray, device: torch.device) -> dict[str, dict[str, Tensor]]:
        """Return the batch of the given rows for each modality."""
        return {name: on_device(self.modalities[name].batch(rows), device) for name in combination}

    def lengths(self, combination: Sequence[str]) -> np.ndarray | None:
        """Return the lengths that batches are bucketed by, (stay,); None where all entries are of one size."""
        return combined_lengths(self.modalities[name].lengths for name in combination)

    def training_batches(
        self, combination: Sequence[str], rows: np.ndarray, size: int, seed: int, epoch: int
    ) -> list[np.ndarray]:
        """Return shuffled batches of stays of about equal length; the same for the same seed and epoch."""
        lengths = self.lengths(combination)
        if lengths is None:
            return shuffled(rows, size, seed, epoch)
        return length_buckets(lengths, size, seed, epoch, rows)

    def evaluation_batches(self, combination: Sequence[str], rows: np.ndarray, size: int) -> list[np.ndarray]:
        """Return all rows in batches, those of short stays first."""
        return in_order(rows, size, self.lengths(combination))

    def labels(self, names: Sequence[str]) -> np.ndarray:
        """Return label columns, (stay, label) float32, NaN where undefined."""
        return self.cohort.select(pl.col(name).cast(pl.Float32) for name in names).to_numpy().astype(np.float32)


@lru_cache(maxsize=8)
def _cohort(file: Path) -> pl.DataFrame:
    """Read a cohort once for all steps of this process."""
    return pl.read_parquet(file)


@lru_cache(maxsize=64)
def _opened(
    kind: str, folder: Path, pool: Path, encoder: Any, statistics: Path, modality: str, features: Path | None
) -> Modality:
    """Open a modality once for all steps of this process that read it with the same encoder."""
    fitted = json.loads(statistics.read_text(encoding="utf-8"))
    return open_modality(kind, folder, pool, encoder, fitted.get(modality), features)
