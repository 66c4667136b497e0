"""A result table that is derived from the predictions: how far they are from fifty-fifty."""

from collections.abc import Mapping

import polars as pl

from picme.results.columns import CELL
from picme.results.extra import Derived
from picme.results.table import Column, Table


def certainty(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return for each cell how certain its predictions on test stays are, on average."""
    cell = [column.name for column in CELL]
    distance = (2 * pl.col("probability") - 1).abs().mean().alias("certainty")
    test = tables["predictions"].filter(pl.col("split") == "test")
    return test.group_by(cell, maintain_order=True).agg(distance)


CERTAINTY = Derived(
    Table(
        "certainty",
        "One row says how certain the predictions of a combination and strategy are.",
        (*CELL, Column("certainty", pl.Float64, "The mean of |2p − 1| on test stays: 0 is fifty-fifty.", "fraction")),
    ),
    needs=("predictions",),
    make=certainty,
)
