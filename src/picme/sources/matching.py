"""Match of the sample ids of the user's own files: rows that go nowhere are an error that names the column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from picme.errors import DataError
from picme.sources.table_files import first

if TYPE_CHECKING:
    from collections.abc import Sequence

    from picme.sources.table_files import File


def match_ids(files: Sequence[File], most: float) -> None:
    """Check that the rows of each file belong to samples of the others.

    Args:
        files: the source's own file first, where there is one: its rows are the samples, and the other files' rows are
            looked for among them. Else each file's rows are looked for in all others.
        most: largest share of rows of a file that may belong to no sample.

    Raises:
        DataError: if more rows do, or ids of two files are equal but for leading zeros or capitals.
    """
    own = files[0] if files and files[0].key == "source.path" else None
    for file in files:
        others = [own] if own is not None else [other for other in files if other is not file]
        if file is own or not others:
            continue
        known = pl.concat([other.ids.alias("id") for other in others]).drop_nulls().unique()
        lost = file.ids.is_not_null() & ~file.ids.is_in(known.implode()).fill_null(True)
        alike = lost & _look(file.ids).is_in(_look(known).implode()).fill_null(False)
        column = "the row number" if file.id_column is None else f"column {file.id_column!r}"
        where = ", ".join(sorted({str(other.path) for other in others}))
        if alike.any():
            raise DataError(
                f"{file.path}, row {first(alike)}: {int(alike.sum())} of {len(lost)} rows have a sample id ({column}) "
                f"that differs from one in {where} only in leading zeros or capitals; write the ids alike"
            )
        if int(lost.sum()) > most * len(lost):
            raise DataError(
                f"{file.path}: the sample ids ({column}) of {int(lost.sum())} of {len(lost)} rows are not in {where}, "
                f"the first is row {first(lost)} (source.max_unmatched is {most:g})"
            )


def _look(texts: pl.Series) -> pl.Series:
    """Write ids without leading zeros and capitals."""
    return texts.str.to_lowercase().str.replace(r"^0+([^.])", "$1")
