"""Loading of the configuration from YAML, presets and `--set`; every mistake becomes one sentence naming its key."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from picme.config.study import Config
from picme.errors import ConfigError, near

QUOTE = "'"


class Yaml(yaml.SafeLoader):
    """Safe YAML with the words of version 1.2: `off` is a word, `1e-3` a number."""


Yaml.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":float"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?$|^[-+]?[0-9]+[eE][-+]?[0-9]+$|^[-+]?\.(?:inf|nan)$"
    ),
    list("-+0123456789."),
)


def presets() -> dict[str, str]:
    """Return the names of the built-in presets and the first comment line of each."""
    folder = files("picme") / "presets"
    found = {}
    for item in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if item.name.endswith(".yaml"):
            first = item.read_text(encoding="utf-8").splitlines()[0]
            found[item.name.removesuffix(".yaml")] = first.lstrip("# ").strip()
    return found


def load(config: str | Path, overrides: dict[str, Any] | None = None) -> Config:
    """Read a configuration file or a preset, and apply overrides.

    Args:
        config: path of a YAML file, or the name of a preset. A file may start from a preset: `preset: NAME`.
        overrides: `{"a.b": value}`; values of type str are read as YAML.

    Raises:
        ConfigError: if the file is missing or unreadable, or a key or value is not valid.
    """
    tree = read_yaml(config)
    for key, value in (overrides or {}).items():
        _assign(tree, key, value)
    try:
        return validate(tree)
    except ConfigError as error:
        if not (Path(config).parent / "store").is_dir():
            raise
        # In a run folder every name was known once, so the nearest of those that are installed is no help.
        missing = r"(unknown (?:name|strategy|kind) .*?); (?:did you mean|known:).*"
        raise ConfigError(re.sub(missing, r"\1; is the package that supplied it installed?", str(error))) from None


def validate(tree: dict[str, Any]) -> Config:
    """Return a checked configuration made from plain values.

    Raises:
        ConfigError: if a key or value is not valid; the message names the key.
    """
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_sentence(error)) from None


def dump(config: Config) -> str:
    """Return the whole configuration as YAML, with every default spelled out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def parse_overrides(items: list[str]) -> dict[str, Any]:
    """Return `["a.b=1", …]` as `{"a.b": "1", …}`.

    Raises:
        ConfigError: if an item has no `=`.
    """
    parsed = {}
    for item in items:
        key, sign, value = item.partition("=")
        if not sign or not key.strip():
            raise ConfigError(f"--set takes key=value, not {item!r}")
        parsed[key.strip()] = value
    return parsed


