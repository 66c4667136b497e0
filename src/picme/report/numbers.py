"""Numbers as the report prints them, each marked with the table and column it comes from.

A number becomes `<data value="0.8123" data-from="summary.auroc_mean">81.2</data>`, so that anybody can check the
page against the tables. What is computed from several cells (a share, a difference) is marked `derived:…`.
"""

from __future__ import annotations

import math
from typing import Any

from markupsafe import Markup


def level(confidence: float) -> str:
    """Return the coverage of an interval as words have it: `95 %`."""
    return f"{100 * confidence:.6g}\u00a0%"


MISSING = Markup('<span class="missing">–</span>')


def say(sentence: str, **parts: Any) -> Markup:
    """Fill parts into a sentence of picme's own; parts that are not Markup are escaped."""
    return Markup(sentence).format(**parts)


def text_of(markup: str) -> str:
    """Return the sentence as plain text."""
    return Markup(markup).striptags()


def missing(value: Any) -> bool:
    """Return whether a number is undefined: None or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def number(value: Any, source: str, digits: int = 2, suffix: str = "", scale: float = 1) -> Markup:
    """Return a number with fixed decimals.

    Args:
        value: the table's value; None or NaN is printed as a dash.
        source: `table.column` or `derived:table`.
        digits: the number of decimals.
        suffix: unit after the number, such as `" %"`.
        scale: factor between the table's unit and the printed one.
    """
    if missing(value):
        return MISSING
    shown = f"{value * scale:.{digits}f}"
    if float(shown) == 0:
        shown = shown.removeprefix("-")
    return Markup('<data value="{}" data-from="{}">{}{}</data>').format(
        repr(value), source, shown.replace("-", "−"), suffix.replace(" ", "\u00a0")
    )


def percent(value: Any, source: str, digits: int = 1, sign: bool = True) -> Markup:
    """Return a fraction in percent."""
    return number(value, source, digits, " %" if sign else "", 100)


def points(value: Any, source: str, digits: int = 1) -> Markup:
    """Return a difference of fractions in percentage points, unsigned (the sentence says which is larger)."""
    return number(None if missing(value) else abs(value), source, digits, scale=100)


def signed(value: Any, source: str, digits: int = 1) -> Markup:
    """Return a difference of fractions in percentage points with its sign."""
    if missing(value):
        return MISSING
    shown = f"{value * 100:+.{digits}f}".replace("-", "−")
    if not shown.strip("+−0."):
        shown = shown[1:]
    return Markup('<data value="{}" data-from="{}">{}</data>').format(repr(value), source, shown)


def count(value: Any, source: str) -> Markup:
    """Return a whole number with thin spaces between thousands."""
    if missing(value):
        return MISSING
    return Markup('<data value="{}" data-from="{}">{}</data>').format(
        repr(int(value)), source, f"{int(value):,}".replace(",", "\u202f")
    )


def p_value(value: Any, source: str) -> Markup:
    """Return a p-value with three decimals, or `< 0.001`."""
    if missing(value):
        return MISSING
    shown = "< 0.001" if value < 0.001 else f"{value:.3f}"
    return Markup('<data value="{}" data-from="{}">{}</data>').format(repr(value), source, shown)


def seconds(value: Any, source: str) -> Markup:
    """Return a duration in seconds, minutes or hours, whichever reads best."""
    if missing(value):
        return MISSING
    unit, scale = ("s", 1.0) if value < 120 else ("min", 60.0) if value < 7200 else ("h", 3600.0)
    return number(value, source, 1, f" {unit}", 1 / scale)


def why_missing(reason: str | None) -> Markup:
    """Return a dash for a number that cannot be had, with the reason where it is known."""
    return say('<span class="missing">– {why}</span>', why=reason) if reason else MISSING


def interval(low: Any, high: Any, source: str, reason: str | None = None) -> Markup:
    """Return the two ends of an interval of fractions, in percent; where an end is undefined, the reason."""
    if missing(low) or missing(high):
        return why_missing(reason)
    return say(
        "{low}–{high}",
        low=percent(low, f"{source}_low", sign=False),
        high=percent(high, f"{source}_high", sign=False),
    )


def many(value: int, source: str, one: str, more: str) -> Markup:
    """Return a count with its noun in the right number: `1 group`, `2 groups`."""
    return say("{n} {noun}", n=count(value, source), noun=one if value == 1 else more)
