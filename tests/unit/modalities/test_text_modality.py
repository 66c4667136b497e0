from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from picme.config.encoders import TransformerEncoder
from picme.errors import ConfigError, DataError
from picme.modalities import open_modality, write_views
from picme.modalities.text import TextModality
from picme.schema import TextRows
from tiny_checkpoints import SPECIAL, WORDS, save_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

FIRST = ["heart lung", None, "lung", "  "]
SECOND = ["lung", "heart lung", "acute process", None]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_views(
        "text",
        {"a": TextRows(FIRST), "b": TextRows(SECOND)},
        {"a": tmp_path / "a", "b": tmp_path / "b"},
        tmp_path / "pool",
    )
    (tmp_path / "model").mkdir()
    save_tokenizer(tmp_path / "model")
    return tmp_path


def opened(written: Path, view: str = "a", **settings: object) -> TextModality:
    encoder = TransformerEncoder(model=str(written / "model"), **settings)  # type: ignore[arg-type]
    modality = open_modality("text", written / view, written / "pool", encoder)
    assert isinstance(modality, TextModality)
    return modality


def ids(*words: str) -> list[int]:
    return [2, *(len(SPECIAL) + WORDS.index(word) for word in words), 3]


def test_a_text_is_kept_once_for_all_views(written: Path) -> None:
    assert pl.read_parquet(written / "pool" / "texts.parquet")["text"].to_list() == [
        "heart lung",
        "lung",
        "acute process",
    ]
    assert np.load(written / "a" / "index.npy").tolist() == [0, -1, 1, -1]
    assert np.load(written / "b" / "index.npy").tolist() == [1, 0, 2, -1]


def test_blank_texts_are_absent_and_counted(tmp_path: Path) -> None:
    quarantine = TextModality.write(TextRows(FIRST), tmp_path / "a", tmp_path / "pool")
    assert quarantine.to_dicts() == [{"reason": "blank text", "count": 1}]


def test_a_pool_is_extended_and_its_digest_changes(written: Path) -> None:
    before = opened(written)
    TextModality.write(TextRows(["no effusion", "lung"]), written / "c", written / "pool")
    assert np.load(written / "c" / "index.npy").tolist() == [3, 1]
    after = opened(written)
    assert after.pool_digest != before.pool_digest
    assert after.batch(np.array([0]))["input_ids"].tolist() == before.batch(np.array([0]))["input_ids"].tolist()


def test_batches_have_special_tokens_and_padding(written: Path) -> None:
    batch = opened(written).batch(np.array([0, 1, 2]))
    assert batch["input_ids"].tolist() == [ids("heart", "lung"), [2, 3, 0, 0], [*ids("lung"), 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]]


def test_lengths_are_tokens_as_read(written: Path) -> None:
    assert opened(written).lengths.tolist() == [4, 0, 3, 0]  # type: ignore[union-attr]
    cut = opened(written, max_length=4)
    assert cut.item_lengths is not None
    assert cut.item_lengths.max() == 4


def test_long_texts_are_cut_or_read_in_windows(tmp_path: Path) -> None:
    long = WORDS[:9]
    TextModality.write(TextRows([" ".join(long), "lung"]), tmp_path / "a", tmp_path / "pool")
    (tmp_path / "model").mkdir()
    save_tokenizer(tmp_path / "model")
    cut = opened(tmp_path, max_length=6).batch(np.array([0, 1]))
    assert cut["input_ids"][0].tolist() == ids(*long[:4])
    read = opened(tmp_path, max_length=6, windows=3).batch(np.array([0, 1]))
    assert read["owner"].tolist() == [0, 0, 0, 1]
    assert read["input_ids"][:3].tolist() == [ids(*long[0:4]), ids(*long[3:7]), [*ids(*long[6:9]), 0]]
    # Every word is read, and windows without overlap read each once.
    apart = opened(tmp_path, max_length=6, windows=4).batch(np.array([0]))
    words = apart["input_ids"][(apart["input_ids"] >= len(SPECIAL))]
    assert words.tolist() == ids(*long)[1:-1]


@pytest.mark.parametrize("settings", [{"max_length": 5}, {"max_length": 5, "windows": 2}, {"max_length": 30}])
def test_what_is_said_to_be_read_is_what_batches_hold(tmp_path: Path, settings: dict[str, int]) -> None:
    texts = ["lung heart process effusion lung", "heart", None, "no acute process"]
    TextModality.write(TextRows(texts), tmp_path / "a", tmp_path / "pool")
    (tmp_path / "model").mkdir()
    save_tokenizer(tmp_path / "model")
    modality = opened(tmp_path, **settings)
    words = [SPECIAL + WORDS for _ in texts]
    held, read = modality.tokens_read() or ([], [])
    # A cut text has room for three words beside the two special tokens.
    shown = [" ".join((text or "").split()[: 3 if settings == {"max_length": 5} else None]) for text in texts]
    for stay, text in enumerate(texts):
        rows = modality.batch(np.array([stay]))["input_ids"].numpy()
        in_batch = {words[stay][token] for token in rows.ravel() if token >= len(SPECIAL)}
        assert in_batch == set(shown[stay].split())
        assert (held[stay], read[stay]) == (len((text or "").split()), len(shown[stay].split()))


def test_tokens_are_made_once(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(written)

    def fail(*_: object) -> None:
        raise AssertionError("tokenised again")

    monkeypatch.setattr("picme.modalities.tokens.load_tokenizer", fail)
    opened(written, "b", max_length=8)
    with pytest.raises(AssertionError):
        write_views("text", {"c": TextRows(["new"])}, {"c": written / "c"}, written / "pool")
        opened(written, "c")


def test_pickles_as_its_path(written: Path) -> None:
    text = opened(written)
    again = pickle.loads(pickle.dumps(text))
    assert again.batch(np.array([0]))["input_ids"].tolist() == text.batch(np.array([0]))["input_ids"].tolist()


def test_mistakes_are_one_sentence(written: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    plain = open_modality("text", written / "a", written / "pool")
    with pytest.raises(DataError, match="for_encoder"):
        plain.batch(np.array([0]))
    with pytest.raises(ConfigError, match="has no tokenizer"):
        plain.for_encoder(TransformerEncoder(model=str(empty)))
    np.save(written / "a" / "index.npy", np.array([7]))
    with pytest.raises(DataError, match="does not hold"):
        open_modality("text", written / "a", written / "pool")
