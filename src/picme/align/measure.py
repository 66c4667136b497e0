"""The alignment of one pretrained combination: how often a stay's modalities find one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.align.table import alignment_table
from picme.align.tsne import frames

if TYPE_CHECKING:
    from pathlib import Path

    from picme.align.step import Align
    from picme.engine.step import Context


def measure(step: Align, folder: Path, context: Context) -> dict[str, Any]:
    """Measure the alignment of validation and test stays, and lay out t-SNE frames where they are asked for."""
    artifact = context.store.path(step.pretrain)
    views = context.store.path(step.pretrain.pretraining.prepare) / "views"
    split_of = pl.read_parquet(views / "pretrain" / "cohort.parquet", columns=["split"])["split"].to_numpy()
    rows, present = np.load(artifact / "rows.npy"), np.load(artifact / "present.npy")
    embeddings = np.load(artifact / "embeddings.npy")
    tables = []
    for split in ("val", "test"):
        chosen = split_of[rows] == split
        if chosen.sum() < 2:
            continue
        table = alignment_table(
            embeddings[:, chosen],
            present[chosen],
            list(step.combination),
            ks=step.ks,
            gallery=step.gallery,
            draws=step.draws,
            batch_size=step.batch_size,
            seed=0,
        )
        tables.append(table.with_columns(split=pl.lit(split)))
    if tables:
        pl.concat(tables).select(
            "metric", "source", "target", "k", "split", "candidates", "chance", "value"
        ).write_parquet(folder / "alignment.parquet")
    if step.tsne_stays:
        _frames(artifact, list(step.combination), step.tsne_stays).write_parquet(folder / "tsne.parquet")
    return {"combination": list(step.combination)}


def _frames(artifact: Path, combination: list[str], stays: int) -> pl.DataFrame:
    """Return frames of stays that have every modality, over the kept epochs; stays are numbered, not named."""
    kept, complete = [], np.zeros(0, dtype=bool)
    for file in sorted((artifact / "snapshots").glob("*.npz")):
        with np.load(file) as saved:
            kept.append((int(saved["epoch"]), saved["values"].astype(np.float32)))
            complete = saved["present"].all(axis=1)
    chosen = np.flatnonzero(complete)[:stays]
    shown = kept if len(chosen) >= 5 else []
    return frames([(epoch, values[:, chosen]) for epoch, values in shown], combination, seed=0)
