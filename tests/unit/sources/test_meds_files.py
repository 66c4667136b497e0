"""MEDS data sets on disk: what fits the standard is read, what does not is one sentence or a counted note."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from picme.errors import ConfigError, DataError
from picme.sources.meds_events import distinct_codes, keep_events
from picme.sources.meds_files import MedsFiles, read_labels
from picme.sources.meds_layout import load, matched, recognise
from picme.sources.meds_order import NO_CODE, NO_SUBJECT, UNLISTED, UNSORTED, check_events
from tiny_meds import HEART_RATE, SCHEMA, at, event, patient, write_meds_files

if TYPE_CHECKING:
    from pathlib import Path


def kept(folder: Path, wanted: list[str]) -> tuple[Any, int]:
    files = MedsFiles.open(folder)
    codes = files.codes()
    return keep_events(files, wanted, distinct_codes(files) if codes is None else codes, [], folder / "scratch")


def test_the_wanted_events_are_kept_in_their_order(tmp_path: Path) -> None:
    rows = [[*patient(n), *(event(n, hour, HEART_RATE, 60 + hour) for hour in range(5))] for n in (1, 2, 3)]
    folder = write_meds_files(tmp_path / "set", rows[0] + rows[1], rows[2])
    found, unlisted = kept(folder, [HEART_RATE])
    assert unlisted == 0
    assert found.counts == Counter()
    assert found.subjects.to_list() == [1, 2, 3]
    assert found.rows == sum(map(len, rows))
    events = pl.concat(list(found.batches([HEART_RATE])))
    assert events["numeric_value"].to_list() == [60.0, 61.0, 62.0, 63.0, 64.0] * 3
    assert found.of([HEART_RATE]).equals(events)
    assert found.of(["MEDS_BIRTH"]).is_empty(), "what was not wanted is not there"


def test_any_folder_below_data_and_any_string_type_is_read(tmp_path: Path) -> None:
    folder = write_meds_files(tmp_path / "set", patient(1))
    (folder / "data" / "train").mkdir()
    (folder / "data" / "0.parquet").rename(folder / "data" / "train" / "0.parquet")
    files = MedsFiles.open(folder)
    assert len(files.shards) == 1
    assert files.notes == ()
    assert files.name == "mimic-iv"


def test_a_time_before_the_previous_one_is_counted(tmp_path: Path) -> None:
    rows = [event(1, hours, HEART_RATE, 80) for hours in (3, 1, 2, 5, 4)] + [event(2, 0, HEART_RATE, 80)]
    found, _ = kept(write_meds_files(tmp_path / "set", rows, ordered=False), [HEART_RATE])
    assert found.counts == {UNSORTED: 2}, "3 → 1 and 5 → 4; that the next subject begins earlier is in order"


@pytest.mark.parametrize("seed", range(6))
def test_what_is_counted_does_not_depend_on_where_a_file_is_cut(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a plain loop, with parts of three events, row groups of eight, and empty cells in every column."""
    monkeypatch.setattr("picme.sources.meds_order.BATCH", 3)
    rng, folder, every = np.random.default_rng(seed), write_meds_files(tmp_path / "set", patient(1)), []
    for shard in range(3):
        subjects = np.sort(rng.integers(10 * shard, 10 * shard + 4, 40))
        rows = [event(int(one), float(rng.integers(0, 9)), f"CODE//{rng.integers(0, 5)}") for one in subjects]
        for row in rows:
            row |= {name: None for name in ("subject_id", "time", "code") if rng.random() < 0.08}
        pl.DataFrame(rows, schema=SCHEMA, orient="row").write_parquet(
            folder / "data" / f"{shard}.parquet", row_group_size=8
        )
        every.append(rows)
    expected: Counter[str] = Counter()
    runs = []
    for shard, rows in enumerate(every):
        mine = [row["subject_id"] for row in rows if row["subject_id"] is not None]
        runs += [(mine[0], shard), *((b, shard) for a, b in pairwise(mine) if a != b)]
        for row in rows:
            expected[NO_SUBJECT] += row["subject_id"] is None
            expected[NO_CODE] += row["code"] is None
            expected[UNLISTED] += row["code"] in ("CODE//3", "CODE//4")
        for one, other in pairwise(rows):
            known = all(row[name] is not None for row in (one, other) for name in ("subject_id", "time"))
            expected[UNSORTED] += known and one["subject_id"] == other["subject_id"] and other["time"] < one["time"]
    counts, found = check_events(MedsFiles.open(folder), pl.Series([f"CODE//{number}" for number in range(3)]))
    assert counts == expected
    assert min(counts.values()) > 1
    assert found.rows() == runs


