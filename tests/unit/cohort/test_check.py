"""`picme check`: what is there, what is missing, what it allows."""

from __future__ import annotations

import gzip
import shutil
from typing import TYPE_CHECKING

import polars as pl
import pytest
from release_files import film, note, write_films, write_notes

from picme.cohort.check import check, published
from picme.errors import DataError
from picme.sources import count
from picme.sources.count import count_rows, first_rows

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = {
    "hosp/patients": "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod",
    "hosp/admissions": "subject_id,hadm_id,admittime,dischtime,deathtime,admission_type,admission_location,insurance,"
    "language,marital_status,race,hospital_expire_flag",
    "hosp/diagnoses_icd": "subject_id,hadm_id,seq_num,icd_code,icd_version",
    "icu/icustays": "subject_id,hadm_id,stay_id,first_careunit,last_careunit,intime,outtime,los",
    "icu/chartevents": "subject_id,hadm_id,stay_id,charttime,storetime,itemid,value,valuenum",
}
ROWS = {
    "hosp/patients": "1,F,60,2150,2008 - 2010,",
    "hosp/admissions": "1,2,2150-01-01 00:00:00,2150-01-09 00:00:00,,URGENT,ER,Medicare,ENGLISH,,WHITE,0",
    "hosp/diagnoses_icd": "1,2,1,I10,10",
    "icu/icustays": "1,2,3,MICU,MICU,2150-01-01 03:00:00,2150-01-08 00:00:00,7",
    "icu/chartevents": "1,2,3,2150-01-01 04:00:00,2150-01-01 04:10:00,220045,80,80",
}

OF_STAYS = {"mortality", "length_of_stay", "readmission", "icu_readmission"}
"""Tasks that need nothing but stays, admissions and patients."""


def write_ehr(folder: Path, leave_out: tuple[str, ...] = (), rename: dict[str, str] | None = None) -> Path:
    for name, header in COLUMNS.items():
        if name in leave_out:
            continue
        for old, new in (rename or {}).items():
            header = header.replace(old, new)
        file = folder / f"{name}.csv.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(f"{header}\n{ROWS[name]}\n".encode()))
    return folder


def row(table: pl.DataFrame, name: str, item: str = "table") -> dict:
    return table.filter(pl.col("item") == item, pl.col("name") == name).row(0, named=True)


def possible(table: pl.DataFrame) -> set[str]:
    return set(table.filter(pl.col("status") == "possible")["name"])


def test_how_much_of_notes_is_kept_is_said(tmp_path):
    kept, bare = "FINDINGS: clear lungs", "TECHNIQUE: AP\nIMPRESSION:\n" + "TECHNIQUE: " + 50 * "long "
    write_notes(tmp_path, "radiology", [note(text, 5) for text in (kept, kept, bare)])
    detail = row(check(None, tmp_path), "radiology")["detail"]
    assert "of the first 3 notes the default parts keep 100 % of the text (median); 0 keep less than 10 %" in detail


def test_a_note_table_in_utf_16_is_as_good_as_one_in_utf_8(tmp_path):
    write_notes(tmp_path, "radiology", [note("FINDINGS: clear", 5)] * 3, ".csv")
    file = tmp_path / "radiology.csv"
    before = row(check(None, tmp_path), "radiology")
    file.write_bytes(file.read_text("utf-8").encode("utf-16"))
    assert row(check(None, tmp_path), "radiology") == before


def test_what_is_there_decides_what_can_be_studied(tmp_path):
    ehr = write_ehr(tmp_path / "ehr")
    table = check(ehr)
    assert possible(table) == {*OF_STAYS, "phenotyping", "timeseries", "demographics"}
    assert row(table, "timeseries", "modality")["detail"] == "without labevents"
    assert row(table, "labevents")["status"] == "missing"
    assert row(table, "image", "modality")["detail"] == "needs metadata, images"
    admissions = row(table, "admissions")
    assert (admissions["rows"], admissions["first"], admissions["release"]) == (1, "2150-01-01", "MIMIC-IV 2.x")
    assert admissions["status"] == "differs" and "% of the published rows" in admissions["detail"]
    write_notes(tmp_path / "notes", "discharge", [note('two\nlines, "quoted"', 5)])
    write_films(tmp_path / "cxr", [film(1), film(2)])
    table = check(ehr, tmp_path / "notes", tmp_path / "cxr")
    assert possible(table) == {*OF_STAYS, "phenotyping", "timeseries", "demographics", "discharge", "image"}
    assert row(table, "discharge")["rows"] == 1 and row(table, "radiology")["status"] == "missing"
    assert row(table, "metadata")["first"] == "2150-03-01"
    assert row(table, "images")["detail"] == "2 of the 2 images looked for are there"


def test_a_missing_table_takes_its_task_away(tmp_path):
    table = check(write_ehr(tmp_path, leave_out=("hosp/diagnoses_icd",)))
    assert possible(table) == {*OF_STAYS, "timeseries", "demographics"}
    assert row(table, "phenotyping", "task")["detail"] == "needs diagnoses_icd"


def test_renamed_columns_are_named_with_a_near_match(tmp_path):
    table = check(write_ehr(tmp_path, rename={"charttime": "chart_time"}))
    events = row(table, "chartevents")
    assert events["status"] == "unreadable"
    assert "no column 'charttime'; did you mean 'chart_time'?" in events["detail"]
    assert "timeseries" not in possible(table)


def test_release_1_is_told_by_ethnicity_and_a_missing_storetime_is_said(tmp_path):
    table = check(write_ehr(tmp_path, rename={"race": "ethnicity", ",storetime": ""}))
    assert row(table, "admissions")["release"] == "MIMIC-IV 1.0"
    events = row(table, "chartevents")
    assert events["status"] in ("ok", "differs") and "no column 'storetime'" in events["detail"]


