"""How the commands write tables, notes and obstacles."""

from __future__ import annotations

import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def width(wide: int) -> int | None:
    """Return None, for the terminal's width, or the given one for a file or pipe: there no table need be narrow."""
    return None if sys.stdout.isatty() else wide


def print_table(columns: list[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Print a table; numbers have three decimals, and None is empty."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, pad_edge=False)
    for column in columns:
        shown.add_column(column)
    for row in rows:
        shown.add_row(
            *("" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value) for value in row)
        )
    Console(width=width(240)).print(shown)


@contextmanager
def notes() -> Iterator[None]:
    """Write the warnings of the block as notes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for one in caught:
        if one.category is UserWarning:
            typer.echo(f"Note: {one.message}", err=True)


def end_if(obstacles: list[str]) -> None:
    """End with status 1 if something keeps a study from running, each in a line of its own."""
    for sentence in obstacles:
        typer.echo(f"cannot run: {sentence}", err=True)
    if obstacles:
        raise typer.Exit(1)
