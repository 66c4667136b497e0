from __future__ import annotations

import io
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from picme.config.loading import validate
from picme.config.sources import Physionet2012Source
from picme.errors import ConfigError, DataError
from picme.pipeline import run as prepare
from picme.schema import Extraction, SeriesRows, TableRows
from picme.sources.physionet2012 import extract

if TYPE_CHECKING:
    from pathlib import Path

MODALITIES: dict[str, dict[str, Any]] = {
    "vitals": {"kind": "timeseries", "table": "vitals"},
    "labs": {"kind": "timeseries", "table": "labs"},
    "blood_gas": {"kind": "timeseries", "table": "blood_gas"},
    "fluids": {"kind": "timeseries", "table": "fluids"},
    "demographics": {"kind": "tabular", "table": "demographics"},
}


def record(
    number: int, body: str = "", age: float = 54, gender: int = 0, height: float = -1, weight: float = -1
) -> str:
    return (
        f"Time,Parameter,Value\n00:00,RecordID,{number}\n00:00,Age,{age}\n00:00,Gender,{gender}\n"
        f"00:00,Height,{height}\n00:00,ICUType,4\n00:00,Weight,{weight}\n{body}"
    )


RECORDS = {
    11: record(
        11,
        "00:07,HR,70\n00:37,HR,80\n02:10,HR,100\n02:10,Temp,-17.8\n05:00,pH,735\n05:00,SaO2,97\n"
        "01:00,Urine,30\n01:30,Urine,50\n48:00,HR,60\n",
        height=462.3,
        weight=70,
    ),
    12: record(
        12,
        "03:00,Creatinine,1.5\n03:00,WBC,12500\n09:99x,HR,70\n04:00,Weight,81\n999999999:00,HR,70",
        gender=-1,
        age=90,
    ),
    13: "Time,Parameter,Value\n00:00,RecordID,13\n",
}
OUTCOMES = (
    "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death\n11,1,1,5,-1,0\n12,1,1,5,3,1\n13,1,1,5,-1,0\n"
)


def write(
    folder: Path,
    how: str,
    name: str = "a",
    records: dict[int, str] = RECORDS,
    outcomes: str = OUTCOMES,
    suffix: str = ".txt",
) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"Outcomes-{name}.txt").write_text(outcomes)
    files = {f"set-{name}/{number}{suffix}": text.encode() for number, text in records.items()}
    if how == "zip":
        with zipfile.ZipFile(folder / f"set-{name}.zip", "w") as archive:
            for path, content in files.items():
                archive.writestr(path, content)
    elif how == "tar.gz":
        with tarfile.open(folder / f"set-{name}.tar.gz", "w:gz") as archive_:
            for path, content in files.items():
                info = tarfile.TarInfo(path)
                info.size = len(content)
                archive_.addfile(info, io.BytesIO(content))
    else:
        for path, content in files.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(content)
    return folder


def run(folder: Path, **changes: Any) -> Extraction:
    arguments: dict[str, Any] = {
        "source": Physionet2012Source(
            path=folder,
            max_bad_rows=changes.pop("max_bad_rows", 0.5),
            time_since=changes.pop("time_since", False),
        ),
        "cohort_max_hours": None,
        "modalities": MODALITIES,
        "tasks": {"mortality": {"labels": []}},
        "window_hours": 48,
    }
    return extract(**(arguments | changes))


def column(rows: Any, stay: int, name: str) -> np.ndarray:
    assert isinstance(rows, SeriesRows)
    start = int(rows.lengths[:stay].sum())
    return rows.values[start : start + rows.lengths[stay], rows.columns.index(name)]


@pytest.mark.parametrize("how", ["zip", "tar.gz", "folder"])
def test_every_form_gives_the_same(tmp_path: Path, how: str) -> None:
    view = run(write(tmp_path / how, how)).views["mortality"]
    assert view.stays.to_dicts() == [
        dict(zip(view.stays.columns, row, strict=True))
        for row in [
            (11, 11, "a", "female", "45–54", "surgical", 0),
            (12, 12, "a", "unknown", "85 and over", "surgical", 1),
            (13, 13, "a", "unknown", "unknown", "unknown", 0),
        ]
    ]
    assert view.labels == ["mortality"]
    assert [int(view.modalities[name].lengths[0]) for name in ("vitals", "labs", "blood_gas", "fluids")] == [
        48,
        0,
        48,
        48,
    ]  # type: ignore[union-attr]


