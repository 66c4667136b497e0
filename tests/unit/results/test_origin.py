"""What a record says of where picme came from can be installed again."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from picme.results.origin import origin

if TYPE_CHECKING:
    from pathlib import Path


def git(folder: Path, *words: str) -> str:
    name = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    done = subprocess.run(["git", "-C", str(folder), *name, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_checkout_is_installed_from_its_commit(tmp_path: Path) -> None:
    checkout = tmp_path / "a folder"
    (checkout / "src").mkdir(parents=True)
    file = checkout / "src" / "a.py"
    file.write_text("first")
    git(checkout, "init", "-q")
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "first")
    found = origin(checkout)
    assert found["git_changes"] is None
    file.write_text("second")
    assert origin(checkout)["git_changes"] is True
    url, _, commit = str(found["installed"]).removeprefix("git+").rpartition("@")
    git(tmp_path, "clone", "-q", url, "clone")
    git(tmp_path / "clone", "checkout", "-q", commit)
    assert (tmp_path / "clone" / "src" / "a.py").read_text() == "first"


@pytest.mark.parametrize(
    ("record", "requirement"),
    [
        (None, "picme==9.9"),
        ({"url": "file:///w/picme-9.9.whl", "archive_info": {"hashes": {"sha256": "ab"}}},
         "file:///w/picme-9.9.whl#sha256=ab"),
        ({"url": "https://example.org/p.git", "vcs_info": {"vcs": "git", "commit_id": "c0"}},
         "git+https://example.org/p.git@c0"),
        ({"url": "file:///src/picme", "dir_info": {}}, "file:///src/picme"),
    ],
)  # fmt: skip
def test_a_distribution_is_installed_from_where_it_came(
    record: dict[str, Any] | None, requirement: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "picme-9.9.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: picme\nVersion: 9.9\n")
    if record:
        (folder / "direct_url.json").write_text(json.dumps(record))
    monkeypatch.syspath_prepend(str(tmp_path))
    found = origin(tmp_path)
    assert found == {"picme": "9.9", "git_commit": None, "git_changes": None, "installed": requirement}
