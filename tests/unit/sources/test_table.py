from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from picme.config.sources import TableSource
from picme.engine import memory
from picme.errors import ConfigError, DataError
from picme.schema import Extraction, ImageRows, SeriesRows, TableRows, TextRows
from picme.sources.table import extract

SAMPLES = """sample,person,sex,age,note,file,died,sick,part
s2,B,,61.5,"two
lines",b.png,no,1,test
s1,A,F,70,first note,a.png,YES,0,train
s4,A,F,,  ,gone.png,,,train
s3,C,M,50,third,,FALSE,0,Validation
"""
MODALITIES: dict[str, dict[str, Any]] = {
    "picture": {"kind": "image", "column": "file", "folder": Path("pictures")},
    "note": {"kind": "text", "column": "note"},
    "table": {"kind": "tabular", "columns": ["sex", "age"]},
}
TASKS = {"death": {"labels": ("died",)}, "both": {"labels": ["died", "sick"]}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "samples.csv").write_text(SAMPLES)
    (tmp_path / "pictures").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "pictures" / name).write_bytes(b"")
    return tmp_path


def run(folder: Path, changes: dict[str, Any] | None = None, **arguments: Any) -> Extraction:
    source = {"path": folder / "samples.csv", "id": "sample", "subject": "person"} | (changes or {})
    return extract(TableSource(**source), **({"modalities": MODALITIES, "tasks": TASKS} | arguments))


def edit(folder: Path, old: str, new: str) -> Path:
    assert old in SAMPLES
    (folder / "samples.csv").write_text(SAMPLES.replace(old, new))
    return folder


def test_one_file(folder: Path) -> None:
    extraction = run(folder, {"groups": ["sex"], "split": "part"})
    view = extraction.views["pretrain"]
    assert view.stays.rows() == [
        ("s1", "A", "train", "F", 1, 0),
        ("s2", "B", "test", "unknown", 0, 1),
        ("s3", "C", "val", "M", 0, 0),
        ("s4", "A", "train", "F", None, None),
    ]
    assert view.stays.columns == ["stay_id", "subject_id", "split", "sex", "died", "sick"]
    picture, note, table = (view.modalities[name] for name in MODALITIES)
    assert isinstance(note, TextRows)
    assert note.texts == ["first note", "two\nlines", "third", None]
    assert isinstance(picture, ImageRows)
    assert picture.paths == [folder / "pictures/a.png", folder / "pictures/b.png", None, None]
    assert isinstance(table, TableRows)
    assert table.frame.to_dict(as_series=False) == {"sex": ["F", None, "M", "F"], "age": [70, 61.5, 50, None]}
    assert table.present.all()
    assert extraction.quarantine is not None
    assert extraction.quarantine.rows() == [("note", "blank text", 1), ("picture", "file not found", 1)]


def test_a_task_sees_samples_with_a_label(folder: Path) -> None:
    extraction = run(folder)
    view = extraction.views["death"]
    assert view.stays["stay_id"].to_list() == ["s1", "s2", "s3"]
    assert view.labels == ["died"]
    assert view.modalities["note"].texts == ["first note", "two\nlines", "third"]  # type: ignore[union-attr]
    assert len(view.modalities["table"].frame) == len(view.modalities["table"].present) == 3  # type: ignore[union-attr]
    assert extraction.flow.filter(pl.col("task") == "death").rows() == [
        ("death", "samples", 4, 3),
        ("death", "with a label", 3, 3),
    ]


def test_row_numbers_are_ids_where_none_are_given(folder: Path) -> None:
    stays = run(folder, {"id": None, "subject": None}).views["pretrain"].stays
    assert stays["stay_id"].to_list() == stays["subject_id"].to_list() == ["1", "2", "3", "4"]
    assert stays["died"].to_list() == [0, 1, None, 0]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("1,0,1,", [1, 0, 1, None]),
        ("1.0,0.0,NA,1", [1, 0, None, 1]),
        ("true,FALSE,True,nan", [1, 0, 1, None]),
        ("Y,n, y ,N", [1, 0, 1, 0]),
        ("yes,No,,YES", [1, 0, None, 1]),
    ],
)
def test_labels_in_words(tmp_path: Path, words: str, expected: list[int | None]) -> None:
    lines = [f"{i},x,1,{word}" for i, word in enumerate(words.split(","))]
    (tmp_path / "samples.csv").write_text("\n".join(["sample,note,age,died", *lines]))
    modalities = {"note": {"kind": "text", "column": "note"}, "table": {"kind": "tabular", "columns": ["age"]}}
    stays = run(tmp_path, {"subject": None}, modalities=modalities, tasks={"died": {}}).views["pretrain"].stays
    assert stays["died"].to_list() == expected


