"""Modalities of another source, rewritten to have the variables of a model's modality in the model's order and form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

from picme.errors import DataError
from picme.modalities.match import Match, find_variables
from picme.modalities.quantities import Quantity, conversion, quantity
from picme.schema import MASK, SINCE, SeriesRows, TableRows
from picme.sources.hourly import series
from picme.sources.physionet2012 import LOG_OFFSET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from picme.modalities.tabular import TabularModality
    from picme.modalities.timeseries import SeriesModality

# Stays of a model that are looked at for the value that stands before a variable's first measurement.
LOOKED_AT = 2_000
WORDS = (("female", "f", "woman"), ("male", "m", "man"))
"""Words that mean the same category."""
UNKNOWN = ("unknown", "", "none", "nan")


class Grid(NamedTuple):
    """The measurements of one variable: numbers, or names of categories, and NaN or None where there is none.

    Attributes:
        values: (hour,) float64 or object.
        categories: its names of categories; empty for a number.
    """

    values: np.ndarray
    categories: tuple[str, ...]


def variables(columns: Sequence[str]) -> dict[str, list[str]]:
    """Return the variables of a series and the value columns of each: itself, or one for each category."""
    found: dict[str, list[str]] = {}
    for column in columns:
        if not column.startswith((MASK, SINCE)):
            found.setdefault(column.partition("->")[0], []).append(column)
    return found


def conform_series(
    model: SeriesModality, own: str, given: Mapping[str, SeriesModality]
) -> tuple[SeriesRows | None, list[Match]]:
    """Return the series of new stays with the columns of a model's, and where each variable came from.

    None stands for the modality of the same name as it is, which has the same columns, and for none at all.

    What was measured is taken, converted, and carried forward as the model's own series are; before the first
    measurement stands what stands there in the model's stays.

    Args:
        model: the modality as the model was trained on it.
        own: its name; the modality of this name is asked first.
        given: the series of the new stays, all of one view.

    Raises:
        DataError: if a variable has another unit without a known conversion, or other categories, or it is not certain
            which one it is.
    """
    wanted = variables(model.columns)
    if not given:
        return None, [Match(variable) for variable in wanted]
    if own in given and given[own].columns == model.columns:
        same = given[own]
        return None, [Match(name, own, name, None, _stays_with(same, name)) for name in wanted]
    found = find_variables(list(wanted), own, {name: list(variables(one.columns)) for name, one in given.items()})
    stays = len(next(iter(given.values())).present)
    lengths = np.zeros(stays, np.int64)
    for place in {place for place, _ in found.values()}:
        lengths = np.maximum(lengths, given[place].lengths)
    starts_of_stays = np.concatenate([[0], np.cumsum(lengths)])
    hours = int(starts_of_stays[-1])
    grid = np.full((hours, len(wanted)), np.nan, np.float32)
    known = np.zeros((stays, len(wanted)), dtype=bool)
    matches = []
    for number, (variable, columns) in enumerate(wanted.items()):
        if variable not in found:
            matches.append(Match(variable))
            continue
        place, name = found[variable]
        source = given[place]
        measured = _measured(source, name)
        values, said = _as_wanted(measured, name, quantity(name), variable, columns)
        of = np.repeat(np.arange(stays), source.lengths)
        hour = np.arange(len(of)) - np.repeat(source.offsets[:-1], source.lengths)
        grid[starts_of_stays[of] + hour, number] = values
        known[of[~np.isnan(values)], number] = True
        matches.append(Match(variable, place, name, said, known[:, number]))
    # A stay without any measurement of the modality lacks it.
    has = known.any(axis=1)
    grid = grid[np.repeat(has, lengths)]
    lengths = np.where(has, lengths, 0)
    start = np.array([_start(model, variable, columns) for variable, columns in wanted.items()])
    return _in_columns(grid, lengths, start, model, wanted), matches


def _stays_with(source: SeriesModality, name: str) -> np.ndarray:
    """Return which stays have any measurement of a variable (stay,) bool."""
    values = _measured(source, name).values
    seen = pl.Series(values).is_not_null().to_numpy() if values.dtype == object else ~np.isnan(values)
    found = np.zeros(len(source.present), dtype=bool)
    found[np.repeat(np.arange(len(found)), source.lengths)[seen]] = True
    return found


def _measured(source: SeriesModality, name: str) -> Grid:
    """Return what was measured of a variable hour by hour, without what was carried forward."""
    columns = variables(source.columns)[name]
    places = [source.columns.index(column) for column in columns]
    mask = f"{MASK}{name}"
    values = np.asarray(source.values[:, places], dtype=np.float64)
    seen = np.isfinite(values).all(axis=1)
    if mask in source.columns:
        seen &= np.asarray(source.values[:, source.columns.index(mask)]) > 0
    if columns == [name]:
        return Grid(np.where(seen, values[:, 0], np.nan), ())
    categories = tuple(column.partition("->")[2] for column in columns)
    chosen = np.full(len(values), None, dtype=object)
    chosen[seen] = np.array(categories, dtype=object)[values[seen].argmax(axis=1)]
    return Grid(chosen, categories)


def _as_wanted(
    grid: Grid, name: str, given: Quantity, variable: str, columns: Sequence[str]
) -> tuple[np.ndarray, str | None]:
    """Return a variable's measurements as the model holds them (hour,): numbers, or places of categories."""
    wanted = quantity(variable)
    if list(columns) != [variable]:
        return _as_categories(grid, name, variable, columns)
    said = []
    if grid.categories:
        try:
            numbers = {category: float(category) for category in grid.categories}
        except ValueError:
            raise DataError(
                f"variable {name!r} has categories that are no numbers, as the model's {variable!r} is"
            ) from None
        values = np.array([np.nan if one is None else numbers[one] for one in grid.values], dtype=np.float64)
        said.append("number of the category")
    else:
        values = grid.values
    scale, shift = conversion(given, wanted, name)
    if given.log and (not wanted.log or (scale, shift) != (1.0, 0.0)):
        values = np.exp(values) - LOG_OFFSET
        said.append("exponential")
    if (scale, shift) != (1.0, 0.0):
        values = scale * values + shift
        said.append(f"{given.unit} to {wanted.unit}")
    if wanted.log and (not given.log or (scale, shift) != (1.0, 0.0)):
        values = np.log(np.maximum(values, 0) + LOG_OFFSET)
        said.append("logarithm")
    return values, ", ".join(said) or None


