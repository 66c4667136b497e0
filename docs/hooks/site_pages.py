"""What the pages hold that is made when they are built: the configuration reference, and formulas as MathML.

Both work with no network: a browser draws MathML itself.
"""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

PLACE = "<!-- generated: configuration -->"


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by mkdocs for each page."""
    if PLACE in markdown:
        markdown = markdown.replace(PLACE, configuration())
    return formulas(markdown) if page.file.src_uri == "concepts.md" else markdown


def formulas(markdown: str) -> str:
    """`$$…$$` and `$…$` as MathML."""
    from latex2mathml.converter import convert

    def block(match: re.Match[str]) -> str:
        return "\n<p>" + convert(match[1].strip(), display="block") + "</p>\n"

    markdown = re.sub(r"^\$\$\n(.+?)\n\$\$$", block, markdown, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"\$([^$\n]+)\$", lambda match: convert(match[1]), markdown)


def configuration() -> str:
    """Every section of the configuration as a table of its keys."""
    from picme.config.study import Config

    lines: list[str] = []
    seen: dict[type[BaseModel], str] = {}
    _section("", Config, lines, seen)
    return "\n".join(lines)


def _section(place: str, model: type[BaseModel], lines: list[str], seen: dict[type[BaseModel], str]) -> None:
    """Appends a heading, the keys, and then the sections below; `seen` has where a section was first."""
    seen[model] = place
    tag = _tag(model)
    title = f"`{place}`" if place else "The whole"
    lines += [f"## {title}" + (f" with `{tag[0]}: {tag[1]}`" if tag and place else ""), ""]
    lines += [_plain(_first(model.__doc__)), "", "| key | type | default | meaning |", "|---|---|---|---|"]
    below: list[tuple[str, type[BaseModel]]] = []
    meanings = model.meanings()
    for name, field in model.model_fields.items():
        key = f"{place}.{name}" if place else name
        models = _models(field.annotation)
        key_below = f"{key}.NAME" if get_origin(field.annotation) is dict else key
        below += [(key_below, one) for one in models]
        lines.append(f"| `{name}` | {_type(field.annotation)} | {_default(field)} | {_plain(meanings.get(name, ''))} |")
    lines.append("")
    told: set[str] = set()
    for key, one in below:
        if one not in seen:
            _section(key, one, lines, seen)
        elif seen[one] != key and key not in told:
            lines += [f"## `{key}`", "", f"The keys of `{seen[one]}`.", ""]
            told.add(key)


def _tag(model: type[BaseModel]) -> tuple[str, str] | None:
    """The key and value by which one of several sections is chosen."""
    for name in ("kind", "name"):
        field = model.model_fields.get(name)
        if field is not None and get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
            return name, get_args(field.annotation)[0]
    return None


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, Annotated, dict, tuple, list):
        return [model for option in get_args(annotation) for model in _models(option)]
    return []


def _type(annotation: Any) -> str:
    """A type in words and symbols that fit a table's cell."""
    if annotation is type(None):
        return "null"
    if annotation is Ellipsis:
        return "…"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        tag = _tag(annotation)
        return f"`{tag[1]}`" if tag else "section"
    if annotation is Path:
        return "path"
    origin, options = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(options[0])
    if origin is Literal:
        return " or ".join(f"`{option}`" for option in options)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type(option) for option in options))
    if origin is tuple and len(options) == 2 and options[1] is Ellipsis:
        return f"list of {_type(options[0])}"
    if origin in (tuple, list, frozenset):
        return "list: " + ", ".join(_type(option) for option in options)
    if origin is dict:
        return f"{_type(options[0])} → {_type(options[1])}"
    return {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}.get(
        getattr(annotation, "__name__", ""), str(annotation)
    )


def _default(field: Any) -> str:
    if field.is_required():
        return "**needed**"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined:
        return "–"
    if isinstance(value, BaseModel):
        tag = _tag(type(value))
        return f"`{tag[1]}`" if tag else "see below"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple | list):
        if any(isinstance(item, BaseModel) for item in value):
            return "see below"
        text = ", ".join(_plain_value(item) for item in value)
        return f"`[{text}]`" if len(text) < 90 else f"`[{text[:80]}…]`"
    return f"`{value}`" if str(value) != "" else "empty"


def _plain_value(item: Any) -> str:
    return "[" + ", ".join(map(str, item)) + "]" if isinstance(item, tuple | list) else str(item)


def _first(doc: str | None) -> str:
    return (doc or "").strip().split("\n\n")[0]


def _plain(text: str) -> str:
    """One line that cannot break a table."""
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")
