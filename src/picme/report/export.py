"""Result tables as files: Parquet, CSV that a spreadsheet cannot execute, LaTeX; and JSON that a page can hold."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import polars as pl

from picme.report.facts import frame
from picme.report.latex import alignment_latex, summary_latex

if TYPE_CHECKING:
    from pathlib import Path

    from picme.report.facts import Tables

PARQUET_ONLY = ("predictions",)
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def write_results(tables: Tables, folder: Path) -> None:
    """Writes every table as Parquet and CSV, and `summary` and `alignment` as LaTeX beside them.

    Each file is written under another name and renamed, so none is ever half-written. Predictions, which are one row
    per stay, are written as Parquet only.

    Args:
        tables: result tables by name.
        folder: made if it does not exist.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        part = folder / f".{name}.parquet.part"
        table.write_parquet(part)
        part.replace(folder / f"{name}.parquet")
        if name not in PARQUET_ONLY:
            _write(folder / f"{name}.csv", csv_text(table))
    for name, make in (("summary", summary_latex), ("alignment", alignment_latex)):
        if name in tables:
            _write(folder / f"{name}.tex", make(frame(tables, name)))


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8", newline="") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    part.replace(path)


def csv_text(table: pl.DataFrame) -> str:
    """A table as CSV. A text cell or column name that a spreadsheet would take for a formula gets an apostrophe."""
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


def embedded(value: Any) -> str:
    """JSON that may stand inside a `<script>` element: no `<`, `>`, `&` or line separator is left as it is."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
