"""Result tables of other packages: each is derived from the tables of a run when these are written.

Such a package names a `Derived` in the entry-point group `picme.tables`, under the name of its table.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from picme.errors import ConfigError, PicmeError
from picme.registry import Registry
from picme.results.declared import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import polars as pl

    from picme.results.table import Table

OTHERS = Registry("tables", {})


@dataclass(frozen=True)
class Derived:
    """A result table that is made of others.

    Attributes:
        table: the declaration.
        needs: names of the result tables that it is made of; where one of them is missing, it is not made.
        make: takes these tables by name and returns the rows, with exactly the declared columns.
    """

    table: Table
    needs: tuple[str, ...]
    make: Callable[[Mapping[str, pl.DataFrame]], pl.DataFrame]


def derived(name: str) -> Derived:
    """Return another package's table by its name.

    Raises:
        ConfigError: if there is none, or what its package names is no `Derived` of that name.
    """
    found = OTHERS.load(name)
    if not isinstance(found, Derived) or found.table.name != name:
        raise ConfigError(f"tables {name!r}: expected a picme.results.extra.Derived whose table has that name")
    return found


def left_out(what: str, error: Exception) -> str:
    """Return the sentence that another package's table or figure is left out for an error.

    Only an error of picme's own is quoted: the text of any other may hold a cell of a table.
    """
    said = " ".join(str(error).split()) if isinstance(error, PicmeError) else type(error).__name__
    return f"The {what} of another package is left out: {said}."


def extra_tables(tables: Mapping[str, pl.DataFrame | pl.LazyFrame]) -> dict[str, pl.DataFrame]:
    """Make the result tables of other packages.

    A table that cannot be made is left out, and a line on stderr says so, as a fault of another package must not cost
    the study.

    Args:
        tables: the result tables of the run by name. Only those that a table needs are read: a value may be a lazy
            frame, or the mapping may read its tables when it is asked for them.
    """
    found = {}
    for name in OTHERS.names():
        try:
            if name in TABLES:
                raise ConfigError("picme has a table of that name")
            extra = derived(name)
            if set(extra.needs) <= set(tables):
                given = {need: tables[need].lazy().collect() for need in extra.needs}
                found[name] = extra.table.conform(extra.make(given))
        except Exception as error:
            sys.stderr.write(f"picme: {left_out(f'result table {name!r}', error)}\n")
    return found
