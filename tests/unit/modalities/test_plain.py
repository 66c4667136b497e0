"""What the leakage audit reads of each kind of modality: plain columns or words, null where the modality is absent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from PIL import Image

from picme.modalities import KINDS
from picme.schema import ImageRows, SeriesRows, TableRows, TextRows

if TYPE_CHECKING:
    from pathlib import Path

    from picme.modalities.base import Modality
    from picme.schema import Rows

NONE = 1


def written(kind: str, rows: Rows, folder: Path, **options: object) -> Modality:
    loaded = KINDS.load(kind)
    loaded.write(rows, folder / "view", folder / "pool", **options)
    modality: Modality = loaded.open(folder / "view", folder / "pool")
    return modality


def test_a_series_shows_its_extremes_its_last_hour_and_its_length(tmp_path: Path) -> None:
    values = np.array([[3, 1], [np.nan, 0], [7, 0], [5, 1], [2, 1]], dtype=np.float32)
    series = SeriesRows(values, np.array([4, 0, 1]), ["hr", "mask->hr"], [True, False])
    plain = written("timeseries", series, tmp_path).plain(np.array([0, 1, 2]))
    assert plain.columns == ["minimum of hr", "maximum of hr", "last of hr", "mean of mask->hr", "hours"]
    assert plain.rows() == [(3, 7, 5, 0.5, 4), (None,) * 5, (2, 2, 2, 1, 1)]


def test_an_image_shows_the_brightness_of_its_fields(tmp_path: Path) -> None:
    pixels = np.zeros((32, 32), np.uint8)
    pixels[4:8, 28:] = 200
    Image.fromarray(pixels).save(tmp_path / "a.png")
    plain = written("image", ImageRows([tmp_path / "a.png", None]), tmp_path, size=32).plain(np.array([0, NONE]))
    assert plain.width == 64 and plain.row(NONE) == (None,) * 64
    assert {name: value for name, value in plain.row(0, named=True).items() if value} == {"field 2.8": 200.0}


def test_a_table_shows_its_cells_and_a_text_its_words(tmp_path: Path) -> None:
    table = TableRows(pl.DataFrame({"age": [60.0, 70.0], "unit": ["MICU", "SICU"]}), np.array([True, False]))
    tabular = written("tabular", table, tmp_path / "table")
    assert tabular.plain(np.array([1, 0])).rows() == [(None, None), (60.0, "MICU")]
    assert tabular.words(np.array([0])) == []
    text = written("text", TextRows(["first", None, "first"]), tmp_path / "text")
    assert text.words(np.array([2, NONE])) == ["first", None] and text.plain(np.array([0])).width == 0
