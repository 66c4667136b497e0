"""Alignment reads which modalities a stay has, and does not tell it from embeddings that happen to be zero."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from picme.align.measure import measure

if TYPE_CHECKING:
    from pathlib import Path

STAYS = 30


def measured(folder: Path, present: np.ndarray, embeddings: np.ndarray) -> pl.DataFrame:
    """The table of a pretraining's artifact with the given presence (stay, modality) and embeddings."""
    artifact, prepared = folder / "pretrain", folder / "prepare"
    cohort = prepared / "views" / "pretrain" / "cohort.parquet"
    for place in (artifact, cohort.parent, folder / "align"):
        place.mkdir(parents=True)
    pl.DataFrame({"split": ["test"] * STAYS}).write_parquet(cohort)
    np.save(artifact / "rows.npy", np.arange(STAYS))
    np.save(artifact / "embeddings.npy", embeddings)
    np.save(artifact / "present.npy", present)
    places = {"pretrain": artifact, "prepare": prepared}
    pretrain = SimpleNamespace(name="pretrain", pretraining=SimpleNamespace(prepare=SimpleNamespace(name="prepare")))
    step: Any = SimpleNamespace(
        pretrain=pretrain, combination=("a", "b"), ks=(1, 5), gallery=1000, draws=1, batch_size=8, tsne_stays=0
    )
    context: Any = SimpleNamespace(store=SimpleNamespace(path=lambda one: places[one.name]))
    measure(step, folder / "align", context)
    return pl.read_parquet(folder / "align" / "alignment.parquet").filter(
        pl.col("metric") == "retrieval", pl.col("source").is_null(), pl.col("k") == 1
    )


@pytest.mark.parametrize("absent", [0, 4])
def test_a_present_modality_with_a_zero_embedding_counts(tmp_path: Path, absent: int) -> None:
    values = np.random.default_rng(0).normal(size=(STAYS, 8)).astype(np.float32)
    embeddings = np.stack([values, values])
    embeddings[1, :3] = 0  # three stays whose encoder gives nothing but zeros, as a dead ReLU does
    present = np.ones((STAYS, 2), dtype=bool)
    present[STAYS - absent :, 1] = False
    row = measured(tmp_path, present, embeddings).row(0, named=True)
    assert row["candidates"] == STAYS - absent
    assert row["value"] == pytest.approx(1 - 3 / (STAYS - absent)), "those three are not found"