def test_own_files_and_series(folder: Path) -> None:
    pl.DataFrame(
        {
            "key": ["s1", "s1", "s1", "s3", "zz", "s3", None, "s1"],
            "t": [0.2, 2.5, 0.7, 1.0, 1.0, 50.0, 3.0, -1.0],
            "what": ["hr", "hr", "hr", "sat", "hr", "sat", "hr", "hr"],
            "number": [80.0, 90.0, 100.0, 97.0, 1.0, 99.0, 2.0, 3.0],
        }
    ).write_parquet(folder / "long.parquet")
    (folder / "notes.tsv").write_text("sample\ttext\ns3\tthe third\ns9\tnobody's\n")
    modalities = {
        "series": {
            "kind": "timeseries", "path": folder / "long.parquet",
            "id": "key", "hours": "t", "variable": "what", "value": "number",
        },
        "note": {"kind": "text", "path": folder / "notes.tsv", "column": "text"},
    }  # fmt: skip
    relaxed = {"max_bad_rows": 0.5, "max_unmatched": 0.5}
    extraction = run(folder, relaxed, modalities=modalities, window_hours=48)
    rows = extraction.views["pretrain"].modalities["series"]
    assert isinstance(rows, SeriesRows)
    assert rows.lengths.tolist() == [3, 0, 2, 0]
    assert rows.columns == ["hr", "sat", "mask->hr", "mask->sat", "since->hr", "since->sat"]
    nan = float("nan")
    never = 2.0
    expected = [
        [90, nan, 1, 0, 0, never],
        [90, nan, 0, 0, 1 / 24, never],
        [90, nan, 1, 0, 0, never],
        [nan, nan, 0, 0, never, never],
        [nan, 97, 0, 1, never, 0],
    ]
    np.testing.assert_allclose(rows.values, np.array(expected, np.float32))
    # A task sees the whole series unless its window says otherwise.
    whole = extraction.views["death"].modalities["series"]
    assert isinstance(whole, SeriesRows)
    assert whole.lengths.tolist() == [3, 0, 51]
    assert extraction.views["pretrain"].modalities["note"].texts == [None, None, "the third", None]  # type: ignore[union-attr]
    assert extraction.quarantine is not None
    assert {(m, r): n for m, r, n in extraction.quarantine.iter_rows()} == {
        ("note", "row of an unknown sample"): 1,
        ("series", "row of an unknown sample"): 1,
        ("series", "row without id"): 1,
        ("series", "row before 0 hours"): 1,
    }
    with pytest.raises(DataError, match=r"1 of 8 rows cannot be used, the first is row 7 \(.*1 without id"):
        run(folder, {"max_unmatched": 0.5}, modalities=modalities)
    modalities["series"]["columns"] = ["sat", "hrr"]
    with pytest.raises(DataError, match=r"no variable 'hrr'.*did you mean 'hr'"):
        run(folder, relaxed, modalities=modalities)


