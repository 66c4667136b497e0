"""Hospitals: where a cohort's tables, notes and images come from. The MIMIC releases are one; others are like them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

from picme.cohort import channel_sets
from picme.cohort.images import ImageTable
from picme.cohort.notes import PLAIN, NoteTable
from picme.errors import ConfigError, DataError, near
from picme.sources.mimic_ehr import Release

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import polars as pl

    from picme.cohort.channel_sets import ChannelSet
    from picme.config.cohort import CohortConfig, MimicSource
    from picme.sources.tables import Tables

EVENTS, NOTES, IMAGES, DEMOGRAPHICS = "chartevents", ("discharge", "radiology"), "cxr", "demographics"
INPUTS = (EVENTS, *NOTES, IMAGES, DEMOGRAPHICS)
TEXTS = (*NOTES, PLAIN)
NEEDS = {**dict.fromkeys(NOTES, "notes"), IMAGES: "cxr"}


class Hospital(Protocol):
    """A hospital that a cohort with ICU stays can be made of."""

    @property
    def release(self) -> Tables:
        """The tables."""

    def channels(self, name: str | Path) -> ChannelSet:
        """Return the channel set of a time series, as it fits the event tables."""

    def notes(self, options: dict[str, Any], subjects: pl.Series, rules: CohortConfig) -> NoteTable:
        """Read the notes of a text modality, of these subjects."""

    def images(self, options: dict[str, Any], subjects: pl.Series) -> ImageTable:
        """List the images of an image modality, of these subjects."""

    def quarantine(self) -> Counter[str]:
        """Return rows left out or odd that no table of the cohort counts, by reason."""

    def sentences(self) -> Sequence[str]:
        """Return sentences for the report."""


class MimicHospital:
    """The MIMIC releases."""

    def __init__(self, source: MimicSource) -> None:
        self.source = source
        self.release = Release.open(source.ehr)
        self._patients: pl.Series | None = None

    def channels(self, name: str | Path) -> ChannelSet:
        """Return a channel set by its name or path.

        Raises:
            ConfigError: if an item is a code of MEDS.
        """
        found = channel_sets.load(name)
        if any(item.code or item.pattern for one in found.channels for item in one.items):
            raise ConfigError(
                f"channel set {name}: items by `code` or `pattern` are for source meds, MIMIC has itemids"
            )
        return found

    def notes(self, options: dict[str, Any], subjects: pl.Series, rules: CohortConfig) -> NoteTable:
        """Read a table of MIMIC-IV-Note."""
        assert self.source.notes is not None
        table = options["table"]
        return NoteTable(self.source.notes, table, subjects, rules.notes, rules.max_bad_rows, self.patients)

    def images(self, options: dict[str, Any], subjects: pl.Series) -> ImageTable:
        """List the images of MIMIC-CXR-JPG."""
        assert self.source.cxr is not None
        return ImageTable(self.source.cxr, subjects, self.patients)

    def quarantine(self) -> Counter[str]:
        """Return nothing: each table of the releases is counted where it is read."""
        return Counter()

    def sentences(self) -> Sequence[str]:
        """Return nothing."""
        return ()

    @property
    def patients(self) -> pl.Series:
        """The subject_id of every patient."""
        if self._patients is None:
            self._patients = self.release.ids("patients", "subject_id")
        return self._patients


def check_input(name: str, table: str | None, source: MimicSource) -> None:
    """Check that the source names the release that a modality's table is in.

    Raises:
        ConfigError: for an unknown table.
        DataError: if the release is not named.
    """
    check_table(name, table, INPUTS)
    need = NEEDS.get(str(table))
    if need is not None and getattr(source, need) is None:
        raise DataError(f"source.{need} is needed for modality {name!r}: the folder of the release with {table}")


def check_table(name: str, table: str | None, known: Sequence[str]) -> None:
    """Check that a modality's table is one of the known ones.

    Raises:
        ConfigError: if it is not.
    """
    if table not in known:
        raise ConfigError(
            f"modalities.{name}.table is {table!r}; expected one of {', '.join(known)}{near(str(table), known)}"
        )
