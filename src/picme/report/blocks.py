"""Building blocks of the page: sections of plates (figures with views), tables and notes."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from picme.report.numbers import text_of
from picme.report.theme import template
from picme.results.latex import escape, longtable
from picme.results.write import csv_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import plotly.graph_objects as go
    import polars as pl

    from picme.results.latex import Longtable

EMPTY = Markup("")

# Most rows of a table on the page; its CSV has all.
MOST_ROWS = 1200


@dataclass(frozen=True)
class Choice:
    """One view of a plate: what a reader sees after choosing in its lists.

    Attributes:
        choice: the values of the plate's lists that show it, one for each list.
        spec: the plotly figure as plain values: `data`, `layout`, and `frames` where it moves.
        data: the rows of a result table that the figure shows.
        reading: one sentence on what the figure shows.
        frames: names of the frames, for a slider; empty for a still figure.
    """

    choice: tuple[str, ...]
    spec: dict[str, Any]
    data: pl.DataFrame
    reading: Markup
    frames: tuple[str, ...] = ()

    @property
    def figure(self) -> go.Figure:
        """Return the plotly figure in the light theme."""
        import plotly.graph_objects as go

        return go.Figure({**self.spec, "layout": {**self.spec["layout"], "template": template()}})

    def payload(self) -> dict[str, Any]:
        """Return plain values for the page, without a template, which the page's theme brings."""
        return {
            "choice": list(self.choice),
            "data": self.spec["data"],
            "layout": self.spec["layout"],
            "frames": [item["data"] for item in self.spec.get("frames", ())] if self.frames else [],
            "names": list(self.frames),
            "reading": str(self.reading),
            "csv": csv_text(self.data),
        }