def _as_categories(grid: Grid, name: str, variable: str, columns: Sequence[str]) -> tuple[np.ndarray, str | None]:
    categories = {column.partition("->")[2].strip().lower(): place for place, column in enumerate(columns)}
    if grid.categories:
        strange = [one for one in grid.categories if one.strip().lower() not in categories]
        if strange:
            raise DataError(f"variable {name!r} has a category {strange[0]!r} that the model's {variable!r} has not")
        found = [np.nan if one is None else categories[one.strip().lower()] for one in grid.values]
        return np.array(found, dtype=np.float64), None
    numbers = {}
    for category, place in categories.items():
        try:
            numbers[float(category)] = place
        except ValueError:
            raise DataError(f"variable {name!r} is a number, the model's {variable!r} has categories") from None
    rounded = np.round(grid.values)
    found = [numbers.get(one, np.nan) for one in rounded]
    return np.array(found, dtype=np.float64), "category of the number"


def _start(model: SeriesModality, variable: str, columns: Sequence[str]) -> float:
    """Return the value, or the place of the category, that the model's stays have before the first measurement."""
    mask = f"{MASK}{variable}"
    if mask not in model.columns:
        return float("nan")
    stays = np.flatnonzero(model.present)[:LOOKED_AT]
    places, at = [model.columns.index(column) for column in columns], model.columns.index(mask)
    for stay in stays:
        hours = model.values[model.offsets[stay] : model.offsets[stay + 1]]
        if hours[0, at] == 0:
            first = np.asarray(hours[0, places])
            return float(first[0]) if len(places) == 1 else float(first.argmax())
    return float("nan")


