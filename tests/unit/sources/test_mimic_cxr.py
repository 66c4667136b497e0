"""MIMIC-CXR-JPG: study times and where files lie."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "cohort"))
from release_files import FILM_COLUMNS, film, hours, write_films, write_table

from picme.errors import DataError
from picme.sources.mimic_cxr import ImageFiles, find_metadata, read_metadata, study_time

SUBJECTS = pl.Series([10_000_001])


@pytest.mark.parametrize(
    ("date", "clock", "expected"),
    [
        ("21500301", "081530.375", datetime(2150, 3, 1, 8, 15, 30, 375000)),
        ("21500301", "81530.375", datetime(2150, 3, 1, 8, 15, 30, 375000)),
        ("21500301", "81530", datetime(2150, 3, 1, 8, 15, 30)),
        ("21500301", "93.0", None),
        ("21500301", "133.0", datetime(2150, 3, 1, 0, 1, 33)),
        ("21500301", "0.0", datetime(2150, 3, 1)),
        ("21500301.0", "235959.999", datetime(2150, 3, 1, 23, 59, 59, 999000)),
        ("21501301", "081530.375", None),
        ("2150-03-01", "081530", None),
        ("21500301", "246000", None),
        ("21500301", "noon", None),
        ("21500301", None, None),
        (None, "081530", None),
    ],
)
def test_study_date_and_time(date, clock, expected):
    frame = pl.DataFrame(
        {"StudyDate": [date], "StudyTime": [clock]}, schema=dict.fromkeys(("StudyDate", "StudyTime"), pl.String)
    )
    assert frame.select(study_time()).item() == expected


def test_numbers_in_parquet_read_as_the_text_of_the_csv(tmp_path):
    frame = pl.DataFrame(
        {
            "dicom_id": ["d"],
            "subject_id": [10_000_001],
            "study_id": [5],
            "ViewPosition": ["ap"],
            "StudyDate": [21500301],
            "StudyTime": [81530.375],
        }
    )
    frame.write_parquet(tmp_path / "mimic-cxr-2.0.0-metadata.parquet")
    read = read_metadata(tmp_path, SUBJECTS).row(0, named=True)
    assert read["taken"] == datetime(2150, 3, 1, 8, 15, 30, 375000) and read["view"] == "AP" and read["problem"] is None


def test_bad_rows_say_why(tmp_path):
    rows = [
        film(1, dicom_id="good"),
        film(2, dicom_id="date", StudyDate="someday"),
        film(3, dicom_id="twice"),
        film(3, dicom_id="twice"),
        {**film(4, dicom_id="nobody"), "subject_id": None},
        film(5, subject=2, dicom_id="other"),
    ]
    write_films(tmp_path, rows, files=False)
    problems = dict(
        read_metadata(tmp_path, SUBJECTS)
        .select("dicom_id", "problem")
        .unique(keep="last", subset="dicom_id")
        .iter_rows()
    )
    assert problems["good"] is None and "other" not in problems
    assert problems["date"] == "StudyDate or StudyTime cannot be parsed"
    assert problems["nobody"] == "subject_id or study_id is not a number"
    assert read_metadata(tmp_path, SUBJECTS)["problem"].to_list().count("dicom_id occurs twice") == 1


@pytest.mark.parametrize(
    "place",
    [
        "files/p10/p10000001/s50000010",
        "p10/p10000001/s50000010",
        "mimic-cxr-jpg/2.0.0/files/p10/p10000001/s50000010",
        "resized",
        ".",
    ],
)
@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_an_image_is_found_at_any_depth(tmp_path, place, ending):
    file = tmp_path / place / f"d1{ending}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"")
    files = ImageFiles(tmp_path)
    found = files.find(10_000_001, 50_000_010, "d1")
    assert found is not None and found.resolve() == file.resolve()
    assert files.find(10_000_001, 50_000_010, "d2") is None


def test_the_standard_place_needs_no_walk(tmp_path, monkeypatch):
    write_films(tmp_path, [film(1, dicom_id="d1")])
    monkeypatch.setattr(ImageFiles, "_walk", lambda self: pytest.fail("walked"))
    study = 50_000_010
    assert ImageFiles(tmp_path).find(10_000_001, study, "d1") is not None


def test_a_note_in_the_place_of_a_name_finds_no_image(tmp_path):
    files = ImageFiles(tmp_path)
    for name in ("Anna Smith was seen with fever. " * 20, "a/b", "a\0b"):
        assert files.find(10000032, 50414267, name) is None


def test_metadata_is_found_beside_or_below_or_above_the_images(tmp_path):
    rows = [film(1)]
    for place, asked in (("a", "a"), ("b/tables", "b"), ("c", "c/files")):
        write_table(tmp_path / place / "mimic-cxr-2.0.0-metadata.csv.gz", rows, FILM_COLUMNS)
        (tmp_path / asked).mkdir(exist_ok=True)
        assert find_metadata(tmp_path / asked).parent == tmp_path / place
        assert read_metadata(tmp_path / asked, SUBJECTS)["taken"].to_list() == [hours(1)]


def test_missing_table_folder_and_column_are_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"no mimic-cxr-2\.0\.0-metadata"):
        find_metadata(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        find_metadata(tmp_path / "absent")
    pl.DataFrame([film(1)]).rename({"ViewPosition": "View"}).write_csv(tmp_path / "mimic-cxr-2.0.0-metadata.csv")
    with pytest.raises(DataError, match="no column 'ViewPosition'"):
        read_metadata(tmp_path, SUBJECTS)


def test_two_releases_of_images_are_not_chosen_from(tmp_path):
    for name in ("2.0.0", "2.1.0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"mimic-cxr-{name}-metadata.csv.gz").touch()
    with pytest.raises(DataError, match=r"has the metadata of 2 releases .*; name the folder of one"):
        find_metadata(tmp_path)
    assert find_metadata(tmp_path / "2.1.0").parent.name == "2.1.0"
    (tmp_path / "2.1.0/mimic-cxr-2.1.0-metadata.csv").touch()
    with pytest.raises(DataError, match=r"2\.1\.0-metadata\.csv and as .*2\.1\.0-metadata\.csv\.gz, which may differ"):
        find_metadata(tmp_path / "2.1.0")


def test_swapped_folders_are_named(tmp_path):
    (tmp_path / "note").mkdir()
    (tmp_path / "note/radiology.csv.gz").touch()
    with pytest.raises(DataError, match="It holds MIMIC-IV-Note: are two folders of the source swapped"):
        find_metadata(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"subject_id": "x"}, "subject_id or study_id is not a number"), ({"StudyDate": "?"}, "StudyDate or StudyTime")],
)
def test_a_column_that_can_be_read_in_no_row_is_an_error(tmp_path, change, said):
    write_table(tmp_path / "mimic-cxr-2.0.0-metadata.csv", [{**film(hour), **change} for hour in (1, 2)], FILM_COLUMNS)
    with pytest.raises(DataError, match=f"none of 2 rows can be used: {said}"):
        read_metadata(tmp_path, SUBJECTS)
