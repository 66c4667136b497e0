"""Every number in the report of a finished study equals the result tables beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pages
import polars as pl

if TYPE_CHECKING:
    import picme


def test_the_report_shows_the_result_tables_and_nothing_else(study: picme.Study) -> None:
    read = pages.read(study.report)
    tables = {
        file.stem: pl.read_parquet(file)
        for file in (study.folder / "results").glob("*.parquet")
        if file.stem != "predictions"
    }
    assert pages.check_numbers(read, tables) > 200
    assert pages.check_rows(read, tables) > 50
    # So few stays may leave a decision curve without a value, and then it is not drawn.
    tables["decision_curve"] = tables["decision_curve"].drop_nulls("net_benefit")
    filled = {name for name, table in tables.items() if not table.is_empty()}
    assert pages.tables_shown(read) == filled & set(pages.TABLES)