def _in_columns(
    grid: np.ndarray, lengths: np.ndarray, start: np.ndarray, model: SeriesModality, wanted: Mapping[str, Sequence[str]]
) -> SeriesRows:
    """Return measurements carried forward, in the model's columns."""
    names = list(wanted)
    made = series(grid, lengths, names, start)
    places = {name: place for place, name in enumerate(made.columns)}
    values = np.zeros((len(made.values), len(model.columns)), np.float32)
    for place, column in enumerate(model.columns):
        variable, arrow, _ = column.partition("->")
        if column in places:
            values[:, place] = made.values[:, places[column]]
        elif arrow and variable in places:
            code = wanted[variable].index(column)
            values[:, place] = made.values[:, places[variable]] == code
    return SeriesRows(values, lengths, list(model.columns), [bool(one) for one in model.continuous])


def conform_table(
    model: TabularModality, statistics: Mapping[str, Any], own: str, given: Mapping[str, TabularModality]
) -> tuple[TableRows | None, list[Match]]:
    """Return the table of new stays with the columns of a model's, and where each came from.

    None stands for the table of the same name as it is, which has the same columns, and for none at all.

    Args:
        model: the modality as the model was trained on it.
        statistics: the statistics of its training stays, which name the known categories.
        own: its name; the modality of this name is asked first.
        given: the tables of the new stays, all of one view.

    Raises:
        DataError: if a column has another unit without a known conversion, or it is not certain which one it is.
    """
    names = model.frame.columns
    if not given:
        return None, [Match(name) for name in names]
    if own in given and given[own].frame.columns == names:
        same = given[own]
        filled = {name: (same.frame[name].is_not_null() & pl.Series(same.present)).to_numpy() for name in names}
        return None, [Match(name, own, name, None, filled[name]) for name in names]
    found = find_variables(names, own, {name: one.frame.columns for name, one in given.items()})
    stays = len(next(iter(given.values())).present)
    known = {column["name"]: column.get("categories") for column in statistics["columns"]}
    columns, matches = [], []
    for name, kind in model.frame.schema.items():
        wanted = quantity(name)
        place, source = found.get(name, (None, None))
        if place is None or source is None:
            columns.append(pl.Series(name, [None] * stays, dtype=kind))
            matches.append(Match(name))
            continue
        modality = given[place]
        cells = modality.cells({"name": source, **({} if known[name] is None else {"categories": known[name]})})
        cells, said = _cells(cells, source, wanted, known[name])
        cells = cells.set(~pl.Series(modality.present), None)
        columns.append(cells.alias(name))
        matches.append(Match(name, place, source, said, cells.is_not_null().to_numpy()))
    frame = pl.DataFrame(columns)
    present = frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series().to_numpy()
    return TableRows(frame, present), matches


def _cells(
    cells: pl.Series, source: str, wanted: Quantity, categories: Sequence[str] | None
) -> tuple[pl.Series, str | None]:
    """Return cells in the model's unit, or in its words for categories."""
    if categories is None:
        scale, shift = conversion(quantity(source), wanted, source)
        if (scale, shift) == (1.0, 0.0):
            return cells, None
        return cells.cast(pl.Float64) * scale + shift, f"{quantity(source).unit} to {wanted.unit}"
    spelt = {category.strip().lower(): category for category in categories}
    for group in WORDS:
        meant = next((spelt[word] for word in group if word in spelt), None)
        if meant is not None:
            spelt |= {word: meant for word in group if word not in spelt}
    if not any(word in spelt for word in UNKNOWN):
        spelt |= dict.fromkeys(UNKNOWN)  # type: ignore[arg-type]
    words = cells.cast(pl.String)
    plain = words.str.strip_chars().str.to_lowercase()
    made = [spelt.get(key, word) if key is not None else None for key, word in zip(plain, words, strict=True)]
    changed = pl.Series(cells.name, made, dtype=pl.String)
    return changed, None if changed.equals(words) else "the model's words"