@dataclass(frozen=True)
class Plate:
    """A figure with its title, the lists to choose a view from, and the text around it.

    Attributes:
        key: the figure's name in ids and file names.
        title: the figure's heading.
        views: at least one; the first is shown first.
        choices: labels of the lists, as many as each view's `choice`.
        note: how to read the figure, in words that hold for every view.
        step: the word for a frame (`Epoch`).
        left_out: the number of views that were left out to keep the page small.
    """

    key: str
    title: str
    views: Sequence[Choice]
    choices: tuple[str, ...] = ()
    note: Markup = EMPTY
    step: str = ""
    left_out: int = 0

    def payload(self) -> dict[str, Any]:
        """Return plain values for the page."""
        return {
            "key": self.key,
            "choices": list(self.choices),
            "step": self.step,
            "views": [v.payload() for v in self.views],
        }

    def fewer(self) -> Plate:
        """Return the plate without its last view."""
        return replace(self, views=self.views[:-1], left_out=self.left_out + 1)

    def options(self) -> list[list[str]]:
        """Return each list's values, in order of appearance."""
        return [list(dict.fromkeys(view.choice[i] for view in self.views)) for i in range(len(self.choices))]


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading, and how a row becomes a cell.

    Attributes:
        title: the heading.
        cell: row → the text that is shown.
        sort: row → the value to sort by; the shown text where it is None.
        numeric: whether it is right-aligned and sorted as a number.
        choose: whether a list of its values is there to filter by.
        first: whether that list starts at its first value rather than at all of them.
        hidden: whether it is there to filter by and not to look at.
        group: what the column belongs to, which stands above the headings of neighbours of the same group.
        dot: whether it says by a dot whether a modality is there: narrow, its heading upright, always in view.
    """

    title: str
    cell: Callable[[dict[str, Any]], Markup | str]
    sort: Callable[[dict[str, Any]], Any] | None = None
    numeric: bool = False
    choose: bool = False
    first: bool = False
    hidden: bool = False
    group: str = ""
    dot: bool = False


@dataclass(frozen=True)
class DataTable:
    """A sortable table with its rows and its downloads.

    Attributes:
        key: the table's name in ids and file names.
        title: the table's caption.
        columns: its columns.
        frame: its rows.
        reading: one sentence on what the table shows.
        mark: row → whether it stands out.
        tall: whether it is long enough to scroll in a box of its own.
        search: whether a field is there to filter by words.
        source: rows for the CSV where they differ from `frame` (a pivoted table).
        by: columns of `source` and of `frame` that say which row of `frame` shows a row of `source`; without them the
            CSV has all rows, whatever the table is filtered by.
        folded: whether it is shown on a click on its title only.
    """

    key: str
    title: str
    columns: Sequence[Column]
    frame: pl.DataFrame
    reading: Markup = EMPTY
    mark: Callable[[dict[str, Any]], bool] | None = None
    tall: bool = False
    search: bool = False
    source: pl.DataFrame | None = None
    by: tuple[str, ...] = ()
    folded: bool = False

    def rows(self) -> list[dict[str, Any]]:
        """Return each row's cells, shown and as sort value, and whether the row is marked."""
        made = []
        for row in self.frame.head(MOST_ROWS).iter_rows(named=True):
            cells = []
            for column in self.columns:
                shown = column.cell(row)
                value = column.sort(row) if column.sort else _text(shown)
                cells.append({"html": shown, "sort": "" if value is None else value})
            made.append({"cells": cells, "marked": bool(self.mark and self.mark(row))})
        return made

    def options(self, index: int) -> list[str]:
        """Return the values that a column can be filtered by, in order of appearance."""
        return list(dict.fromkeys(_text(self.columns[index].cell(row)) for row in self.frame.iter_rows(named=True)))

    def groups(self) -> list[tuple[str, int]]:
        """Return what stands above the headings: each group with the number of its columns that are shown."""
        shown = [column for column in self.columns if not column.hidden]
        return [(name, len(list(own))) for name, own in groupby(shown, lambda column: column.group)]

    @property
    def left_out(self) -> int:
        """Return the number of rows that are only in the CSV."""
        return max(0, self.frame.height - MOST_ROWS)

    def payload(self) -> dict[str, Any]:
        """Return plain values for the page, which picks from each download what its lists and words leave.

        Returns:
            `csv`: all rows of the source. `of`: for each of them the place of the row that shows it; empty where that
            is not known, None where it is the row's own place.
            `latex`: a table for each group of columns, in parts (see `Longtable`).
            `rest`: texts of the rows that are not on the page, to filter them by.
        """
        shown = {row: index for index, row in enumerate(self.frame.select(self.by).rows())}
        of = None if self.source is None else [shown.get(row) for row in self.source.select(self.by).rows()]
        rest = [[_text(column.cell(row)) for column in self.columns] for row in self.frame[MOST_ROWS:].to_dicts()]
        return {
            "csv": csv_text(self.frame if self.source is None else self.source),
            "of": of,
            "latex": [{"head": part.head, "rows": part.rows, "foot": part.foot} for part in self.latex()],
            "rest": rest,
        }

    def latex(self) -> list[Longtable]:
        """Return all rows as they are shown, as LaTeX: one table, or one for each group of columns."""
        groups = list(dict.fromkeys(column.group for column in self.columns if column.group))
        return [self._latex(group) for group in groups or [""]]

    def _latex(self, group: str) -> Longtable:
        shown = [column for column in self.columns if not column.hidden and column.group in ("", group)]
        rows = [[_latex_cell(column.cell(row)) for column in shown] for row in self.frame.iter_rows(named=True)]
        align = "".join("r" if column.numeric else "l" for column in shown)
        caption = f"{self.title}: {group}" if group else self.title
        return longtable([escape(column.title) for column in shown], rows, align, caption)


def _text(shown: Markup | str) -> str:
    return text_of(str(Markup.escape(shown)))


# What stands in a cell for the page alone.
_WEB = re.compile(r'<span class="web".*?</span>', re.DOTALL)


def _latex_cell(shown: Markup | str) -> str:
    markup = str(Markup.escape(shown))
    text = escape(text_of(_WEB.sub("", markup).replace("<br>", " ")))
    return rf"\textbf{{{text}}}" if "<b>" in markup else text


@dataclass(frozen=True)
class ShownChapter:
    """A chapter of the page."""

    key: str
    title: str
    blocks: Sequence[Plate | DataTable]
