"""Names for the command line: what can be listed, and what the shell completes; no component is imported."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

from picme.errors import ConfigError, near

if TYPE_CHECKING:
    from picme.registry import Registry

GROUPS = ("modalities", "encoders", "objectives", "fusions", "tasks", "sources", "strategies", "presets")


def names(what: str) -> dict[str, str]:
    """Names of a group, and a line about each: what its code says of itself, or where another package keeps it.

    Raises:
        ConfigError: if there is no such group.
    """
    if what not in GROUPS:
        raise ConfigError(f"nothing is listed under {what!r}{near(what, GROUPS)}")
    if what == "presets":
        from picme.config.loading import presets

        return presets()
    if what == "strategies":
        from picme.strategies import strategies

        return {name: strategy.meaning for name, strategy in strategies().items()}
    targets = _registry(what).targets()
    return {name: _about(targets[name]) for name in sorted(targets)}


def _registry(what: str) -> Registry:
    if what == "sources":
        from picme.cohort.extract import SOURCES

        return SOURCES
    if what == "encoders":
        from picme.encoders import ENCODERS

        return ENCODERS
    if what == "fusions":
        from picme.finetune import FUSIONS

        return FUSIONS
    if what == "modalities":
        from picme.modalities import KINDS

        return KINDS
    if what == "objectives":
        from picme.objectives import OBJECTIVES

        return OBJECTIVES
    from picme.tasks import TASKS

    return TASKS


def _about(target: str) -> str:
    """The first line of a component's docstring, read without importing it (and with it torch); else the target.

    Where that line is a signature, the module says what it is.
    """
    module, _, attribute = target.partition(":")
    package, *parts = module.split(".")
    if package != "picme":
        return target
    path = Path(__file__).parents[1].joinpath(*parts)
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == attribute]
    texts = [ast.get_docstring(node) for node in (*found, tree)]
    lines = [text.splitlines()[0] for text in texts if text]
    return next((line for line in lines if not line.startswith("`")), target)


def complete_config(incomplete: str) -> list[str]:
    """Presets, and YAML files and folders that go on as typed."""
    from picme.config.loading import presets

    start = Path(incomplete)
    folder = start if incomplete.endswith("/") else start.parent
    here = sorted(folder.iterdir()) if folder.is_dir() else []
    files = [f"{path}/" if path.is_dir() else str(path) for path in here if path.is_dir() or path.suffix == ".yaml"]
    return [name for name in (*presets(), *files) if name.startswith(incomplete)]


def complete_group(incomplete: str) -> list[str]:
    """Return the groups that `picme list` takes."""
    return [name for name in GROUPS if name.startswith(incomplete)]


def complete_stage(incomplete: str) -> list[str]:
    """Stages, first to last."""
    from picme.pipeline import ORDER

    return [name for name in ORDER if name.startswith(incomplete)]


def complete_strategy(incomplete: str) -> list[str]:
    """Strategies with what each means."""
    return [name for name in names("strategies") if name.startswith(incomplete)]
