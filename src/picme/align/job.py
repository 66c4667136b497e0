"""Alignment of one pretrained combination: how often a stay's modalities find one another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from picme.align.table import alignment_table
from picme.align.tsne import frames
from picme.config.loading import validate
from picme.store import Store


def align(
    run: str, config: dict[str, Any], combination: list[str], key: str, pretrained: str, prepared: str, tsne: bool
) -> None:
    """Measures the alignment of validation and test stays, and lays out t-SNE frames where asked for."""
    study = validate(config)
    artifact = Path(pretrained)
    cohort = pl.read_parquet(Path(prepared) / "views" / "pretrain" / "cohort.parquet")
    split_of = cohort.get_column("split").to_numpy()
    rows = np.load(artifact / "rows.npy")
    embeddings = np.load(artifact / "embeddings.npy")
    present = np.any(embeddings != 0, axis=-1).T
    with Store(Path(run)).create("align", key, {"combination": combination}) as folder:
        tables = []
        for split in ("val", "test"):
            chosen = split_of[rows] == split
            if chosen.sum() < 2:
                continue
            table = alignment_table(
                embeddings[:, chosen],
                present[chosen],
                list(combination),
                ks=study.align.ks,
                gallery=study.align.gallery,
                draws=study.align.draws,
                batch_size=study.pretrain.batch_size,
                seed=0,
            )
            tables.append(table.with_columns(split=pl.lit(split)))
        if tables:
            pl.concat(tables).write_parquet(folder / "alignment.parquet")
        if tsne:
            _frames(artifact, list(combination), study.align.tsne_stays).write_parquet(folder / "tsne.parquet")


def _frames(artifact: Path, combination: list[str], stays: int) -> pl.DataFrame:
    """Frames of stays that have every modality, over the kept epochs; stays are numbered, not named."""
    kept = []
    for file in sorted((artifact / "snapshots").glob("*.npz")):
        with np.load(file) as saved:
            kept.append((int(saved["epoch"]), saved["values"].astype(np.float32)))
    if not kept:
        return pl.DataFrame(
            schema={"epoch": pl.Int64, "stay": pl.Int64, "modality": pl.String, "x": pl.Float64, "y": pl.Float64}
        )
    complete = np.all(np.any(kept[0][1] != 0, axis=-1), axis=0)
    chosen = np.flatnonzero(complete)[:stays]
    if len(chosen) < 5:
        return pl.DataFrame(
            schema={"epoch": pl.Int64, "stay": pl.Int64, "modality": pl.String, "x": pl.Float64, "y": pl.Float64}
        )
    return frames([(epoch, values[:, chosen]) for epoch, values in kept], combination, seed=0)
