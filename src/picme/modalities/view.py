"""One view of a prepared study as training reads it: rows by split, modalities opened, batches across modalities."""

from __future__ import annotations

import json
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.config.encoders import has_locked_trunk
from picme.modalities import open_modality
from picme.modalities.batch import combined_lengths, in_order, length_buckets, shuffled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from torch import Tensor

    from picme.config.modalities import ModalityConfig


class ViewData:
    """A view's stays and modalities, memory-mapped, so that many processes share one copy.

    Args:
        prepared: the prepare artifact.
        name: of the view: a task, or `pretrain`.
        modalities: configurations by name.
        features: trunk caches by modality; those modalities give cached features in place of their data.
        statistics: training statistics; the prepare artifact's own if not given.

    Raises:
        DataError: if a modality is not there, or has other columns than its statistics.
    """

    def __init__(
        self,
        prepared: Path,
        name: str,
        modalities: Mapping[str, ModalityConfig],
        features: Mapping[str, Path],
        statistics: Path | None = None,
    ) -> None:
        self.folder = prepared / "views" / name
        self.cohort = pl.read_parquet(self.folder / "cohort.parquet")
        fitted = json.loads((statistics or prepared / "statistics.json").read_text(encoding="utf-8"))
        self.modalities: dict[str, Any] = {}
        for modality, config in modalities.items():
            folder, pool = self.folder / modality, prepared / "pool" / modality
            self.modalities[modality] = open_modality(
                config.kind, folder, pool, config.encoder, fitted.get(modality), features.get(modality)
            )

    def __len__(self) -> int:
        return self.cohort.height

    @cached_property
    def splits(self) -> dict[str, np.ndarray]:
        """Row numbers of each split."""
        column = self.cohort.get_column("split").to_numpy()
        return {split: np.flatnonzero(column == split) for split in ("train", "val", "test")}

    def present(self, combination: Sequence[str]) -> np.ndarray:
        """Presence of each modality, (stay, modality) bool."""
        return np.stack([np.asarray(self.modalities[name].present, dtype=bool) for name in combination], axis=1)

    def usable(self, combination: Sequence[str], split: str, at_least: int = 1) -> np.ndarray:
        """Rows of a split that have at least so many of the combination's modalities."""
        rows = self.splits[split]
        return rows[self.present(combination)[rows].sum(axis=1) >= at_least]

    def batch(self, combination: Sequence[str], rows: np.ndarray, device: torch.device) -> dict[str, dict[str, Tensor]]:
        """Each modality's batch of the given rows."""
        return {
            name: {key: value.to(device) for key, value in self.modalities[name].batch(rows).items()}
            for name in combination
        }

    def lengths(self, combination: Sequence[str]) -> np.ndarray | None:
        """What batches are bucketed by, (stay,); None where all entries are of one size."""
        return combined_lengths(self.modalities[name].lengths for name in combination)

    def training_batches(
        self, combination: Sequence[str], rows: np.ndarray, size: int, seed: int, epoch: int
    ) -> list[np.ndarray]:
        """Shuffled batches of stays of about equal length; the same for the same seed and epoch."""
        lengths = self.lengths(combination)
        if lengths is None:
            return shuffled(rows, size, seed, epoch)
        return length_buckets(lengths, size, seed, epoch, rows)

    def evaluation_batches(self, combination: Sequence[str], rows: np.ndarray, size: int) -> list[np.ndarray]:
        """All rows, shortest first, in batches."""
        return in_order(rows, size, self.lengths(combination))

    def labels(self, names: Sequence[str]) -> np.ndarray:
        """Label columns, (stay, label) float32, NaN where undefined."""
        return self.cohort.select(pl.col(name).cast(pl.Float32) for name in names).to_numpy().astype(np.float32)


@lru_cache(maxsize=8)
def _opened(prepared: str, name: str, modalities: tuple[Any, ...], features: tuple[tuple[str, str], ...]) -> ViewData:
    return ViewData(Path(prepared), name, dict(modalities), {key: Path(path) for key, path in features})


def open_view(
    prepared: Path, name: str, modalities: Mapping[str, ModalityConfig], features: Mapping[str, Path]
) -> ViewData:
    """A view, kept open for the next job of this process."""
    return _opened(
        str(prepared), name, tuple(modalities.items()), tuple((key, str(path)) for key, path in features.items())
    )


def locked(modalities: Mapping[str, ModalityConfig]) -> list[str]:
    """Modalities whose encoder has a locked trunk, so that its output is cached."""
    return [name for name, config in modalities.items() if has_locked_trunk(config.encoder)]
