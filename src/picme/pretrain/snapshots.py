"""Embeddings of some stays that are kept while a pretraining runs, for t-SNE frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from picme.fitting import group

if TYPE_CHECKING:
    from pathlib import Path

# Stays whose embeddings are kept over the epochs.
SNAPSHOT_STAYS = 400


class Snapshots:
    """Embeddings of some held-out stays before training and after epochs 0, 1, 2, 4, 8, …, for t-SNE frames.

    The schedule does not depend on how long training lasts, so a resumed training leaves the same snapshots.
    """

    def __init__(self, folder: Path, test: np.ndarray, val: np.ndarray, present: np.ndarray) -> None:
        self.folder = folder
        self.rows = np.concatenate([test, val])[:SNAPSHOT_STAYS]
        self.present = present[self.rows]
        folder.mkdir(exist_ok=True)

    def due(self, epoch: int) -> bool:
        """Return whether an epoch (-1 is before training) is on the schedule."""
        return epoch < 1 or epoch & (epoch - 1) == 0

    def keep(self, epoch: int, embedded: Any) -> None:
        """Keep an epoch that is due; `embedded` maps rows to embeddings."""
        if not self.due(epoch) or not len(self.rows):
            return
        values = embedded(self.rows).astype(np.float16)
        if group.leads():
            np.savez(
                self.folder / f"{epoch + 1:04d}.npz", epoch=epoch, rows=self.rows, present=self.present, values=values
            )
