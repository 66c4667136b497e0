"""The main table for a terminal: combination × strategy, one block for each task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from picme.report.facts import frame, modalities, tasks

if TYPE_CHECKING:
    import polars as pl

    from picme.report.facts import Tables


def main_table(tables: Tables) -> Group:
    """Return AUROC in percent, mean ± standard deviation over seeds, with dots for a combination's modalities.

    The best mean of each task is bold; a star marks the cell chosen on validation.
    """
    names = modalities(tables, {})
    summary = frame(tables, "summary")
    blocks = [_block(task, summary, names) for task in tasks(tables, {})]
    note = Text("AUROC on test stays in percent, mean ± std over seeds; * chosen on validation.", style="dim")
    return Group(*blocks, note) if blocks else Group(Text("No scores."))


def _block(task: str, summary: pl.DataFrame, names: list[str]) -> Table:
    rows = [row for row in summary.to_dicts() if row["task"] == task]
    strategies = list(dict.fromkeys(row["strategy"] for row in rows))
    cells = {(row["combination"], row["strategy"]): row for row in rows}
    top = max((row["auroc_mean"] for row in rows if row["auroc_mean"] is not None), default=None)
    table = Table(title=task, title_justify="left", title_style="bold", pad_edge=False, padding=(0, 1), box=None)
    for name, short in zip(names, short_names(names), strict=True):
        table.add_column(Text(short), justify="center", no_wrap=True, footer=name)
    for strategy in strategies:
        table.add_column(Text(strategy), justify="right", no_wrap=False)
    for combination in sorted({row["combination"] for row in rows}, key=lambda item: _order(item, names)):
        parts = combination.split("+")
        dots = [Text("●" if name in parts else "·") for name in names]
        table.add_row(*dots, *(_cell(cells.get((combination, strategy)), top) for strategy in strategies))
    return table


def _cell(row: dict[str, object] | None, top: float | None) -> Text:
    if row is None:
        return Text("")
    mean, std = row["auroc_mean"], row["auroc_std"]
    if not isinstance(mean, float):
        return Text("–")
    shown = f"{mean * 100:.1f}" + (f"±{std * 100:.1f}" if isinstance(std, float) else "")
    return Text(shown + ("*" if row["selected"] else ""), style="bold" if mean == top else "")


def _order(combination: str, names: list[str]) -> tuple[int, list[int]]:
    parts = combination.split("+")
    return len(parts), [names.index(part) for part in parts if part in names]


def short_names(names: list[str], width: int = 4) -> list[str]:
    """Return the first letters of each name, as many as it takes to tell them apart."""
    while width < max(map(len, names), default=0) and len({name[:width] for name in names}) < len(set(names)):
        width += 1
    return [name[:width] for name in names]
