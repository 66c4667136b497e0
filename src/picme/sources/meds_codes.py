"""Assignment of the codes of a MEDS data set to the items of a channel set, and the codes that feed none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import polars as pl

from picme.errors import ConfigError
from picme.sources.meds_layout import matched

if TYPE_CHECKING:
    from collections.abc import Iterable

    from picme.sources.meds_layout import Layout

ITEMS = {"code": pl.String, "itemid": pl.Int64, "unit": pl.String}


def item_codes(codes: pl.Series, layout: Layout, items: Iterable[Any]) -> pl.DataFrame:
    """Find the codes of items, whether these name a code, a pattern of codes, or an itemid of MIMIC's.

    Args:
        codes: all codes of the data set.
        layout: its pattern of measurements tells the itemid and unit that a code names.
        items: of a channel set: itemid, code, pattern.

    Returns:
        code, itemid, unit (null where the code names none), one row for each code that feeds an item.

    Raises:
        ConfigError: if a code belongs to two items.
    """
    items = list(items)
    named = [one for one in items if one.code is not None or one.pattern is not None]
    parts = [pl.DataFrame(schema=ITEMS)]
    numbers = {one.itemid for one in items} - {one.itemid for one in named}
    if layout.measurements is not None and numbers:
        parts.append(_units(numbered(codes, layout)).filter(pl.col("itemid").is_in(list(numbers))))
    for one in {(one.itemid, one.code, one.pattern) for one in named}:
        itemid, code, pattern = one
        found = matched(codes, pattern if pattern is not None else re.escape(code))
        parts.append(_units(found.with_columns(pl.lit(itemid, pl.Int64).alias("itemid"))))
    table = pl.concat(parts).unique()
    twice = table.filter(pl.col("code").is_duplicated())
    if twice.height:
        raise ConfigError(f"the channel set feeds two items from code {twice['code'][0]!r}; each code has one item")
    return table.sort("code")


def numbered(codes: pl.Series, layout: Layout) -> pl.DataFrame:
    """Find the codes that name an itemid of MIMIC's: code, itemid, and unit where the pattern has it."""
    if layout.measurements is None:
        return pl.DataFrame(schema=ITEMS)
    return matched(codes, layout.measurements).with_columns(pl.col("itemid").cast(pl.Int64, strict=False))


def _units(found: pl.DataFrame) -> pl.DataFrame:
    unit = pl.col("unit") if "unit" in found.columns else pl.lit(None, pl.String).alias("unit")
    return found.select("code", "itemid", unit)
