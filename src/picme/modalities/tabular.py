"""Modality of tables: one row per stay, with numbers standardised and categories one-hot encoded."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import polars as pl
import torch

from picme.engine.memory import check_memory
from picme.errors import DataError
from picme.modalities.base import Misfit, Modality, load_array, missing_or_order
from picme.modalities.conform import conform_table
from picme.modalities.summaries import unknown
from picme.modalities.units import FEW, distribution, other_units
from picme.schema import TableRows
from picme.sources.cells import MOST_ODD, numbers, patterns, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from picme.modalities.match import Match
    from picme.modalities.summaries import Summary
    from picme.schema import Rows

OTHER, MISSING = "other", "missing"


class TabularModality(Modality):
    """Modality with one row of a table, numbers and categories, per stay.

    Files: `table.parquet` with one row per stay, `present.npy` (stay,) bool, and where the source has them the cells'
    texts, `words.parquet`: statistics say of what type each column is, and new stays are read as of that type.

    Encoded, a numeric column becomes two: value and missing indicator. A text column becomes one column for each
    category common in training, one for all others (rare there, or never seen) and one for missing. Truth values are
    categories.
    """

    default_encoder: ClassVar[str] = "mlp"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.frame = pl.read_parquet(folder / "table.parquet")
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(
                f"{folder / 'table.parquet'} cannot be read: expected a table written by `prepare`"
            ) from error
        self.present = load_array(folder / "present.npy", mapped=False)
        if len(self.present) != len(self.frame):
            raise DataError(f"{folder}: table.parquet and present.npy do not belong together")
        texts = folder / "words.parquet"
        self.written = pl.read_parquet(texts) if texts.is_file() else None
        self.columns: list[str] = []
        self._statistics: dict[str, Any] | None = None
        self._encoded: np.ndarray | None = None

    @staticmethod
    def write_views(rows: Mapping[str, Rows], folders: Mapping[str, Path], pool: Path, **options: Any) -> pl.DataFrame:  # noqa: D102
        for view, table in rows.items():
            if not isinstance(table, TableRows):
                raise DataError(f"a tabular modality needs TableRows, not {type(table).__name__}")
            if len(table.frame) != len(table.present):
                raise DataError(f"a table of {len(table.frame)} rows does not fit {len(table.present)} stays")
            if not table.frame.width:
                raise DataError("a tabular modality needs at least one column")
            folder = folders[view]
            folder.mkdir(parents=True, exist_ok=True)
            plain = table.frame.select(_plain(table.frame[name]) for name in table.frame.columns)
            plain.write_parquet(folder / "table.parquet")
            if table.words is not None:
                table.words.write_parquet(folder / "words.parquet")
            np.save(folder / "present.npy", np.asarray(table.present, dtype=bool))
        return pl.DataFrame(schema={"reason": pl.String, "count": pl.Int64})

    @classmethod
    def open(cls, folder: Path, pool: Path) -> Self:  # noqa: D102
        return cls(folder)

    def fit(self, train_rows: np.ndarray) -> dict[str, Any]:
        """Compute means and deviations of numbers, and common categories of texts, from present training stays.

        A category is common if at least 1 % of the training stays have it; this threshold is at least 2 and at most 10
        stays.
        """
        rows = np.asarray(train_rows)
        rows = rows[self.present[rows]]
        train = self.frame[np.sort(rows)]
        least = max(2, min(10, math.ceil(0.01 * len(train))))
        columns: list[dict[str, Any]] = []
        for name in self.frame.columns:
            values = train[name].drop_nulls()
            if self.frame.schema[name].is_numeric():
                finite = _finite(values)
                mean = float(finite.mean()) if len(finite) else 0.0
                deviation = float(finite.std()) if len(finite) else 1.0
                spread = deviation > 1e-6 * max(1.0, abs(mean))
                columns.append(
                    {
                        "name": name,
                        "mean": mean,
                        "std": deviation if spread else 1.0,
                        "distribution": distribution(finite),
                    }
                )
            else:
                counts = values.value_counts()
                common = counts.filter(pl.col("count") >= least)[name].sort().to_list()
                known = counts.filter(pl.col("count") >= least)["count"].sum() / max(len(values), 1)
                columns.append({"name": name, "categories": common, "unknown": 1 - float(known)})
        return {"columns": columns}

    def with_statistics(self, statistics: Mapping[str, Any]) -> Self:  # noqa: D102
        names = [column["name"] for column in statistics["columns"]]
        if names != self.frame.columns:
            raise DataError(f"{self.folder} has other columns than the table its statistics were made from")
        widths = {column["name"]: len(column.get("categories", ())) + 2 for column in statistics["columns"]}
        widest = max(widths, key=lambda name: widths[name])
        size = len(self.frame) * sum(widths.values()) * np.dtype(np.float32).itemsize
        check_memory(
            2 * size,  # the columns one by one, and all together
            f"a table with {sum(widths.values()):,} columns once its categories have one each",
            f"leave out columns of many categories, most of all {widest!r} with {widths[widest]:,}",
        )
        parts: list[np.ndarray] = []
        titles: list[str] = []
        for column in statistics["columns"]:
            encoded, labels = _encode(self.cells(column), column)
            parts.append(encoded)
            titles += labels
        new = copy.copy(self)
        new._statistics = dict(statistics)
        new._encoded = np.concatenate(parts, axis=1) * self.present[:, None].astype(np.float32)
        new.columns = titles
        return new

    def cells(self, column: Mapping[str, Any]) -> pl.Series:
        """Return a column as its statistics say: Float64, or text."""
        name, text = column["name"], "categories" in column
        cells = self.frame[name]
        if text == (cells.dtype == pl.String):
            return cells
        source = cells if self.written is None else self.written[name]
        return words(source) if text else numbers(source).values

    def misfits(self, statistics: Mapping[str, Any], rows: np.ndarray) -> Iterator[Misfit]:  # noqa: D102
        names = [column["name"] for column in statistics["columns"]]
        if names != self.frame.columns:
            lacking = [name for name in names if name not in self.frame.columns]
            yield Misfit(f"it has other columns than the model's, {missing_or_order(lacking)}")
            return
        rows = np.asarray(rows)[self.present[rows]]
        for column in statistics["columns"]:
            name, cells = column["name"], self.cells(column)[rows]
            source = self.frame[name][rows] if self.written is None else self.written[name][rows]
            filled = int(words(source).is_not_null().sum())
            if "categories" in column:
                known = [*column["categories"], *(f"{one}.0" for one in column["categories"])]
                new = int((~cells.drop_nulls().is_in(known)).sum())
                far = filled >= FEW and new > (column["unknown"] + MOST_ODD) * filled
                if new > column["unknown"] * filled:
                    yield Misfit(f"{new} of {filled} cells of column {name!r} hold a category unknown in training", far)
                continue
            odd_cells = numbers(source).odd
            if odd_cells.any():
                look = next(iter(patterns(source, odd_cells)))
                said = f"{int(odd_cells.sum())} of {filled} cells of column {name!r} are no number (like {look})"
                yield Misfit(said, int(odd_cells.sum()) > MOST_ODD * filled)
            found = other_units(column["distribution"], column["std"], distribution(_finite(cells)))
            if found is not None:
                yield Misfit(f"column {name!r} has {found}")

    def spec(self) -> dict[str, Any]:
        """Return `n_columns`, the number of columns after encoding."""
        return {"n_columns": self._matrix().shape[1]}

    def batch(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """Return `values` (batch, encoded column) float32, 0 where absent."""
        return {"values": torch.from_numpy(self._matrix()[np.asarray(rows)])}

    def plain(self, rows: np.ndarray) -> pl.DataFrame:  # noqa: D102
        rows = np.asarray(rows)
        return self.frame[rows].select(
            pl.when(pl.Series(self.present[rows])).then(pl.col(name)).alias(name) for name in self.frame.columns
        )

    def summary(self, learnt: Mapping[str, np.ndarray]) -> Summary:
        """Return numbers as they are, and of a text the number of its category among those common in training.

        Other categories have one number together, the greatest; what is not known is NaN.
        """
        if self._statistics is None:
            raise DataError(f"{self.folder} is summarised with training statistics: call with_statistics first")
        columns = self._statistics["columns"]
        values = np.full((len(self), len(columns)), np.nan, np.float32)
        for place, column in enumerate(columns):
            cells = self.cells(column)
            if "categories" not in column:
                numeric = cells.to_numpy().astype(np.float64)
                values[:, place] = np.where(np.isfinite(numeric), numeric, np.nan)
                continue
            numbers = {category: number for number, category in enumerate(column["categories"])}
            known = [None if one is None else numbers.get(one, numbers.get(_whole(one))) for one in cells.to_list()]
            other = np.where(cells.is_not_null().to_numpy(), len(numbers), np.nan)
            values[:, place] = [other[row] if one is None else one for row, one in enumerate(known)]
        values[~self.present] = np.nan
        names = [column["name"] for column in columns]
        return unknown(values, names, np.array(["categories" in column for column in columns], bool))

    def conform(  # noqa: D102
        self, statistics: Mapping[str, Any], own: str, given: Mapping[str, Self]
    ) -> tuple[TableRows | None, list[Match]]:
        return conform_table(self, statistics, own, given)

    def _matrix(self) -> np.ndarray:
        if self._encoded is None:
            raise DataError(f"{self.folder} is encoded with training statistics: call with_statistics first")
        return self._encoded

    def _recipe(self) -> tuple[Any, ...]:
        return self.folder, self._statistics

    @classmethod
    def _from_recipe(cls, folder: Path, statistics: dict[str, Any] | None) -> TabularModality:
        modality = cls(folder)
        return modality if statistics is None else modality.with_statistics(statistics)


def _plain(column: pl.Series) -> pl.Series:
    """Convert numbers to float64 and everything else to text; an empty text is missing."""
    if column.dtype.is_numeric():
        return column.cast(pl.Float64).fill_nan(None)
    if column.dtype.is_temporal() or column.dtype.is_nested():
        raise DataError(
            f"column {column.name!r} of a tabular modality is {column.dtype}, expected numbers or categories"
        )
    text = column.cast(pl.String).str.strip_chars()
    return text.set(text == "", None)


def _finite(values: pl.Series) -> np.ndarray:
    known = values.drop_nulls()
    return known.filter(known.is_finite()).to_numpy().astype(np.float64)


def _whole(text: str) -> str:
    """Leave out the decimals that data frames put behind whole numbers in a column with gaps."""
    return text.removesuffix(".0")


def _encode(column: pl.Series, statistics: Mapping[str, Any]) -> tuple[np.ndarray, list[str]]:
    """Encode a column as (stay, new column) float32; return it with the new columns' names."""
    name = statistics["name"]
    if "categories" not in statistics:
        values = column.to_numpy().astype(np.float64)
        known = np.isfinite(values)
        scaled = np.where(known, (np.where(known, values, 0) - statistics["mean"]) / statistics["std"], 0)
        return np.stack([scaled, ~known], axis=1).astype(np.float32), [name, f"{name}={MISSING}"]
    categories: list[str] = statistics["categories"]
    places = {category: place for place, category in enumerate(categories)}
    texts = column.to_list()
    hot = np.zeros((len(texts), len(categories) + 2), dtype=np.float32)
    for row, text in enumerate(texts):
        place = len(categories) + 1 if text is None else places.get(text, places.get(_whole(text), len(categories)))
        hot[row, place] = 1
    return hot, [f"{name}={label}" for label in [*categories, OTHER, MISSING]]
