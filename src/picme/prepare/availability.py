"""The table `availability`: who has which modality, and how much of each text its encoder reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from picme.modalities import open_modality
from picme.results.tables import table

if TYPE_CHECKING:
    from pathlib import Path

    from picme.prepare.step import Availability


def availability(step: Availability, prepared: Path) -> pl.DataFrame:
    """Add to the counts of a prepared cohort what the encoders of the study read of its texts.

    Args:
        step: says which encoders read which modalities.
        prepared: the prepare artifact.

    Returns:
        The result table; `cut_share`, `tokens_total` and `tokens_read` are null for modalities that are no text.

    Raises:
        ConfigError: if an encoder names no tokenizer that can be loaded.
    """
    counts = pl.read_parquet(prepared / "availability.parquet")
    rows = [
        {"task": task, "modality": modality, **row}
        for task in counts["task"].unique(maintain_order=True)
        for modality in step.encoders
        for row in _reads(step, prepared, task, modality)
    ]
    names = ["task", "modality", "split"]
    declared = table("availability").schema
    read = pl.DataFrame(rows, schema={name: declared[name] for name in (*names, *step.counted)})
    return counts.join(read, on=names, how="left", maintain_order="left")


def _reads(step: Availability, prepared: Path, task: str, modality: str) -> list[dict[str, Any]]:
    """Count the texts and tokens that are read in each split of one view."""
    view, kind = prepared / "views" / task, step.prepare.kind_of(modality)[0]
    opened = open_modality(kind, view / modality, prepared / "pool" / modality, step.encoders[modality])
    counted = opened.tokens_read()
    if counted is None:
        return []
    split = pl.read_parquet(view / "cohort.parquet")["split"]
    texts = pl.DataFrame({"split": split, "present": opened.present, "tokens": counted[0], "read": counted[1]})
    return (
        texts.filter(pl.col("split").is_not_null() & pl.col("present"))
        .group_by("split")
        .agg(
            cut_share=(pl.col("read") < pl.col("tokens")).mean(),
            tokens_total=pl.col("tokens").sum(),
            tokens_read=pl.col("read").sum(),
        )
        .to_dicts()
    )
