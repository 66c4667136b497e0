"""Modality of texts: each unique text is stored once in a pool and tokenised once for each tokenizer."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import polars as pl
import torch

from picme.errors import ConfigError, DataError
from picme.modalities.base import PooledModality, load_array
from picme.modalities.reading import Reading, reading
from picme.modalities.tokens import Tokens, tokenise
from picme.schema import TextRows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from picme.config.base import Component
    from picme.schema import Rows


class TextModality(PooledModality):
    """Modality with one text per stay.

    Files: `index.npy` (stay,) int64 in the view, `texts.parquet` and `pool.json` in the pool.

    `lengths` and `item_lengths` count tokens as the encoder reads them, special tokens included; they are None before
    `for_encoder`.
    """

    default_encoder: ClassVar[str] = "transformer"

    def __init__(self, folder: Path, pool: Path) -> None:
        self.folder, self.pool = folder, pool
        self.index = load_array(folder / "index.npy")
        about = json.loads((pool / "pool.json").read_text(encoding="utf-8"))
        self.n_items = int(about["items"])
        self.pool_digest = str(about["digest"])
        if int(np.max(self.index, initial=-1)) >= self.n_items:
            raise DataError(f"{folder / 'index.npy'} names texts that {pool} does not hold")
        self.present = np.asarray(self.index >= 0)
        self.encoder: Component | None = None
        self.tokens: Tokens | None = None
        self._reading: Reading | None = None

    @staticmethod
    def write_views(rows: Mapping[str, Rows], folders: Mapping[str, Path], pool: Path, **options: Any) -> pl.DataFrame:
        """Write the views' texts; a text of blanks alone counts as absent."""
        pool.mkdir(parents=True, exist_ok=True)
        path = pool / "texts.parquet"
        texts: list[str] = pl.read_parquet(path)["text"].to_list() if path.is_file() else []
        places = {text: place for place, text in enumerate(texts)}
        blank = 0
        for view, texts_of_view in rows.items():
            if not isinstance(texts_of_view, TextRows):
                raise DataError(f"a text modality needs TextRows, not {type(texts_of_view).__name__}")
            index = np.full(len(texts_of_view.texts), -1, dtype=np.int64)
            for row, text in enumerate(texts_of_view.texts):
                if text is None:
                    continue
                if not text.strip():
                    blank += 1
                    continue
                index[row] = places.setdefault(text, len(places))
            folders[view].mkdir(parents=True, exist_ok=True)
            np.save(folders[view] / "index.npy", index)
        pl.DataFrame({"text": list(places)}, schema={"text": pl.String}).write_parquet(path)
        digest = hashlib.sha256()
        for text in places:
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
        (pool / "pool.json").write_text(
            json.dumps({"items": len(places), "digest": digest.hexdigest()}), encoding="utf-8"
        )
        found = {"blank text": blank} if blank else {}
        return pl.DataFrame(
            {"reason": list(found), "count": list(found.values())}, schema={"reason": pl.String, "count": pl.Int64}
        )

    @classmethod
    def open(cls, folder: Path, pool: Path) -> Self:  # noqa: D102
        return cls(folder, pool)

    def texts(self) -> list[str]:
        """Return the pool's texts in item order.

        Raises:
            DataError: if they cannot be read.
        """
        try:
            found: list[str] = pl.read_parquet(self.pool / "texts.parquet")["text"].to_list()
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(
                f"{self.pool / 'texts.parquet'} cannot be read: expected the texts `prepare` wrote"
            ) from error
        return found

    def words(self, rows: np.ndarray) -> list[str | None]:
        """Return the whole texts: no encoder reads more, so a leak beyond its last token is named as well."""
        texts = self.texts()
        return [texts[item] if item >= 0 else None for item in self.index[np.asarray(rows)]]

    def described(self, rows: np.ndarray) -> pl.DataFrame:
        """Return the number of words of each text."""
        texts = pl.Series(self.words(rows), dtype=pl.String)
        return pl.DataFrame({"words": texts.str.count_matches(r"\S+").cast(pl.Float64)})

    def for_encoder(self, encoder: Component) -> Self:
        """Return the modality tokenised for an encoder that has `model`, `revision`, `max_length` and `windows`.

        Raises:
            ConfigError: if the encoder names no model with a tokenizer, or `max_length` leaves no room for a word.
        """
        model: str | None = getattr(encoder, "model", None)
        if model is None:
            raise ConfigError(f"encoder {encoder.name!r} names no model, and text is tokenised for a model")
        new = copy.copy(self)
        new.encoder = encoder
        new.tokens = tokenise(self, model, getattr(encoder, "revision", None))
        new._reading = reading(encoder, new.tokens.n_special)
        new.item_lengths = new._reading.read(np.diff(new.tokens.offsets)) + new.tokens.n_special
        new.lengths = np.where(self.present, new.item_lengths[self.index] if self.n_items else 0, 0)
        return new

    def spec(self) -> dict[str, Any]:
        """Return `max_tokens`, the length of the longest text or window there can be."""
        special = 0 if self.tokens is None else self.tokens.n_special
        return {"max_tokens": 0 if self._reading is None else self._reading.room + special}

    def tokens_read(self) -> tuple[np.ndarray, np.ndarray] | None:  # noqa: D102
        if self.tokens is None or self._reading is None:
            return None
        counts = np.diff(self.tokens.offsets) if self.n_items else np.zeros(1, dtype=np.int64)
        held = np.where(self.present, counts[self.index], 0)
        return held, self._reading.read(held)

    def item_batch(self, items: np.ndarray) -> dict[str, torch.Tensor]:
        """Return the tokens of some texts.

        `input_ids` and `attention_mask` are (text, token) int64. With windows, rows are windows instead, and `owner`
        (window,) int64 holds the position in the batch of each window's text.
        """
        if self.tokens is None or self._reading is None:
            raise DataError(f"{self.pool} is tokenised for an encoder: call for_encoder first")
        pieces: list[np.ndarray] = []
        owner: list[int] = []
        for place, item in enumerate(np.asarray(items)):
            words = self.tokens.ids[self.tokens.offsets[item] : self.tokens.offsets[item + 1]] if item >= 0 else EMPTY
            for part in self._reading.pieces(len(words)):
                pieces.append(words[part])
                owner.append(place)
        batch = self.tokens.padded(pieces)
        if self._reading.step is not None:
            batch["owner"] = torch.tensor(owner, dtype=torch.int64)
        return batch

    def _recipe(self) -> tuple[Any, ...]:
        return self.folder, self.pool, self.encoder

    @classmethod
    def _from_recipe(cls, folder: Path, pool: Path, encoder: Component | None) -> TextModality:
        modality = cls(folder, pool)
        return modality if encoder is None else modality.for_encoder(encoder)


EMPTY = np.zeros(0, dtype=np.int32)
