"""Hospitals in MEDS: a cohort's stays, time series, texts, images and labels from the events of a data set."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from picme.cohort import channel_sets
from picme.cohort.by_column import column_of
from picme.cohort.hospital import EVENTS, IMAGES, INPUTS, check_table
from picme.cohort.images import ImageTable
from picme.cohort.mimic import check_divider, extract_from
from picme.cohort.notes import PLAIN, NoteTable
from picme.errors import ConfigError, DataError
from picme.sources.meds import MedsRelease
from picme.sources.meds_files import MedsFiles
from picme.sources.meds_layout import matched
from picme.sources.mimic_notes import judged, typed_notes
from picme.sources.tables import TIME

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence

    from picme.cohort.channel_sets import ChannelSet
    from picme.config.cohort import CohortConfig
    from picme.config.meds import MedsSource
    from picme.config.splits import SplitsConfig
    from picme.schema import Extraction

TABLES = (*INPUTS, PLAIN)
_CONTENTS = {"discharge": "texts", "radiology": "texts", PLAIN: "texts", IMAGES: "images"}


def extract(
    source: MedsSource,
    cohort: CohortConfig,
    modalities: dict[str, dict[str, Any]],
    tasks: Sequence[str],
    window_hours: float,
    scratch: Path,
    divider: str | None,
    labels: Mapping[str, Path],
) -> Extraction:
    """Extract all views of a study on a MEDS data set; the arguments are those of `cohort.mimic.extract`.

    Raises:
        ConfigError: for an unknown table, task, channel set or layout.
        DataError: for data that are absent or unusable.
    """
    for name, options in modalities.items():
        check_table(name, options.get("table"), TABLES)
    hospital = MedsHospital.open(source, cohort, modalities, scratch)
    found = extract_from(hospital, cohort, modalities, tasks, window_hours, scratch, divider, labels)
    if source.subject_splits:
        for view in found.views.values():
            view.stays = hospital.divided(view.stays)
    return found


def divider_of(source: MedsSource, splits: SplitsConfig) -> str | None:
    """Return the column of the stays that the splits go by, if they do.

    Raises:
        ConfigError: if the stays have no such column, or the data set's own division is to be taken.
    """
    divider = column_of(splits, usual="anchor_year_group")
    if source.subject_splits and (divider is not None or splits.folds):
        raise ConfigError(
            f"source.subject_splits takes the data set's own division, so splits.kind cannot be {splits.kind!r}"
        )
    check_divider(divider)
    return divider


class MedsHospital:
    """A MEDS data set as a hospital."""

    def __init__(self, files: MedsFiles, release: MedsRelease, cohort: CohortConfig) -> None:
        self.files = files
        self.release = release
        self.cohort = cohort

    @classmethod
    def open(
        cls, source: MedsSource, cohort: CohortConfig, modalities: Mapping[str, Mapping[str, Any]], scratch: Path
    ) -> MedsHospital:
        """Open a data set, and read once the events that the time series of a study need.

        Raises:
            ConfigError: for an unknown channel set or layout.
            DataError: for data that are absent or unusable.
        """
        files = MedsFiles.open(Path(source.path), source.layout)
        names = [
            options.get("channels") or cohort.channel_set
            for options in modalities.values()
            if options.get("table") == EVENTS
        ]
        channels = [one for name in names for one in channel_sets.load(name).channels]
        words = any(one.kind == "categorical" or one.pattern or one.part is not None for one in channels)
        items = [item for one in channels for item in one.items]
        release = MedsRelease(files, items, words, cohort.max_bad_rows, scratch)
        if names and release.measured.is_empty():
            raise DataError(
                f"{files.path}: none of its {len(release.codes)} codes belongs to an item of channel set "
                f"{', '.join(map(str, names))}; name one for these codes by cohort.channels"
            )
        return cls(files, release, cohort)

    def channels(self, name: str | Path) -> ChannelSet:
        """Return a channel set with all items in the one table of events."""
        return channel_sets.of_events(channel_sets.load(name))

    def quarantine(self) -> Counter[str]:
        """Return events left out or odd, by reason."""
        return self.release.quarantine

    def sentences(self) -> Sequence[str]:
        """Return sentences on what was converted or is absent."""
        return self.release.notes

    def divided(self, stays: pl.DataFrame) -> pl.DataFrame:
        """Add the split that the data set's own division gives to each stay.

        Raises:
            DataError: as `MedsFiles.subject_splits`.
        """
        return stays.join(self._given, on="subject_id", how="left", maintain_order="left")

    @cached_property
    def _given(self) -> pl.DataFrame:
        return self.files.subject_splits()

    def codes_of(self, options: Mapping[str, Any]) -> pl.DataFrame:
        """Find the codes of a modality of texts or images.

        Raises:
            ConfigError: if neither the modality nor the layout names any.
            DataError: if the data set has none of them.
        """
        table, layout = options["table"], self.files.layout
        patterns = tuple(options.get("codes") or ())
        usual = layout.images if table == IMAGES else layout.texts.get(table)
        if not patterns and usual is not None:
            patterns = (usual,)
        if not patterns:
            raise ConfigError(
                f"modalities: table {table!r} needs `codes`, the patterns of codes whose events are these "
                f"{_CONTENTS[table]}; layout {self.files.name} has none"
            )
        try:
            found = pl.concat([matched(self.release.codes, one) for one in patterns], how="diagonal").unique("code")
        except ValueError as error:
            raise ConfigError(f"modalities: codes: {error}") from None
        if found.is_empty():
            raise DataError(
                f"{self.files.path}: no code matches {' or '.join(patterns)}, so there are no {_CONTENTS[table]}"
            )
        return found

    def notes(self, options: dict[str, Any], subjects: pl.Series, rules: CohortConfig) -> NoteTable:
        """Read the texts of a modality's codes, of these subjects.

        Raises:
            DataError: if the data set has no column `text_value`.
        """
        table, layout = options["table"], self.files.layout
        codes = self.codes_of(options)["code"].to_list()
        if "text_value" not in self.files.columns:
            raise DataError(f"{self.files.path}: no events have a column 'text_value', so there are no texts")
        columns = {"note_id": layout.note_id, "hadm_id": layout.admission_id, "storetime": layout.known}
        frame = self._rows(codes, subjects, [*columns.values(), "text_value"])
        there = {name: column for name, column in columns.items() if column in frame.columns}
        frame = frame.select(
            "subject_id",
            *(pl.col(column).alias(name) for name, column in there.items()),
            *(pl.lit(None, pl.String).alias(name) for name in columns if name not in there),
            # The standard has no other word for the kind of a note; an addendum says AD at the end of its code.
            note_type=pl.col("code").str.extract(r"//([A-Z]{2})$"),
            charttime=pl.col("time"),
            text=pl.col("text_value"),
        )
        if "hadm_id" not in there:
            frame = self.release.during(frame.drop("hadm_id"), "charttime")
        frame = frame.with_columns(pl.col("hadm_id").cast(pl.Int64, strict=False), pl.col("storetime").cast(TIME))
        path = self.release.file("events")
        typed = typed_notes(frame.lazy(), path, subjects, rules.notes.max_characters)
        return NoteTable.of(judged(typed, path, table, rules.max_bad_rows), table, rules.notes)

    def images(self, options: dict[str, Any], subjects: pl.Series) -> ImageTable:
        """List the images of a modality's codes, of these subjects.

        Raises:
            DataError: if no column holds the paths.
        """
        codes = self.codes_of(options)
        column = self.files.column(options.get("column")) or self.files.image_path
        if column is None:
            raise DataError(
                f"{self.files.path}: no column with the paths of images; name it by `column` of the modality, or in "
                "additional_value_modality_columns of dataset.json"
            )
        frame = self._rows(codes["code"].to_list(), subjects, [column]).join(codes, on="code", how="left")
        view = pl.col("view").str.to_uppercase() if "view" in codes.columns else pl.lit(self.cohort.images.views[0])
        root = self.files.path.resolve()
        images = frame.select(
            "subject_id",
            dicom_id=pl.col(column),
            study_id=pl.lit(0, pl.Int64),
            view=view,
            taken=pl.col("time"),
            problem=pl.when(pl.col(column).fill_null("") == "").then(pl.lit("no path")),
        ).sort("taken", "dicom_id")
        outside = pl.Series([not _inside(root, path) for path in images["dicom_id"].fill_null("")], dtype=pl.Boolean)
        images = images.with_columns(
            problem=pl.when(pl.col("problem").is_null() & outside)
            .then(pl.lit("path outside the data set's folder"))
            .otherwise("problem")
        )

        def find(subject: int, study: int, path: str) -> Path | None:
            file = root / path
            return file if file.is_file() else None

        return ImageTable.of(images, find)

    def _rows(self, codes: list[str], subjects: pl.Series, columns: list[str | None]) -> pl.DataFrame:
        """Read events of some codes and subjects, with further columns where the data set has them."""
        there = [name for one in columns if (name := self.files.column(one)) is not None]
        names = list(dict.fromkeys(["subject_id", "time", "code", *there]))
        wanted = pl.col("code").is_in(codes) & pl.col("subject_id").is_in(subjects.unique().implode())
        return self.files.collect(self.files.scan(names).filter(wanted))[0]


def _inside(root: Path, path: str) -> bool:
    """Tell whether a path lies below a folder; `..` and links that lead out of it do not."""
    return "\0" not in path and (root / path).resolve().is_relative_to(root)