def test_events_without_a_code_are_counted(tmp_path: Path) -> None:
    rows = [*patient(1), {**event(1, 1, HEART_RATE, 80), "code": None}]
    found, unlisted = kept(write_meds_files(tmp_path / "set", rows), [HEART_RATE])
    assert found.counts == {NO_CODE: 1}
    assert unlisted == 0


def test_events_without_a_subject_are_counted(tmp_path: Path) -> None:
    nobody = {**event(1, 1, HEART_RATE, 80), "subject_id": None}
    rows = [nobody, *patient(1)[:3], nobody, *patient(1)[3:], nobody]
    folder = write_meds_files(tmp_path / "set", rows, [nobody, *patient(2)], ordered=False)
    found, _ = kept(folder, [HEART_RATE])
    assert found.counts[NO_SUBJECT] == 4
    assert found.subjects.to_list() == [1, 2], "nobody between the events of a subject does not tear them apart"


def test_a_subject_in_two_files_is_refused(tmp_path: Path) -> None:
    folder = write_meds_files(tmp_path / "set", patient(1), patient(2), patient(1, begin=500))
    with pytest.raises(DataError, match=r"1 subjects have events in two files, such as .*0\.parquet and .*2\.parquet"):
        kept(folder, [HEART_RATE])


def test_a_subject_in_two_places_of_a_file_is_refused(tmp_path: Path) -> None:
    rows = [event(subject, 0, HEART_RATE, 80) for subject in (1, 2, 1)]
    folder = write_meds_files(tmp_path / "set", rows, ordered=False)
    with pytest.raises(DataError, match=r"0\.parquet: column 'subject_id': the events of 1 subjects are in several"):
        kept(folder, [HEART_RATE])


def test_a_subject_that_goes_on_in_the_next_file_is_refused(tmp_path: Path) -> None:
    """Its events follow one another across the two files, so no new run of events begins with the second."""
    folder = write_meds_files(tmp_path / "set", patient(1), [event(1, 90, HEART_RATE, 80), *patient(2)])
    with pytest.raises(DataError, match=r"1 subjects have events in two files, such as .*0\.parquet and .*1\.parquet"):
        kept(folder, [HEART_RATE])


def test_files_of_different_columns_are_one_data_set(tmp_path: Path) -> None:
    folder = write_meds_files(tmp_path / "set", [*patient(1), event(1, 1, HEART_RATE, 70)], patient(2), patient(3))
    for number in (0, 2):
        file = folder / "data" / f"{number}.parquet"
        pl.read_parquet(file).drop("text_value", "numeric_value" if number else "text_value").write_parquet(file)
    found, _ = kept(folder, [HEART_RATE, "MEDS_BIRTH"])
    assert found.of(["MEDS_BIRTH"])["subject_id"].sort().to_list() == [1, 2, 3]
    assert found.of([HEART_RATE])["numeric_value"].to_list() == [70.0]


def test_a_file_damaged_in_its_middle_is_named(tmp_path: Path) -> None:
    rows = [event(n, hour, f"CODE//{hour}", hour / 7) for n in range(50) for hour in range(200)]
    folder = write_meds_files(tmp_path / "set", patient(1000), rows)
    file = folder / "data" / "1.parquet"
    content = bytearray(file.read_bytes())
    content[100:4000] = bytes(3900)
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"1\.parquet cannot be read; a Parquet file was expected"):
        kept(folder, ["MEDS_BIRTH"])


def test_events_with_codes_that_are_not_listed_are_counted(tmp_path: Path) -> None:
    folder = write_meds_files(tmp_path / "set", [*patient(1), event(1, 1, HEART_RATE, 80), event(1, 2, HEART_RATE, 81)])
    codes = pl.read_parquet(folder / "metadata/codes.parquet").filter(pl.col("code") != HEART_RATE)
    codes.write_parquet(folder / "metadata/codes.parquet")
    assert kept(folder, [HEART_RATE])[1] == 2


