"""What an installer gets: the data files are in the wheel, and the sdist can be built again."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
from doc_blocks import ROOT

if TYPE_CHECKING:
    from pathlib import Path

# `sys.path` without the editable checkout: every file that is found is the wheel's.
USE = """
import sys
target, source = sys.argv[1:]
sys.path = [target, *(entry for entry in sys.path if entry != source)]
import picme
import picme_hospital
from picme.cohort.channel_sets import load as channels
from picme.config.loading import load, presets
from picme.report.build import environment
environment().get_template("report.html.j2")
[load(name) for name in presets()]
channels("default")
assert picme.__file__.startswith(target), picme.__file__
assert picme_hospital.__file__.startswith(target), picme_hospital.__file__
print(picme.__file__)
"""
SUFFIXES = (".yaml", ".csv", ".j2", ".css", ".js", ".typed")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sdist and wheel, the wheel built from the sdist."""
    pytest.importorskip("hatchling", reason="the build backend is not installed")
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.mark.slow
def test_wheel_holds_every_data_file_and_entry_point(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        inside = set(wheel.namelist())
        points = wheel.read(next(name for name in inside if name.endswith("entry_points.txt"))).decode()
    source = ROOT / "src"
    wanted = {
        str(path.relative_to(source))
        for package in ("picme", "picme_hospital")
        for path in (source / package).rglob("*")
        if path.is_file() and (path.suffix in (*SUFFIXES, ".py")) and "__pycache__" not in path.parts
    }
    assert {"picme/presets/demo.yaml", "picme/py.typed", "picme/report/templates/report.html.j2"} <= wanted
    assert {"picme_hospital/__init__.py", "picme_hospital/py.typed"} <= wanted
    assert not wanted - inside
    assert "picme = picme.cli:main" in points
    assert not [name for name in inside if name.startswith(("tests/", "docs/", "benchmarks/"))]


def test_no_benchmark_hides_a_module() -> None:
    """A script's folder comes first where modules are sought: `meds.py` would be what `import meds` finds."""
    names = sorted(file.stem for file in (ROOT / "benchmarks").glob("*.py"))
    assert names
    found = [(name, importlib.util.find_spec(name)) for name in names]
    # A folder of tests, which has no file of its own, may have such a name.
    assert not [name for name, spec in found if spec is not None and spec.origin is not None]


@pytest.mark.slow
def test_installed_wheel_runs_without_the_checkout(built: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check",
         "--target", str(target), str(next(built.glob("*.whl")))],
        check=True,
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", USE, str(target), str(ROOT / "src")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith(str(target))


@pytest.mark.slow
def test_sdist_holds_what_a_build_and_its_tests_need(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        inside = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"pyproject.toml", "LICENSE", "README.md", "constraints.txt", "mkdocs.yml", "docs/index.md"} <= inside
    assert "tests/extension_package/pyproject.toml" in inside
    assert not [name for name in inside if name.startswith((".venv", "runs/", "site/"))]