def test_dates_that_cannot_be_read_are_said(tmp_path):
    ehr = write_ehr(tmp_path)
    header = COLUMNS["icu/icustays"]
    (ehr / "icu/icustays.csv.gz").write_bytes(gzip.compress(f"{header}\n1,2,3,M,M,someday,later,7\n".encode()))
    found = row(check(ehr), "icustays")
    assert found["first"] is None and "'intime'" in found["detail"]


def test_a_truncated_table_is_a_finding(tmp_path):
    ehr = write_ehr(tmp_path)
    file = ehr / "icu/chartevents.csv.gz"
    lines = "\n".join(f"1,2,3,2150-01-01 04:00:00,2150-01-01 04:10:00,{item},80,80" for item in range(50_000))
    data = gzip.compress(f"{COLUMNS['icu/chartevents']}\n{lines}\n".encode())
    file.write_bytes(data[: len(data) // 2])
    table = check(ehr)
    assert row(table, "chartevents")["status"] == "unreadable" and "truncated" in row(table, "chartevents")["detail"]
    assert "timeseries" not in possible(table)


def test_a_table_of_stays_in_utf_16_is_a_finding(tmp_path):
    ehr = write_ehr(tmp_path)
    file = ehr / "icu/icustays.csv.gz"
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()).decode().encode("utf-16")))
    found = row(check(ehr), "icustays")
    assert found["status"] == "unreadable" and "is in UTF-16" in found["detail"]


def test_nothing_is_changed(tmp_path):
    ehr = write_ehr(tmp_path)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in tmp_path.rglob("*")}
    check(ehr)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in tmp_path.rglob("*")} == before


def test_folders_that_are_no_release_are_one_sentence(tmp_path):
    with pytest.raises(DataError, match="holds no MIMIC-IV table"):
        check(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        check(None, notes=tmp_path / "absent")


def test_the_open_demo_is_recognised(shared_data):
    table = check(shared_data / "mimic-iv-demo-2.2")
    patients = row(table, "patients")
    assert (patients["rows"], patients["published"], patients["status"]) == (100, 100, "ok")
    assert patients["release"] == "MIMIC-IV demo 2.2"
    assert row(table, "icustays")["rows"] == 140 and row(table, "chartevents")["rows"] == 668_862
    assert possible(table) == {*OF_STAYS, "phenotyping", "timeseries", "demographics"}


def test_published_counts_are_shipped(shared_data):
    reference = shared_data.parent / "reference" / "row_counts.csv"
    if not reference.is_file():
        pytest.skip("no reference counts beside the open data")
    expected = pl.read_csv(reference)
    counts = published()
    assert sum(len(tables) for tables in counts.values()) == expected.height
    for dataset, release, table, rows in expected.cast({"release": pl.String}).iter_rows():
        assert counts[(dataset, release)][table] == rows


# --- counting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
@pytest.mark.parametrize("number", [0, 1, 777])
def test_rows_are_counted_whatever_is_in_the_quotes(tmp_path, ending, number):
    texts = [f'line {index}\nnext, with "quotes"\n\nend' if index % 3 else "plain" for index in range(number)]
    frame = pl.DataFrame({"id": list(range(number)), "text": texts}, schema={"id": pl.Int64, "text": pl.String})
    path = tmp_path / f"x{ending}"
    if ending == ".parquet":
        frame.write_parquet(path)
    else:
        data = frame.write_csv().encode()
        path.write_bytes(gzip.compress(data) if ending == ".csv.gz" else data)
    assert count_rows(path) == count.RowCount(number, estimated=False)


def test_an_unfinished_last_line_is_a_row(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3,4")
    assert count_rows(tmp_path / "x.csv").rows == 2


def test_large_files_are_estimated_unless_asked_for_in_full(tmp_path, monkeypatch):
    path = tmp_path / "x.csv.gz"
    lines = "".join(f"{index},{index * 7919 % 10007}\n" for index in range(400_000))
    path.write_bytes(gzip.compress(f"a,b\n{lines}".encode(), 1))
    monkeypatch.setattr(count, "LARGE", 100_000)
    monkeypatch.setattr(count, "SAMPLE", 200_000)
    estimate = count_rows(path)
    assert estimate.estimated and abs(estimate.rows - 400_000) < 60_000
    assert count_rows(path, full=True) == count.RowCount(400_000, estimated=False)


def test_first_rows_end_at_a_whole_row(tmp_path):
    path = tmp_path / "x.csv"
    pl.DataFrame({"id": range(200), "text": ['a\n"b"\n, c'] * 200}).write_csv(path)
    for size in (50, 333, 1000):
        head = first_rows(path, size)
        assert 0 < head.height < 200 and head["text"].unique().to_list() == ['a\n"b"\n, c']
    assert first_rows(path).height == 200
    shutil.rmtree(tmp_path)


def test_mimic_iii_and_eicu_are_recognised_and_nothing_can_be_run_with_them(tmp_path):
    third, eicu = tmp_path / "mimic-iii", tmp_path / "eicu"
    for folder, tables in (
        (third, {"admissions": "row_id,subject_id,hadm_id,ethnicity,has_chartevents_data", "patients": "dob"}),
        (eicu, {"patient": "patientunitstayid", "vitalPeriodic": "observationoffset"}),
    ):
        folder.mkdir()
        for name, header in tables.items():
            (folder / f"{name}.csv").write_text(f"{header}\n{header}\n")
    for folder, title in ((third, "MIMIC-III"), (eicu, "eICU")):
        table = check(folder)
        found = row(table, "all")
        assert (found["status"], found["release"]) == ("unreadable", title)
        assert "tables of your own" in found["detail"]
        assert not possible(table)
