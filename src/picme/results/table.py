"""The declaration of a result table: its columns with types, meanings and units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from picme.errors import PicmeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class Column:
    """One column of a result table.

    Attributes:
        name: as in the files.
        kind: polars type: `pl.String`, `pl.Int64`, `pl.Float64` or `pl.Boolean`; None for identifiers, which keep the
            type that they have in the source.
        meaning: a sentence for someone who reads the table.
        unit: such as `fraction`, `seconds` or `MB`; empty where the column has none.
    """

    name: str
    kind: Any
    meaning: str
    unit: str = ""


@dataclass(frozen=True)
class Table:
    """One result table.

    Attributes:
        name: the name of its files, `results/NAME.parquet`.
        meaning: what one row is, as a sentence.
        columns: the columns in their order.
        per_stay: whether a row is about one stay; such a table is written as Parquet only.
    """

    name: str
    meaning: str
    columns: tuple[Column, ...]
    per_stay: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        """Polars types by column name."""
        return {column.name: column.kind for column in self.columns}

    def frame(self, rows: Iterable[Mapping[str, Any]] = ()) -> pl.DataFrame:
        """Return rows as a table with exactly the declared columns; NaN and missing values become null."""
        made = pl.DataFrame([dict(row) for row in rows], schema=self.schema)
        return made.with_columns(pl.selectors.float().fill_nan(None))

    def conform(self, table: pl.DataFrame) -> pl.DataFrame:
        """Return a table with the declared columns in their order and types.

        Raises:
            PicmeError: if a column is missing, undeclared or of a type that cannot be cast without loss.
        """
        odd = sorted(set(table.columns) ^ set(self.schema))
        if odd:
            side = "lacks the declared" if odd[0] in self.schema else "has the undeclared"
            raise PicmeError(f"result table {self.name!r} {side} column {odd[0]!r}")
        try:
            cast = (pl.col(name) if kind is None else pl.col(name).cast(kind) for name, kind in self.schema.items())
            return table.select(cast).with_columns(pl.selectors.float().fill_nan(None))
        except pl.exceptions.PolarsError as error:
            raise PicmeError(f"result table {self.name!r} has a column that is not of its declared type") from error
