"""Channel sets: the variables of the hourly time series, with the items that feed them, their units and limits.

A channel set is a YAML file (`channels/default.yaml` explains every key); anyone can write another.
"""

from __future__ import annotations

import hashlib
import re
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from picme.config.base import Section
from picme.config.described import described
from picme.errors import near

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = "events"
"""The event table of a MEDS data set, which has all measurements."""


class Conversion(Section):
    """A change of unit for the values that fit its conditions: subtract, then multiply, then divide."""

    above: float | None = None
    """Only values greater than this."""
    at_least: float | None = None
    """Only values not smaller than this."""
    at_most: float | None = None
    """Only values not greater than this."""
    unit: str | None = None
    """Only rows whose unit column is this text (case does not matter)."""
    subtract: float = 0.0
    multiply: float = 1.0
    divide: float = 1.0
    repair: bool = False
    """True for a mistake of unit, told by the value alone; the values changed are counted."""


class Item(Section):
    """A row type of an event table. Items that stand first are preferred where several have the same time."""

    table: str = "chartevents"
    """The event table: `chartevents`, `labevents`, `outputevents`, …; `events` for codes of MEDS."""
    itemid: int
    """The item's number in MIMIC; for a code or pattern of MEDS a number is made from it."""
    code: str | None = None
    """MEDS: a code, in place of an itemid."""
    pattern: str | None = None
    """MEDS: a regular expression for whole codes, in place of an itemid; its group `unit` is the value's unit."""
    label: str = ""
    """A name for the reader, which changes nothing."""
    convert: tuple[Conversion, ...] = ()
    """Changes of unit; the first that fits is made, before those of the channel."""

    @field_validator("convert", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, dict) else value

    @model_validator(mode="before")
    @classmethod
    def _numbered(cls, given: Any) -> Any:
        """Give a code or pattern a number of its own, which is the same in every run."""
        if not isinstance(given, dict) or "itemid" in given or not {"code", "pattern"} & set(given):
            return given
        text = f"{given.get('code')} {given.get('pattern')}"
        number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest())
        return {"table": EVENTS, "itemid": number, **given}

    @model_validator(mode="after")
    def _one_name(self) -> Item:
        if self.code is not None and self.pattern is not None:
            raise ValueError(f"an item has a code or a pattern, not both: {self.code!r}")
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise ValueError(f"{self.pattern!r} is no regular expression ({error.msg})") from None
        return self


