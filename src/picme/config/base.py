"""What every section of a configuration shares: unknown keys are errors, values do not change after loading."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Annotated, Any

from pydantic import (
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


class Section(BaseModel):
    """A part of the configuration: strict about keys, immutable, documented field by field."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True)


class Component(Section):
    """A section that chooses one of several implementations by `name` (an encoder, an objective, a fusion head).

    Each implementation has a subclass with its own fields; `name` is a `Literal` there.
    """

    name: str
    """Which implementation."""


def choice(group: str, configs: dict[str, type[Component]], usual: str | None = None) -> Any:
    """The type of a field that takes any component of a group, told apart by `name`; `usual` where it is not given.

    A tagged union keeps the place of an error exact and serialises each component with all its own fields, so two
    different components never look alike to a stage key. A component of another package is imported only when a
    configuration names it: a package that is installed and not used costs nothing, even if it is broken.
    """
    registry = Registry(group, dict.fromkeys(configs, ""))

    def chosen(value: Any, builtin: ValidatorFunctionWrapHandler) -> Any:
        if usual and isinstance(value, dict) and "name" not in value:
            value = {"name": usual, **value}
        name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
        if not isinstance(name, str) or name in configs:
            return builtin(value)
        if name not in registry.names():
            known = ", ".join(f"'{item}'" for item in registry.names())
            raise PydanticKnownError(
                "union_tag_invalid", {"discriminator": "'name'", "tag": name, "expected_tags": known}
            )
        return _outside(registry, name, value)

    union: Any = reduce(or_, configs.values())
    return Annotated[union, Field(discriminator="name"), SerializeAsAny(), WrapValidator(chosen)]


def _outside(registry: Registry, name: str, value: Any) -> Component:
    """A component of another package, checked by its own `Config`.

    Raises:
        ValueError: if it cannot be imported, has no `Config`, or its keys or values are wrong.
    """
    try:
        config = getattr(registry.load(name), "Config", None)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    if not (isinstance(config, type) and issubclass(config, Component)):
        raise ValueError(
            f"{registry.group} {name!r} has no attribute `Config` that is a subclass of picme.config.base.Component"
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
