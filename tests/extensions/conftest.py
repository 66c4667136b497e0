"""The example package, installed beside the interpreter rather than into it."""

from __future__ import annotations

import shutil
import tomllib

import pytest
from extension_site import PACKAGE, environment


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that has the example package, as an installer would leave it."""
    target = tmp_path_factory.mktemp("site")
    shutil.copytree(PACKAGE / "src" / "picme_example", target / "picme_example")
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    about = target / f"picme_example-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
    )
    lines: list[str] = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items()), ""]
    (about / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    return environment(target)
