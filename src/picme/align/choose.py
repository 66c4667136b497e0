"""The choice of the best-aligned combinations, on validation stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from picme.align.step import Align
    from picme.config.combinations import Combination
    from picme.engine.store import Store


def best_aligned(aligned: Iterable[Align], store: Store, best: int) -> list[Combination]:
    """Return the best-aligned combinations of each size by retrieval (recall@5, mean over ordered pairs) on validation.

    Where the objective scores candidates by itself, its own recall@5 on validation decides: cosines of pairs say
    nothing of embeddings that match only all together. Ties keep the order given.

    Args:
        aligned: finished alignments.
        store: where they are.
        best: how many of each size.
    """
    values = {step.combination: _recall(step, store) for step in aligned}
    found: list[Combination] = []
    for size in sorted({len(combination) for combination in values}):
        found += sorted((c for c in values if len(c) == size), key=lambda c: -values[c])[:best]
    return found


def _recall(step: Align, store: Store) -> float:
    """Return the recall that a combination is chosen by; 0 without validation stays, since test must not decide."""
    import polars as pl

    pretrained = store.manifest(step.pretrain)
    if pretrained.get("matched_by") == "objective":
        by_itself = pretrained["val_recall5"]
        return 0.0 if by_itself != by_itself else float(by_itself)
    file = store.path(step) / "alignment.parquet"
    if not file.is_file():
        return 0.0
    wanted = pl.read_parquet(file).filter(
        pl.col("metric") == "retrieval",
        pl.col("target").is_null(),
        pl.col("source").is_null(),
        pl.col("k") == (5 if 5 in step.ks else max(step.ks)),
        pl.col("split") == "val",
    )
    return float(wanted.get_column("value")[0] or 0.0) if wanted.height else 0.0
