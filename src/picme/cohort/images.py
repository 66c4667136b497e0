"""One chest X-ray per stay: the last of the configured view between hospital admission and the cut-off."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from picme.cohort.audit import audit_frame, latest_time
from picme.cohort.decode import DecodeResult, decode_images
from picme.schema import ImageRows
from picme.sources.mimic_cxr import ImageFiles, read_metadata
from picme.sources.tables import TIME

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from picme.config.notes import ImagesConfig

__all__ = ["DecodeResult", "ImageResult", "decode_images", "image_rows"]


@dataclass
class ImageResult:
    """The image modality of MIMIC.

    `rows` and `latest` (when the image was taken, null where absent) are aligned with the stays. `quarantine` has
    reason, count; `audit` has check, count, detail, violation.
    """

    rows: ImageRows
    quarantine: pl.DataFrame
    audit: pl.DataFrame
    latest: pl.Series


def image_rows(path: Path, stays: pl.DataFrame, config: ImagesConfig) -> ImageResult:
    """One image per stay from MIMIC-CXR-JPG.

    An image whose file is missing is counted and the next best takes its place. Of several images of the chosen study
    the first dicom_id is used, so that the order of rows has no influence.

    Args:
        path: folder of the release.
        stays: stay_id, subject_id, admittime, cutoff; the order of the result.
        config: views and which study.

    Raises:
        DataError: if the metadata table is missing, cut, or lacks a column.
    """
    images = read_metadata(path, stays["subject_id"])
    counts = Counter(images["problem"].drop_nulls().to_list())
    images = images.filter(pl.col("problem").is_null(), pl.col("view").is_in(config.views))
    windows = stays.select(pl.col("subject_id").cast(pl.Int64), pl.col("admittime", "cutoff").cast(TIME))
    found = (
        windows.with_row_index("row")
        .join(images, on="subject_id", how="inner")
        .filter(pl.col("taken") >= pl.col("admittime"), pl.col("taken") <= pl.col("cutoff"))
        .sort("row", "taken", "study_id", "dicom_id", descending=[False, config.which == "last", False, False])
    )
    files = ImageFiles(path)
    paths: list[Path | None] = [None] * stays.height
    latest: list[datetime | None] = [None] * stays.height
    for row, subject, study, dicom, taken in found.select(
        "row", "subject_id", "study_id", "dicom_id", "taken"
    ).iter_rows():
        if paths[row] is not None:
            continue
        paths[row] = files.find(subject, study, dicom)
        if paths[row] is None:
            counts["image file is missing"] += 1
        else:
            latest[row] = taken
    times = pl.Series("latest", latest, dtype=TIME)
    return ImageResult(
        rows=ImageRows(paths),
        quarantine=pl.DataFrame(
            {"reason": sorted(counts), "count": [counts[reason] for reason in sorted(counts)]},
            schema={"reason": pl.String, "count": pl.Int64},
        ),
        audit=audit_frame([latest_time(times, windows["cutoff"])]),
        latest=times,
    )
