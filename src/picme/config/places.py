"""Places in the configuration: which models, keys and short forms a key such as `pretrain.objective` stands for."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from picme.config.base import Section
from picme.errors import ConfigError

TAGS = ("kind", "name")


def models(annotation: Any) -> list[type[Section]]:
    """Return the sections that a field of this type may hold."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    if get_origin(annotation) in (Union, UnionType, Annotated, tuple, list):
        return [model for option in get_args(annotation) for model in models(option)]
    return []


def field(model: Any, name: str) -> Any:
    """Return the type of what lies under a key; None where there is no such key."""
    if get_origin(model) is dict:
        return get_args(model)[1]
    for option in models(model):
        if name in option.model_fields:
            return option.model_fields[name].annotation
    return None


def words(annotation: Any) -> list[Any]:
    """Return the words that a field of this type may hold."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    if get_origin(annotation) in (Union, UnionType, Annotated):
        return [word for option in get_args(annotation) for word in words(option)]
    return []


def keys(model: Any, place: list[str]) -> list[str]:
    """Return the keys that are valid at a place, given as pydantic reports it."""
    for part in place:
        step = field(model, part)
        if step is None:
            narrowed = [option for option in models(model) if part in _tags(option)]
            model = narrowed[0] if narrowed else model
        else:
            model = step
    return sorted({name for option in models(model) for name in option.model_fields})


def key(model: Any, place: list[str]) -> str:
    """Return a place as the user writes it, without the types and tags that pydantic inserts for unions."""
    parts: list[str] = []
    for part in place:
        below = field(model, part)
        if below is None and parts and not isinstance(model, type):
            # This step is the tag of a union or a type's name, not a key.
            narrowed = [option for option in models(model) if part in _tags(option)]
            if narrowed:
                model = narrowed[0]
                continue
            if part in ("int", "float", "str", "bool") or (not part.isidentifier() and not part.isdecimal()):
                continue
        parts.append(part)
        model = below
    return ".".join(parts) or "configuration"


def spelt_out(value: Any, model: Any, place: str = "") -> Any:
    """Return plain values with each component that is given by its name alone written as a section.

    `objective: gram` is short for `objective: {name: gram}`, wherever there are several sections to choose from.

    Raises:
        ConfigError: if a number is given as true or false, which Python would take for 1 or 0, or a key or text is not
            one.
    """
    options = models(model)
    if isinstance(value, str):
        _check_text(value, place)
        tag = next((tag for tag in TAGS if all(tag in option.model_fields for option in options)), None)
        return {tag: value} if tag and len(options) > 1 else value
    if isinstance(value, dict):
        found = {}
        for name, below in value.items():
            if not isinstance(name, str):
                raise ConfigError(f"{place or 'configuration'!r} has the key {name!r}, expected a text (in quotes)")
            _check_text(name, place)
            found[name] = spelt_out(below, field(model, name), f"{place}.{name}".lstrip("."))
        return found
    if isinstance(value, list):
        return [spelt_out(item, model, place) for item in value]
    if isinstance(value, bool):
        plain = {model, *get_args(model)}
        if plain & {int, float} and bool not in plain:
            raise ConfigError(f"{place!r} is {str(value).lower()}, expected a number")
    return value


def _check_text(text: str, place: str) -> None:
    if len(text) > 4096:
        raise ConfigError(f"{place or 'configuration'!r} has a text of {len(text)} characters, expected 4096 at most")
    if "\0" in text or (not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)):
        raise ConfigError(f"{place or 'configuration'!r} has a character that is not text: {ascii(text)[:60]}")


def _tags(model: type[Section]) -> set[str]:
    tags = {model.__name__}
    for tag in TAGS:
        if tag in model.model_fields:
            tags |= {str(value) for value in get_args(model.model_fields[tag].annotation)}
    return tags