@pytest.mark.parametrize("column", ["subject_id", "time", "code"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    folder = write_meds_files(tmp_path / "set", patient(1))
    file = folder / "data" / "0.parquet"
    pl.read_parquet(file).drop(column).write_parquet(file)
    with pytest.raises(DataError, match=rf"0\.parquet has no column '{column}', which MEDS data have"):
        MedsFiles.open(folder)


def test_times_with_a_zone_are_refused(tmp_path: Path) -> None:
    folder = write_meds_files(tmp_path / "set", patient(1), schema={"time": pl.Datetime("us", "Europe/Berlin")})
    with pytest.raises(DataError, match=r"column 'time' has times with the zone Europe/Berlin, MEDS has times without"):
        MedsFiles.open(folder)


@pytest.mark.parametrize("unit", ["ms", "ns"])
def test_times_of_another_unit_are_converted_and_told(tmp_path: Path, unit: Any) -> None:
    rows = [*patient(1), event(1, 1.5, HEART_RATE, 80)]
    folder = write_meds_files(tmp_path / "set", rows, schema={"time": pl.Datetime(unit)})
    files = MedsFiles.open(folder)
    assert files.notes == (f"Column 'time' of data/ is timestamp[{unit}], MEDS has timestamp[us]: it was converted.",)
    found, _ = kept(folder, [HEART_RATE])
    assert found.of([HEART_RATE])["time"].to_list() == [at(1.5)]


def test_a_column_of_another_type_is_refused(tmp_path: Path) -> None:
    folder = write_meds_files(tmp_path / "set", patient(1), schema={"numeric_value": pl.String})
    with pytest.raises(DataError, match=r"column 'numeric_value' is .*string.*, MEDS has float"):
        MedsFiles.open(folder)
    other = write_meds_files(tmp_path / "other", patient(1))
    frame = pl.read_parquet(other / "data/0.parquet").with_columns(pl.lit("1").alias("hadm_id"))
    frame.write_parquet(other / "data/1.parquet")
    frame.with_columns(hadm_id=1).write_parquet(other / "data/0.parquet")
    with pytest.raises(DataError, match=r"1\.parquet: column 'hadm_id' is .*string.*, in other files .* int32"):
        MedsFiles.open(other)


def test_ids_that_int64_cannot_hold_are_refused(tmp_path: Path) -> None:
    """Hashes of 64 bits without a sign; those that fit are converted."""
    sentence = r"{}: column '{}' has numbers above 9223372036854775807, which MEDS' type int64 cannot hold"
    kinds = {"subject_id": pl.UInt64, "hadm_id": pl.UInt64}
    (tmp_path / "layout.yaml").write_text("admission: 'HOSPITAL_ADMISSION.*'\nadmission_id: hadm_id\n", "utf-8")
    for number, (subject, admission, column) in enumerate([(1 << 63, 1, "subject_id"), (1, 1 << 63, "hadm_id")]):
        rows = [{**row, "hadm_id": admission} for row in patient(subject)]
        folder = write_meds_files(tmp_path / str(number), patient(1), rows, schema=kinds)
        with pytest.raises(DataError, match=sentence.format(r"1\.parquet", column)):
            MedsFiles.open(folder, tmp_path / "layout.yaml")
    (tmp_path / "layout.yaml").write_text("admission: 'HOSPITAL_ADMISSION.*'\n", "utf-8")
    files = MedsFiles.open(folder, tmp_path / "layout.yaml")
    assert files.rows == 2 * len(rows), "this layout does not read the column"
    given = {"subject_id": [1, (1 << 63) - 1], "split": ["train", "tuning"]}
    table = pl.DataFrame(given, schema={"subject_id": pl.UInt64, "split": pl.String})
    table.write_parquet(folder / "metadata/subject_splits.parquet")
    assert files.subject_splits()["subject_id"].to_list() == [1, (1 << 63) - 1]
    labels = table.select(pl.col("subject_id") + 1, prediction_time=pl.lit(at(1)), boolean_value=True)
    labels.write_parquet(tmp_path / "labels.parquet")
    with pytest.raises(DataError, match=sentence.format(r"labels\.parquet", "subject_id")):
        read_labels(tmp_path / "labels.parquet")


def test_without_dataset_json_the_layout_must_be_named(tmp_path: Path) -> None:
    folder = write_meds_files(tmp_path / "set", patient(1), etl=None)
    with pytest.raises(
        ConfigError, match=r"source\.layout is needed: .*dataset\.json is absent; known .*eicu, mimic-iv"
    ):
        MedsFiles.open(folder)
    files = MedsFiles.open(folder, "mimic-iv")
    assert "dataset.json is absent" in files.notes[0]


def test_an_unknown_extractor_and_a_damaged_dataset_json(tmp_path: Path) -> None:
    folder = write_meds_files(tmp_path / "set", patient(1), etl="HOSPITAL_X_MEDS")
    with pytest.raises(ConfigError, match=r"names no extractor that is known"):
        MedsFiles.open(folder)
    (folder / "metadata" / "dataset.json").write_text("{", "utf-8")
    with pytest.raises(DataError, match=r"dataset\.json is not JSON"):
        MedsFiles.open(folder)


def test_a_folder_without_events_and_a_damaged_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is no MEDS data set: expected events in data/"):
        MedsFiles.open(tmp_path)
    folder = write_meds_files(tmp_path / "set", patient(1))
    (folder / "data" / "0.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=r"0\.parquet cannot be read; a Parquet file was expected"):
        MedsFiles.open(folder)


def test_the_names_of_splits_become_picmes(tmp_path: Path) -> None:
    given = {1: "train", 2: "tuning", 3: "held_out", 4: "another"}
    folder = write_meds_files(tmp_path / "set", patient(1), splits=given)
    found = MedsFiles.open(folder).subject_splits()
    assert found["split"].to_list() == ["train", "val", "test", None]
    twice = pl.DataFrame({"subject_id": [1, 1], "split": ["train", "tuning"]})
    twice.write_parquet(folder / "metadata/subject_splits.parquet")
    with pytest.raises(DataError, match="has a subject twice"):
        MedsFiles.open(folder).subject_splits()


def test_labels_as_other_tools_write_them_are_read(tmp_path: Path) -> None:
    """Tools for cohorts write all columns of the schema, the unused ones empty, and columns of their own."""
    frame = pl.DataFrame(
        {
            "subject_id": [1, 2],
            "prediction_time": [datetime(2150, 1, 1), datetime(2150, 1, 2)],
            "boolean_value": [True, False],
            "integer_value": [None, None],
            "float_value": [None, None],
            "categorical_value": [None, None],
            "trigger": ["a", "b"],
        }
    )
    (tmp_path / "labels").mkdir()
    frame.write_parquet(tmp_path / "labels" / "0.parquet")
    frame.with_columns(subject_id=3).write_parquet(tmp_path / "labels" / "1.parquet")
    found = read_labels(tmp_path / "labels")
    assert found.columns == ["subject_id", "prediction_time", "label"]
    assert found["subject_id"].to_list() == [1, 2, 3, 3]
    for column, message in (("boolean_value", "has no column 'boolean_value'"), ("prediction_time", "no column")):
        frame.drop(column).write_parquet(tmp_path / "bad.parquet")
        with pytest.raises(DataError, match=message):
            read_labels(tmp_path / "bad.parquet")
    empty = frame.with_columns(pl.Series("boolean_value", [True, None]))
    empty.write_parquet(tmp_path / "bad.parquet")
    with pytest.raises(DataError, match="column 'boolean_value' is empty in 1 of 2 rows"):
        read_labels(tmp_path / "bad.parquet")
    with pytest.raises(DataError, match="neither a Parquet file nor a folder of them"):
        read_labels(tmp_path / "nothing.parquet")


def test_a_pattern_names_the_parts_of_a_code() -> None:
    layout = load("mimic-iv")
    assert layout.admission is not None
    codes = pl.Series(["HOSPITAL_ADMISSION//URGENT//UNK", "HOSPITAL_ADMISSION//A//B//C", "X//HOSPITAL_ADMISSION//A//B"])
    found = matched(codes, layout.admission)
    assert found["admission_type"].to_list() == ["URGENT", "A"]
    assert found["admission_location"].to_list() == [None, "B//C"], "UNK is unknown, and a pattern is for whole codes"


def test_extractors_are_told_by_their_names() -> None:
    assert recognise({"etl_name": "MIMIC_IV_MEDS"}) == "mimic-iv"
    assert recognise({"dataset_name": "mimic-iv-demo"}) == "mimic-iv"
    assert recognise({"dataset_name": "eICU-CRD"}) == "eicu"
    assert recognise({"dataset_name": "HiRID", "etl_version": "1"}) is None
    assert recognise({}) is None


def test_a_layout_of_ones_own_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("icu_admission: 'ICU_IN//(?P<first_careunit>.*)'\n", "utf-8")
    assert load(file).roles["icu_admission"].startswith("ICU_IN")
    for text, message in (
        ("icu_admission: '('\n", r"icu_admission: '\(' is no regular expression"),
        ("icu_admissions: A\n", "icu_admissions: Extra inputs"),
        ("- a\n", "expected keys such as"),
        ("a: [\n", "line 2 is not YAML"),
    ):
        file.write_text(text, "utf-8")
        with pytest.raises(ConfigError, match=message):
            load(file)
    with pytest.raises(ConfigError, match=r"source\.layout: 'mimic-v' is neither a file nor known by name.*'mimic-iv'"):
        load("mimic-v")