@pytest.mark.parametrize("end", ["\r", "\r\n"])
def test_lines_end_in_any_way(tmp_path: Path, end: str) -> None:
    expected = run(write(tmp_path / "unix", "folder"))
    other = write(tmp_path / "other", "folder")
    for file in other.rglob("*.txt"):
        file.write_bytes(file.read_bytes().replace(b"\n", end.encode()))
    found = run(other)
    assert found.views["mortality"].stays.equals(expected.views["mortality"].stays)
    assert quarantined(found) == quarantined(expected)
    for name, rows in expected.views["pretrain"].modalities.items():
        got = found.views["pretrain"].modalities[name]
        if isinstance(rows, SeriesRows):
            assert isinstance(got, SeriesRows)
            np.testing.assert_array_equal(got.values, rows.values)


@pytest.mark.parametrize("how", ["zip", "tar.gz", "folder"])
def test_names_in_capitals_are_read(tmp_path: Path, how: str) -> None:
    for file in list(write(tmp_path, how, suffix=".TXT").iterdir()):
        file.rename(file.with_name(file.name.upper()))
    view = run(tmp_path).views["mortality"]
    assert view.stays["stay_id"].to_list() == [11, 12, 13]
    write(tmp_path / "own", "folder")
    (tmp_path / "own" / "set-a").rename(tmp_path / "set-b")
    (tmp_path / "outcomes-B.txt").write_text(OUTCOMES)
    (tmp_path / "Outcomes-b.TXT").write_text(OUTCOMES)
    with pytest.raises(DataError, match=r"Outcomes-b\.TXT and .*outcomes-B\.txt may differ"):
        run(tmp_path)


def test_a_set_in_two_forms_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "zip")
    write(tmp_path, "folder")
    with pytest.raises(DataError, match=r"holds set a as set-a\.zip and as set-a, which may differ"):
        run(tmp_path)


def test_values_by_hand(tmp_path: Path) -> None:
    rows = run(write(tmp_path, "zip"), time_since=True).views["pretrain"].modalities
    heart = column(rows["vitals"], 0, "HR")
    # Hour 0 is the mean of two; carried to hour 1; hour 47 holds the measurement at 48:00.
    assert heart.tolist() == [75, 75, *[100] * 45, 60]
    assert np.flatnonzero(column(rows["vitals"], 0, "mask->HR")).tolist() == [0, 2, 47]
    assert column(rows["vitals"], 0, "since->HR")[:5] * 24 == pytest.approx([0, 1, 0, 1, 2])
    # 0 °F is a mistake: nothing measured, a gap, and "never" is two days.
    assert np.isnan(column(rows["vitals"], 0, "Temp")).all()
    assert set(column(rows["vitals"], 0, "since->Temp").tolist()) == {2.0}
    ph = column(rows["blood_gas"], 0, "pH")
    assert ph[4:6] == pytest.approx([np.nan, 7.35], nan_ok=True)
    assert not column(rows["blood_gas"], 0, "MechVent").any()
    urine = column(rows["fluids"], 0, "log Urine")  # 30 + 50 in hour 1
    assert urine[:3] == pytest.approx([np.nan, np.log(80.1), np.log(80.1)], nan_ok=True)
    assert not column(rows["fluids"], 0, "mask->Weight").any()  # the admission weight is a demographic
    assert column(rows["fluids"], 1, "Weight")[3:5] == pytest.approx([np.nan, 81], nan_ok=True)
    assert column(rows["labs"], 1, "log WBC")[3] == pytest.approx(np.log(12.6))
    vitals = rows["vitals"]
    assert isinstance(vitals, SeriesRows)
    assert vitals.continuous == [not name.startswith(("mask->", "since->")) for name in vitals.columns]


