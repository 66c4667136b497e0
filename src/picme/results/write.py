"""Result tables as files: Parquet, CSV that a spreadsheet cannot execute, and LaTeX."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import polars as pl

from picme.results.latex import alignment_latex, summary_latex
from picme.results.tables import table as declared

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LATEX = {"summary": summary_latex, "alignment": alignment_latex}
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def write_results(tables: Mapping[str, pl.DataFrame], folder: Path) -> None:
    """Write every table as Parquet and CSV, and `summary` and `alignment` as LaTeX beside them.

    Each file is written under another name and renamed, so none is ever half-written. A table with one row per stay,
    such as the predictions, is written as Parquet only. Tables in the folder that are not among those given go.

    Args:
        tables: result tables by name.
        folder: made if it does not exist.

    Raises:
        PicmeError: if a table is not declared or is not as it is declared.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, given in tables.items():
        table = declared(name).conform(given)
        part = folder / f".{name}.parquet.part"
        table.write_parquet(part)
        part.replace(folder / f"{name}.parquet")
        if not declared(name).per_stay:
            _write(folder / f"{name}.csv", csv_text(table))
        if name in LATEX:
            _write(folder / f"{name}.tex", LATEX[name](table))
    for file in folder.iterdir():
        made = file.stem in tables and (file.suffix != ".csv" or not declared(file.stem).per_stay)
        if file.suffix == ".part" or (file.suffix in (".parquet", ".csv", ".tex") and not made):
            file.unlink()


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8", newline="") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    part.replace(path)


def csv_text(table: pl.DataFrame) -> str:
    """Return a table as CSV; text and column names that a spreadsheet would take for a formula get an apostrophe."""
    safe = table.with_columns(_safe(pl.col(name)) for name, kind in table.schema.items() if _is_text(kind))
    return safe.rename({name: _safe_name(name) for name in table.columns}).write_csv()


def _is_text(kind: pl.DataType) -> bool:
    return kind == pl.String or isinstance(kind, pl.Categorical | pl.Enum)


def _safe(column: pl.Expr) -> pl.Expr:
    text = column.cast(pl.String)
    formula = text.str.contains(r"^[=+\-@\t\r\n]") & ~text.str.contains(_NUMBER)
    return pl.when(formula).then(pl.lit("'") + text).otherwise(text).alias(column.meta.output_name())


def _safe_name(name: str) -> str:
    return f"'{name}" if name[:1] in set("=+-@\t\r\n") else name
