"""Tokens of a pool of texts, computed once for each tokenizer and stored beside the texts."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from picme.config.encoders import model_path
from picme.errors import ConfigError
from picme.modalities.base import load_array

if TYPE_CHECKING:
    from picme.modalities.text import TextModality

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "tokenizer.model",
)
CHUNK = 1000


@dataclass
class Tokens:
    """Token ids of a pool's texts, without special tokens, one text after the other.

    `ids` is (sum of lengths,) int32, `offsets` (text + 1,) int64; `prefix` and `suffix` are the special tokens around a
    text; `pad` is the padding token.
    """

    ids: np.ndarray
    offsets: np.ndarray
    prefix: list[int]
    suffix: list[int]
    pad: int

    @property
    def n_special(self) -> int:
        """Return the number of special tokens around a text."""
        return len(self.prefix) + len(self.suffix)

    def padded(self, pieces: list[np.ndarray]) -> dict[str, torch.Tensor]:
        """Return `input_ids` and `attention_mask` (piece, token) int64, padded to the longest; none is empty."""
        before = len(self.prefix)
        width = max([1, *(len(piece) + self.n_special for piece in pieces)])
        ids = np.full((len(pieces), width), self.pad, dtype=np.int64)
        mask = np.zeros((len(pieces), width), dtype=np.int64)
        for place, piece in enumerate(pieces):
            end = before + len(piece)
            ids[place, :before] = self.prefix
            ids[place, before:end] = piece
            ids[place, end : end + len(self.suffix)] = self.suffix
            mask[place, : max(1, end + len(self.suffix))] = 1
        return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}


def tokenise(modality: TextModality, model: str, revision: str | None) -> Tokens:
    """Return the pool's tokens for a model's tokenizer, from disk if they were computed before.

    Raises:
        ConfigError: if the model has no tokenizer.
    """
    key = json.dumps([_identity(model, revision), modality.pool_digest])
    folder = modality.pool / "tokens" / hashlib.sha256(key.encode()).hexdigest()[:16]
    if not (folder / "about.json").is_file():
        _write(modality, model, revision, folder)
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    return Tokens(
        load_array(folder / "ids.npy"),
        load_array(folder / "offsets.npy", mapped=False),
        about["prefix"],
        about["suffix"],
        about["pad"],
    )


def load_tokenizer(model: str, revision: str | None) -> Any:
    """Load the tokenizer of a checkpoint or hub model.

    Raises:
        ConfigError: if there is none.
    """
    import transformers

    path = model_path(model)
    # The local cache is tried before the hub.
    sources: list[dict[str, Any]] = [{"revision": None if path else revision, "local_files_only": True}]
    if path is None:
        sources.append({"revision": revision})
    for source in sources:
        try:
            return transformers.AutoTokenizer.from_pretrained(str(path or model), **source)
        except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
            failure = error
    where = f"folder {path}" if path else f"model {model!r}"
    raise ConfigError(
        f"{where} has no tokenizer that can be loaded: expected a hub name in reach or in the local cache, or "
        "a folder with tokenizer.json or a vocabulary"
    ) from failure


def _write(modality: TextModality, model: str, revision: str | None, folder: Path) -> None:
    """Tokenise into a temporary folder and rename it; of two processes that do so, the first one's result stays."""
    tokenizer = load_tokenizer(model, revision)
    prefix, suffix = special_tokens(tokenizer)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    try:
        texts = modality.texts()
        lengths: list[int] = []
        parts: list[np.ndarray] = []
        for start in range(0, len(texts), CHUNK):
            found = tokenizer(texts[start : start + CHUNK], add_special_tokens=False, verbose=False)["input_ids"]
            lengths += [len(ids) for ids in found]
            parts.append(np.fromiter((token for ids in found for token in ids), dtype=np.int32))
        np.save(work / "ids.npy", np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32))
        np.save(work / "offsets.npy", np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
        pad = tokenizer.pad_token_id
        about = {"prefix": prefix, "suffix": suffix, "pad": 0 if pad is None else int(pad)}
        (work / "about.json").write_text(json.dumps(about), encoding="utf-8")
        try:
            work.replace(folder)
        except OSError:
            if not (folder / "about.json").is_file():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the special tokens before and after a text, found by comparing a word with and without them."""
    plain = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    full = list(tokenizer("a", add_special_tokens=True)["input_ids"])
    for start in range(len(full) - len(plain) + 1):
        if full[start : start + len(plain)] == plain:
            return full[:start], full[start + len(plain) :]
    return [], []


def _identity(model: str, revision: str | None) -> list[Any]:
    """Return the identity of a tokenizer: its files' names, sizes and times, or the hub's name and revision."""
    path = model_path(model)
    if path is None:
        return [model, revision]
    files = [path / name for name in TOKENIZER_FILES if (path / name).is_file()]
    return [str(path), *([file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files)]