def test_fahrenheit_is_read_as_celsius_and_counted(tmp_path: Path) -> None:
    extraction = run(
        write(tmp_path, "zip", records={11: record(11, "00:10,Temp,98.6\n01:10,Temp,37.5\n02:10,Temp,80\n")})
    )
    rows = extraction.views["pretrain"].modalities["vitals"]
    assert column(rows, 0, "Temp")[:3] == pytest.approx([37, 37.5, 37.5])
    counts = quarantined(extraction)
    assert counts["Temp: unit repaired"] == counts["Temp: implausible value"] == 1


def test_demographics(tmp_path: Path) -> None:
    rows = run(write(tmp_path, "zip")).views["pretrain"].modalities["demographics"]
    assert isinstance(rows, TableRows)
    assert rows.frame["height"][0] == pytest.approx(462.3 / 2.54)
    assert rows.frame["weight"].to_list() == [70, None, None]
    assert rows.frame["gender"].to_list() == ["female", None, None]
    assert rows.present.tolist() == [True, True, False]


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    quarantine = run(write(tmp_path, "zip")).quarantine
    assert quarantine is not None
    assert {(m, r): n for m, r, n in quarantine.iter_rows()} == {
        ("all", "line later than 48 hours"): 1,
        ("all", "line without a time or a number"): 1,
        ("blood_gas", "pH: unit repaired"): 1,
        ("demographics", "Height: unit repaired"): 1,
        ("labs", "WBC: unit repaired"): 1,
        ("vitals", "Temp: implausible value"): 1,
    }


def quarantined(extraction: Extraction) -> dict[str, int]:
    assert extraction.quarantine is not None
    return {reason: n for _, reason, n in extraction.quarantine.iter_rows()}


def test_decimal_commas_are_read_and_other_surplus_cells_are_counted(tmp_path: Path) -> None:
    body = "01:00,pH,7,38\n02:00,HR,70,x\n03:00,HR,80,\n04:00,HR,1,2,3\n05:00,Temp,36,6\n06:00,ALT,1,234\n"
    extraction = run(write(tmp_path, "zip", records={11: record(11, body)}))
    rows = extraction.views["pretrain"].modalities
    assert column(rows["blood_gas"], 0, "pH")[1] == pytest.approx(7.38)
    assert column(rows["vitals"], 0, "Temp")[5] == pytest.approx(36.6)
    assert np.flatnonzero(column(rows["vitals"], 0, "mask->HR")).tolist() == [3]
    counts = quarantined(extraction)
    assert not column(rows["labs"], 0, "mask->log ALT").any()  # 1234 or 1.234
    assert (counts["decimal comma read as a point"], counts["line without a time or a number"]) == (2, 3)


@pytest.mark.parametrize("clock", ["-03:05", "-00:05", "03:-05", "03:60", "03:75"])
def test_what_is_no_clock_is_counted_and_reaches_no_stay(tmp_path: Path, clock: str) -> None:
    records = {11: record(11, "01:00,HR,70\n"), 12: record(12, f"{clock},HR,150\n05:59,HR,60\n")}
    extraction = run(write(tmp_path, "zip", records=records))
    rows = extraction.views["pretrain"].modalities["vitals"]
    assert np.flatnonzero(column(rows, 0, "mask->HR")).tolist() == [1]
    assert np.flatnonzero(column(rows, 1, "mask->HR")).tolist() == [5]
    assert quarantined(extraction)["line without a time or a number"] == 1


def test_parameters_are_known_in_any_case_and_too_many_unknown_ones_are_refused(tmp_path: Path) -> None:
    lower = {number: text.lower() for number, text in RECORDS.items()}
    found, expected = run(write(tmp_path / "a", "zip", records=lower)), run(write(tmp_path / "b", "zip"))
    for name, rows in expected.views["pretrain"].modalities.items():
        if isinstance(rows, SeriesRows):
            other = found.views["pretrain"].modalities[name]
            assert isinstance(other, SeriesRows)
            np.testing.assert_array_equal(other.values, rows.values)
    foreign = {11: record(11, "01:00,Herzfrequenz,70\n02:00,HR,70\n")}
    assert quarantined(run(write(tmp_path / "c", "zip", records=foreign)))["unknown parameter"] == 1
    with pytest.raises(DataError, match="1 of 7 lines have a parameter that the challenge does not have"):
        run(tmp_path / "c", max_bad_rows=0.05)


