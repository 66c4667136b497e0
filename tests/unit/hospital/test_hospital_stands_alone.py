"""The synthetic hospital stands alone: none of its modules needs picme."""

from __future__ import annotations

import subprocess
import sys

IMPORT_ALL = """
import sys
from importlib import import_module
from pkgutil import walk_packages

import picme_hospital

names = [module.name for module in walk_packages(picme_hospital.__path__, "picme_hospital.")]
for name in names:
    import_module(name)
print(len(names))
print([name for name in sys.modules if name == "picme" or name.startswith("picme.")])
"""

IMPORT_PACKAGE = """
import sys

import picme_hospital

print([name for name in ("numpy", "polars", "scipy", "PIL") if name in sys.modules])
"""


def run(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_imports_nothing_of_picme() -> None:
    modules, found = run(IMPORT_ALL)
    assert int(modules) > 10
    assert found == "[]"


def test_the_package_itself_is_imported_at_no_cost() -> None:
    assert run(IMPORT_PACKAGE) == ["[]"]
