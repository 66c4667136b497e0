"""Fixtures of all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Tests run side by side with others: one thread each is faster than many that wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the open data (`$PICME_TEST_DATA` or `../shared/data` beside the checkout); skips where absent."""
    folder = Path(os.environ.get("PICME_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"open data not found at {folder}: set PICME_TEST_DATA to a folder that holds it")
    return folder
