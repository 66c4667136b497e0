"""YAML files that describe data, such as channel sets: those that picme ships, and a user's in their place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import yaml
from pydantic import ValidationError

from picme.config.base import Section
from picme.errors import ConfigError, near

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

S = TypeVar("S", bound=Section)


def shipped_names(shipped: Traversable) -> list[str]:
    """List the descriptions in a folder of the package."""
    return sorted(entry.name.removesuffix(".yaml") for entry in shipped.iterdir() if entry.name.endswith(".yaml"))


def described(kind: type[S], name: str | Path, shipped: Traversable, what: str, asked: str, keys: str) -> S:
    """Read a description by its name among those that picme ships, or by the path of a YAML file.

    Args:
        kind: the model of its content.
        name: name or path.
        shipped: the folder of the package that has them.
        what: what it is, for messages about its content.
        asked: what asks for it, for the message that there is none.
        keys: the keys that a file without any is told of.

    Raises:
        ConfigError: if there is none, or its content does not fit; names the file and the key.
    """
    known = shipped_names(shipped)
    if str(name) in known:
        text = shipped.joinpath(f"{name}.yaml").read_text("utf-8")
    elif Path(name).is_file():
        text = Path(name).read_text("utf-8")
    else:
        raise ConfigError(f"{asked} {str(name)!r} is neither a file nor known by name{near(str(name), known)}")
    try:
        content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        if not isinstance(content, dict):
            raise ConfigError(f"{what} {name}: expected keys {keys}")
        return kind.model_validate(content)
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise ConfigError(f"{what} {name}: line {line} is not YAML") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{what} {name}: {key}: {first['msg'].removeprefix('Value error, ')}") from error
