"""Which combinations are best aligned, on validation stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from picme.modalities.combinations import Combination
    from picme.plan import Run


def best_aligned(run: Run) -> list[Combination] | None:
    """The best-aligned combinations of each size by retrieval (recall@5, mean over ordered pairs) on validation.

    Where the objective scores candidates by itself, by its own recall@5 on validation: cosines of pairs say nothing of
    embeddings that match only all together.

    Returns:
        None as long as an alignment is missing.
    """
    import polars as pl

    values: dict[Combination, float] = {}
    for combination in run.combinations:
        key = run.keys.align(combination)
        if not run.store.done("align", key):
            if run.store.done("pretrain", run.keys.pretrain(combination)):
                return None
            continue  # its pretraining failed
        pretrained = run.store.manifest("pretrain", run.keys.pretrain(combination))
        if pretrained.get("matched_by") == "objective":
            found_by_itself = pretrained["val_recall5"]
            values[combination] = 0.0 if found_by_itself != found_by_itself else found_by_itself
            continue
        file = run.store.path("align", key) / "alignment.parquet"
        if not file.is_file():
            continue
        table = pl.read_parquet(file)
        wanted = table.filter(
            pl.col("metric") == "retrieval",
            pl.col("target").is_null(),
            pl.col("source").is_null(),
            pl.col("k") == (5 if 5 in run.config.align.ks else max(run.config.align.ks)),
        )
        # Without validation stays there is nothing to choose by, and test must not decide.
        rows = wanted.filter(pl.col("split") == "val")
        values[combination] = float(rows.get_column("value")[0] or 0.0) if rows.height else 0.0
    if not values:
        return None
    found = []
    for size in sorted({len(combination) for combination in values}):
        # Ties keep the configuration's order.
        ranked = sorted((c for c in values if len(c) == size), key=lambda c: -values[c])
        found += ranked[: run.config.finetune.best]
    return found
