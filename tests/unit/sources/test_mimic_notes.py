"""MIMIC-IV-Note: endings, quoting, streaming filter, damage."""

from __future__ import annotations

import gzip
import sys
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "cohort"))
from release_files import hours, note, write_notes

from picme.errors import DataError
from picme.sources.mimic_notes import find_notes, read_notes

SUBJECTS = pl.Series([10_000_001])


@pytest.mark.parametrize("ending", [".csv.gz", ".csv", ".parquet"])
@pytest.mark.parametrize("place", ["", "note"])
def test_every_ending_and_place_reads_the_same(tmp_path, ending, place):
    text = 'first line\n"quoted", with comma\n\nlast line'
    write_notes(tmp_path / place, "radiology", [note(text, 5, stored=6), note("other", 5, subject=2)], ending)
    notes = read_notes(tmp_path, "radiology", SUBJECTS, 1000)
    assert notes["text"].to_list() == [text]
    assert notes["known"].to_list() == [hours(6)] and notes["charttime"].to_list() == [hours(5)]
    assert notes["problem"].to_list() == [None]


def test_parquet_with_real_types_reads_the_same(tmp_path):
    frame = pl.DataFrame(
        {
            "note_id": ["a", "b"],
            "subject_id": [10_000_001, 10_000_001],
            "hadm_id": [None, 20_000_001],
            "charttime": [datetime(2150, 1, 1, 3, 4, 5), datetime(2150, 1, 2)],
            "storetime": [datetime(2150, 1, 1, 4), None],
            "text": ["one", "two"],
        }
    )
    frame.write_parquet(tmp_path / "discharge.parquet")
    notes = read_notes(tmp_path, "discharge", SUBJECTS, 1000)
    assert notes["known"].to_list() == [datetime(2150, 1, 1, 4), datetime(2150, 1, 2)]
    assert notes["charttime"].to_list()[0] == datetime(2150, 1, 1, 3, 4, 5)
    assert notes["hadm_id"].to_list() == [None, 20_000_001] and notes["note_type"].null_count() == 2


def test_identifiers_that_went_through_a_data_frame_are_understood(tmp_path):
    write_notes(tmp_path, "radiology", [{**note("x", 1), "hadm_id": "20000001.0"}])
    assert read_notes(tmp_path, "radiology", SUBJECTS, 1000)["hadm_id"].to_list() == [20_000_001]


def test_a_missing_storetime_column_means_charttime(tmp_path):
    frame = pl.DataFrame([note("x", 1)]).drop("storetime", "note_type")
    frame.write_csv(tmp_path / "radiology.csv")
    assert read_notes(tmp_path, "radiology", SUBJECTS, 1000)["known"].to_list() == [hours(1)]


def test_storetime_that_cannot_be_read_does_not_fall_back_to_an_earlier_charttime(tmp_path):
    write_notes(tmp_path, "radiology", [{**note("x", 1), "storetime": "31/12/2150"}])
    assert read_notes(tmp_path, "radiology", SUBJECTS, 1000)["problem"].to_list() == ["time cannot be parsed"]


def test_the_text_of_a_huge_note_is_not_kept(tmp_path):
    write_notes(tmp_path, "radiology", [note("é" * 5_000_000, 1)])
    notes = read_notes(tmp_path, "radiology", SUBJECTS, 1000)
    assert notes["text"].to_list() == [None] and notes["problem"].to_list() == ["longer than 1000 characters"]


def one_sentence(error: pytest.ExceptionInfo[DataError], *words: str) -> None:
    message = str(error.value)
    assert "\n" not in message and "SECRET" not in message
    for word in words:
        assert word in message


def test_a_missing_table_is_one_sentence(tmp_path):
    with pytest.raises(DataError) as error:
        find_notes(tmp_path, "discharge")
    one_sentence(error, "discharge.csv.gz", str(tmp_path))


def test_a_renamed_column_is_one_sentence(tmp_path):
    pl.DataFrame([note("SECRET", 1)]).rename({"charttime": "chart_time"}).write_csv(tmp_path / "radiology.csv")
    with pytest.raises(DataError) as error:
        read_notes(tmp_path, "radiology", SUBJECTS, 1000)
    one_sentence(error, "radiology.csv", "'charttime'", "did you mean 'chart_time'")


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_truncated_gzip_is_one_sentence(tmp_path, keep):
    lines = "".join(f'n{index},10000001,,RR,2150-01-01 00:00:00,,"SECRET {index**5}"\n' for index in range(5000))
    data = gzip.compress(f"note_id,subject_id,hadm_id,note_type,charttime,storetime,text\n{lines}".encode())
    (tmp_path / "radiology.csv.gz").write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(DataError) as error:
        read_notes(tmp_path, "radiology", SUBJECTS, 1000)
    one_sentence(error, "radiology.csv.gz", "truncated")


def test_a_file_that_is_not_what_its_name_says_is_one_sentence(tmp_path):
    for name in ("radiology.parquet", "discharge.csv.gz"):
        (tmp_path / name).write_text("SECRET this is neither")
        with pytest.raises(DataError) as error:
            read_notes(tmp_path, name.split(".")[0], SUBJECTS, 1000)
        one_sentence(error, name)


def test_an_empty_file_is_one_sentence(tmp_path):
    (tmp_path / "radiology.csv").write_text("")
    with pytest.raises(DataError) as error:
        read_notes(tmp_path, "radiology", SUBJECTS, 1000)
    one_sentence(error, "radiology.csv", "empty")


