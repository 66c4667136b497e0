"""Image modality of MIMIC: one chest X-ray per stay, taken between hospital admission and the cut-off."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from picme.cohort.audit import audit_frame, latest_time
from picme.schema import ImageRows
from picme.sources.mimic_cxr import ImageFiles, find_metadata, read_metadata
from picme.sources.tables import NO_PATIENT, TIME, of_no_patient

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from picme.config.notes import ImagesConfig

SPARE = 2
"""Number of further images per stay that are looked for in case the first is damaged."""


@dataclass
class ImageResult:
    """The images that were chosen, one per stay.

    `rows` and `latest` (when the image was taken, null where absent) are aligned with the stays. `quarantine` has
    reason, count; `audit` has check, count, detail, violation.
    """

    rows: ImageRows
    quarantine: pl.DataFrame
    audit: pl.DataFrame
    latest: pl.Series


def _frontal(column: str) -> pl.Expr:
    """Read `AP (PORTABLE)` as AP and `PA UPRIGHT` as PA; the release's own `AP AXIAL`, `PA LLD`, … are other views."""
    view = pl.col(column)
    return pl.when(~view.str.contains(r"\b(?:AXIAL|LLD|RLD|DECUB\w*)\b")).then(
        view.str.extract(r"^(AP|PA)(?:[^A-Z0-9]|$)")
    )


class ImageTable:
    """The images of MIMIC-CXR-JPG, listed once for the subjects of a cohort; it gives one image per stay of any view.

    Args:
        path: folder of the release.
        subjects: subject_id of the cohort.
        patients: subject_id of all patients of the release, to count rows of none; not counted if not given.

    Raises:
        DataError: if the metadata table is missing, cut, or lacks a column, or none of its rows is of a patient.
    """

    def __init__(self, path: Path, subjects: pl.Series, patients: pl.Series | None = None) -> None:
        self._images = read_metadata(path, subjects)
        self._unmatched = 0 if patients is None else of_no_patient(find_metadata(path), patients)
        self._find: Callable[[int, int, str], Path | None] = ImageFiles(path).find

    @classmethod
    def of(cls, images: pl.DataFrame, find: Callable[[int, int, str], Path | None]) -> ImageTable:
        """Take images that are already listed, as `sources.mimic_cxr.read_metadata` returns them.

        Args:
            images: the images.
            find: returns the file of an image by subject_id, study_id and dicom_id, or None where it is missing.
        """
        made = cls.__new__(cls)
        made._images, made._unmatched, made._find = images, 0, find
        return made

    def rows(self, stays: pl.DataFrame, config: ImagesConfig) -> ImageResult:
        """Choose the image of each stay.

        An image whose file is missing is counted and the next best takes its place; for one that turns out to be
        damaged the next `SPARE` are given, too, all of them from before the cut-off. Of several images of the chosen
        study the first dicom_id is used, so that the order of rows has no influence.

        Args:
            stays: stay_id, subject_id, admittime, cutoff; the order of the result.
            config: views and which study.
        """
        counts = Counter(self._images["problem"].drop_nulls().to_list())
        good = self._images.filter(pl.col("problem").is_null())
        given = pl.col("view").fill_null("") != ""
        wanted = given & (pl.col("view").is_in(config.views) | _frontal("view").is_in(config.views).fill_null(False))
        images = good.filter(wanted)
        counts[NO_PATIENT] = self._unmatched
        counts["view not given"] = good.filter(~given).height
        counts["view not in cohort.images.views"] = good.filter(given & ~wanted).height
        counts = +counts
        windows = stays.select(pl.col("subject_id").cast(pl.Int64), pl.col("admittime", "cutoff").cast(TIME))
        found = (
            windows.with_row_index("row")
            .join(images, on="subject_id", how="inner")
            .filter(pl.col("taken") >= pl.col("admittime"), pl.col("taken") <= pl.col("cutoff"))
            .sort("row", "taken", "study_id", "dicom_id", descending=[False, config.which == "last", False, False])
        )
        paths: list[Path | None] = [None] * stays.height
        others: list[tuple[Path, ...]] = [()] * stays.height
        latest: list[datetime | None] = [None] * stays.height
        for row, subject, study, dicom, taken in found.select(
            "row", "subject_id", "study_id", "dicom_id", "taken"
        ).iter_rows():
            if len(others[row]) == SPARE:
                continue
            path = self._find(subject, study, dicom)
            if paths[row] is not None:
                others[row] += () if path is None else (path,)
            elif path is None:
                counts["image file is missing"] += 1
            else:
                paths[row], latest[row] = path, taken
        times = pl.Series("latest", latest, dtype=TIME)
        return ImageResult(
            rows=ImageRows(paths, others),
            quarantine=pl.DataFrame(
                {"reason": sorted(counts), "count": [counts[reason] for reason in sorted(counts)]},
                schema={"reason": pl.String, "count": pl.Int64},
            ),
            audit=audit_frame([latest_time(times, windows["cutoff"])]),
            latest=times,
        )
