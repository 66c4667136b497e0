"""A modality's rows for some of the stays."""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING

import numpy as np

from picme.schema import ImageRows, Rows, SeriesRows, TableRows, TextRows

if TYPE_CHECKING:
    import polars as pl


def subset(rows: Rows, kept: pl.Series) -> Rows:
    """The same modality for the stays that are True in `kept` (stay,), in the same order."""
    mask = kept.to_numpy()
    match rows:
        case SeriesRows():
            hours = np.repeat(mask, rows.lengths)
            return SeriesRows(rows.values[hours], rows.lengths[mask], rows.columns, rows.continuous)
        case TableRows():
            return TableRows(rows.frame.filter(kept), rows.present[mask])
        case TextRows():
            return TextRows(list(compress(rows.texts, mask)))
        case ImageRows():
            return ImageRows(list(compress(rows.paths, mask)))
