"""Processes that have packages beside the interpreter rather than in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "extension_package"


def environment(target: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(target), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def python(code: str, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
    )


def picme(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return python("from picme.cli import main; main()", environment, *arguments)
