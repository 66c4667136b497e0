"""Origin of the picme that runs: its version, its commit, and what pip would install it from."""

from __future__ import annotations

import json
import subprocess
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]


def version_of(package: str) -> str | None:
    """Return the version of an installed package; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def origin(checkout: Path = CHECKOUT) -> dict[str, str | bool | None]:
    """Return what the record of a run says of the picme that ran.

    Returns:
        picme: the version. git_commit: of a source checkout, else null. git_changes: true where the checkout differs
        from its commit. installed: what `pip install` takes to install the same, by the commit of a checkout or by
        what installed picme here (PEP 610).
    """
    commit = _git(checkout, "rev-parse", "HEAD") if (checkout / ".git").exists() else None
    changes = True if commit and _git(checkout, "status", "--porcelain", "--", "src", "pyproject.toml") else None
    installed = f"git+{checkout.as_uri()}@{commit}" if commit else _requirement()
    return {"picme": version_of("picme"), "git_commit": commit, "git_changes": changes, "installed": installed}


def _requirement() -> str | None:
    """Return the requirement for the installed distribution, from the record that its installer left of its source."""
    try:
        found = distribution("picme")
    except PackageNotFoundError:
        return None
    record = json.loads(found.read_text("direct_url.json") or "{}")
    if not record:
        return f"picme=={found.version}"  # an installer leaves no record of what came from an index
    if source := record.get("vcs_info"):
        return f"{source['vcs']}+{record['url']}@{source['commit_id']}"
    sums = (record.get("archive_info") or {}).get("hashes") or {}
    return str(record["url"]) + (f"#sha256={sums['sha256']}" if "sha256" in sums else "")


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=False, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
