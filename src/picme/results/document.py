"""The page `docs/results.md`, made from the declarations of the result tables.

`python -m picme.results.document > docs/results.md` writes it anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from picme.results.declared import CHAPTERS, EXTERNAL

if TYPE_CHECKING:
    from picme.results.table import Column, Table

KINDS = {
    pl.String: "text",
    pl.Int64: "whole number",
    pl.Float64: "number",
    pl.Boolean: "true or false",
    None: "identifier",
}
START = """\
<!-- Made from the declarations in src/picme/results. `python -m picme.results.document > docs/results.md` makes it. -->

# Result tables

Every number of the report is in these tables: `RUN/results/NAME.parquet`, and the same as CSV (`predictions`, one row
per stay, is Parquet only). They are those of the last configuration that ran in the folder. `study.table("NAME")` gives
one as a polars frame, and `.to_pandas()` turns it into pandas.

Conventions: `combination` is modality names joined by `+`, in the configuration's order. AUROC and AUPRC are fractions.
What is undefined is null, never 0 or 0.5. A table is there when its stage is finished and it has rows to hold. Other
packages can [add tables of their own](extending.md).
"""
ELSEWHERE = """\
## External validation

[`picme validate`](external-validation.md) writes these into `results` of a folder of its own. Beside them are those of
the tables above that follow from predictions, in which the split `test` is the other source's stays.
"""
END = """\
## Strategies, tasks

Strategies are described in [concepts](concepts.md#strategies). Combinations of one modality are fine-tuned as
`supervised` and `random`, and as strategies that take [any subset](missing.md). `gated` needs λ, so three modalities or
more; for two it runs as `gated_uniform`. Tasks: `mortality` (in-hospital, from the first 48 hours), `phenotyping` (25
labels), and those of your configuration.

## Beside the tables

`summary.tex` and `alignment.tex` are LaTeX tables with booktabs. In CSV, a text that a spreadsheet would take for a
formula has an apostrophe before it.
"""


def document() -> str:
    """Return the page as Markdown."""
    parts = [START]
    for title, tables in CHAPTERS.items():
        parts += [f"## {title}\n", *map(_table, tables)]
    return "\n".join([*parts, ELSEWHERE, *map(_table, EXTERNAL.values()), END])


def _table(table: Table) -> str:
    rows = "\n".join(map(_row, table.columns))
    return f"### `{table.name}`\n\n{table.meaning}\n\n| column | type | unit | meaning |\n|---|---|---|---|\n{rows}\n"


def _row(column: Column) -> str:
    meaning = column.meaning.replace("|", "\\|")
    return f"| `{column.name}` | {KINDS[column.kind]} | {column.unit or '–'} | {meaning} |"


if __name__ == "__main__":
    print(document(), end="")
