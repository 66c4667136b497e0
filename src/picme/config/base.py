"""Base classes of the configuration's sections: unknown keys are errors, and values do not change after loading."""

from __future__ import annotations

import ast
import inspect
import os
import textwrap
from functools import reduce
from itertools import pairwise
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticKnownError

from picme.errors import ConfigError, near
from picme.registry import Registry


def _absolute(path: Path) -> Path:
    if any(len(os.fsencode(part)) > 255 for part in path.parts):
        raise ValueError("a name in this path is longer than 255 bytes")
    return Path(os.path.abspath(path))  # noqa: PTH100 (links stay links)


File = Annotated[Path, AfterValidator(_absolute)]
"""A path of raw data, absolute once it is checked: it says the same from another folder, and in a key."""


class Section(BaseModel):
    """A part of the configuration: strict about keys, immutable, documented field by field."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @classmethod
    def meanings(cls) -> dict[str, str]:
        """Return the docstring under each field, by the field's name.

        pydantic could keep these, but reading the source of every section would make each start-up slower.
        """
        found: dict[str, str] = {}
        for one in reversed(cls.__mro__):
            if not (issubclass(one, Section) and one is not Section):
                continue
            body = ast.parse(textwrap.dedent(inspect.getsource(one))).body[0].body  # type: ignore[attr-defined]
            for field, text in pairwise(body):
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    said = (
                        text.value.value if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) else ""
                    )
                    found[field.target.id] = inspect.cleandoc(said) if isinstance(said, str) else ""
        return found


class FileSource(Section):
    """A source that reads raw files."""

    fingerprint: Literal["time", "content"] = "time"
    """What tells that a raw file, or an image or text which a table names, has changed: its path, size and time, or its
    name and all that it holds. The latter takes as long as reading them at every start, and lets the files move."""


class Component(Section):
    """A section that chooses one of several implementations by `name` (an encoder, an objective, a fusion head).

    Each implementation has a subclass with its own fields; `name` is a `Literal` there.
    """

    name: str
    """Name of the implementation."""


def choice(group: str, configs: dict[str, Any], usual: str | None = None, tag: str = "name") -> Any:
    """Return the type of a field that takes any component of a group, told apart by `tag`.

    `usual` is the component where the tag is not given. A tagged union keeps the place of an error exact and serialises
    each component with all its own fields, so two different components never look alike to a stage key. A component of
    another package is imported only when a configuration names it: a package that is installed and not used costs
    nothing, even if it is broken.
    """
    registry = Registry(group, dict.fromkeys(configs, ""))

    def chosen(value: Any, builtin: ValidatorFunctionWrapHandler) -> Any:
        if usual and isinstance(value, dict) and tag not in value:
            value = {tag: usual, **value}
        name = value.get(tag) if isinstance(value, dict) else getattr(value, tag, None)
        if not isinstance(name, str) or name in configs:
            return builtin(value)
        if name not in registry.names():
            known = ", ".join(f"'{item}'" for item in registry.names())
            raise PydanticKnownError(
                "union_tag_invalid", {"discriminator": f"'{tag}'", "tag": name, "expected_tags": known}
            )
        return _outside(registry, name, value, tag)

    union: Any = reduce(or_, configs.values())
    return Annotated[union, Field(discriminator=tag), SerializeAsAny(), WrapValidator(chosen)]


def _outside(registry: Registry, name: str, value: Any, tag: str) -> Section:
    """Return a component of another package, checked by its own `Config`.

    Raises:
        ValueError: if it cannot be imported, has no `Config`, or its keys or values are wrong.
    """
    try:
        config = getattr(registry.load(name), "Config", None)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    if not (isinstance(config, type) and issubclass(config, Section) and tag in config.model_fields):
        kind = "Component" if tag == "name" else f"Section with a field `{tag}`"
        raise ValueError(
            f"{registry.group} {name!r} has no attribute `Config` that is a subclass of picme.config.base.{kind}"
        )
    if isinstance(value, config):
        return value
    try:
        return config.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        key, message = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            raise ValueError(f"{name!r} has no key {key!r}{near(key, config.model_fields)}") from None
        raise ValueError(f"{key}: {message[:1].lower()}{message[1:]}" if key else message) from None
