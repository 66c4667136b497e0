"""Components that other packages supply, and the code that determines what they do."""

from __future__ import annotations

from functools import cache

from picme.engine.code import code_of
from picme.registry import Registry


@cache
def outside(group: str) -> Registry:
    """Return the components of other packages."""
    return Registry(group, {})


def code_outside(group: str, name: str) -> str | None:
    """Return a hash of the code of another package's component; None for a component of picme's own."""
    target = outside(group).targets().get(name)
    return None if target is None else code_of(target.partition(":")[0])
