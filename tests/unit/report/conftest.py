"""The fabricated study and its report, made once for all tests of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fabricate
import pytest

from picme.report.build import build

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl


@pytest.fixture(scope="session")
def tables() -> dict[str, pl.DataFrame]:
    return fabricate.fabricate()


@pytest.fixture(scope="session")
def config() -> dict[str, Any]:
    return fabricate.config()


@pytest.fixture(scope="session")
def report(tables: dict[str, pl.DataFrame], config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    return build(folder, tables, config, fabricate.run_info(), folder / "report.html")