def test_lines_below_the_record_id_of_another_are_nobodys(tmp_path: Path) -> None:
    body = "01:00,HR,70\n#,#,12\n00:00,RecordID,12\n02:00,HR,150\n00:00,RecordID,11\n03:00,HR,80\n"
    records = {11: record(11, body), 12: record(12, "02:00,HR,60\n")}
    extraction = run(write(tmp_path, "zip", records=records))
    rows = extraction.views["pretrain"].modalities["vitals"]
    assert column(rows, 0, "HR")[:4] == pytest.approx([np.nan, 70, 70, 80], nan_ok=True)
    assert column(rows, 1, "HR")[:4] == pytest.approx([np.nan, np.nan, 60, 60], nan_ok=True)
    counts = quarantined(extraction)
    assert counts["line below the RecordID of another record"] == 1
    assert counts["line without a time or a number"] == 1  # the line of crosses
    with pytest.raises(DataError, match="1 of 15 lines stand below the RecordID of another record"):
        run(tmp_path, max_bad_rows=0.06)


def test_new_stays_need_no_outcomes_and_are_all_to_be_judged(tmp_path: Path) -> None:
    write(tmp_path, "zip", "c")
    (tmp_path / "Outcomes-c.txt").unlink()
    with pytest.raises(DataError, match=r"Outcomes-c\.txt is missing.*source\.unlabelled"):
        run(tmp_path)
    extraction = run(tmp_path, source=Physionet2012Source(path=tmp_path, unlabelled=True, max_bad_rows=0.5))
    stays = extraction.views["mortality"].stays
    assert stays["stay_id"].to_list() == [11, 12, 13]
    assert stays["split"].to_list() == ["test"] * 3
    assert stays["mortality"].null_count() == 3


def test_views_of_incomplete_stays_are_prepared_each_with_its_groups(tmp_path: Path) -> None:
    records = {n: record(n, f"00:07,HR,{60 + n}\n" if n % 3 else "00:07,pH,7.3\n") for n in range(1, 61)}
    died = "RecordID,In-hospital_death\n" + "".join(f"{n},{n % 2}\n" for n in records)
    folder = write(tmp_path / "challenge", "folder", records=records, outcomes=died)
    config = validate(
        {
            "source": {"kind": "physionet2012", "path": str(folder)},
            "require": "none",
            "modalities": {name: MODALITIES[name] for name in ("vitals", "demographics")},
            "tasks": {"mortality": {}},
        }
    )
    study = prepare(config, tmp_path / "run", until="prepare", quiet=True)
    for view in ("mortality", "pretrain"):
        cohort = pl.read_parquet(study.prepared / "views" / view / "cohort.parquet")
        assert cohort["modalities"].value_counts(sort=True).rows() == [("all", 40), ("some missing", 20)]


def test_a_record_and_an_outcome_count_once(tmp_path: Path) -> None:
    write(tmp_path, "zip")
    write(tmp_path, "folder", "b", {13: record(13), 14: record(14)}, "RecordID,In-hospital_death\n13,0\n15,0\n")
    extraction = run(tmp_path)
    stays = extraction.views["pretrain"].stays
    assert stays.select("stay_id", "set", "mortality").rows() == [
        (11, "a", 0),
        (12, "a", 1),
        (13, "a", 0),
        (14, "b", None),
    ]
    assert extraction.views["mortality"].stays["stay_id"].to_list() == [11, 12, 13]
    assert extraction.views["mortality"].modalities["vitals"].lengths.tolist() == [48, 0, 0]  # type: ignore[union-attr]
    assert extraction.flow.filter(pl.col("task") == "mortality")["stays"].to_list() == [4, 3]
    assert extraction.quarantine is not None
    counts = {reason: n for _, reason, n in extraction.quarantine.iter_rows()}
    assert counts["record seen before"] == counts["outcome given twice"] == 1
    assert counts["outcome without a record"] == counts["record without an outcome"] == 1


