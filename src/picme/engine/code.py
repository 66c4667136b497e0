"""Hash of the source code behind a module: its own file and the files of its project that it imports."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@cache
def code_of(module: str) -> str | None:
    """Return a hash of the files that decide what a module does; None where it cannot be found. Nothing is imported.

    The files are the module, what it imports of the same project (as its import statements say, those within functions
    too, and the packages on the way), and the data files beside these in a package. One project are the packages of a
    distribution or, for code that is not installed, those in one folder.
    """
    modules: dict[str, Path | None] = {}
    data: set[Path] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name in modules or not _same_project(name.partition(".")[0], module.partition(".")[0]):
            continue
        file = modules[name] = _file(name)
        above = name.rpartition(".")[0]
        todo += [above] if above else []
        if file is not None:
            package = name if file.name == "__init__.py" else above
            data |= {other for other in file.parent.iterdir() if package and _is_data(other)}
            todo += _imported(file, package)
    found = {file for file in modules.values() if file is not None}
    found |= data
    digest = hashlib.sha256()
    for file in sorted(found):
        digest.update(f"{file.name}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:16] if found else None


def _is_data(file: Path) -> bool:
    """Tell whether a file beside a module is data: no code, and not what editors and the system leave there."""
    left = file.name.startswith((".", "#")) or file.name.endswith(("~", ".swp", ".bak", ".orig"))
    return file.is_file() and file.suffix not in (".py", ".pyc") and not left


def _imported(file: Path, package: str) -> Iterator[str]:
    """Name what a file of a package may import; of `from a import b`, b may be a module or not."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return  # loading the component says what is wrong
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: 1 - node.level or None] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _file(name: str) -> Path | None:
    """Return the file of a module; None for a package without one and for what is no module."""
    top, *parts = name.split(".")
    spec = find_spec(top)
    if spec is None:
        return None
    if not parts:
        return Path(spec.origin) if spec.origin and spec.has_location else None
    for folder in spec.submodule_search_locations or ():
        place = Path(folder, *parts)
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.is_file():
                return file
    return None


@cache
def _same_project(top: str, other: str) -> bool:
    """Tell whether two top packages or modules come from one distribution, or from one folder of no distribution."""
    if top == other:
        return True
    distributions = packages_distributions()
    if top in distributions or other in distributions:
        return bool({*distributions.get(top, ())} & {*distributions.get(other, ())})
    places = [_root(name) for name in (top, other)]
    return places[0] is not None and places[0] == places[1]


def _root(top: str) -> Path | None:
    """Return the folder that a top package or module lies in."""
    spec = find_spec(top)
    if spec is None:
        return None
    for folder in spec.submodule_search_locations or ():
        return Path(folder).parent
    return Path(spec.origin).parent if spec.origin and spec.has_location else None
