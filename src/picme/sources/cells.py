"""Cells of the user's own tables, which are text until a number is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Collection

# Words by which spreadsheets, pandas and R write an empty cell; elsewhere than in numbers, NA may be sodium.
NULL_WORDS = ("", "na", "n/a", "nan", "null", "none", "-", ".")
TRUTH = {"true": "1", "false": "0"}
LARGEST = 1e15
"""No measurement is beyond this: a cell that is was damaged, and one such would ruin mean and deviation."""
MOST_ODD = 0.2
"""Share of cells that are no number up to which a column of many different numbers is one of numbers."""
_MOST_CODES = 0.01
_MOST_PATTERNS = 3
_LEAST_NEARLY = 0.9


class Numbers(NamedTuple):
    """The numbers of a column, Float64; and which cells hold something else or are beyond `LARGEST`, bool."""

    values: pl.Series
    odd: pl.Series


def are_cells(dtype: pl.DataType) -> bool:
    """Tell whether a column of this type can be written as text, cell by cell; lists, bytes and durations cannot."""
    return not (dtype.is_nested() or dtype in (pl.Binary, pl.Duration, pl.Object))


def words(cells: pl.Series) -> pl.Series:
    """Write cells as text: without the blanks around them, null where nothing is left.

    Numbers that a file stores as such, and that are whole, have no decimals.
    """
    if cells.dtype.is_float():
        text = cells.fill_nan(None).cast(pl.String).str.strip_suffix(".0")
    else:
        text = cells.cast(pl.String).str.strip_chars()
    return text.set(text == "", None).alias(cells.name)


def ids(cells: pl.Series) -> pl.Series:
    """Write ids as text, without the blanks around them and the `.0` that data frames put behind whole numbers.

    Ids are equal if these texts are: `000001`, `1` and `A1`, `a1` are four.
    """
    return words(cells).str.replace(r"^(-?\d+)\.0+$", "$1")


def in_order(texts: pl.Series) -> pl.Series:
    """Sort distinct ids, the shorter first, so that whole numbers are in their usual order."""
    return pl.DataFrame({"id": texts.drop_nulls().unique()}).sort(pl.col("id").str.len_chars(), "id")["id"]


def numbers(cells: pl.Series) -> Numbers:
    """Read cells as numbers: truth values are 0 and 1, null words are none, and `81,5` is read with a decimal comma.

    `1,234` alone may be either number; it is read where another cell shows what its column's commas mean, else odd.
    """
    if cells.dtype.is_numeric() or cells.dtype in (pl.Boolean, pl.Null):
        values = cells.cast(pl.Float64).fill_nan(None)
        odd = (values.abs() > LARGEST).fill_null(False)
    else:
        text = words(cells).str.to_lowercase()
        text = text.set(text.is_in(NULL_WORDS), None).replace(TRUTH)
        commas = text.str.contains(r"^[+-]?\d+,\d+(e[+-]?\d+)?$").fill_null(False)
        if (commas & ~text.str.contains(r"^[+-]?[1-9]\d{0,2},\d{3}$")).any():
            text = text.str.replace(r"^([+-]?\d+),(\d+)", "$1.$2")
        values = text.cast(pl.Float64, strict=False)
        odd = text.is_not_null() & ~(values.abs() <= LARGEST).fill_null(False)
    return Numbers(values.set(odd, None).alias(cells.name), odd)


def equal(cells: pl.Series, marks: Collection[object]) -> pl.Series:
    """Tell which cells hold one of the marks: numbers as numbers (`-1,0` is -1, `999.` is 999), words in any case.

    Whole numbers with leading zeros are codes, which are equal as text alone.
    """

    def as_numbers(column: pl.Series) -> pl.Series:
        text = words(column)
        digits = text.str.contains(r"\d") & ~text.str.contains(r"^[+-]?0\d")
        return numbers(column).values.set(~digits.fill_null(False), None)

    marked = pl.Series([str(mark) for mark in marks], dtype=pl.String)
    # Each mark for itself: the commas of one tell nothing of another's.
    values = [as_numbers(marked[place : place + 1])[0] for place in range(len(marked))]
    same = ids(cells).str.to_lowercase().is_in(ids(marked).str.to_lowercase().drop_nulls().to_list())
    number = as_numbers(cells).is_in([value for value in values if value is not None])
    return same.fill_null(False) | number.fill_null(False)


def are_numbers(cells: pl.Series, found: Numbers) -> bool:
    """Tell whether a column is one of numbers, though some cells may be none (`> 89`).

    Whole numbers with leading zeros, or words like `V10` and `3A` among the numbers, make a column one of codes; but
    one `05`, or a few in a hundred, among decimals is a number.
    """
    if cells.dtype != pl.String:
        return cells.dtype.is_numeric() or cells.dtype in (pl.Boolean, pl.Null)
    text = words(cells)
    known = len(text) - int(text.str.to_lowercase().is_in(NULL_WORDS).fill_null(True).sum())
    if not known or _coded(text, known):
        return not known
    codes = found.odd & text.str.contains(r"^[A-Za-z]+\d|^\d+[A-Za-z]$").fill_null(False)
    if not found.odd.any() or codes.sum() > _MOST_CODES * known:
        return not found.odd.any()
    distinct = found.values.drop_nulls().n_unique()
    return int(found.odd.sum()) <= MOST_ODD * known and distinct >= min(10, known // 2)


def _coded(text: pl.Series, known: int) -> bool:
    """Tell whether whole numbers have leading zeros, and more of them than slip into a column of decimals."""
    zeros = int(text.str.contains(r"^0\d+$").sum())
    decimals = int(text.str.contains(r"^[+-]?(0|[1-9]\d*)[.,]\d+$").sum())
    padded = bool(text.str.contains(r"^[+-]?0\d+[.,]").any())
    return zeros > 0 and (zeros > max(1, _MOST_CODES * known) or padded or decimals < known / 2)


def nearly_numbers(cells: pl.Series, found: Numbers) -> dict[str, int]:
    """Count the patterns for which alone a column of text is none of numbers: `9.9 %`, `<9.9`, `9,999`, `9.9 a`.

    Returns:
        What `patterns` counts; nothing where the column is one of codes, or fewer than nine in ten cells are such.
    """
    text = words(cells)
    known = ~text.str.to_lowercase().is_in(NULL_WORDS).fill_null(True)
    such = text.str.contains(r"^[<>≤≥=~±]*\s*[+-]?\d+([.,]\d+)*\s*(%|\s[^\s\d]{1,12})?$").fill_null(False)
    odd = such & found.odd
    if not odd.any() or _coded(text, int(known.sum())) or int(such.sum()) < _LEAST_NEARLY * int(known.sum()):
        return {}
    return patterns(cells, odd)


def patterns(cells: pl.Series, odd: pl.Series) -> dict[str, int]:
    """Count cells by what they look like, which tells none of them: digits as 9, letters as a, so `> 89` is `> 9`."""
    text = words(cells).filter(odd)
    if cells.dtype.is_numeric():
        return {"9e9": len(text)}
    looks = text.str.replace_all(r"\pL+", "a").str.replace_all(r"\d+", "9").str.slice(0, 12)
    counts = dict(looks.value_counts(sort=True).sort("count", looks.name, descending=[True, False]).iter_rows())
    shown = list(counts)[:_MOST_PATTERNS]
    rest = sum(counts[look] for look in counts if look not in shown)
    return {look: counts[look] for look in shown} | ({"another": rest} if rest else {})
