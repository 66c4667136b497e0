"""The page `docs/configuration.md`, made from the sections of the configuration.

`python -m picme.config.document > docs/configuration.md` writes it anew.
"""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic_core import PydanticUndefined

from picme.config.base import Section
from picme.config.places import models
from picme.config.study import Config

START = """\
<!-- Made from the sections in src/picme/config. `python -m picme.config.document > docs/configuration.md` makes it. -->

# Configuration

A configuration is a YAML file, or the name of a preset. A file may start from a preset and say only what differs;
sections are merged key by key, another `kind` or `name` starts its section anew, and null takes a section away.

<!-- fragment -->
```yaml
preset: demo
name: fewer epochs
pretrain:
  epochs: 5
  objective: all_pairs       # short for {name: all_pairs}; of the preset's settings of `ovo` none stay
modalities: {image: null}    # takes the preset's section away
```

`--set a.b=value` does the same for one key on the command line, `set={"a.b": value}` in Python. Unknown keys, wrong
types and impossible values end the run before any work, naming the key and the nearest valid one. `config.yaml` in
the run folder spells out every default.

Pretraining can be watched epoch by epoch: loss, recall@5, temperature and λ of each combination go to `logs` in the
run folder as well, as plain numbers without anything of a patient. This changes no result, and finished work is not
done again for it.

<!-- fragment -->
```yaml
preset: demo
pretrain:
  loggers: [csv, tensorboard]   # also mlflow, wandb
```

All but `csv` need a package: `pip install 'picme[tensorboard]'`, `[mlflow]` or `[wandb]`. MLflow writes a database
there, or to the server in `MLFLOW_TRACKING_URI`; Weights & Biases sends to its own server, or with
`WANDB_MODE=offline` only to the folder.

A section that appears at several places (objectives, for two modalities and for more) is described once.

"""


def document() -> str:
    """Return the page as Markdown: the prose, and every section of the configuration as a table of its keys."""
    lines: list[str] = []
    _section("", Config, lines, {})
    return START + "\n".join(lines)


def _section(place: str, model: type[Section], lines: list[str], seen: dict[type[Section], str]) -> None:
    """Append a heading, the keys, and then the sections below; `seen` has where a section was first."""
    seen[model] = place
    tag = _tag(model)
    title = f"`{place}`" if place else "The whole"
    lines += [f"## {title}" + (f" with `{tag[0]}: {tag[1]}`" if tag and place else ""), ""]
    lines += [_plain(_first(model.__doc__)), "", "| key | type | default | meaning |", "|---|---|---|---|"]
    below: list[tuple[str, type[Section]]] = []
    meanings = model.meanings()
    for name, field in model.model_fields.items():
        key = f"{place}.{name}" if place else name
        annotation = field.annotation
        if tag and name == tag[0]:
            continue  # the heading says it
        if get_origin(annotation) is dict:
            key, annotation = f"{key}.NAME", get_args(annotation)[1]
        below += [(key, one) for one in models(annotation)]
        meaning = meanings[name] or " ".join(_first(one.__doc__) for one in models(annotation))
        lines.append(f"| `{name}` | {_type(field.annotation)} | {_default(field)} | {_plain(meaning)} |")
    lines.append("")
    told: set[str] = set()
    for key, one in below:
        if one not in seen:
            _section(key, one, lines, seen)
        elif seen[one] != key and key not in told:
            lines += [f"## `{key}`", "", f"The keys of `{seen[one]}`.", ""]
            told.add(key)


def _tag(model: type[Section]) -> tuple[str, str] | None:
    """The key and value by which one of several sections is chosen."""
    for name in ("kind", "name"):
        field = model.model_fields.get(name)
        if field is not None and get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
            return name, get_args(field.annotation)[0]
    return None


def _type(annotation: Any) -> str:
    """A type in words and symbols that fit a table's cell."""
    if annotation is type(None):
        return "null"
    if annotation is Ellipsis:
        return "…"
    if isinstance(annotation, type) and issubclass(annotation, Section):
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
    if isinstance(value, Section):
        tag = _tag(type(value))
        return f"`{tag[1]}`" if tag else "see below"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple | list):
        if any(isinstance(item, Section) for item in value):
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


if __name__ == "__main__":
    print(document(), end="")
