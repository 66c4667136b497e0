"""The result tables by name: picme's own, and those of other packages, which are found by their entry points."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from picme.errors import ConfigError, near
from picme.results import extra
from picme.results.declared import EXTERNAL, TABLES

if TYPE_CHECKING:
    from picme.results.table import Table

__all__ = ["EXTERNAL", "TABLES", "table"]


@cache
def table(name: str) -> Table:
    """Return the declaration of a result table.

    Raises:
        ConfigError: if no result table has this name.
    """
    if name in TABLES or name in EXTERNAL:
        return (TABLES | EXTERNAL)[name]
    if name not in extra.OTHERS.names():
        known = [*TABLES, *EXTERNAL, *extra.OTHERS.names()]
        raise ConfigError(f"no result table is called {name!r}{near(name, known)}")
    return extra.derived(name).table
