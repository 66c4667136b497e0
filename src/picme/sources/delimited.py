"""Parser of delimited text as it is found: quoted line breaks, semicolons, lone quotes, rows of other lengths."""

from __future__ import annotations

import csv
import io
import re
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator

QUOTE = '"'
# Digits of an id that no line of a note begins with by chance.
_LONG_ID = 5


class Unreadable(Exception):
    """A row that cannot be read: the message says which and why, and goes on from the file's name."""


def parse(text: str, separator: str) -> pl.DataFrame:
    """Read a table with one header row; cells are text as it stands, null where nothing does, and empty lines are none.

    Args:
        text: the text of the file.
        separator: the usual one of the file's kind. A header that has none of it but semicolons is divided by these.

    Raises:
        Unreadable: if a row cannot be read.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\n")
    header = text.partition("\n")[0]
    if separator not in header and ";" in header:
        separator = ";"
    if QUOTE in text:
        rows = _quoted(text, separator)
        names = next(rows, [])
        columns = list(zip_longest(*rows)) or [()] * len(names)
        series = [pl.Series(str(place), cells, dtype=pl.String) for place, cells in enumerate(columns)]
    else:
        lines = pl.Series("line", text.split("\n"))
        lines = lines.filter(lines.str.strip_chars() != "")
        names = header.split(separator)
        widths = lines.str.count_matches(separator, literal=True) + 1
        if (widths != len(names)).any():
            place = int((widths != len(names)).arg_max() or 0)
            raise Unreadable(_other_width(place, int(widths[place]), len(names)))
        fields = [str(place) for place in range(len(names))]
        split = lines[1:].str.split_exact(separator, len(names) - 1).struct.rename_fields(fields).struct.unnest()
        series = split.get_columns()
    names = [name.strip() for name in names]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise Unreadable(f": columns {names.index(name) + 1} and {place + 1} of the header have one name")
    return pl.DataFrame([cells.set(cells == "", None).alias(names[place]) for place, cells in enumerate(series)])


def _quoted(text: str, separator: str) -> Iterator[list[str]]:
    """Yield the header and the rows of a text with quotes.

    A quote inside a cell that does not begin with one is a character like others. One that opens a cell and is never
    closed would swallow rows: it is refused where the text ends, where more follows a closing quote, where the row has
    another length, or where each of the lines swallowed is a row by itself. In a table of two columns, where a note's
    lines may look like rows, they must also be rows that the others lack.
    """
    # The module's default of 131,072 characters is shorter than some notes.
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, quotechar=QUOTE, strict=True)
    lines = text.split("\n")
    width, place, before = 0, 0, 0
    firsts: list[str] = []
    doubtful: list[tuple[int, list[str]]] = []
    swallows = "a quote opens a cell and closes rows later; double or remove it"
    try:
        for row in reader:
            covered = lines[before : reader.line_num]
            before = reader.line_num
            if not any(cell.strip() for cell in row) and len(row) < 2:
                continue
            width = width or len(row)
            if len(row) != width:
                raise Unreadable(_other_width(place, len(row), width))
            if len(covered) > 1 and width > 1 and _rows_by_themselves(covered, separator, width):
                if width > 2:
                    raise Unreadable(f", row {place}: {swallows}")
                doubtful.append((place, [line.split(separator, 1)[0].strip() for line in covered]))
            firsts.append(row[0].strip())
            yield row
            place += 1
    except csv.Error:
        raise Unreadable(
            f", row {place}: a quote opens a cell and does not close it before the separator; double or remove it"
        ) from None
    there = set(firsts)
    for place, swallowed in doubtful:
        if there.isdisjoint(swallowed[1:]) and _go_on(swallowed, firsts[place + 1 : place + 2]):
            raise Unreadable(f", row {place}: {swallows}")


def _go_on(swallowed: list[str], after: list[str]) -> bool:
    """Tell whether the first cells of a row and of the lines it swallowed are ids, rather than words of a note.

    They are if each is one more than that before, up to the row `after`, or if all are different, alike and long. One
    with a quote is the text of a cell.
    """
    if any(QUOTE in cell or not cell for cell in swallowed) or len(set(swallowed)) < len(swallowed):
        return False
    chain = [re.sub(r"^\D+", "", cell) for cell in (*swallowed, *after)]
    if all(re.fullmatch(r"\d{1,18}", number) for number in chain):
        values = [int(number) for number in chain]
        if all(late - early == 1 for early, late in pairwise(values)):
            return True
    digits = min(sum(letter.isdigit() for letter in cell) for cell in swallowed)
    return digits >= _LONG_ID and len({len(cell) for cell in swallowed}) == 1


def _rows_by_themselves(lines: list[str], separator: str, width: int) -> bool:
    """Tell whether each line has the table's number of cells, and a first cell that looks like the others' first."""
    looks = {re.sub(r"[^\W\d]+", "a", re.sub(r"\d+", "9", line.split(separator, 1)[0])) for line in lines}
    return len(looks) == 1 and all(line.count(separator) + 1 == width for line in lines)


def _other_width(place: int, found: int, width: int) -> str:
    return f", row {place}: {found} cell{'s' * (found != 1)}, the header has {width}"