FRENCH = "Température 38,5 °C – réponse à l’antibiotique"


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
@pytest.mark.parametrize(
    ("encoding", "oddity"),
    [
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-16", "read as utf-16"),
        ("utf-16-le", "read as utf-16-le"),
        ("cp1252", "read as cp1252"),
    ],
)
def test_text_in_any_usual_encoding_is_read(tmp_path, ending, encoding, oddity):
    rows = [note(f'line\n"{FRENCH}", {number}', number) for number in (1, 2)] + [note("other", 3, subject=2)]
    write_notes(tmp_path, "radiology", rows, ".csv")
    file = tmp_path / "radiology.csv"
    raw = file.read_text("utf-8").encode(encoding)
    file.unlink()
    (tmp_path / f"radiology{ending}").write_bytes(gzip.compress(raw) if ending == ".csv.gz" else raw)
    notes = read_notes(tmp_path, "radiology", SUBJECTS, 1000)
    assert notes["text"].to_list() == [f'line\n"{FRENCH}", 1', f'line\n"{FRENCH}", 2']
    assert notes["known"].to_list() == [hours(1), hours(2)]
    assert notes["oddity"].to_list() == [oddity] * 2


def test_one_note_of_another_encoding_does_not_change_the_others(tmp_path):
    write_notes(tmp_path, "radiology", [note(FRENCH, 1), note("Zürich naïve résumé", 2)], ".csv")
    file = tmp_path / "radiology.csv"
    file.write_bytes(file.read_bytes().replace("Zürich naïve résumé".encode(), "Zürich naïve résumé".encode("cp1252")))
    notes = read_notes(tmp_path, "radiology", SUBJECTS, 1000)
    assert notes["text"].to_list() == [FRENCH, "Zürich naïve résumé"]
    assert notes["oddity"].to_list() == [None, "read as cp1252"]


def test_control_characters_are_taken_out_and_what_is_blank_without_them_is_no_text(tmp_path):
    rows = [note("a\x00b\x1bc\td", 1), note("\x00\x01 \n", 2), note("\u00a0\t", 3), note("lost \ufffd", 4)]
    for ending in (".csv", ".parquet"):
        write_notes(tmp_path / ending, "radiology", rows, ending)
        notes = read_notes(tmp_path / ending, "radiology", SUBJECTS, 1000)
        assert notes["text"].to_list() == ["a b c\td", None, None, "lost \ufffd"]
        assert notes["problem"].to_list() == [None, "no text", "no text", None]
        assert notes["oddity"].to_list() == [
            "control characters taken out", None, None, "characters that cannot be decoded",
        ]  # fmt: skip


def test_a_table_in_another_encoding_without_a_column_is_named(tmp_path):
    (tmp_path / "radiology.csv").write_bytes("note_id,subject_id,hadm_id,charttime\n".encode("utf-16"))
    with pytest.raises(DataError, match=r"radiology\.csv has no column 'text'"):
        read_notes(tmp_path, "radiology", SUBJECTS, 1000)


def test_swapped_folders_are_named(tmp_path):
    (tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz").touch()
    with pytest.raises(DataError, match="It holds MIMIC-CXR-JPG: are two folders of the source swapped"):
        find_notes(tmp_path, "radiology")


@pytest.mark.parametrize(
    ("change", "said"),
    [({"subject_id": "x"}, "subject_id is not a number"), ({"charttime": "noon"}, "time cannot be parsed")],
)
def test_a_column_that_can_be_read_in_no_row_is_an_error(tmp_path, change, said):
    rows = [{**note("a", hour), **change} for hour in range(3)]
    write_notes(tmp_path, "radiology", rows)
    with pytest.raises(DataError, match=rf"radiology\.csv\.gz: none of 3 rows can be used: {said}"):
        read_notes(tmp_path, "radiology", SUBJECTS, 1000)


@pytest.mark.parametrize("cell", [None, " ", "2.2e7", "admission"])
def test_summaries_of_no_admission_are_counted_and_bounded(tmp_path, cell):
    write_notes(tmp_path, "discharge", [note("good", 1), {**note("lost", 2), "hadm_id": cell}])
    notes = read_notes(tmp_path, "discharge", SUBJECTS, 1000, 0.5)
    assert notes.select("text", "problem").rows() == [("good", None), (None, "no readable hadm_id")]
    with pytest.raises(DataError, match=r"discharge\.csv\.gz: 1 of 2 rows .*no readable hadm_id; allowed .* 0\.05"):
        read_notes(tmp_path, "discharge", SUBJECTS, 1000, 0.05)
    write_notes(tmp_path, "radiology", [note("good", 1), {**note("of no admission", 2), "hadm_id": cell}])
    assert read_notes(tmp_path, "radiology", SUBJECTS, 1000, 0.05)["problem"].to_list() == [None, None]


def test_line_breaks_that_are_written_out_are_line_breaks_where_there_are_no_others(tmp_path):
    texts = [r"Allergies:\nnone\r\nSocial History:\n", "a path C:\\new\nand a line", "one line"]
    write_notes(tmp_path, "radiology", [note(text, hour) for hour, text in enumerate(texts)])
    notes = read_notes(tmp_path, "radiology", SUBJECTS, 1000)
    assert notes["text"].to_list() == ["Allergies:\nnone\nSocial History:\n", *texts[1:]]
    assert notes["oddity"].to_list() == ["line breaks written as \\n", None, None]