class Channel(Section):
    """One variable: a number, or one of several categories."""

    name: str
    kind: Literal["continuous", "categorical"] = "continuous"
    normal: int | float | str
    """Value before the first measurement."""
    items: tuple[Item, ...] = ()
    convert: tuple[Conversion, ...] = ()
    """Changes of unit for all items, after the item's own; the first that fits is made."""
    outlier: tuple[float, float] | None = None
    """Lowest and highest believable value; others are left out and counted."""
    valid: tuple[float, float] | None = None
    """Lowest and highest possible value; believable ones beyond are set to it."""
    zero: bool = True
    """False where a patient cannot have the value 0: it stands for no measurement, and is left out and counted."""
    pattern: str | None = None
    """Regular expression that the text of the value must match, else the row is left out and counted."""
    part: int | None = None
    """The part that is meant (0 or 1) where values are written `a/b`."""
    same_time: Literal["preference", "maximum", "text"] = "preference"
    """The one used of several values of a time: that of the first item, the greatest, or the last in the alphabet."""
    categories: tuple[str, ...] = ()
    """Categorical: the categories in the order of the columns."""
    texts: dict[str, str] = Field(default_factory=dict)
    """Categorical: other spellings → category. Case and outer blanks never matter."""
    levels: dict[float, str] = Field(default_factory=dict)
    """Categorical: number → category, for rows that hold the number only."""

    @field_validator("convert", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _consistent(self) -> Channel:
        if self.kind == "continuous":
            if isinstance(self.normal, str):
                raise ValueError(f"channel {self.name!r}: normal must be a number")
            if self.categories:
                raise ValueError(f"channel {self.name!r} has categories, so its kind is categorical")
            return self
        if len(self.categories) < 2 or len(set(self.categories)) < len(self.categories):
            raise ValueError(f"channel {self.name!r}: a categorical channel has two or more different categories")
        for text in (str(self.normal), *self.texts.values(), *self.levels.values()):
            if text not in self.categories:
                raise ValueError(
                    f"channel {self.name!r}: {text!r} is not one of its categories{near(text, self.categories)}"
                )
        return self

    @property
    def width(self) -> int:
        """The number of value columns."""
        return len(self.categories) if self.kind == "categorical" else 1

    @property
    def start(self) -> float:
        """The value before the first measurement: a number, or the index of a category."""
        return float(self.categories.index(str(self.normal))) if self.kind == "categorical" else float(self.normal)

    def codes(self) -> dict[str, int]:
        """Map each text, in lower case, to the index of its category."""
        spelled = {**self.texts, **{category: category for category in self.categories}}
        return {text.strip().lower(): self.categories.index(category) for text, category in spelled.items()}


class ChannelSet(Section):
    """The channels of a time series, in the order of its columns."""

    read: Literal["number", "text"] = "number"
    """`number`: column `valuenum`, or the number in `value` where that is empty. `text`: `value` alone."""
    channels: tuple[Channel, ...] = Field(min_length=1, max_length=255)

    @model_validator(mode="after")
    def _unique(self) -> ChannelSet:
        names = [channel.name for channel in self.channels]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"channel {name!r} is there twice")
        for channel in self.channels:
            keys = [(item.table, item.itemid) for item in channel.items]
            if len(set(keys)) < len(keys):
                raise ValueError(f"channel {channel.name!r} names an item twice")
        return self

    @cached_property
    def columns(self) -> list[str]:
        """Names of the columns: the values (`name`, or `name->category`), then one `mask->name` per channel."""
        values = [
            name
            for channel in self.channels
            for name in ([f"{channel.name}->{c}" for c in channel.categories] or [channel.name])
        ]
        return values + [f"mask->{channel.name}" for channel in self.channels]

    @cached_property
    def continuous(self) -> list[bool]:
        """True for each column that is a measured number, which is standardised later."""
        values = [channel.kind == "continuous" for channel in self.channels for _ in range(channel.width)]
        return values + [False] * len(self.channels)

    @cached_property
    def starts(self) -> np.ndarray:
        """The values before the first measurement, (channel,)."""
        return np.array([channel.start for channel in self.channels], np.float32)

    def tables(self) -> list[str]:
        """List the event tables that feed the channels."""
        return sorted({item.table for channel in self.channels for item in channel.items})

    def items(self, table: str) -> list[tuple[int, int, Item]]:
        """List (index of the channel, rank within the channel, item) for the items of a table; rank 0 is preferred."""
        return [
            (index, rank, item)
            for index, channel in enumerate(self.channels)
            for rank, item in enumerate(channel.items)
            if item.table == table
        ]


def of_events(channels: ChannelSet) -> ChannelSet:
    """Return a channel set whose items are all in the one table of events that a MEDS data set has."""
    moved = [
        one.model_copy(update={"items": tuple(item.model_copy(update={"table": EVENTS}) for item in one.items)})
        for one in channels.channels
    ]
    return ChannelSet(read=channels.read, channels=tuple(moved))


def load(name: str | Path) -> ChannelSet:
    """Load a channel set by its name (`default`, `benchmark`) or by the path of a YAML file.

    Raises:
        ConfigError: if there is none, or its content does not fit; names the file and the key.
    """
    shipped = files("picme.cohort").joinpath("channels")
    return described(ChannelSet, name, shipped, "channel set", "channel set", "read and channels")
