"""All alignment metrics of one combination as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from picme.metrics.scores import batch_scores, neighbour_scores, ovo_scores, retrieval_scores, setting

if TYPE_CHECKING:
    import numpy as np

SCHEMA = {
    "metric": pl.String,
    "source": pl.String,
    "target": pl.String,
    "k": pl.Int64,
    "candidates": pl.Int64,
    "chance": pl.Float64,
    "value": pl.Float64,
}


def alignment_table(
    embeddings: np.ndarray,
    present: np.ndarray | None,
    names: list[str],
    ks: tuple[int, ...] = (1, 5, 10),
    gallery: int | None = 1000,
    draws: int = 5,
    batch_size: int = 32,
    seed: int = 0,
) -> pl.DataFrame:
    """Compute every metric at every k, for each modality or ordered pair and as a mean.

    Args:
        embeddings: (modality, stay, dim), raw.
        present: (stay, modality) bool; None for all.
        names: names of the modalities.
        ks: values of k.
        gallery: most stays that are candidates; None for all.
        draws: galleries drawn and averaged where there are more stays.
        batch_size: stays of a batch in the metric `batch`.
        seed: seed of draws and batches.

    Returns:
        Columns metric (`retrieval`, `ovo`, `neighbour`, `cross_neighbour`, `same_modality_share`, `batch`), source,
        target, k, candidates, chance, value. `retrieval` and `batch` go from source to target; the other metrics have
        a source only. Source and target are null in the row of the mean over them; chance and value where fewer than
        two stays take part.

    Raises:
        DataError: if the shapes do not fit.
    """
    data = setting(embeddings, present, ks, gallery=gallery, draws=draws, batch_size=batch_size, seed=seed)
    rows = [
        (
            score.metric,
            None if score.source is None else names[score.source],
            None if score.target is None else names[score.target],
            score.k,
            score.candidates,
            score.chance,
            score.value,
        )
        for measure in (retrieval_scores, ovo_scores, neighbour_scores, batch_scores)
        for score in measure(data)
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")
