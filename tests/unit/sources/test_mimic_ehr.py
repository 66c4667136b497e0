from __future__ import annotations

import gzip
from collections import Counter
from typing import TYPE_CHECKING

import polars as pl
import pytest

from picme.errors import DataError
from picme.sources.mimic_ehr import Release
from picme.sources.mimic_events import scan
from tiny_release import chart, stay, write_release

if TYPE_CHECKING:
    from pathlib import Path

STAYS = [stay(1), stay(2, race="ASIAN", anchor_year_group="2008 - 2010")]
CHARTS = [chart(1, 1, 220045, 80), chart(1, 2, 1, 5), chart(2, 3, 220045, "n/a"), chart(2, 4, 220052, 70, stored=9)]


@pytest.mark.parametrize("ending", [".csv.gz", ".csv", ".parquet"])
@pytest.mark.parametrize("old", [False, True])
def test_every_layout_and_format_reads_the_same(tmp_path: Path, ending: str, old: bool) -> None:
    release = Release.open(write_release(tmp_path, STAYS, CHARTS, ending=ending, old=old))
    assert release.version == ("1.0" if old else "2.x")
    admissions, unreadable = release.read("admissions", ["hadm_id", "admittime", "race"])
    assert admissions.schema == {"hadm_id": pl.Int64, "admittime": pl.Datetime("us"), "race": pl.String}
    assert admissions["race"].to_list() == ["WHITE", "ASIAN"]
    assert unreadable == {}
    lazy = release.table("icustays", ["stay_id", "los"], optional=["caregiver_id"]).collect()
    assert lazy["los"].to_list() == [2.5, 2.5]
    assert lazy["caregiver_id"].null_count() == 2


def test_release_3_is_known_by_its_newest_patients(tmp_path: Path) -> None:
    stays = [*STAYS, stay(3, anchor_year_group="2020 - 2022")]
    assert Release.open(write_release(tmp_path, stays)).version == "3.x"


def test_tables_beside_each_other_or_deeper_are_found(tmp_path: Path) -> None:
    deep = write_release(tmp_path / "physionet" / "mimiciv", STAYS)
    assert set(Release.open(tmp_path).tables()) == set(Release.open(deep).tables())
    flat = tmp_path / "flat"
    flat.mkdir()
    (flat / "icustays.csv.gz").write_bytes((deep / "icu" / "icustays.csv.gz").read_bytes())
    release = Release.open(flat)
    assert release.tables() == {"icustays": flat / "icustays.csv.gz"}


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        Release.open(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no MIMIC-IV table"):
        Release.open(tmp_path / "empty")
    release = Release.open(write_release(tmp_path / "ehr", STAYS, ending=".csv"))
    with pytest.raises(DataError, match=r"table 'outputevents' not found .*icu/outputevents\.csv\.gz"):
        release.table("outputevents", ["itemid"])
    with pytest.raises(DataError, match=r"icustays\.csv has no column 'stayid'; did you mean 'stay_id'"):
        release.table("icustays", ["stayid"])
    with pytest.raises(DataError, match=r"chartevents\.csv has no column 'itemID'"):
        next(scan(release, "chartevents", [1], ["itemID"]))


@pytest.mark.parametrize("ending", [".csv.gz", ".csv", ".parquet"])
def test_scan_gives_only_the_items_asked_for(tmp_path: Path, ending: str) -> None:
    release = Release.open(write_release(tmp_path, STAYS, CHARTS, ending=ending))
    if ending == ".parquet":  # typed, as a user's own conversion would be
        file = release.file("chartevents")
        pl.read_parquet(file).with_columns(pl.col("itemid").cast(pl.Int32)).write_parquet(file)
    counts: Counter[str] = Counter()
    columns = ["subject_id", "value"]
    frame = pl.concat(scan(release, "chartevents", [220045, 220052], columns, ["storetime", "nothing"], counts))
    assert frame["value"].to_list() == ["80", "n/a", "70"]
    assert frame["storetime"].null_count() == 2
    assert frame["nothing"].null_count() == 3
    assert counts["rows"] == 4


def test_rows_with_a_wrong_number_of_cells_are_counted(tmp_path: Path) -> None:
    release = Release.open(write_release(tmp_path, STAYS, CHARTS, ending=".csv"))
    file = release.file("chartevents")
    file.write_text(file.read_text() + "1,2,3\n")
    counts: Counter[str] = Counter()
    assert sum(batch.height for batch in scan(release, "chartevents", [220045], ["value"], (), counts)) == 2
    assert counts["malformed"] == 1


@pytest.mark.parametrize("table", ["icustays", "chartevents"])
def test_a_file_cut_in_the_middle_is_one_sentence_with_its_name(tmp_path: Path, table: str) -> None:
    charts = [chart(1, index / 1000, 220045, index) for index in range(3000)]
    release = Release.open(write_release(tmp_path, [stay(index) for index in range(2000)], charts))
    file = release.file(table)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=rf"{table}\.csv\.gz cannot be read to its end: its compressed data end early"):
        if table == "icustays":
            release.read(table, ["stay_id"])
        else:
            list(scan(release, table, [220045], ["value"]))


