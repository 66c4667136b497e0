"""Presence and selection of stays in the rows of a modality, whatever their kind."""

from __future__ import annotations

import numpy as np

from picme.schema import ImageRows, Rows, SeriesRows, TableRows, TextRows


def present(rows: Rows) -> np.ndarray:
    """Tell which stays have the modality, (stay,) bool."""
    if isinstance(rows, SeriesRows):
        return np.asarray(rows.lengths) > 0
    if isinstance(rows, TextRows):
        return np.array([text is not None for text in rows.texts], dtype=bool)
    if isinstance(rows, ImageRows):
        return np.array([path is not None for path in rows.paths], dtype=bool)
    return np.asarray(rows.present, dtype=bool)


def take(rows: Rows, keep: np.ndarray) -> Rows:
    """Select the rows of the stays where `keep` (stay,) bool is true, in their order."""
    if isinstance(rows, SeriesRows):
        hours = np.repeat(keep, rows.lengths)
        return SeriesRows(rows.values[hours], np.asarray(rows.lengths)[keep], rows.columns, rows.continuous)
    chosen = np.flatnonzero(keep)
    if isinstance(rows, TextRows):
        return TextRows([rows.texts[i] for i in chosen])
    if isinstance(rows, ImageRows):
        others = None if rows.others is None else [rows.others[i] for i in chosen]
        return ImageRows([rows.paths[i] for i in chosen], others)
    words = None if rows.words is None else rows.words[chosen]
    return TableRows(rows.frame[chosen], np.asarray(rows.present)[keep], words)
