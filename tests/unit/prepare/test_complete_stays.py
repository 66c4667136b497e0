"""Complete stays to train on, where a study asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from picme.errors import DataError
from picme.prepare.presence import check_complete

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("rows", "lacking"),
    [
        ([("died", "train", "b+a", 3), ("died", "val", "a+b", 1)], None),
        ([("died", "train", "a+b", 3), ("died", "test", "a+b", 9), ("died", "val", "a", 9)], "in split 'val'"),
        ([("died", "train", "", 3), ("died", "val", "a+b", 1)], "died has none in split 'train'"),
    ],
)  # fmt: skip
def test_a_task_without_complete_stays_is_told(
    tmp_path: Path, rows: list[tuple[str, str, str, int]], lacking: str | None
) -> None:
    table = pl.DataFrame(rows, schema=["task", "split", "modalities", "stays"], orient="row")
    table.write_parquet(tmp_path / "presence.parquet")
    if lacking is None:
        check_complete(tmp_path, ["a", "b"])
        return
    with pytest.raises(DataError, match=lacking):
        check_complete(tmp_path, ["a", "b"])
