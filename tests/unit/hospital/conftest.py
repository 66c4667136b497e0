"""One hospital, written once for all tests that look at its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from written import SEED, STAYS

from picme_hospital import write_hospital

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hospital(tmp_path_factory.mktemp("hospital"), STAYS, seed=SEED)
