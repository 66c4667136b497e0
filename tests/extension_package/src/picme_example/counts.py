"""A kind of modality, `counts`: how often each event (a drug, a procedure) was recorded for a stay."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl

from picme.modalities.base import Modality, load_array
from picme.schema import TableRows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

    from picme.schema import Rows
    from picme.sources.table_kinds import Read, Request


class CountsModality(Modality):
    """Counts of events, (stay, event), read from a file with one event a row.

    Files: `counts.npy` (stay, event) float32, `present.npy` (stay,) bool, `events.json` with the events' names.
    """

    default_encoder = "bag"
    many_rows = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counts = load_array(folder / "counts.npy")
        self.present = load_array(folder / "present.npy", mapped=False)
        self._statistics: dict[str, Any] | None = None

    @staticmethod
    def read_table(request: Request) -> Read:
        """Read the columns that the configuration names as `hours` and `variable`; count events up to a time."""
        file, where = request.file, f"modalities.{request.name}"
        rows = pl.DataFrame(
            {
                "id": file.ids.cast(request.samples.dtype, strict=False),
                "hours": file.column(request.option("hours"), where).cast(pl.Float64, strict=False),
                "event": file.column(request.option("variable"), where).cast(pl.String),
            }
        )
        usable = rows.drop_nulls()
        request.counts[request.name, "event without id, hours or name"] += rows.height - usable.height
        names = usable["event"].unique().sort().to_list()

        def up_to(hours: float | None) -> TableRows:
            seen = usable if hours is None else usable.filter(pl.col("hours") <= hours)
            each = seen.group_by("id").agg((pl.col("event") == name).sum().alias(name) for name in names)
            frame = pl.DataFrame({"id": request.samples}).join(each, on="id", how="left", maintain_order="left")
            present = frame[names[0]].is_not_null().to_numpy()
            return TableRows(frame.select(pl.col(names).fill_null(0)), present)

        return up_to

    @staticmethod
    def write_views(rows: Mapping[str, Rows], folders: Mapping[str, Path], pool: Path, **options: Any) -> pl.DataFrame:
        """Write the arrays of each view; nothing is left out."""
        for view, table in rows.items():
            assert isinstance(table, TableRows)
            folder = folders[view]
            folder.mkdir(parents=True, exist_ok=True)
            np.save(folder / "counts.npy", table.frame.to_numpy().astype(np.float32))
            np.save(folder / "present.npy", table.present)
            (folder / "events.json").write_text(json.dumps(table.frame.columns), encoding="utf-8")
        return pl.DataFrame(schema={"reason": pl.String, "count": pl.Int64})

    @classmethod
    def open(cls, folder: Path, pool: Path) -> Self:
        """Open what `write_views` left."""
        return cls(folder)

    def fit(self, train_rows: np.ndarray) -> dict[str, Any]:
        """The mean and standard deviation of each event's log count among training stays."""
        logs = np.log1p(self.counts[train_rows])
        return {"mean": logs.mean(0).tolist(), "std": logs.std(0).tolist()}

    def with_statistics(self, statistics: Mapping[str, Any]) -> Self:
        """The same modality, standardised with `fit`'s statistics."""
        new = copy.copy(self)
        new._statistics = dict(statistics)
        return new

    def spec(self) -> dict[str, Any]:
        """The number of events, which the encoder has to know."""
        return {"n_events": self.counts.shape[1]}

    def batch(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """`values` (batch, event): standardised log counts; 0 in an absent row, and for what training never saw."""
        import torch

        assert self._statistics is not None
        mean, std = (np.asarray(self._statistics[name], np.float32) for name in ("mean", "std"))
        scaled = (np.log1p(self.counts[rows]) - mean) / np.where(std > 0, std, 1)
        known = self.present[rows][:, None] & (std > 0)
        return {"values": torch.from_numpy(np.where(known, scaled, 0).astype(np.float32))}

    def _recipe(self) -> tuple[Any, ...]:
        return self.folder, self._statistics

    @classmethod
    def _from_recipe(cls, folder: Path, statistics: dict[str, Any] | None) -> CountsModality:
        opened = cls(folder)
        return opened if statistics is None else opened.with_statistics(statistics)
