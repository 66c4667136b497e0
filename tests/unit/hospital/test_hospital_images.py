"""Chest films and their metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image
from written import read

from picme_hospital import write_hospital

if TYPE_CHECKING:
    from pathlib import Path


def test_images_lie_where_the_metadata_says(hospital: Path) -> None:
    meta = read(hospital, "cxr/mimic-cxr-2.0.0-metadata")
    files = set((hospital / "cxr" / "files").rglob("*.jpg"))
    assert len(files) == len(meta)
    for row in meta.iter_rows(named=True):
        subject = row["subject_id"]
        folder = hospital / "cxr" / "files" / f"p{subject // 10**6}" / f"p{subject}" / f"s{row['study_id']}"
        path = folder / f"{row['dicom_id']}.jpg"
        assert path in files
        with Image.open(path) as image:
            assert image.size == (row["Columns"], row["Rows"])
            assert image.mode == "L"
    assert {"AP", "PA", "LATERAL"} == set(meta["ViewPosition"])
    assert meta["Rows"].min() >= 320
    assert meta["Rows"].max() <= 512
    assert meta["StudyDate"].str.len_chars().eq(8).all()
    assert (meta["StudyTime"] < 240_000).all()


def test_image_size_can_be_set(tmp_path: Path) -> None:
    write_hospital(tmp_path, 20, image_size=(96, 64))
    meta = read(tmp_path, "cxr/mimic-cxr-2.0.0-metadata")
    assert meta.select("Rows", "Columns").unique().rows() == [(96, 64)]
