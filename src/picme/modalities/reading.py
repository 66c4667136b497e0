"""Which part of a text its encoder reads: the beginning up to the greatest length, or windows over the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from picme.errors import ConfigError
from picme.modalities.tokens import CHUNK, load_tokenizer, special_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from picme.config.base import Component


@dataclass(frozen=True)
class Reading:
    """The rule by which an encoder reads a text of a number of tokens, special tokens not counted.

    Attributes:
        room: tokens that a text or window has room for.
        step: tokens from the start of one window to that of the next; None where a longer text is cut.
    """

    room: int
    step: int | None

    def pieces(self, count: int) -> list[slice]:
        """Return the parts of a text of `count` tokens that are read, one for each window."""
        last = max(0, count - self.room)
        starts = [0] if self.step is None else range(0, last + self.step, self.step)
        return [slice(start, min(start + self.room, count)) for start in starts]

    def read(self, counts: np.ndarray) -> np.ndarray:
        """Return how many of their tokens are read of texts with so many tokens, (text,) each."""
        return counts if self.step is not None else np.minimum(counts, self.room)


def reading(encoder: Component, n_special: int) -> Reading:
    """Return how an encoder with `max_length` and `windows` reads texts.

    Args:
        encoder: the encoder's section of the configuration.
        n_special: special tokens around a text or window.

    Raises:
        ConfigError: if `max_length` leaves no room for a word, or windows leave tokens out between them.
    """
    room = int(getattr(encoder, "max_length", 512)) - n_special
    windows = getattr(encoder, "windows", "off")
    if room <= 0:
        raise ConfigError(f"max_length {room + n_special} leaves no room beside {n_special} special tokens")
    if windows != "off" and int(windows) > room:
        raise ConfigError(f"windows {windows} is more than the {room} tokens of a window: nothing is read between them")
    return Reading(room, None if windows == "off" else int(windows))


def text_read(texts: Sequence[str | None], encoder: Component) -> list[str | None]:
    """Return of each text what its encoder reads, so that others can judge the same text; None stays None.

    Raises:
        ConfigError: if the encoder's model has no tokenizer, or as `reading` does.
    """
    tokenizer = load_tokenizer(getattr(encoder, "model", ""), getattr(encoder, "revision", None))
    rule = reading(encoder, sum(map(len, special_tokens(tokenizer))))
    if rule.step is not None:
        return list(texts)
    held = [place for place, text in enumerate(texts) if text is not None]
    found = list(texts)
    for start in range(0, len(held), CHUNK):
        places = held[start : start + CHUNK]
        chunk = [str(texts[place]) for place in places]
        encoded = tokenizer(chunk, add_special_tokens=False, return_offsets_mapping=tokenizer.is_fast, verbose=False)
        for row, place in enumerate(places):
            ids = encoded["input_ids"][row]
            if len(ids) > rule.room and tokenizer.is_fast:
                found[place] = chunk[row][: encoded["offset_mapping"][row][rule.room - 1][1]]
            elif len(ids) > rule.room:
                found[place] = tokenizer.decode(ids[: rule.room])
    return found
