"""The part of a text that its encoder reads: the beginning up to the greatest length, or windows over the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from picme.errors import ConfigError

if TYPE_CHECKING:
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
