"""Loading of the configuration from YAML, presets and `--set`; every mistake becomes one sentence naming its key."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from picme.config.messages import sentence
from picme.config.places import TAGS, spelt_out
from picme.config.study import Config
from picme.errors import ConfigError, near

MOST_BYTES = 1 << 24
"""Size of a configuration file; a list of labels or channels takes a hundredth."""
MOST_VALUES = 100_000
"""Values of a configuration, with those that aliases stand for."""
DEEPEST = 100
"""Levels of a configuration."""


class Yaml(yaml.SafeLoader):
    """Safe YAML with the words of version 1.2: `off` is a word, `1e-3` a number; a key is there once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Make a mapping; YAML would keep the last of two equal keys without a word."""
        seen: set[str] = set()
        for key, _ in node.value:
            wrong = "a key is a list or section, expected a text" if not isinstance(key, yaml.ScalarNode) else None
            if wrong or key.value in seen:
                wrong = wrong or f"key {key.value!r} is there twice"
                raise yaml.constructor.ConstructorError(None, None, wrong, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


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


def load(config: str | Path | dict[str, Any], overrides: dict[str, Any] | None = None) -> Config:
    """Read a configuration file or a preset, and apply overrides.

    Args:
        config: path of a YAML file, the name of a preset, or what a file would hold as plain values. A file or values
            may start from a preset: `preset: NAME`.
        overrides: `{"a.b": value}`; values of type str are read as YAML.

    Raises:
        ConfigError: if the file is missing or unreadable, or a key or value is not valid.
    """
    over: dict[str, Any] = {}
    for key, value in (overrides or {}).items():
        _assign(over, key, value)
    if "preset" in over:
        raise ConfigError("'preset' cannot be set beside a configuration: name the preset in its place, or in its file")
    tree = _with_preset(config) if isinstance(config, dict) else read_yaml(config)
    tree = _merge(tree, spelt_out(over, Config))
    try:
        return validate(tree)
    except ConfigError as error:
        if isinstance(config, dict) or not (Path(config).parent / "store").is_dir():
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
        return Config.model_validate(spelt_out(tree, Config))
    except ValidationError as error:
        raise ConfigError(sentence(error, Config, tree)) from None


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
            written = f"; write --set {key.strip()}=VALUE" if key.strip() and not sign else ""
            raise ConfigError(f"--set takes key=value, not {item!r}{written}")
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
            preset = f"; the preset is called {path.stem!r}" if path.stem in presets() else ""
            raise ConfigError(f"configuration file {path} does not exist{preset}")
        text, where = _text(path), str(path)
    else:
        known = presets()
        if str(config) not in known and path.is_dir():
            there = f"; its configuration is {path / 'config.yaml'}" if (path / "config.yaml").is_file() else ""
            raise ConfigError(f"{path} is a folder, expected a YAML file or the name of a preset{there}")
        if str(config) not in known:
            raise ConfigError(f"unknown preset {str(config)!r}{near(str(config), known)}")
        text, where = (files("picme") / "presets" / f"{config}.yaml").read_text(encoding="utf-8"), f"preset {config}"
    tree = _parse(text, where)
    if not isinstance(tree, dict):
        raise ConfigError(f"{where} does not hold a configuration (keys and values)")
    return _with_preset(tree, (*above, str(config)))


def _with_preset(tree: dict[str, Any], above: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return plain values merged into the preset that they start from, if they name one."""
    own = spelt_out({key: value for key, value in tree.items() if key != "preset"}, Config)
    base = tree.get("preset")
    return _merge(read_yaml(str(base), above), own) if base else own


def _text(path: Path) -> str:
    if path.stat().st_size > MOST_BYTES:
        raise ConfigError(f"configuration file {path} has over {MOST_BYTES >> 20} MB, which no configuration needs")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"configuration file {path} is not UTF-8, from its byte {error.start} on; save it so"
        ) from None


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merge sections key by key; another `kind` or `name` starts its section anew, null takes a section away."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, dict) and value is None:
            del merged[key]
        elif isinstance(old, dict) and isinstance(value, dict) and _same_choice(old, value):
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged


def _same_choice(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return all(tag not in new or new[tag] == old.get(tag) for tag in TAGS)


def _assign(tree: dict[str, Any], key: str, value: Any) -> None:
    if isinstance(value, str):
        value = _parse(value, f"--set {key}: the value")
    *parents, last = key.split(".")
    node = tree
    for parent in parents:
        child = node.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(f"--set {key}: {parent!r} is a value, not a section")
        node = child
    old = node.get(last)
    node[last] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value


def _parse(text: str, where: str) -> Any:
    try:
        return _bounded(yaml.load(text, Yaml), where)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}" if mark is not None and "\n" in text else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be parsed"
        problem = "it is indented by a tab, expected blanks" if "'\\t'" in problem else problem
        raise ConfigError(f"{where}{place} is not valid YAML: {problem}") from None
    except (RecursionError, ValueError) as error:
        what = "is nested too deeply" if isinstance(error, RecursionError) else "holds a number or date that is none"
        raise ConfigError(f"{where} {what}") from None


def _bounded(tree: Any, where: str) -> Any:
    """Return what YAML held, unless its aliases make it endless, as one does that stands for what holds it."""
    level, left = [tree], MOST_VALUES
    for _ in range(DEEPEST):
        left -= len(level)
        if left < 0:
            raise ConfigError(f"{where} holds over {MOST_VALUES:,} values, which no configuration needs")
        within = (
            value.values() if isinstance(value, dict) else value for value in level if isinstance(value, dict | list)
        )
        level = [one for values in within for one in values]
        if not level:
            return tree
    raise ConfigError(f"{where} is nested too deeply")
