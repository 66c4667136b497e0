"""Names of the user's that become files, columns or both, checked in one place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

if TYPE_CHECKING:
    from collections.abc import Collection

LONGEST = 100
"""Bytes of a name: file systems take 255, and endings are added."""
RESERVED = ("pretrain",)
"""Names of picme's own beside those of tasks and modalities."""
# No dot or blank at an end: a name that begins with a dot is hidden, and `..` leaves the folder.
_FILE = re.compile(r"\w([\w .-]*\w)?")


def check_file_names(names: Collection[str], what: str) -> None:
    """Check names that become files or folders, among them the names of columns that a table is called by.

    Args:
        names: the names of one mapping, which must differ by more than their capitals (some disks ignore these).
        what: what they name, such as `task`.

    Raises:
        ValueError: saying what a name may be, if one could not be a file of the run folder.
    """
    for name in names:
        if not _FILE.fullmatch(name) or len(name.encode()) > LONGEST:
            raise ValueError(
                f"a {what}'s name is letters, digits and underscores, within it also blanks, dots and hyphens, of "
                f"{LONGEST} bytes at most, since files are called by it, not {_short(name)}"
            )
        if name.lower() in RESERVED:
            raise ValueError(f"a {what} cannot be called {name!r}, as picme has files of that name; choose another")
    if len({name.casefold() for name in names}) < len(names):
        raise ValueError(f"two {what}s have names that differ in nothing but capitals, which some disks do not tell")


def _column(name: str) -> str:
    if not name.strip() or not name.isprintable() or len(name.encode()) > 2 * LONGEST:
        raise ValueError(
            f"a column's name has characters that can be seen, {2 * LONGEST} bytes at most, not {_short(name)}"
        )
    return name


def _short(name: str) -> str:
    return repr(name) if len(name) <= 60 else f"{name[:57]!r}…"


Column = Annotated[str, AfterValidator(_column)]
"""The name of a column of the user's files, which tables of picme's own take over."""
