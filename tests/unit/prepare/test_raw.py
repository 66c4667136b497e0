from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from picme.config.loading import validate
from picme.design.study import Design
from picme.prepare.raw import raw_files

if TYPE_CHECKING:
    from pathlib import Path


def own(folder: Path, **source: Any) -> Design:
    config = {
        "source": {"kind": "table", "path": str(folder / "samples.csv"), **source},
        "modalities": {
            "film": {"kind": "image", "column": "file"},
            "note": {"kind": "text", "column": "letter", "folder": "letters"},
        },
        "tasks": {"died": {}},
    }
    return Design(validate(config))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "letters").mkdir()
    (tmp_path / "samples.csv").write_text("file,letter,died\na.png,a.txt,0\nb.png,b.txt,1\ngone.png,,1\n")
    for name in ("a.png", "b.png", "letters/a.txt", "letters/b.txt", "other.png"):
        (tmp_path / name).write_text("made up")
    return tmp_path


@pytest.mark.parametrize("name", ["a.png", "b.png", "letters/b.txt", "gone.png", "samples.csv"])
@pytest.mark.parametrize("how", ["time", "content"])
def test_a_file_that_is_read_and_changes_makes_the_cohort_again(folder: Path, name: str, how: str) -> None:
    before = own(folder, fingerprint=how).prepare.key
    assert own(folder, fingerprint=how).prepare.key == before
    file = folder / name
    file.write_text(
        file.read_text()[::-1] if file.exists() and file.suffix != ".csv" else "file,letter,died\na.png,,1\n"
    )
    assert own(folder, fingerprint=how).prepare.key != before


def test_a_file_that_no_table_names_does_not(folder: Path) -> None:
    before = own(folder).prepare.key
    (folder / "other.png").write_text("changed")
    assert own(folder).prepare.key == before


def test_a_new_time_or_place_alone_is_a_change_unless_contents_are_compared(folder: Path, tmp_path: Path) -> None:
    before = {how: own(folder, fingerprint=how).prepare.key for how in ("time", "content")}
    for name in ("samples.csv", "b.png"):
        os.utime(folder / name, ns=(1, 1))
    moved = shutil.copytree(folder, tmp_path / "elsewhere" / "renamed")
    for now in (folder, moved):
        assert own(now, fingerprint="time").prepare.key != before["time"]
        assert own(now, fingerprint="content").prepare.key == before["content"]
    file = moved / "samples.csv"
    file.write_text(file.read_text().replace("a.txt,0", "a.txt,1"))  # the same size
    assert own(moved, fingerprint="content").prepare.key != before["content"]


def test_the_challenge_counts_in_any_case_of_letters(tmp_path: Path) -> None:
    for name in ("SET-A.ZIP", "Outcomes-a.TXT"):
        (tmp_path / name).write_text("made up")
    config = validate(
        {
            "source": {"kind": "physionet2012", "path": str(tmp_path)},
            "modalities": {name: {"kind": "timeseries", "table": name} for name in ("vitals", "labs")},
            "tasks": {"mortality": {}},
        }
    )
    assert [file.name for file in raw_files(config)] == ["Outcomes-a.TXT", "SET-A.ZIP"]
