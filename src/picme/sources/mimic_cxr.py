"""Reader of MIMIC-CXR-JPG 2.x: its metadata table, and the place of an image in the folder tree."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl

from picme.config.names import LONGEST
from picme.errors import DataError
from picme.sources import ENDINGS
from picme.sources.recognise import it_holds
from picme.sources.tables import collect, refuse_unreadable, scan_table, typed

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")
_COLUMNS = ("dicom_id", "subject_id", "study_id", "ViewPosition", "StudyDate", "StudyTime")
_IDS, _TIME = "subject_id or study_id is not a number", "StudyDate or StudyTime cannot be parsed"


def find_metadata(folder: Path) -> Path:
    """Find the metadata table (`mimic-cxr-2.0.0-metadata.csv.gz` or alike) in `folder` or one level below or above.

    Raises:
        DataError: if there is none, those of several releases, or one twice.
    """
    for places in ([folder], [folder.parent], sorted(_subfolders(folder))):
        tables = [item for place in places for item in place.iterdir() if _is_metadata(item)]
        named = [item for item in tables if "cxr" in item.name]
        found = named or (tables if places != [folder.parent] else [])
        kinds = {item.parent / item.name.split("metadata")[0]: item for item in sorted(found, reverse=True)}
        if len(kinds) > 1 and named:
            names = ", ".join(sorted(str(item.relative_to(folder.parent)) for item in kinds.values()))
            raise DataError(f"{folder} has the metadata of {len(kinds)} releases ({names}); name the folder of one")
        if found:
            first, *others = sorted(found, key=lambda item: (item.parent, item.name))
            for other in others:
                if other.parent / other.name.split("metadata")[0] == first.parent / first.name.split("metadata")[0]:
                    raise DataError(
                        f"the metadata are there as {first} and as {other}, which may differ; keep one of them"
                    )
            return first
    raise DataError(
        f"no mimic-cxr-2.0.0-metadata.csv.gz (or .csv, .parquet) in {folder}{it_holds(folder, 'MIMIC-CXR-JPG')}"
    )


def _is_metadata(item: Path) -> bool:
    return "metadata" in item.name and item.name.endswith(ENDINGS)


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; the folder of MIMIC-CXR-JPG was expected")
    # `files` holds tens of thousands of folders and no table.
    return [item for item in folder.iterdir() if item.is_dir() and item.name != "files"]


def study_time() -> pl.Expr:
    """Join `StudyDate` (YYYYMMDD) and `StudyTime` (HHMMSS.fff, leading zeros may be lost) to a datetime, else null."""
    date = pl.col("StudyDate").str.strip_chars().str.strip_suffix(".0")
    clock = pl.col("StudyTime").str.strip_chars()
    whole = clock.str.extract(r"^(\d{1,6})(?:\.\d*)?$", 1).str.zfill(6)
    day = date.str.to_datetime("%Y%m%d", time_unit="us", strict=False)
    hours, minutes, seconds = (whole.str.slice(at, 2).cast(pl.Int64, strict=False) for at in (0, 2, 4))
    micros = (clock.str.extract(r"(\.\d+)$", 1).cast(pl.Float64, strict=False).fill_null(0.0) * 1e6).cast(pl.Int64)
    valid = (hours < 24) & (minutes < 60) & (seconds < 60)
    return pl.when(valid).then(
        day + pl.duration(hours=hours, minutes=minutes, seconds=seconds, microseconds=micros, time_unit="us")
    )


def read_metadata(folder: Path, subjects: pl.Series) -> pl.DataFrame:
    """Read the list of these subjects' images.

    Args:
        folder: folder of the release.
        subjects: subject_id of the cohort.

    Returns:
        dicom_id, subject_id, study_id, view (upper case), taken (datetime), and `problem`: why a row cannot be used,
        null for a good one. Sorted by taken, study_id and dicom_id.

    Raises:
        DataError: if the table is missing, cut, or lacks a column, or if ids or times can be read in no row.
    """
    path = find_metadata(folder)
    frame = scan_table(path, _COLUMNS)
    frame = frame.select(typed(name, found) for name, found in frame.collect_schema().items())
    wanted = subjects.cast(pl.Int64).unique()
    frame = frame.filter(pl.col("subject_id").is_null() | pl.col("subject_id").is_in(wanted.implode()))
    frame = frame.select(
        "dicom_id",
        "subject_id",
        "study_id",
        view=pl.col("ViewPosition").str.strip_chars().str.to_uppercase(),
        taken=study_time(),
    ).with_columns(
        problem=pl.when(pl.col("subject_id").is_null() | pl.col("study_id").is_null())
        .then(pl.lit(_IDS))
        .when(pl.col("dicom_id").is_null())
        .then(pl.lit("no dicom_id"))
        .when(pl.col("taken").is_null())
        .then(pl.lit(_TIME))
    )
    images = collect(frame, path).sort("taken", "study_id", "dicom_id", "view", nulls_last=False)
    refuse_unreadable(images["problem"], path, (_IDS, _TIME))
    repeated = pl.col("problem").is_null() & ~pl.col("dicom_id").is_first_distinct()
    return images.with_columns(problem=pl.when(repeated).then(pl.lit("dicom_id occurs twice")).otherwise("problem"))


class ImageFiles:
    """Finder of image files: it tries the release's own layout, and else builds an index in one walk of the folder.

    The layout is `files/p10/p10000032/s50414267/DICOM.jpg`, with or without `files/`; copies made for training may be
    resized, moved to another depth, or turned into PNG. Links to folders are followed in the layout, not in the walk.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index: dict[str, Path] | None = None

    def find(self, subject: int, study: int, dicom: str) -> Path | None:
        """Return the file of an image, or None where it is missing or its dicom_id is a path or no name of a file."""
        if "/" in dicom or "\0" in dicom or len(dicom.encode()) > LONGEST:
            return None
        subject_folder = Path(f"p{str(subject)[:2]}") / f"p{subject}" / f"s{study}"
        for root in (self.folder / "files", self.folder):
            for ending in IMAGE_ENDINGS:
                path = root / subject_folder / f"{dicom}{ending}"
                if path.is_file():
                    return path
        if self._index is None:
            self._index = self._walk()
        found = self._index.get(dicom)
        return found if found is not None and found.is_file() else None

    def _walk(self) -> dict[str, Path]:
        index: dict[str, Path] = {}
        for place, folders, names in os.walk(self.folder):
            folders.sort()
            for name in sorted(names):
                stem, ending = os.path.splitext(name)  # noqa: PTH122 (hundreds of thousands of names)
                if ending.lower() in IMAGE_ENDINGS:
                    index.setdefault(stem, Path(place) / name)
        return index
