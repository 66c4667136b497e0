"""Cells of MIMIC tables: zones, null words, and what stays text."""

from __future__ import annotations

import gzip
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from picme.errors import DataError
from picme.sources.mimic_ehr import Release
from picme.sources.tables import TIME, blank, collect, scan_table, typed

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2180, 7, 23, 12, 36)


def read(column: str, values: list[Any], dtype: Any = pl.String) -> tuple[list[Any], list[bool]]:
    """The typed cells of a column, and which are blank."""
    frame = pl.DataFrame({column: values}, schema={column: dtype})
    return (
        frame.select(typed(column, frame.schema[column])).to_series().to_list(),
        frame.select(blank(column, frame.schema[column])).to_series().to_list(),
    )


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_a_zone_leaves_the_clock_as_it_is(zone: str, unit: Any) -> None:
    frame = pl.DataFrame({"charttime": [NOON]}).with_columns(
        pl.col("charttime").dt.replace_time_zone(zone).dt.cast_time_unit(unit)
    )
    found = frame.select(typed("charttime", frame.schema["charttime"]))
    assert found.schema["charttime"] == TIME
    assert found.item() == NOON


@pytest.mark.parametrize("suffix", ["", "Z", " UTC", "+02:00", "-0500", "+05", ".000-05:00"])
@pytest.mark.parametrize("between", [" ", "T"])
def test_a_zone_in_text_leaves_the_clock_as_it_is(between: str, suffix: str) -> None:
    assert read("charttime", [f"2180-07-23{between}12:36:00{suffix}"])[0] == [NOON]


def test_times_with_a_zone_are_those_without_in_every_form_of_table(tmp_path: Path) -> None:
    plain = pl.DataFrame({"subject_id": [1], "intime": [NOON], "outtime": [NOON.replace(hour=20)]})
    zoned = plain.with_columns(pl.col("intime", "outtime").dt.replace_time_zone("America/New_York"))
    found = []
    for name, frame in (("plain", plain), ("zoned", zoned)):
        for ending in (".parquet", ".csv"):
            folder = tmp_path / f"{name}{ending}" / "icu"
            folder.mkdir(parents=True)
            path = folder / f"icustays{ending}"
            frame.write_parquet(path) if ending == ".parquet" else frame.write_csv(path)
            found.append(Release.open(folder.parent).read("icustays", frame.columns)[0])
    assert all(frame.equals(plain.cast({"intime": TIME, "outtime": TIME})) for frame in found)


def test_null_words_are_empty_where_a_number_or_time_is_expected_and_text_elsewhere() -> None:
    words = ["NA", "N/A", "nan", "NULL", "None", "NaT", "<NA>", " ", None]
    for column in ("valuenum", "hadm_id", "deathtime"):
        assert read(column, words) == ([None] * 9, [True] * 9)
    assert read("icd_code", ["NA", "null", " ", None]) == (["NA", "null", " ", None], [False, False, True, True])
    assert read("valuenum", ["x", "7", "inf"]) == ([None, 7.0, float("inf")], [False] * 3)
    assert read("hadm_id", [7.0, 7.5, float("nan")], pl.Float64) == ([7, None, None], [False, False, True])
    assert read("valuenum", [float("nan"), 7.0], pl.Float64) == ([None, 7.0], [True, False])


def test_a_column_of_null_words_is_empty_not_unreadable(tmp_path: Path) -> None:
    (tmp_path / "admissions.csv").write_text("subject_id,deathtime,insurance\n1,NA,NA\n2,soon,Other\n3,,\n")
    with pytest.raises(Exception, match="none of the 1 values of column 'deathtime'"):
        Release.open(tmp_path).read("admissions", ["subject_id", "deathtime", "insurance"])
    (tmp_path / "admissions.csv").write_text("subject_id,deathtime,insurance\n1,NA,NA\n3,,\n")
    frame, unreadable = Release.open(tmp_path).read("admissions", ["subject_id", "deathtime", "insurance"])
    assert (frame["deathtime"].null_count(), frame["insurance"].to_list(), unreadable) == (2, ["NA", None], {})


def test_rows_that_do_not_fit_are_not_called_a_cut_download(tmp_path: Path) -> None:
    file = tmp_path / "patients.csv.gz"
    file.write_bytes(gzip.compress(b'subject_id,gender\n1,F\n2,"M\n3,F\n'))
    with pytest.raises(DataError, match=r"patients\.csv\.gz cannot be read; a CSV file with as many fields"):
        collect(scan_table(file, ["subject_id", "gender"]), file)


def test_a_table_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "hosp"
    folder.mkdir()
    (folder / "patients.csv").write_text("subject_id,gender\n1,F\n")
    assert set(Release.open(tmp_path).tables()) == {"patients"}
    (folder / "patients.csv.gz").write_bytes(gzip.compress(b"subject_id,gender\n1,M\n"))
    with pytest.raises(DataError, match=r"'patients' is there as .*patients\.csv\.gz and as .*patients\.csv, which"):
        Release.open(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_table_in_utf_16_is_told_to_be_so(tmp_path: Path, encoding: str, packed: bool) -> None:
    raw = "subject_id,gender\n1,F\n".encode(encoding)
    file = tmp_path / ("patients.csv.gz" if packed else "patients.csv")
    file.write_bytes(gzip.compress(raw) if packed else raw)
    with pytest.raises(DataError, match=rf"{file.name} is in {encoding.upper()}, in which .* save it in UTF-8"):
        scan_table(file, ["subject_id"])


def test_compressed_data_that_are_damaged_at_once_are_named(tmp_path: Path) -> None:
    file = tmp_path / "patients.csv.gz"
    file.write_bytes(gzip.compress(b"subject_id,gender\n1,F\n")[:10] + b"\xff" * 40)
    with pytest.raises(DataError, match=r"patients\.csv\.gz cannot be read to its end"):
        scan_table(file, ["subject_id"])