def test_one_file_per_modality(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,who,x,died\n3,p,1.5,1\n1,q,2.5,0\n")
    (tmp_path / "b.csv").write_text("id,text\n2,hello\n3,there\n")
    modalities = {
        "a": {"kind": "tabular", "path": tmp_path / "a.csv"},
        "b": {"kind": "text", "path": tmp_path / "b.csv", "column": "text"},
    }
    source = TableSource(id="id", max_unmatched=0.5)
    view = extract(source, modalities, {"died": {}}).views["pretrain"]
    assert view.stays.rows() == [("1", "1", 0), ("2", "2", None), ("3", "3", 1)]
    assert view.modalities["b"].texts == [None, "hello", "there"]  # type: ignore[union-attr]
    assert view.modalities["a"].present.tolist() == [True, False, True]  # type: ignore[union-attr]
    assert view.modalities["a"].frame.columns == ["who", "x"]  # type: ignore[union-attr]
    with pytest.raises(DataError, match="names the subject of 2 of 3 samples"):
        extract(source.model_copy(update={"subject": "who"}), modalities, {"died": {}})
    with pytest.raises(ConfigError, match=r"modalities\.b\.path is missing"):
        extract(TableSource(id="id"), modalities | {"b": {"kind": "text", "column": "text"}}, {"died": {}})
    with pytest.raises(ConfigError, match=r"needs `id` or source\.id"):
        extract(TableSource(), modalities, {"died": {}})


def test_free_columns_exclude_those_with_another_part(folder: Path) -> None:
    modalities = MODALITIES | {"table": {"kind": "tabular"}}
    table = (
        run(folder, {"groups": ["sex"], "split": "part"}, modalities=modalities).views["pretrain"].modalities["table"]
    )
    assert table.frame.columns == ["age"]  # type: ignore[union-attr]


def test_texts_in_files(folder: Path) -> None:
    (folder / "pictures" / "a.png").write_text(" what it says ")
    modalities = MODALITIES | {"note": {"kind": "text", "column": "file", "folder": "pictures"}}
    note = run(folder, modalities=modalities).views["pretrain"].modalities["note"]
    assert note.texts == ["what it says", None, None, None]  # type: ignore[union-attr]


def test_bad_files_are_one_sentence(folder: Path) -> None:
    with pytest.raises(DataError, match=r"source\.path: there is no file .*absent\.csv"):
        run(folder, {"path": folder / "absent.csv"})
    (folder / "x.xlsx").touch()
    with pytest.raises(DataError, match="neither Parquet nor CSV"):
        run(folder, {"path": folder / "x.xlsx"})
    (folder / "x.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        run(folder, {"path": folder / "x.parquet"})
    for empty in ("", "sample,person\n"):
        (folder / "x.csv").write_text(empty)
        with pytest.raises(DataError, match=r"x\.csv has no rows"):
            run(folder, {"path": folder / "x.csv"})
    (folder / "x.csv").write_text("sample,person\n1,2\n3,secret,4,5\n")
    with pytest.raises(DataError, match=r"x\.csv, row 2: 4 cells, the header has 2") as caught:
        run(folder, {"path": folder / "x.csv"})
    assert "secret" not in str(caught.value)


def test_bad_columns_are_one_sentence(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no column 'samples' \(the sample id\); did you mean 'sample'"):
        run(folder, {"id": "samples"})
    with pytest.raises(DataError, match=r"no column 'persons' \(source\.subject\); did you mean 'person'"):
        run(folder, {"subject": "persons"})
    with pytest.raises(DataError, match=r"no column 'dead' \(tasks\.x\.labels\); did you mean 'died'"):
        run(folder, tasks={"x": {"labels": ["dead"]}})
    with pytest.raises(DataError, match=r"no column 'notes' \(modalities\.note\); did you mean 'note'"):
        run(folder, modalities=MODALITIES | {"note": {"kind": "text", "column": "notes"}})
    with pytest.raises(ConfigError, match=r"modalities\.note\.column is missing"):
        run(folder, modalities=MODALITIES | {"note": {"kind": "text"}})
    with pytest.raises(ConfigError, match=r"has no kind 'txt'.*did you mean 'text'"):
        run(folder, modalities=MODALITIES | {"note": {"kind": "txt", "column": "note"}})
    with pytest.raises(DataError, match=r"there is no folder .*absent"):
        run(folder, modalities=MODALITIES | {"picture": {"kind": "image", "column": "file", "folder": "absent"}})
    with pytest.raises(DataError, match="none of the 3 files named in column 'file'"):
        run(folder, modalities=MODALITIES | {"picture": {"kind": "image", "column": "file"}})


def test_bad_rows_are_one_sentence(folder: Path) -> None:
    with pytest.raises(DataError, match=r"samples\.csv: ids in column 'sample' repeat \(1 id in 2 rows\)"):
        run(edit(folder, "s2,", "s1,"))
    with pytest.raises(DataError, match=r"row 3: no sample id"):
        run(edit(folder, "s4,", ","))
    with pytest.raises(DataError, match=r"row 2: no subject in column 'person'"):
        run(edit(folder, "s1,A", "s1,"))
    with pytest.raises(DataError, match=r"row 2: label column 'died' must hold 0/1") as caught:
        run(edit(folder, "YES", "perhaps"))
    assert "perhaps" not in str(caught.value)
    with pytest.raises(DataError, match=r"row 1: column 'part' must hold train, val or test"):
        run(edit(folder, "1,test", "1,tset"), {"split": "part"})
    with pytest.raises(DataError, match=r"tasks\.x: no sample has a label in 'empty'"):
        text = SAMPLES.replace("part\n", "part,empty\n").replace("train\n", "train,\n").replace("test\n", "test,\n")
        (folder / "samples.csv").write_text(text.replace("Validation\n", "Validation,\n"))
        run(folder, tasks={"x": {"labels": ["empty"]}})


def test_a_label_is_no_feature(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"modalities\.person: column 'died' is the label of tasks\.died"):
        run(folder, modalities={"person": {"kind": "tabular", "columns": ["age", "died"]}}, tasks={"died": {}})


def test_chest_xrays(shared_data: Path) -> None:
    """The example's own words on real, messy data: repeated patients, empty notes, mixed views."""
    config = yaml.safe_load((Path(__file__).resolve().parents[3] / "examples" / "covid-chestxray.yaml").read_text())
    path = shared_data / "covid-chestxray" / "metadata.csv"
    extraction = extract(TableSource(**{**config["source"], "path": path}), config["modalities"], config["tasks"])
    truth = pl.read_csv(path, infer_schema_length=None)
    view, every = extraction.views["went_icu"], extraction.views["pretrain"]
    assert len(every.stays) == len(truth) == 138
    assert every.stays["subject_id"].n_unique() == 73
    assert sum(text is not None for text in every.modalities["notes"].texts) == 101  # type: ignore[union-attr]
    assert all(path is not None and path.is_file() for path in every.modalities["image"].paths)  # type: ignore[union-attr]
    assert every.modalities["clinical"].frame["age"].to_list() == truth["age"].to_list()  # type: ignore[union-attr]
    assert view.stays["went_icu"].to_list() == [int(x == "Y") for x in truth["went_icu"].drop_nulls()]
    assert view.stays["view"].value_counts()["count"].sum() == view.stays.height == 84


def test_the_example_is_a_valid_configuration() -> None:
    from picme.config.loading import load

    config = load(Path(__file__).resolve().parents[3] / "examples" / "covid-chestxray.yaml")
    assert list(config.modalities) == ["image", "notes", "clinical"]
    assert isinstance(config.source, TableSource)


def test_new_samples_need_no_label_and_are_not_divided(folder: Path) -> None:
    lines = [line.split(",") for line in SAMPLES.replace('"two\nlines"', "two").strip().splitlines()]
    place = lines[0].index("died")
    kept = "\n".join(",".join(cell for i, cell in enumerate(line) if i != place) for line in lines)
    (folder / "samples.csv").write_text(kept + "\n")
    with pytest.raises(DataError, match="'died'"):
        run(folder)
    view = run(folder, {"unlabelled": True, "split": "part"}).views["death"]
    assert view.stays["died"].to_list() == [None] * 4
    assert view.stays["split"].to_list() == ["test"] * 4
    assert run(folder, {"unlabelled": True}).views["both"].stays["sick"].to_list() == [0, 1, 0, None]


SECRET = "Anna Smith, MRN 4711, was seen with fever on 2019-03-27"


def test_a_first_line_that_is_no_header_is_never_quoted(folder: Path) -> None:
    rows = [f"s{row},MRN471{row},F,61,{SECRET.split(',')[0]},a.png,no,1,test" for row in range(3)]
    (folder / "samples.csv").write_text("\n".join(rows))
    with pytest.raises(DataError, match=r"no column 'sample' .*its first line may be no header") as caught:
        run(folder)
    said = str(caught.value).replace(str(folder), "")
    assert not any(cell in said for cell in ("s0", "4711", "61", "Anna", "a.png"))
    # Beside a real header a sentence or a record's number is no column's name either.
    (folder / "samples.csv").write_text(SAMPLES.replace("person", "person 4711"))
    with pytest.raises(DataError, match=r"no column 'person' .*it has sample, sex, age") as caught:
        run(folder)
    assert "4711" not in str(caught.value)
    # Nor are the words in a column that was taken for that of the variables.
    (folder / "samples.csv").write_text(SAMPLES)
    pl.DataFrame({"sample": ["s1", "s2"], "hours": [0, 1], "variable": [SECRET] * 2, "value": [1, 2]}).write_csv(
        folder / "long.csv"
    )
    series = {"series": {"kind": "timeseries", "path": folder / "long.csv", "columns": ["Anna"]}}
    with pytest.raises(DataError, match="no variable 'Anna'") as caught:
        run(folder, modalities=series)
    assert "Smith" not in str(caught.value)


@pytest.mark.parametrize("kind", ["image", "text"])
def test_a_note_that_is_no_file_name_is_counted(folder: Path, kind: str) -> None:
    (folder / "samples.csv").write_text(SAMPLES.replace("b.png", f'"{SECRET * 9}"').replace("gone.png", '"x\ny"'))
    modalities = {"file": {"kind": kind, "column": "file", "folder": "pictures"}, "note": MODALITIES["note"]}
    extraction = run(folder, modalities=modalities)
    assert extraction.quarantine is not None
    counts = {reason: count for name, reason, count in extraction.quarantine.iter_rows() if name == "file"}
    assert counts.pop("file not found") == 1
    assert counts.pop("not the name of a file") == 1
    with pytest.raises(DataError, match=r"none of the 3 files named in column 'note'") as caught:
        run(folder, modalities={**modalities, "file": {**modalities["file"], "column": "note"}})
    assert "first note" not in str(caught.value)


def two_tables(tmp_path: Path, own: list[str], other: list[str], **source: Any) -> Extraction:
    lines = [f"{one},{place % 2},{place}" for place, one in enumerate(own)]
    (tmp_path / "a.csv").write_text("\n".join(["id,died,age", *lines]))
    (tmp_path / "b.csv").write_text("\n".join(["key,text", *(f"{one},words" for one in other)]))
    modalities = {
        "table": {"kind": "tabular", "columns": ["age"]},
        "note": {"kind": "text", "path": tmp_path / "b.csv", "id": "key", "column": "text"},
    }
    if source.pop("apart", False):
        modalities["table"] |= {"path": tmp_path / "a.csv"}
        return extract(TableSource(id="id", **source), modalities, {"died": {}})
    return extract(TableSource(path=tmp_path / "a.csv", id="id", **source), modalities, {"died": {}})


@pytest.mark.parametrize("apart", [False, True])
def test_ids_are_text_and_rows_that_go_nowhere_are_named(tmp_path: Path, apart: bool) -> None:
    ids = [f"{number:06}" for number in range(1, 11)]
    view = two_tables(tmp_path, ids, ids, apart=apart).views["pretrain"]
    assert view.stays["stay_id"].to_list() == ids
    assert view.stays["subject_id"].to_list() == ids
    # One id with a decimal point changes no other.
    mixed = [*map(str, range(1, 10)), "7.5"]
    view = two_tables(tmp_path, mixed, [f"{one}.0" for one in range(1, 10)], apart=apart).views["pretrain"]
    assert sorted(view.stays["stay_id"]) == sorted(mixed)
    assert sum(text is not None for text in view.modalities["note"].texts) == 9  # type: ignore[union-attr]
    with pytest.raises(DataError, match=r"row 1: 9 of 10 .*column '(key|id)'.* only in leading zeros") as caught:
        two_tables(tmp_path, ids, [*map(str, range(1, 10)), ids[9]], apart=apart)
    assert "000001" not in str(caught.value)
    with pytest.raises(DataError, match=r"of [35] of 10 rows are not in .*max_unmatched is 0\.2"):
        two_tables(tmp_path, ids, [*ids[:5], *(f"P{number}" for number in range(5))], apart=apart)
    two_tables(tmp_path, ids, [*ids[:8], "P1", "P2"], apart=apart)


def test_null_words_are_words_where_no_number_is_expected(folder: Path) -> None:
    (folder / "samples.csv").write_text(SAMPLES.replace(",F,70", ",NA,NA").replace(",M,50", ",K,null"))
    table = run(folder).views["pretrain"].modalities["table"]
    assert isinstance(table, TableRows)
    assert table.frame.to_dict(as_series=False) == {"sex": ["NA", None, "K", "F"], "age": [None, 61.5, None, None]}


def test_marks_of_missing_values(folder: Path) -> None:
    (folder / "samples.csv").write_text(SAMPLES.replace(",F,70", ",?,-1.0").replace("61.5", "999"))
    for missing in (["?", -1, 999], {"sex": ["?"], "age": [-1.0, 999.0]}):
        modalities = MODALITIES | {"table": {**MODALITIES["table"], "missing": missing}}
        extraction = run(folder, modalities=modalities)
        frame = extraction.views["pretrain"].modalities["table"].frame  # type: ignore[union-attr]
        assert frame.to_dict(as_series=False) == {"sex": [None, None, "M", "F"], "age": [None, None, 50, None]}
        assert extraction.quarantine is not None
        assert ("table", "'age': a missing value's mark", 2) in extraction.quarantine.rows()
    wrong = {**MODALITIES["table"], "missing": {"agee": [-1]}}
    with pytest.raises(ConfigError, match=r"table\.missing names 'agee', which it does not have; did you mean 'age'\?"):
        run(folder, modalities=MODALITIES | {"table": wrong})
    with pytest.raises(ConfigError, match=r"series\.missing names 'hrr', which it does not have$"):
        long(folder, [("s1", 0, "hr", 70)], missing={"hrr": [-1]})


def test_marks_of_missing_texts(folder: Path) -> None:
    (folder / "texts").mkdir()
    (folder / "texts" / "none.txt").write_text("Third\n")
    (folder / "texts" / "some.txt").write_text("third degree\n")
    by_file = folder / "files.csv"
    by_file.write_text("sample,note\ns1,none.txt\ns2,some.txt\ns3,\ns4,\n")
    inside: dict[str, Any] = {"kind": "text", "column": "note"}
    for note, expected in (
        (inside, ["first note", "two\nlines", None, None]),
        ({**inside, "path": by_file, "folder": Path("texts")}, [None, "third degree", None, None]),
    ):
        for marks in (["THIRD"], {"note": ["THIRD"]}):
            extraction = run(folder, modalities=MODALITIES | {"note": {**note, "missing": marks}})
            assert extraction.views["pretrain"].modalities["note"].texts == expected  # type: ignore[union-attr]
            assert extraction.quarantine is not None
            assert ("note", "'note': a missing value's mark", 1) in extraction.quarantine.rows()


def test_numbers_read_as_words_are_told(folder: Path) -> None:
    edit(folder, "61.5", "61.5 %")
    (folder / "samples.csv").write_text((folder / "samples.csv").read_text().replace(",F,70", ",F,70 %"))
    extraction = run(folder)
    assert extraction.views["pretrain"].modalities["table"].frame["age"].dtype == pl.String  # type: ignore[union-attr]
    assert "table: column 'age' read as words, its cells numbers but for 1 like 9 %, 1 like 9.9 %" in extraction.notes


def timed(folder: Path, cells: list[Any], **changes: Any) -> Extraction:
    """Read samples whose table became known at the hours that the cells hold."""
    ids = [f"s{place}" for place in range(len(cells))]
    frame = pl.DataFrame({"sample": ids, "note": ids, "age": [70.0] * len(ids), "died": [1] * len(ids)})
    frame.with_columns(pl.Series("drawn", cells)).write_parquet(folder / "samples.parquet")
    modalities = {
        "note": MODALITIES["note"],
        "table": {"kind": "tabular", "columns": ["age"], "hours": "drawn"},
    }
    tasks = {"death": {"labels": ("died",), "window_hours": 48}}
    source = {"path": folder / "samples.parquet", "subject": None, **changes}
    return run(folder, source, modalities=modalities, tasks=tasks)


@pytest.mark.parametrize(
    ("cells", "hours"),
    [
        (["60,5", " 60", "7", "NA"], [60.5, 60, 7, None]),
        ([60.5, float("nan"), None, 1e9], [60.5, None, None, 1_000_000]),
    ],
)
def test_hours_at_which_rows_are_known_are_read_like_other_numbers(
    tmp_path: Path, cells: list[Any], hours: list[float | None]
) -> None:
    stays = timed(tmp_path, cells).views["death"].stays
    expected = [None if hour is None else timedelta(hours=hour) for hour in hours]
    assert stays["latest_table"].to_list() == expected


@pytest.mark.parametrize("odd", ["60 h", "1e300"])
def test_hours_that_are_no_number_are_counted_or_refused(tmp_path: Path, odd: str) -> None:
    cells = [odd, "5", "6", "7"]
    with pytest.raises(DataError, match=r"samples\.parquet: 1 of 4 cells of column 'drawn' .* in row 1 \(") as caught:
        timed(tmp_path, cells)
    assert odd not in str(caught.value)
    extraction = timed(tmp_path, cells, max_bad_rows=0.5)
    assert extraction.quarantine is not None
    assert extraction.quarantine.rows() == [("table", "'drawn': no number of hours", 1)]
    assert extraction.views["death"].stays["latest_table"].null_count() == 1


@pytest.mark.parametrize(
    ("cells", "kind"), [([timedelta(hours=1)] * 2, "Duration"), ([[1], [2]], "List"), ([b"1", b"2"], "Binary")]
)
def test_columns_of_no_cells_are_one_sentence(tmp_path: Path, cells: list[Any], kind: str) -> None:
    with pytest.raises(
        DataError, match=rf"samples\.parquet: column 'drawn' \(.*\) is of type {kind}; expected numbers"
    ):
        timed(tmp_path, cells)
    # One that nobody named is left out.
    modalities = {"note": MODALITIES["note"], "table": {"kind": "tabular"}}
    source = {"path": tmp_path / "samples.parquet", "subject": None}
    extraction = run(tmp_path, source, modalities=modalities, tasks={"death": {"labels": ["died"]}})
    assert "table: column 'drawn' left out, neither numbers nor words" in extraction.notes


def long(folder: Path, rows: list[tuple[Any, Any, Any, Any]], **entry: Any) -> Extraction:
    lines = ["sample,hours,variable,value", *(",".join(map(str, row)) for row in rows)]
    (folder / "long.csv").write_text("\n".join(lines))
    series = {"kind": "timeseries", "path": folder / "long.csv", **entry}
    return run(folder, modalities={"series": series, "note": MODALITIES["note"]})


def test_series_that_memory_cannot_hold_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("s1", 99, "hr", 70), ("s2", 49, "hr", 70), ("s2", 0, "sat", 97)]
    size = 4 * (4 * 150 * 2)  # a grid, values, masks and how long ago each was
    monkeypatch.setattr(memory, "memory_limit", lambda: size)
    long(folder, rows, columns=["hr", "sat"])
    monkeypatch.setattr(memory, "memory_limit", lambda: size - 1)
    with pytest.raises(DataError, match=r"150 hours of all samples by 2 variables needs .*modalities\.series\.columns"):
        long(folder, rows)


def counted(extraction: Extraction) -> dict[str, int]:
    assert extraction.quarantine is not None
    return {reason: count for name, reason, count in extraction.quarantine.iter_rows() if name == "series"}


def test_every_row_of_a_series_is_used_or_counted(folder: Path) -> None:
    good = [("s1", hour / 4, "hr", 70 + hour) for hour in range(80)]
    odd = [
        ("s1", 1e300, "hr", 70), ("s1", 1e12, "hr", 70), ("s1", "soon", "hr", 70), ("s1", 1, "", 70),
        ("s1", 1, "hr", 1e300), ("s1", 1, "hr", "high"), ("s1", 2, "hr", -1), ("s1", -3, "hr", 60), ("zz", 1, "hr", 60),
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"6 of 89 rows cannot be used, the first is row 81 \(2 without a "):
        long(folder, good + odd, missing=[-1])
    extraction = long(folder, good * 2 + odd, missing={"hr": [-1]})
    found = counted(extraction)
    assert found == {
        "row of an unknown sample": 1,
        "row before 0 hours": 1,
        "row later than 87660 hours": 1,
        "row with a missing value's mark": 1,
        "row without a number up to 1e+15": 2,
        "row without a time in hours": 2,
        "row without variable": 1,
    }
    assert sum(found.values()) == len(odd)
    rows = extraction.views["pretrain"].modalities["series"]
    assert isinstance(rows, SeriesRows)
    assert rows.lengths.tolist() == [20, 0, 0, 0]
    assert rows.values[:, 0].tolist() == [71.5 + 4 * hour for hour in range(20)]


def test_rows_before_the_start_are_counted_unless_most_are(folder: Path) -> None:
    rows = [("s1", hour, "hr", 70) for hour in range(-30, 70)]
    assert counted(long(folder, rows)) == {"row before 0 hours": 30}
    with pytest.raises(DataError, match=r"of 100 rows more than 50% cannot be used \(60 before 0 hours"):
        long(folder, [(one, hour - 30, *rest) for one, hour, *rest in rows])


def test_columns_by_pattern(folder: Path) -> None:
    (folder / "samples.csv").write_text(SAMPLES.replace("sex,age", "lab_sex,lab_age"))
    frame = run(folder, modalities={**MODALITIES, "table": {"kind": "tabular", "columns": ["lab_*"]}})
    assert frame.views["pretrain"].modalities["table"].frame.columns == ["lab_sex", "lab_age"]  # type: ignore[union-attr]
    with pytest.raises(DataError, match=r"has nothing like 'x_\*' \(modalities\.table\.columns\)"):
        run(folder, modalities={**MODALITIES, "table": {"kind": "tabular", "columns": ["x_*"]}})


def test_a_pattern_takes_no_label_and_what_it_takes_is_free_no_more(folder: Path) -> None:
    (folder / "samples.csv").write_text(SAMPLES.replace("sex,age", "lab_sex,lab_age"))
    patterned = {"kind": "tabular", "columns": ["lab_*"]}
    views = run(folder, modalities={"labs": patterned, "rest": {"kind": "tabular"}}).views["pretrain"].modalities
    assert views["rest"].frame.columns == ["note", "file", "part"]  # type: ignore[union-attr]
    with pytest.raises(DataError, match=r"has nothing like 'di\*' \(modalities\.labs\.columns\)"):
        run(folder, modalities={"labs": {"kind": "tabular", "columns": ["di*"]}, "note": MODALITIES["note"]})


def test_a_class_is_a_label_of_its_own(folder: Path) -> None:
    """A column of several classes is refused with what to write, which then is read as one 0/1 column each."""
    text = SAMPLES.replace("sample,", "digit,sample,")
    for name, digit in (("s2,", 2), ("s1,", 0), ("s4,", ""), ("s3,", 1)):
        text = text.replace(name, f"{digit},{name}")
    (folder / "samples.csv").write_text(text)
    with pytest.raises(DataError, match=r"column 'digit' must hold 0/1.*; a label for each of its 3 values") as told:
        run(folder, tasks={"digit": {}})
    written = str(told.value).partition("labels: ")[2]
    labels = yaml.safe_load(written)
    assert labels == ["digit=0", "digit=1", "digit=2"]
    view = run(folder, tasks={"which": {"labels": labels}}).views["which"]
    assert view.labels == labels
    assert view.stays.select("stay_id", *labels).rows() == [("s1", 1, 0, 0), ("s2", 0, 0, 1), ("s3", 0, 1, 0)]
    with pytest.raises(DataError, match=r"no cell of column 'digit' holds '7', which a label names"):
        run(folder, tasks={"which": {"labels": ["digit=7"]}})
    free = {**MODALITIES, "rest": {"kind": "tabular"}}
    rest = run(folder, modalities=free, tasks={"which": {"labels": labels}}).views["which"].modalities["rest"]
    assert "digit" not in rest.frame.columns  # type: ignore[union-attr]
    held = {**MODALITIES, "rest": {"kind": "tabular", "columns": ["digit"]}}
    with pytest.raises(ConfigError, match=r"modalities\.rest: column 'digit' is the label of tasks\.which"):
        run(folder, modalities=held, tasks={"which": {"labels": labels}})
    with pytest.raises(DataError, match=r"values is written labels: \['sex=VALUE', …\]$"):
        run(folder, modalities={"note": MODALITIES["note"]}, tasks={"sex": {}})
    new = run(folder, {"unlabelled": True}, tasks={"which": {"labels": ["answer=3"]}}).views["which"]
    assert new.stays["answer=3"].null_count() == 4


def test_files_in_other_encodings(folder: Path) -> None:
    extraction = run(folder)
    for encoding in ("utf-16", "utf-8-sig"):
        (folder / "samples.csv").write_text(SAMPLES, encoding=encoding)
        again = run(folder)
        assert again.views["death"].stays.equals(extraction.views["death"].stays)
    words = SAMPLES.replace("third", '"fièvre élevée, très fatigué"')
    (folder / "samples.csv").write_bytes(words.encode("cp1252"))
    (folder / "pictures" / "a.png").write_bytes("température élevée\0".encode("cp1252"))
    (folder / "pictures" / "b.png").write_text(" \n ")
    files = {"kind": "text", "column": "file", "folder": "pictures"}
    again = run(folder, modalities={**MODALITIES, "files": files})
    assert again.views["pretrain"].modalities["note"].texts[2] == "fièvre élevée, très fatigué"  # type: ignore[union-attr]
    assert again.views["pretrain"].modalities["files"].texts == ["température élevée", None, None, None]  # type: ignore[union-attr]
    assert again.notes == [
        "samples.csv is read as cp1252", "files: 1 files read as cp1252", "files: 1 files with control characters",
    ]  # fmt: skip
    assert again.quarantine is not None
    assert ("files", "blank text", 1) in again.quarantine.rows()


@pytest.mark.parametrize(
    ("cells", "label", "expected"),
    [
        ("0,NA,2,-", "part=0", [1, None, 0, None]),
        ("K,NA,Na,", "part=K", [1, 0, 0, None]),  # among words NA is sodium
        ("0,NA,2,1", "part=NA", [0, 1, 0, 0]),
    ],
)
def test_a_label_of_one_value_is_unknown_where_a_number_is(
    folder: Path, cells: str, label: str, expected: list[int | None]
) -> None:
    lines = [f"s{place},{place},A,note,{cell}" for place, cell in enumerate(cells.split(","))]
    (folder / "samples.csv").write_text("\n".join(["sample,age,sex,note,part", *lines]))
    modalities = {name: MODALITIES[name] for name in ("note", "table")}
    extraction = run(folder, {"subject": None}, modalities=modalities, tasks={"which": {"labels": [label]}})
    assert extraction.views["pretrain"].stays[label].to_list() == expected


def test_classes_that_are_told_leave_out_unknown_ones(folder: Path) -> None:
    lines = [f"s{place},{place},A,note,{cell}" for place, cell in enumerate(["0", "NA", "2", "1"])]
    (folder / "samples.csv").write_text("\n".join(["sample,age,sex,note,part", *lines]))
    modalities = {name: MODALITIES[name] for name in ("note", "table")}
    with pytest.raises(DataError, match=r"each of its 3 values is written labels: \['part=0', 'part=1', 'part=2'\]$"):
        run(folder, {"subject": None}, modalities=modalities, tasks={"which": {"labels": ["part"]}})


def test_marks_of_missing_files_are_none(folder: Path) -> None:
    picture = MODALITIES["picture"] | {"missing": ["gone.png"]}
    extraction = run(folder, modalities=MODALITIES | {"picture": picture})
    assert extraction.quarantine is not None
    assert ("picture", "'file': a missing value's mark", 1) in extraction.quarantine.rows()
    assert "file not found" not in extraction.quarantine["reason"].to_list()
    with pytest.raises(ConfigError, match=r"modalities\.picture\.missing names 'note', which it does not have"):
        run(folder, modalities=MODALITIES | {"picture": picture | {"missing": {"note": ["NA"]}}})


def test_a_stray_byte_in_a_table_is_told_by_its_row(folder: Path) -> None:
    words = SAMPLES.replace("first note", "Müdigkeit").replace("third", "größer #")
    raw = words.encode().replace(b"#", b"\xb0")
    (folder / "samples.csv").write_bytes(raw)
    extraction = run(folder)
    assert extraction.views["pretrain"].modalities["note"].texts[::2] == ["Müdigkeit", "größer \ufffd"]  # type: ignore[union-attr]
    assert extraction.notes[0] == (
        "samples.csv is read as utf-8, with characters that cannot be decoded, in 1 of 4 rows, the first row 4"
    )


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("10000032,F,61.5", True),
        ("p1,M,old", True),  # M is a value of its column
        ("p1,X,2150-01-01 08:00:00", True),
        ("person,sex,age", False),
        ("1,2,3", False),  # of pixels, say
        ("died,sex,61", False),  # since the configuration names the first
    ],
)
def test_a_first_line_that_is_a_row_is_refused_and_not_told(tmp_path: Path, line: str, refused: bool) -> None:
    (tmp_path / "samples.csv").write_text(f"{line}\n,F,old\n,M,3\n")
    changes: dict[str, Any] = {"id": None, "subject": None, "unlabelled": True}
    arguments: dict[str, Any] = {"modalities": {"table": {"kind": "tabular"}}, "tasks": {"died": {}}}
    if not refused:
        assert run(tmp_path, changes, **arguments).views["pretrain"].stays.height == 2
        return
    with pytest.raises(DataError, match=r"source\.path: the first line of .*samples\.csv looks like a row") as error:
        run(tmp_path, changes, **arguments)
    assert not set(line.split(",")) & set(str(error.value).split())
