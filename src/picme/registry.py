"""Registry of components by name: the built-in ones and those that other packages register as entry points."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from picme.errors import ConfigError, near, place_of


@cache
def _installed() -> Any:
    """Return the entry points of all packages, read once: each reading goes through every package's metadata."""
    return entry_points()


class Registry:
    """Registry of one group of components: each name stands for a `module:attribute`, imported when asked for.

    Args:
        group: word for messages and, with the prefix `picme.`, the entry-point group (`picme.encoders`).
        builtin: `{name: "module:attribute"}` of the components that picme ships.
    """

    def __init__(self, group: str, builtin: dict[str, str]) -> None:
        self.group = group
        self.builtin = builtin

    @cache  # noqa: B019 (registries live as long as the process)
    def targets(self) -> dict[str, str]:
        """Return every name and its `module:attribute`; a built-in name cannot be replaced from outside."""
        found = {point.name: point.value for point in _installed().select(group=f"picme.{self.group}")}
        return {**found, **self.builtin}

    def names(self) -> list[str]:
        """Return every name, sorted."""
        return sorted(self.targets())

    def load(self, name: str) -> Any:
        """Import and return the component of this name.

        Raises:
            ConfigError: if no component has this name, or its package cannot be imported.
        """
        targets = self.targets()
        if name not in targets:
            raise ConfigError(f"unknown name {name!r} in {self.group}{near(name, targets)}")
        module, _, attribute = targets[name].partition(":")
        try:
            return getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"{self.group} {name!r} cannot be loaded from {targets[name]}: {error}") from error
        except Exception as error:
            what = f"{type(error).__name__}{place_of(error)}"
            raise ConfigError(f"{self.group} {name!r} cannot be loaded from {targets[name]}: {what}") from error
