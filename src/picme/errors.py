"""Errors that users meet: one sentence each, and exit status 2 at the command line."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class PicmeError(Exception):
    """Base of every error that is the input's fault, not the program's."""


class ConfigError(PicmeError):
    """A configuration that cannot be run; the message names the key."""


class DataError(PicmeError):
    """Raw or prepared data that cannot be used; the message names file, column or row, never a patient."""


class TrainingError(PicmeError):
    """A training that cannot go on (a NaN embedding, a batch of one); names modality and epoch."""


def near(name: str, known: Iterable[str]) -> str:
    """Return a hint for a misspelt name: `; did you mean 'x'?` or the known names."""
    names = sorted(str(item) for item in known)
    match = get_close_matches(str(name), names, n=1, cutoff=0.6)
    if match:
        return f"; did you mean {match[0]!r}?"
    return f"; known: {', '.join(names)}" if names else ""
