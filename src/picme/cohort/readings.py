"""Conversion of event rows to numbers in the channels' units: text rules, unit changes, categories, ranges."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from picme.cohort.channel_sets import Channel, ChannelSet, Conversion

# seconds: time after ICU admission. known: time of storage. order: the greatest wins among values of the same time.
MEASUREMENT = np.dtype(
    [("stay", "<u4"), ("seconds", "<i4"), ("known", "<i4"), ("order", "<u8"), ("value", "<f4"), ("channel", "u1")]
)


def distinct(row: np.ndarray) -> int:
    """Count the different numbers among row numbers (n,), which are small."""
    return int(np.count_nonzero(np.bincount(row)))


@dataclass
class Readings:
    """The values that were read from some rows.

    Attributes:
        rows: (measurement,) of dtype MEASUREMENT.
        left_out: reason → measurements left out, or changed to the limit of the possible.
        filled: the number of rows with a value.
        used: the number of rows with at least one measurement.
    """

    rows: np.ndarray
    left_out: Counter[str]
    filled: int
    used: int


class Reader:
    """Converter of the rows of one event table to numbers in the channels' units."""

    def __init__(self, channels: ChannelSet, table: str) -> None:
        self.channels = channels.channels
        self.read = channels.read
        entries = channels.items(table)
        self.itemids = sorted({item.itemid for _, _, item in entries})
        self.entries = pl.DataFrame(
            {
                "itemid": [item.itemid for _, _, item in entries],
                "entry": range(len(entries)),
                "channel": [index for index, _, _ in entries],
                "rank": [rank for _, rank, _ in entries],
            },
            schema={"itemid": pl.Int64, "entry": pl.Int32, "channel": pl.Int32, "rank": pl.Int32},
        )
        self.steps = [
            tuple(steps) for index, _, item in entries for steps in [(item.convert, self.channels[index].convert)]
        ]
        spelled = [(index, text, code) for index, one in enumerate(self.channels) for text, code in one.codes().items()]
        levels = [
            (index, level, one.categories.index(text))
            for index, one in enumerate(self.channels)
            for level, text in one.levels.items()
        ]
        self.spelled = pl.DataFrame(
            spelled, schema={"channel": pl.Int32, "text": pl.String, "code": pl.Float64}, orient="row"
        )
        self.levels = pl.DataFrame(
            levels, schema={"channel": pl.Int32, "number": pl.Float64, "level": pl.Float64}, orient="row"
        )
        self.categorical = np.array([one.kind == "categorical" for one in self.channels])

    def subjects_with_text(self, frame: pl.DataFrame) -> list[int]:
        """List the subjects with a value that is no number (a level charted as a number stands for its text)."""
        categories = set(self.entries.filter(pl.Series(self.categorical[self.entries["channel"].to_numpy()]))["itemid"])
        text = pl.col("value").is_not_null() & (
            pl.col("value").cast(pl.Float64, strict=False).is_null() | pl.col("itemid").is_in(list(categories))
        )
        return frame.filter(text)["subject_id"].unique().to_list()

    def measurements(self, frame: pl.DataFrame) -> Readings:
        """Turn typed rows within stays into measurements, and count by reason the rows that are left out."""
        text = pl.col("value").str.strip_chars()
        frame = frame.select("row", "stay", "seconds", "known", "itemid", "valuenum", "valueuom", text.alias("text"))
        frame = frame.join(self.entries, on="itemid", how="inner").filter(
            pl.col("text").is_not_null() | pl.col("valuenum").is_not_null()
            if self.read == "number"
            else pl.col("text").is_not_null()
        )
        channel = frame["channel"].to_numpy()
        number, left_out = self._numbers(frame, channel)
        usable = ~np.isnan(number)
        rows = np.zeros(int(usable.sum()), MEASUREMENT)
        rows["stay"] = frame["stay"].to_numpy()[usable]
        rows["seconds"] = frame["seconds"].to_numpy()[usable]
        rows["known"] = frame["known"].to_numpy()[usable]
        rows["channel"] = channel[usable]
        rows["value"] = number[usable]
        rows["order"] = self._order(frame, rows, usable)
        row = frame["row"].to_numpy()
        return Readings(rows, left_out, distinct(row), distinct(row[usable]))

    def _numbers(self, frame: pl.DataFrame, channel: np.ndarray) -> tuple[np.ndarray, Counter[str]]:
        """Convert each row to a number in its channel's unit, (row,) float64; NaN where the row is left out."""
        parsed = frame["text"].cast(pl.Float64, strict=False)
        numbers = frame.select(pl.coalesce("valuenum", parsed))["valuenum"] if self.read == "number" else parsed
        number = numbers.to_numpy().astype(np.float64)
        left_out: Counter[str] = Counter()
        entry = frame["entry"].to_numpy()
        for index in np.unique(entry):
            rows = np.flatnonzero(entry == index)
            one = self.channels[channel[rows[0]]]
            if one.kind == "categorical":
                number[rows] = self._codes(frame[rows], number[rows])
            else:
                number[rows] = self._text_rules(one, frame, rows, number[rows])
                for steps in self.steps[index]:
                    if steps:
                        number[rows] = convert(number[rows], steps, frame["valueuom"][rows], left_out, one.name)
            unreadable = int(np.isnan(number[rows]).sum())
            if unreadable:
                left_out[f"{one.name}: value not readable"] += unreadable
            number[rows] = _limited(one, number[rows], left_out)
        return number, left_out

    def _codes(self, frame: pl.DataFrame, number: np.ndarray) -> np.ndarray:
        """Find the index of each row's category, by its text or else by its number."""
        coded = (
            frame.select("channel", pl.col("text").str.to_lowercase(), pl.Series("number", number, pl.Float64))
            .join(self.spelled, on=["channel", "text"], how="left", maintain_order="left")
            .join(self.levels, on=["channel", "number"], how="left", maintain_order="left")
        )
        return coded.select(pl.coalesce("code", "level"))["code"].cast(pl.Float64).to_numpy().astype(np.float64)

    def _text_rules(self, one: Channel, frame: pl.DataFrame, rows: np.ndarray, number: np.ndarray) -> np.ndarray:
        """Apply the channel's text rules: a pattern that the text must have, and the part of `a/b` that is meant."""
        if one.pattern is not None:
            fits = frame["text"][rows].str.contains(one.pattern).fill_null(False).to_numpy()
            number = np.where(fits, number, np.nan)
        if one.part is not None and np.isnan(number).any():
            parts = frame["text"][rows].str.split("/").list.get(one.part, null_on_oob=True)
            both = parts.str.strip_chars().cast(pl.Float64, strict=False).to_numpy()
            number = np.where(np.isnan(number), both, number)
        return number

    def _order(self, frame: pl.DataFrame, rows: np.ndarray, usable: np.ndarray) -> np.ndarray:
        """Rank the measurements of the same time, (measurement,) uint64: the greatest is the one that is used."""
        rules = np.array([one.same_time for one in self.channels])[rows["channel"]]
        order = sortable(rows["value"])
        preferred = np.flatnonzero(rules == "preference")
        if len(preferred):
            rank = frame["rank"].to_numpy()[usable][preferred].astype(np.uint64)
            # Minutes since a time well before admission: of two values, the one stored later is a correction.
            stored = (
                np.clip(rows["known"][preferred].astype(np.int64) // 60, -(1 << 22), (1 << 22) - 1) + (1 << 22)
            ).astype(np.uint64)
            order[preferred] |= ((np.uint64(255) - rank) << np.uint64(56)) | (stored << np.uint64(32))
        text = np.flatnonzero(rules == "text")
        if len(text):
            order[text] = self._alphabetical(frame, rows, usable, text)
        return order

    def _alphabetical(self, frame: pl.DataFrame, rows: np.ndarray, usable: np.ndarray, text: np.ndarray) -> np.ndarray:
        """Rank values alphabetically: by category, or by the first eight characters of the number's text."""
        position = np.zeros(len(text), np.uint64)
        channel = rows["channel"][text]
        categorical = self.categorical[channel]
        for index in np.unique(channel[categorical]):
            ranks = np.argsort(np.argsort(np.array(self.channels[index].categories))).astype(np.uint64)
            mine = channel == index
            position[mine] = ranks[rows["value"][text][mine].astype(np.int64)]
        others = np.flatnonzero(~categorical)
        if len(others):
            written = frame["text"].filter(pl.Series(usable))[text[others]]
            position[others] = np.array(written.to_list(), dtype="S8").view(">u8").astype(np.uint64)
        return position


def convert(
    number: np.ndarray,
    steps: tuple[Conversion, ...],
    unit: pl.Series,
    counts: Counter[str] | None = None,
    channel: str = "",
) -> np.ndarray:
    """Change the unit of numbers by the first step that fits each: subtract, multiply, divide, in float64.

    What a step changes that repairs a mistake is counted in `counts`, under the channel's name.
    """
    result = number.copy()
    open_ = np.ones(len(number), bool)
    for step in steps:
        fits = open_.copy()
        if step.above is not None:
            fits &= number > step.above
        if step.at_least is not None:
            fits &= number >= step.at_least
        if step.at_most is not None:
            fits &= number <= step.at_most
        if step.unit is not None:
            same = unit.cast(pl.String).str.strip_chars().str.to_lowercase() == step.unit.lower()
            fits &= same.fill_null(False).to_numpy()
        result[fits] = (number[fits] - step.subtract) * step.multiply / step.divide
        open_ &= ~fits
        if step.repair and counts is not None and fits.any():
            counts[f"{channel}: unit repaired"] += int(fits.sum())
    return result


def sortable(value: np.ndarray) -> np.ndarray:
    """Map float32 numbers (n,) to uint64 below 2³² in the same order."""
    bits = (value.astype(np.float32) + np.float32(0)).view(np.uint32)
    flipped = np.where(bits >> 31 == 1, ~bits, bits | np.uint32(1 << 31))
    return flipped.astype(np.uint64)


def _limited(one: Channel, number: np.ndarray, left_out: Counter[str]) -> np.ndarray:
    """Drop values beyond the believable and clip those beyond the possible; count both."""
    if not one.zero and (number == 0).any():
        left_out[f"{one.name}: 0, which is no measurement"] += int((number == 0).sum())
        number = np.where(number == 0, np.nan, number)
    if one.outlier is not None:
        beyond = (number < one.outlier[0]) | (number > one.outlier[1])
        if beyond.any():
            left_out[f"{one.name}: outside {one.outlier[0]:g} to {one.outlier[1]:g}"] += int(beyond.sum())
            number = np.where(beyond, np.nan, number)
    if one.valid is not None:
        beyond = (number < one.valid[0]) | (number > one.valid[1])
        if beyond.any():
            left_out[f"{one.name}: set to {one.valid[0]:g} or {one.valid[1]:g}"] += int(beyond.sum())
            number = np.clip(number, *one.valid)
    return number