def read_yaml(config: str | Path, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read a configuration file or preset as plain values, unchecked.

    Args:
        config: the file or preset.
        above: the files that name it as their preset.

    Raises:
        ConfigError: if it is missing, no UTF-8 or no YAML, or starts from itself.
    """
    if str(config) in above:
        raise ConfigError(f"{config} starts from itself, by its key `preset`")
    path = Path(config)
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        if not path.is_file():
            raise ConfigError(f"configuration file {path} does not exist")
        text, where = _text(path), str(path)
    else:
        known = presets()
        if str(config) not in known:
            raise ConfigError(f"unknown preset {str(config)!r}{near(str(config), known)}")
        text, where = (files("picme") / "presets" / f"{config}.yaml").read_text(encoding="utf-8"), f"preset {config}"
    try:
        tree = yaml.load(text, Yaml)
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        place = f" line {line + 1}" if line is not None else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be parsed"
        raise ConfigError(f"{where}{place} is not valid YAML: {problem}") from None
    except (RecursionError, ValueError) as error:
        what = "is nested too deeply" if isinstance(error, RecursionError) else "holds a number or date that is none"
        raise ConfigError(f"{where} {what}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{where} does not hold a configuration (keys and values)")
    base = tree.pop("preset", None)
    return _merge(read_yaml(str(base), (*above, str(config))), tree) if base else tree


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"configuration file {path} is not UTF-8, from its byte {error.start} on; save it so"
        ) from None


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merge sections key by key; a different `kind` or `name` starts its section anew."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and _same_choice(old, value):
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged


def _same_choice(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return all(tag not in new or new[tag] == old.get(tag) for tag in ("kind", "name"))


def _assign(tree: dict[str, Any], key: str, value: Any) -> None:
    if isinstance(value, str):
        try:
            value = yaml.load(value, Yaml)
        except (yaml.YAMLError, RecursionError, ValueError):
            raise ConfigError(f"--set {key}: the value is not valid YAML") from None
    *parents, last = key.split(".")
    node = tree
    for parent in parents:
        child = node.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(f"--set {key}: {parent!r} is a value, not a section")
        node = child
    node[last] = value


def _sentence(error: ValidationError) -> str:
    """Return the most telling of pydantic's findings as one sentence."""

    def rank(item: Any) -> tuple[bool, bool]:
        # Where a word or a section is allowed, an error inside the section says more than that it is not the word.
        section_for_word = item["type"] == "literal_error" and isinstance(item["input"], dict)
        return item["type"] != "extra_forbidden", section_for_word

    finding = min(error.errors(), key=rank)
    place = [str(part) for part in finding["loc"]]
    kind, context = finding["type"], finding.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key {_key(place)!r}{near(place[-1], _fields(Config, place[:-1]))}"
    if kind == "missing":
        return f"key {_key(place)!r} is required"
    if kind == "union_tag_invalid":
        known = [name.strip(" '") for name in str(context["expected_tags"]).split(",")]
        word, tag = str(context["discriminator"]).strip(QUOTE), str(context["tag"])
        return f"unknown {word} {tag!r} in {_key(place)!r}{near(tag, known)}"
    if kind == "union_tag_not_found":
        return f"{_key(place)!r} needs the key {context['discriminator']}"
    if kind == "literal_error":
        return f"{_key(place)!r} is {finding['input']!r}, expected {context['expected']}"
    if kind in ("tuple_type", "list_type"):
        value = finding["input"]
        example = f", such as [{value}]" if isinstance(value, str | int | float) else ""
        return f"{_key(place)!r} is {_short(value)}, expected a list{example}"
    message = finding["msg"].removeprefix("Value error, ")
    if kind == "value_error":
        return f"{_key(place)}: {message}" if place else message
    return f"{_key(place)!r} is {_short(finding['input'])}: {message[0].lower()}{message[1:]}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _key(place: list[str]) -> str:
    """Return the key as the user writes it, without the tags that pydantic inserts for unions."""
    parts: list[str] = []
    model: Any = Config
    for part in place:
        field = _field(model, part)
        if field is None and parts and not isinstance(model, type):
            # This step is the tag of a union or a type's name, not a key.
            narrowed = [option for option in _models(model) if part in _tags(option)]
            if narrowed:
                model = narrowed[0]
                continue
            if not part.isidentifier():
                continue
        parts.append(part)
        model = field
    return ".".join(parts) or "configuration"


def _tags(model: type[BaseModel]) -> set[str]:
    tags = {model.__name__}
    for tag in ("kind", "name"):
        if tag in model.model_fields:
            tags |= {str(value) for value in get_args(model.model_fields[tag].annotation)}
    return tags


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, UnionType, Annotated, tuple, list):
        return [model for option in get_args(annotation) for model in _models(option)]
    return []


def _field(model: Any, name: str) -> Any:
    """Return the annotation behind one step of a place; None where the step is not a key."""
    if get_origin(model) is dict:
        return get_args(model)[1]
    for option in _models(model):
        if name in option.model_fields:
            return option.model_fields[name].annotation
    return None


def _fields(model: Any, place: list[str]) -> list[str]:
    """Return the keys that are valid at a place."""
    for part in place:
        step = _field(model, part)
        if step is None:
            narrowed = [option for option in _models(model) if part in _tags(option)]
            model = narrowed[0] if narrowed else model
        else:
            model = step
    return sorted({name for option in _models(model) for name in option.model_fields})
