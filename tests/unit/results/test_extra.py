"""Result tables of other packages are made of those they need, and cost only themselves when they fail."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

import polars as pl
import pytest

from picme.registry import Registry
from picme.results import extra
from picme.results.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Make = Callable[[Mapping[str, pl.DataFrame]], pl.DataFrame]
    Install = Callable[[str, Make], None]

GIVEN = {"scores": pl.LazyFrame({"auroc": [0.5, 0.75]}), "summary": pl.DataFrame({"n": [1]})}


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts one table into the group, under a name and with a function that makes it."""

    def put(name: str, make: Make) -> None:
        declared = Table(name, "One row is a number.", (Column("best", pl.Float64, "The number."),))
        module = ModuleType("another_package")
        module.it = extra.Derived(declared, ("scores",), make)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "another_package", module)
        monkeypatch.setattr(extra, "OTHERS", Registry("tables", {name: "another_package:it"}))

    return put


def test_only_what_a_table_needs_is_read(install: Install) -> None:
    class Given(dict[str, pl.LazyFrame | pl.DataFrame]):
        def __getitem__(self, name: str) -> pl.LazyFrame | pl.DataFrame:
            assert name == "scores"
            return super().__getitem__(name)

    install("best", lambda tables: tables["scores"].select(best=pl.col("auroc").max()))
    assert extra.extra_tables(Given(GIVEN))["best"].rows() == [(0.75,)]


def test_without_what_it_needs_it_is_not_made(install: Install) -> None:
    install("best", lambda tables: pl.DataFrame())
    assert extra.extra_tables({"summary": GIVEN["summary"]}) == {}


def test_a_table_that_fails_is_left_out_and_no_cell_is_quoted(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        raise KeyError("a cell")

    install("best", fail)
    assert extra.extra_tables(GIVEN) == {}
    assert capsys.readouterr().err == "picme: The result table 'best' of another package is left out: KeyError.\n"
    install("best", lambda tables: tables["scores"])
    assert extra.extra_tables(GIVEN) == {}
    assert "'best' has the undeclared column 'auroc'" in capsys.readouterr().err


def test_a_table_of_picmes_own_is_not_replaced(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("summary", lambda tables: tables["scores"].select(best=pl.lit(1.0)))
    for given in (GIVEN, {"scores": GIVEN["scores"]}):
        assert extra.extra_tables(given) == {}
        assert "'summary' of another package is left out: picme has a table of that name" in capsys.readouterr().err
