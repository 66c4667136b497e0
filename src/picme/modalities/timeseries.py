"""Modality of time series: the hours of all stays, one stay after the other in one memory-mapped array."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import polars as pl
import torch

from picme.errors import DataError
from picme.modalities.base import Misfit, Modality, load_array, missing_or_order
from picme.modalities.conform import conform_series
from picme.modalities.summaries import series_summary
from picme.modalities.units import distribution, other_units
from picme.schema import MASK, SINCE, SeriesRows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from picme.modalities.match import Match
    from picme.modalities.summaries import Summary
    from picme.schema import Rows

# Number of hours read at a time when statistics are computed: some tens of megabytes.
CHUNK = 100_000
# Number of hours of which quantiles are taken; more would change no digit that is shown.
DESCRIBED = 200_000


class SeriesModality(Modality):
    """Modality with one time series, in hourly rows, per stay.

    Files: `values.npy` (sum of lengths, column) float32, `offsets.npy` (stay + 1,), `columns.json`.

    A value that is not finite stands for a gap: it becomes the column's training mean, 0 after normalisation.
    """

    default_encoder: ClassVar[str] = "lstm"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.values = load_array(folder / "values.npy")
        self.offsets = load_array(folder / "offsets.npy", mapped=False)
        about = json.loads((folder / "columns.json").read_text(encoding="utf-8"))
        self.columns: list[str] = about["columns"]
        self.continuous = np.array(about["continuous"], dtype=bool)
        if self.values.shape != (self.offsets[-1], len(self.columns)):
            raise DataError(f"{folder}: values.npy, offsets.npy and columns.json do not belong together")
        self.lengths: np.ndarray = np.diff(self.offsets)
        self.present = self.lengths > 0
        self._shift = np.zeros(len(self.columns), dtype=np.float32)
        self._scale = np.ones(len(self.columns), dtype=np.float32)
        self._statistics: dict[str, Any] | None = None

    @staticmethod
    def write_views(rows: Mapping[str, Rows], folders: Mapping[str, Path], pool: Path, **options: Any) -> pl.DataFrame:  # noqa: D102
        for view, series in rows.items():
            if not isinstance(series, SeriesRows):
                raise DataError(f"a timeseries modality needs SeriesRows, not {type(series).__name__}")
            if len(series.values) != int(np.sum(series.lengths)) or series.values.shape[1:] != (len(series.columns),):
                raise DataError(
                    f"series of shape {series.values.shape} do not fit {int(np.sum(series.lengths))} hours "
                    f"of {len(series.columns)} columns"
                )
            folder = folders[view]
            folder.mkdir(parents=True, exist_ok=True)
            np.save(folder / "values.npy", np.ascontiguousarray(series.values, dtype=np.float32))
            np.save(folder / "offsets.npy", np.concatenate([[0], np.cumsum(series.lengths)]).astype(np.int64))
            about = {"columns": list(series.columns), "continuous": [bool(flag) for flag in series.continuous]}
            (folder / "columns.json").write_text(json.dumps(about), encoding="utf-8")
        return pl.DataFrame(schema={"reason": pl.String, "count": pl.Int64})

    @classmethod
    def open(cls, folder: Path, pool: Path) -> Self:  # noqa: D102
        return cls(folder)

    def fit(self, train_rows: np.ndarray) -> dict[str, Any]:
        """Compute mean and standard deviation of the continuous columns over all hours of the training stays.

        Gaps are left out; a column without spread keeps its scale (standard deviation 1). Other columns have 0 and 1.
        """
        count, total = np.zeros(len(self.columns)), np.zeros(len(self.columns))
        for values, finite in self._chunks(train_rows):
            count += finite.sum(axis=0)
            total += np.where(finite, values, 0).sum(axis=0)
        mean = total / np.maximum(count, 1)
        square = np.zeros(len(self.columns))
        for values, finite in self._chunks(train_rows):
            # Deviations from the mean are summed, because the difference of two large sums would lose the spread.
            square += np.where(finite, values - mean, 0).__pow__(2).sum(axis=0)
        deviation = np.sqrt(square / np.maximum(count, 1))
        deviation[~(deviation > 1e-6 * np.maximum(1, np.abs(mean)))] = 1
        return {
            "columns": self.columns,
            "mean": np.where(self.continuous, mean, 0).tolist(),
            "std": np.where(self.continuous, deviation, 1).tolist(),
            "distributions": self._distributions(train_rows),
        }

    def misfits(self, statistics: Mapping[str, Any], rows: np.ndarray) -> Iterator[Misfit]:  # noqa: D102
        if list(statistics["columns"]) != self.columns:
            lacking = [name for name in statistics["columns"] if name not in self.columns]
            yield Misfit(f"it has other columns than the model's, {missing_or_order(lacking)}")
            return
        given = self._distributions(rows)
        for name, std, old, new in zip(
            self.columns, statistics["std"], statistics["distributions"], given, strict=True
        ):
            found = other_units(old, std, new)
            if found is not None:
                yield Misfit(f"column {name!r} has {found}")

    def _distributions(self, rows: np.ndarray) -> list[dict[str, Any]]:
        """Describe each continuous column by the hours of stays, of some where there are many; others have none."""
        rows = np.asarray(rows)[self.present[rows]]
        step = max(1, int(self.lengths[rows].sum()) // DESCRIBED)
        rows = np.sort(rows)[::step]
        hours = [self.values[self.offsets[row] : self.offsets[row + 1]] for row in rows]
        values = np.concatenate(hours) if hours else np.empty((0, len(self.columns)), np.float32)
        stay = np.repeat(np.arange(len(rows)), self.lengths[rows])
        found = []
        for column, continuous in enumerate(self.continuous):
            known = np.isfinite(values[:, column]) & continuous
            found.append(distribution(values[known, column].astype(np.float64), len(np.unique(stay[known]))))
        return found

    def with_statistics(self, statistics: Mapping[str, Any]) -> Self:  # noqa: D102
        if list(statistics["columns"]) != self.columns:
            raise DataError(f"{self.folder} has other columns than the series its statistics were made from")
        new = copy.copy(self)
        new._statistics = dict(statistics)
        new._scale = (1 / np.asarray(statistics["std"])).astype(np.float32)
        new._shift = np.asarray(statistics["mean"], dtype=np.float32)
        return new

    def spec(self) -> dict[str, Any]:
        """Return `n_columns`, and the roles of the columns; see `column_roles`."""
        return {"n_columns": len(self.columns), **column_roles(self.columns)}

    def batch(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """Return `values` (batch, hour, column) float32, 0 beyond the end; `lengths` (batch,) int64, 1 where absent."""
        rows = np.asarray(rows)
        lengths = np.maximum(self.lengths[rows], 1)
        values = np.zeros((len(rows), int(lengths.max(initial=1)), len(self.columns)), dtype=np.float32)
        for place, row in enumerate(rows):
            if self.present[row]:
                hours = self.values[self.offsets[row] : self.offsets[row + 1]]
                np.subtract(hours, self._shift, out=values[place, : len(hours)])
                values[place, : len(hours)] *= self._scale
        np.nan_to_num(values, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        return {"values": torch.from_numpy(values), "lengths": torch.from_numpy(lengths)}

    def plain(self, rows: np.ndarray) -> pl.DataFrame:
        """Return minimum, maximum and last value of each continuous column, the mean of others, and the hours."""
        found = np.full((len(rows), 3, len(self.columns)), np.nan)
        for place, row in enumerate(rows):
            hours = self.values[self.offsets[row] : self.offsets[row + 1]]
            if len(hours):
                hours = np.where(np.isfinite(hours), hours, np.nan)
                found[place] = np.fmin.reduce(hours), np.fmax.reduce(hours), hours[-1]
                found[place, 0, ~self.continuous] = hours[:, ~self.continuous].mean(axis=0)
        columns = {
            f"{kind} of {name}": found[:, number, place]
            for place, name in enumerate(self.columns)
            for number, kind in enumerate(("minimum", "maximum", "last") if self.continuous[place] else ("mean",))
        }
        lengths = np.where(self.present, self.lengths, np.nan)[np.asarray(rows)]
        return pl.DataFrame({**columns, "hours": lengths}).fill_nan(None)

    def summary(self, learnt: Mapping[str, np.ndarray]) -> Summary:
        """Return statistics of each variable over the hours in which it was measured; see `series_summary`."""
        return series_summary(self.values, self.offsets, self.columns)

    def conform(  # noqa: D102
        self, statistics: Mapping[str, Any], own: str, given: Mapping[str, Self]
    ) -> tuple[SeriesRows | None, list[Match]]:
        return conform_series(self, own, given)

    def _chunks(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield hours of some stays in float64 and which values are finite, a limited number of hours at a time."""
        together: list[np.ndarray] = []
        hours = 0
        rows = np.sort(np.asarray(rows))
        for place, row in enumerate(rows):
            together.append(self.values[self.offsets[row] : self.offsets[row + 1]])
            hours += len(together[-1])
            if hours and (hours >= CHUNK or place == len(rows) - 1):
                values = np.concatenate(together).astype(np.float64)
                yield values, np.isfinite(values)
                together, hours = [], 0

    def _recipe(self) -> tuple[Any, ...]:
        return self.folder, self._statistics

    @classmethod
    def _from_recipe(cls, folder: Path, statistics: dict[str, Any] | None) -> SeriesModality:
        modality = cls(folder)
        return modality if statistics is None else modality.with_statistics(statistics)


def column_roles(columns: Sequence[str]) -> dict[str, list[int]]:
    """Find which columns of a series hold values, and which columns describe them.

    Returns:
        Three lists of one length: `values`, the indices of value columns; `masks`, for each of them the index of the
        column that is 1 where it was measured, and `since`, that of the days since; -1 where the series has none.
    """
    places = {name: index for index, name in enumerate(columns)}
    names = [name for name in columns if not name.startswith((MASK, SINCE))]

    def beside(prefix: str) -> list[int]:
        # A category `x->y` belongs to the variable `x`.
        return [places.get(prefix + name, places.get(prefix + name.split("->")[0], -1)) for name in names]

    return {"values": [places[name] for name in names], "masks": beside(MASK), "since": beside(SINCE)}