def test_outcomes_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "one", "zip", outcomes=OUTCOMES + "11,1,1,5,3,1\n12,1,1,5,-1,0\n13,1,1,5,-1,0\n")
    with pytest.raises(DataError, match=r"one/Outcomes-a\.txt: records with two outcomes .*: 2;"):
        run(tmp_path / "one")
    write(tmp_path / "two", "zip")
    write(tmp_path / "two", "zip", "b", {14: record(14)}, "RecordID,In-hospital_death\n14,0\n13,1\n")
    with pytest.raises(DataError, match=r"Outcomes-a\.txt and .*Outcomes-b\.txt: records with two .*: 1;"):
        run(tmp_path / "two")


def test_nothing_after_the_window_is_seen(tmp_path: Path) -> None:
    views = run(write(tmp_path, "zip"), window_hours=2, cohort_max_hours=3).views
    assert column(views["pretrain"].modalities["vitals"], 0, "HR").tolist() == [75, 75]
    assert column(views["mortality"].modalities["vitals"], 0, "HR").tolist() == [75, 75, 100]
    assert views["mortality"].modalities["blood_gas"].lengths.tolist() == [0, 0, 0]  # type: ignore[union-attr]


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        run(tmp_path / "absent")
    with pytest.raises(DataError, match="holds no set"):
        run(tmp_path)
    folder = write(tmp_path / "x", "zip")
    (folder / "Outcomes-a.txt").unlink()
    with pytest.raises(DataError, match=r"Outcomes-a\.txt is missing"):
        run(folder)
    write(folder, "zip", outcomes="RecordID,In_hospital_death\n11,0\n")
    with pytest.raises(DataError, match="did you mean 'In_hospital_death'"):
        run(folder)
    write(folder, "zip", outcomes="RecordID,In-hospital_death\n11,0\n12,2\n")
    with pytest.raises(DataError, match="row 2: expected"):
        run(folder)
    write(folder, "zip")
    with pytest.raises(DataError, match="1 of 24 lines lack"):
        run(folder, max_bad_rows=0.01)
    content = (folder / "set-a.zip").read_bytes()
    (folder / "set-a.zip").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="damaged or cut off"):
        run(folder)
    content = (write(tmp_path / "y", "tar.gz") / "set-a.tar.gz").read_bytes()
    (tmp_path / "y" / "set-a.tar.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="damaged or cut off"):
        run(tmp_path / "y")


def test_bad_configuration_is_one_sentence(tmp_path: Path) -> None:
    folder = write(tmp_path, "zip")
    with pytest.raises(ConfigError, match=r"modalities\.vital\.table.*did you mean 'vitals'"):
        run(folder, modalities={"vital": {"kind": "timeseries", "table": "vital"}})
    with pytest.raises(ConfigError, match=r"kind must be 'tabular'"):
        run(folder, modalities={"who": {"kind": "timeseries", "table": "demographics"}})
    with pytest.raises(ConfigError, match=r"tasks\.death.*did you mean 'mortality'"):
        run(folder, tasks={"death": {"labels": ["mortalty"]}})


def test_the_challenge_itself(shared_data: Path) -> None:
    extraction = run(shared_data / "physionet-2012", max_bad_rows=0.0)
    view = extraction.views["mortality"]
    assert view.stays["set"].value_counts().sort("set").rows() == [("a", 4000), ("b", 4000)]
    assert view.stays.group_by("set").agg(pl.col("mortality").sum()).sort("set")["mortality"].to_list() == [554, 568]
    present = {
        name: int((rows.lengths > 0).sum()) for name, rows in view.modalities.items() if isinstance(rows, SeriesRows)
    }
    assert present == {"vitals": 7872, "labs": 7885, "blood_gas": 6679, "fluids": 7849}
    for rows in view.modalities.values():
        if isinstance(rows, SeriesRows):
            assert not np.isinf(rows.values).any()
            assert [name.startswith("mask->") for name in rows.columns] == [not flag for flag in rows.continuous]
    # The first record's file, read by hand.
    assert column(view.modalities["vitals"], 0, "HR")[:4].tolist() == [75, 60, 62, 80]
