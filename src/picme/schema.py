"""Data structures that a source hands to the cohort: rows of each modality, views, and tables about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import polars as pl


# Names of the splits, in their order.
SPLITS = ("train", "val", "test")
# Prefixes of the columns that say whether, and how long ago, a variable of a time series was measured.
MASK, SINCE = "mask->", "since->"
# Prefix of the columns of a view's stays that say when the newest thing used of a modality became known.
LATEST = "latest_"


@dataclass
class SeriesRows:
    """A time-series modality of every stay, hour by hour, before normalisation.

    `values` is (sum of lengths, column) float32, stays one after the other; `lengths` is (stay,) in hours, 0 where
    the modality is absent. `continuous[c]` says that column c is standardised with training statistics; the others
    (one-hot categories, observed masks) stay as they are.

    A numeric variable `x` is column `x`, a category y of it is column `x->y`. Where there is a column `mask->x`, it is
    1 in hours in which `x` was measured (in others the value is carried forward); `since->x` holds the days since.
    """

    values: np.ndarray
    lengths: np.ndarray
    columns: list[str]
    continuous: list[bool]


@dataclass
class TextRows:
    """A text modality: one text per stay, None where absent."""

    texts: list[str | None]


@dataclass
class ImageRows:
    """An image modality: one file per stay, None where absent.

    `others` has for each stay the files that take its place, in this order, if it cannot be decoded.
    """

    paths: list[Path | None]
    others: list[tuple[Path, ...]] | None = None


@dataclass
class TableRows:
    """A tabular modality: one row per stay in the stays' order; numeric columns are standardised, text is categories.

    `present` is (stay,) bool. Nulls in a present row are allowed. `words` are the same cells as text, where a source
    has them as text: a finished study reads them by its own types, whatever they look like in a new file.
    """

    frame: pl.DataFrame
    present: np.ndarray
    words: pl.DataFrame | None = None


Rows = SeriesRows | TextRows | ImageRows | TableRows


@dataclass
class View:
    """One observation window over stays: that of a task, or the one for pretraining.

    `stays` has one row per stay, sorted by stay_id: stay_id, subject_id, the group columns, the label columns
    (0, 1 or null), the column that the splits go by where the configuration names one, and `split` (`train`, `val`,
    `test`) only where the source fixes it. Where a source has times, also `cutoff` and `latest_<modality>` (dates, or
    durations since the start), so that an audit can compare them again; and `predicted`, the prediction time, with
    `seconds_seen` (from the start of the series until then), `died` and `dischtime` (null where it did not happen or is
    unknown), so that it sees which series go on after it and who was gone by then.

    `alternatives` are text modalities as another preset would have chosen them: preset → modality → rows.
    """

    name: str
    stays: pl.DataFrame
    labels: list[str]
    groups: list[str]
    modalities: dict[str, Rows]
    alternatives: dict[str, dict[str, Rows]] = field(default_factory=dict)


@dataclass
class Extraction:
    """Everything that a source hands over: views by name, and tables of what happened on the way.

    Nothing is dropped in silence. Columns of the tables: `flow`: task, step, stays, subjects. `quarantine`: modality,
    reason, count. `label_agreement`: phenotype, positives_a, positives_b, both. `audit`: check, modality, split, count,
    detail, violation (rows that the source alone can see: latest time against the cut-off, discharge-time fields).
    `event_rows`: modality, table, place, rows (each row of an event table in exactly one place).
    """

    views: dict[str, View]
    flow: pl.DataFrame
    quarantine: pl.DataFrame | None = None
    label_agreement: pl.DataFrame | None = None
    audit: pl.DataFrame | None = None
    event_rows: pl.DataFrame | None = None
    notes: list[str] = field(default_factory=list)