def test_a_file_that_is_not_gzip_is_named(tmp_path: Path) -> None:
    release = Release.open(write_release(tmp_path, STAYS, CHARTS))
    file = release.file("chartevents")
    file.write_bytes(gzip.decompress(file.read_bytes()))
    with pytest.raises(DataError, match=r"chartevents\.csv\.gz"):
        list(scan(release, "chartevents", [220045], ["value"]))


def test_ids_written_as_decimals_and_dates_in_other_spellings_are_read(tmp_path: Path) -> None:
    stays = [stay(1, hadm_id="20001.0", intime="2150-01-01T08:00:00"), stay(2, intime="2150-01-01 08:00")]
    release = Release.open(write_release(tmp_path, stays, diagnoses=[], ending=".csv"))
    frame, unreadable = release.read("icustays", ["hadm_id", "intime"])
    assert frame["hadm_id"].to_list() == [20001, 20002]
    assert frame["intime"].n_unique() == 1
    assert unreadable == {}


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_file_is_one_sentence_with_its_name(tmp_path: Path, seed: int) -> None:
    charts = [chart(1, index / 1000, 220045, index) for index in range(3000)]
    release = Release.open(write_release(tmp_path, STAYS, charts))
    file = release.file("chartevents")
    whole = bytearray(file.read_bytes())
    middle = len(whole) // 2 + 100 * seed
    whole[middle : middle + 20] = bytes(20)
    file.write_bytes(bytes(whole))
    with pytest.raises(DataError, match=r"chartevents\.csv\.gz") as raised:
        list(scan(release, "chartevents", [220045], ["value"]))
    assert "\n" not in str(raised.value)


def test_bytes_that_are_no_text_do_not_stop_the_scan(tmp_path: Path) -> None:
    release = Release.open(write_release(tmp_path, STAYS, CHARTS, ending=".csv"))
    file = release.file("chartevents")
    file.write_bytes(file.read_bytes().replace(b"n/a", b"\xff\xfe"))
    frame = pl.concat(scan(release, "chartevents", [220045], ["value"]))
    assert frame["value"].to_list() == ["80", "\ufffd\ufffd"]


def test_two_releases_in_one_folder_are_not_chosen_from(tmp_path: Path) -> None:
    for name in ("2.2", "3.1"):
        write_release(tmp_path / name, STAYS, ending=".csv")
    with pytest.raises(DataError, match=r"holds the tables of 2 releases \(2\.2, 3\.1\); name the folder of one"):
        Release.open(tmp_path)
    assert Release.open(tmp_path / "3.1").file("icustays").parent.parent.name == "3.1"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["radiology.csv.gz"], "It holds MIMIC-IV-Note: are two folders of the source swapped?"),
        (["mimic-cxr-2.0.0-metadata.csv"], "It holds MIMIC-CXR-JPG: are two folders of the source swapped?"),
        (["NOTEEVENTS.csv.gz", "CALLOUT.csv.gz", "ADMISSIONS.csv.gz"], "It holds MIMIC-III"),
        (["patient.csv", "admissionDx.csv"], "It holds eICU"),
        (["noteevents.csv", "callout.csv", "admissions.csv"], "It holds MIMIC-III"),
    ],
)
def test_another_data_set_is_recognised(tmp_path: Path, files: list[str], said: str) -> None:
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(DataError) as error:
        Release.open(tmp_path)
    assert said in str(error.value)


def test_mimic_iii_is_recognised_by_its_columns_whatever_its_files_are_called(tmp_path: Path) -> None:
    (tmp_path / "icu").mkdir()
    (tmp_path / "icu/icustays.csv").write_text("ROW_ID,SUBJECT_ID,HADM_ID,ICUSTAY_ID\n1,2,3,4\n")
    with pytest.raises(DataError, match=r"is no release of MIMIC-IV\. It holds MIMIC-III, whose tables"):
        Release.open(tmp_path)


@pytest.mark.parametrize("column", ["value", "valuenum"])
@pytest.mark.parametrize("ending", [".csv.gz", ".parquet"])
def test_a_table_whose_decimals_have_commas_is_refused_by_their_share(tmp_path: Path, column: str, ending: str) -> None:
    def found(name: str, commas: int) -> int:
        cells = ["80", "1,234", *["37.5"] * 20, *["37,5"] * commas]
        charts = [chart(1, hour / 9, 220045, 80) | {column: cell} for hour, cell in enumerate(cells)]
        release = Release.open(write_release(tmp_path / name, STAYS, charts, ending=ending))
        return sum(batch.height for batch in scan(release, "chartevents", [220045], ["value"], ["valuenum"]))

    assert found("slip", 1) == 23
    with pytest.raises(
        DataError, match=rf"chartevents\{ending}, row 23: 3 of 23 decimals in column '{column}' have a co"
    ):
        found("export", 3)
