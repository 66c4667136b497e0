"""Kinds of modality: each writes a cohort's rows to files, and reads the files as batches of tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from picme.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import polars as pl

    from picme.config.base import Component
    from picme.modalities.base import Modality
    from picme.schema import Rows

KINDS = Registry(
    "modalities",
    {
        "text": "picme.modalities.text:TextModality",
        "image": "picme.modalities.image:ImageModality",
        "timeseries": "picme.modalities.timeseries:SeriesModality",
        "tabular": "picme.modalities.tabular:TabularModality",
    },
)


def write_views(
    kind: str, rows: Mapping[str, Rows], folders: Mapping[str, Path], pool: Path, **options: Any
) -> pl.DataFrame:
    """Write one modality of several views; texts and images are stored once, in the pool that the views share.

    Args:
        kind: name in `KINDS`.
        rows: rows by view, aligned with that view's stays.
        folders: where each view's files go.
        pool: folder shared by the views; one that exists is extended.
        options: `ModalityConfig.options()` and `workers`.

    Returns:
        Columns reason, count: the entries left out as if absent, each unique item counted once.
    """
    quarantine: pl.DataFrame = KINDS.load(kind).write_views(rows, folders, pool, **options)
    return quarantine


def open_modality(
    kind: str,
    folder: Path,
    pool: Path,
    encoder: Component | None = None,
    statistics: Mapping[str, Any] | None = None,
    features: Path | None = None,
) -> Modality:
    """Open one modality of a view, ready for batches.

    Args:
        kind: name in `KINDS`.
        folder: the view's files of this modality.
        pool: the modality's pool.
        encoder: configuration of the encoder that will read the batches; text is tokenised for it (once).
        statistics: what `fit` returned on the training stays.
        features: folder of the locked trunk's stored output (`pretrain.trunk_cache`); batches then hold `features`.

    Raises:
        DataError: if files are missing or do not belong together.
    """
    if features is not None:
        from picme.modalities.cached import CachedModality

        return CachedModality.open(folder, features)
    modality: Modality = KINDS.load(kind).open(folder, pool)
    if encoder is not None:
        modality = modality.for_encoder(encoder)
    return modality if statistics is None else modality.with_statistics(statistics)
