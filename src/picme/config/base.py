"""What every section of a configuration shares: unknown keys are errors, values do not change after loading."""

from __future__ import annotations

from functools import reduce
from importlib.metadata import entry_points
from operator import or_
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


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
    different components never look alike to a stage key.
    """
    outside = [point.load().Config for point in entry_points(group=f"picme.{group}") if point.name not in configs]

    def named(value: Any) -> Any:
        return {"name": usual, **value} if usual and isinstance(value, dict) and "name" not in value else value

    union: Any = reduce(or_, [*configs.values(), *outside])
    return Annotated[union, Field(discriminator="name"), BeforeValidator(named)]
