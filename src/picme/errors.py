"""Errors that users meet: one sentence each, and exit status 2 at the command line."""

from __future__ import annotations

from contextlib import contextmanager
from difflib import get_close_matches
from re import compile as pattern
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# A word of a header: it begins with a letter, is short, and holds no date, number of a record, or sentence.
_COLUMN_NAME = pattern(r"(?!.*\d{4})[A-Za-z_][A-Za-z0-9_]*([ .:/%()-]{1,2}[A-Za-z0-9_]+){0,2}[%)]?(?<!.{33})")


class PicmeError(Exception):
    """Base of every error that is the input's fault, not the program's."""


class ConfigError(PicmeError):
    """A configuration that cannot be run; the message names the key."""


class DataError(PicmeError):
    """Raw or prepared data that cannot be used; the message names file, column or row, never a patient."""


class TrainingError(PicmeError):
    """A training that cannot go on (a NaN embedding, a batch of one); names modality and epoch."""


def near(name: str, known: Iterable[str], every: bool = False) -> str:
    """Return a hint for a misspelt name: `; did you mean 'x'?` or the known names, and with `every` both."""
    names = sorted(str(item) for item in known)
    match = get_close_matches(str(name), names, n=1, cutoff=0.6)
    if match and not every:
        return f"; did you mean {match[0]!r}?"
    listed = f" known: {', '.join(names)}" if names else ""
    return f"; did you mean {match[0]!r}?{listed}" if match else listed and f";{listed}"


def near_column(name: str, found: Iterable[str], expected: Iterable[str], of: str = "columns") -> str:
    """Return a hint for a column that a table lacks, without ever quoting what may be a patient's cell.

    A table without its header has a patient's row in its place. So a near match is quoted only where another expected
    column is in the header too, and only if it looks like a column's name; of the rest, only expected names are told.

    Args:
        name: the column that is wanted.
        found: the table's first line.
        expected: all columns that the table is known to have, or that the configuration names.
        of: what they are.
    """
    found, known = [str(cell) for cell in found], {str(item) for item in expected}
    there = [cell for cell in found if cell in known]
    if not there:
        return f"; it has none of the {of} looked for" + (", its first line may be no header" * (of == "columns"))
    match = get_close_matches(str(name), [cell for cell in found if _COLUMN_NAME.fullmatch(cell)], n=1, cutoff=0.6)
    return f"; did you mean {match[0]!r}?" if match else f"; of the {of} looked for it has {', '.join(there)}"


@contextmanager
def naming(what: str, kind: type[PicmeError] = ConfigError, detail: Callable[[], str] = str) -> Iterator[None]:
    """Turn an error of the block into a sentence that names the component whose code the block calls.

    Args:
        what: the component, such as `objective 'mine'`.
        kind: the error to raise.
        detail: gives what else the sentence says, such as the shapes that the component was given.

    Raises:
        PicmeError: of that kind, if the block raises what is none of picme's own errors; the message of the original
            is left out, since it may quote data.
    """
    try:
        yield
    except PicmeError:
        raise
    except Exception as error:
        raise kind(
            f"{what} failed with {type(error).__name__}{place_of(error)}{detail()} (run with --debug for the traceback)"
        ) from error


def place_of(error: BaseException) -> str:
    """Return where an error was raised, as ` at function:line`."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f" at {trace.tb_frame.f_code.co_name}:{trace.tb_lineno}" if trace is not None else ""
