"""Layouts of MEDS data sets: which codes are admissions, measurements, notes, …, as each extractor writes them.

A layout is a YAML file (`layouts/mimic-iv.yaml` explains every key); anyone can write another.
"""

from __future__ import annotations

import re
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import polars as pl
from meds import birth_code, death_code
from pydantic import Field, field_validator

from picme.config.base import Section
from picme.config.described import described, shipped_names

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path

UNKNOWN = "UNK"
"""The word that extractors write in a code for a cell that was empty."""
ROLES = ("admission", "discharge", "icu_admission", "icu_discharge", "diagnosis")


class Layout(Section):
    """The meaning of a data set's codes and columns; a pattern is a regular expression for a whole code."""

    extractors: tuple[str, ...] = ()
    """Patterns, one of which is found in `etl_name` or `dataset_name` of `metadata/dataset.json`."""
    birth: str = birth_code
    death: str = death_code
    death_is_day: bool = False
    """True where a death at midnight is a day without a clock."""
    admission: str | None = None
    discharge: str | None = None
    icu_admission: str | None = None
    """Without it hospital admissions are the stays."""
    icu_discharge: str | None = None
    diagnosis: str | None = None
    static: tuple[str, ...] = ()
    measurements: str | None = None
    """Pattern with a group `itemid` (and `unit`), for channel sets whose items are MIMIC's itemids."""
    texts: dict[str, str] = Field(default_factory=dict)
    images: str | None = None
    image_path: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    admission_id: str | None = None
    stay_id: str | None = None
    known: str | None = None
    note_id: str | None = None
    unit: str | None = None

    @field_validator(*ROLES, "measurements", "images")
    @classmethod
    def _pattern(cls, value: str | None) -> str | None:
        return value if value is None else compiled(value).pattern

    @field_validator("extractors", "static")
    @classmethod
    def _patterns(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(compiled(value).pattern for value in values)

    @field_validator("texts")
    @classmethod
    def _texts(cls, values: dict[str, str]) -> dict[str, str]:
        return {name: compiled(value).pattern for name, value in values.items()}

    @cached_property
    def roles(self) -> dict[str, str]:
        """Map each role that this layout has to its pattern; `birth` and `death` among them."""
        found = {role: getattr(self, role) for role in ROLES}
        found |= {"birth": re.escape(self.birth), "death": re.escape(self.death)}
        found |= {f"static {number}": pattern for number, pattern in enumerate(self.static)}
        return {role: pattern for role, pattern in found.items() if pattern is not None}


def compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern.

    Raises:
        ValueError: if it is no regular expression.
    """
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression ({error.msg})") from None


def matched(codes: pl.Series, pattern: str) -> pl.DataFrame:
    """Find the codes that a pattern matches as a whole: `code`, and one text column for each named group.

    Unknown values (`UNK`) and empty ones are null.
    """
    expression = compiled(pattern)
    names = list(expression.groupindex)
    found = [
        (code, *(match[name] or None for name in names))
        for code in codes.to_list()
        if (match := expression.fullmatch(code))
    ]
    frame = pl.DataFrame(found, schema=dict.fromkeys(["code", *names], pl.String), orient="row")
    return frame.with_columns(pl.when(pl.col(name) != UNKNOWN).then(name).alias(name) for name in names)


def names() -> list[str]:
    """List the layouts that picme ships."""
    return shipped_names(_shipped())


def load(name: str | Path) -> Layout:
    """Load a layout by its name (`mimic-iv`, `eicu`) or by the path of a YAML file.

    Raises:
        ConfigError: if there is none, or its content does not fit; names the file and the key.
    """
    return described(Layout, name, _shipped(), "layout", "source.layout:", "such as admission and icu_admission")


def _shipped() -> Traversable:
    return files("picme.sources").joinpath("layouts")


def recognise(dataset: dict[str, Any]) -> str | None:
    """Tell by the content of `dataset.json` which layout the data have; None if no extractor is known."""
    said = [str(dataset.get(key) or "") for key in ("etl_name", "dataset_name")]
    for name in names():
        for pattern in load(name).extractors:
            if any(re.search(pattern, text, re.IGNORECASE) for text in said):
                return name
    return None
