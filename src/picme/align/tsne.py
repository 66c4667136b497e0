"""t-SNE of a combination's embeddings over the epochs, each frame started from the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from openTSNE import TSNE
from openTSNE.initialization import pca, rescale

if TYPE_CHECKING:
    from collections.abc import Iterable

SCHEMA = {"epoch": pl.Int64, "stay": pl.Int64, "modality": pl.String, "x": pl.Float32, "y": pl.Float32}


def frames(
    embeddings: Iterable[tuple[int, np.ndarray]],
    modalities: list[str],
    seed: int,
    present: np.ndarray | None = None,
) -> pl.DataFrame:
    """Compute the positions of all embeddings in the plane, epoch by epoch.

    All modalities share a map. Vectors are taken at unit length, where Euclidean neighbours are those by cosine. A
    frame starts from the one before, so that points can be followed; it runs on one thread, so that it repeats exactly.

    Args:
        embeddings: (epoch, array (modality, stay, dim)) in order of time, with the same stays.
        modalities: names, in the array's order.
        seed: seed of the optimisation.
        present: (stay, modality) bool; absent embeddings have no point. None for all.

    Returns:
        Columns epoch, stay (index), modality, x, y; empty with fewer than five points.
    """
    tables, layout = [], None
    for epoch, array in embeddings:
        count, stays, _ = array.shape
        mask = np.ones((count, stays), dtype=bool) if present is None else np.asarray(present, dtype=bool).T
        kind, stay = np.nonzero(mask)
        if len(stay) < 5:
            continue
        points = array[kind, stay].astype(np.float64)
        points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
        layout = np.asarray(_layout(points, layout, seed))
        tables.append(
            pl.DataFrame(
                {
                    "epoch": np.full(len(stay), epoch),
                    "stay": stay,
                    "modality": [modalities[index] for index in kind],
                    "x": layout[:, 0],
                    "y": layout[:, 1],
                },
                schema=SCHEMA,
            )
        )
    return pl.concat(tables) if tables else pl.DataFrame(schema=SCHEMA)


def _layout(points: np.ndarray, before: np.ndarray | None, seed: int) -> np.ndarray:
    """Compute positions (point, 2), started from an earlier layout or the principal components."""
    if before is not None and before[:, 0].std() > 1e-6:
        start = rescale(before)
    elif points.std(axis=0).max() > 1e-6:
        start = pca(points, random_state=seed)
    else:
        # A collapsed model has no spread to start from.
        start = np.random.default_rng(seed).normal(0, 1e-4, (len(points), 2))
    perplexity = min(30.0, (len(points) - 1) / 3)
    model = TSNE(
        perplexity=perplexity, initialization=start, n_jobs=1, random_state=seed, negative_gradient_method="bh"
    )
    return np.asarray(model.fit(points))
