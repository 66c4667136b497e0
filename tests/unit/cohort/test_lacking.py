"""What the releases lack of a study, told from which files are there."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from release_files import film, note, write_films, write_notes
from test_check import write_ehr

from picme.cohort.lacking import lacking
from picme.config.loading import load

if TYPE_CHECKING:
    from pathlib import Path

    from picme.config.study import Config

TEXT = note("FINDINGS: clear", 5)


@pytest.fixture
def whole(tmp_path: Path) -> Config:
    """A study of five modalities whose releases are whole."""
    write_notes(tmp_path / "notes", "discharge", [TEXT])
    places = {
        "source.ehr": write_ehr(tmp_path / "ehr"),
        "source.notes": write_notes(tmp_path / "notes", "radiology", [TEXT]),
        "source.cxr": write_films(tmp_path / "cxr", [film(1)]),
    }
    return load("prospective", {key: str(path) for key, path in places.items()})


def test_nothing_is_lacking_of_whole_releases(whole: Config) -> None:
    assert lacking(whole) == {}


@pytest.mark.parametrize(
    ("removed", "named"),
    [
        ("notes/discharge.csv.gz", {"discharge": "no discharge.csv.gz"}),
        ("cxr/files", {"image": "holds no image (.jpg, .jpeg, .png)"}),
        ("cxr/mimic-cxr-2.0.0-metadata.csv.gz", {"image": "no mimic-cxr-2.0.0-metadata.csv.gz"}),
        ("ehr/icu/chartevents.csv.gz", {"timeseries": "table 'chartevents' not found"}),
        ("ehr/hosp/diagnoses_icd.csv.gz", {"phenotyping": "has no table diagnoses_icd"}),
        ("ehr/icu/icustays.csv.gz", {
            "mortality": "has no table icustays", "phenotyping": "has no table icustays",
            **dict.fromkeys(("discharge", "radiology", "image", "timeseries", "demographics"), "'icustays' not"),
        }),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_each_missing_file_is_told_of_what_needs_it_alone(
    whole: Config, tmp_path: Path, removed: str, named: dict[str, str]
) -> None:
    path = tmp_path / removed
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = lacking(whole)
    assert named.keys() == found.keys()
    for name, part in named.items():
        assert part in found[name]


def test_releases_that_are_not_named_are_told_for_each_modality(whole: Config) -> None:
    config = load("mimic-ehr", {"source.ehr": str(whole.source.ehr)})
    assert lacking(config) == {}
    found = lacking(load("prospective", {"source.ehr": str(whole.source.ehr)}))
    assert {name: said.split()[0] for name, said in found.items()} == {
        "discharge": "source.notes", "radiology": "source.notes", "image": "source.cxr"
    }  # fmt: skip


def test_another_data_set_is_told_once(whole: Config, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "ehr")
    (tmp_path / "ehr").mkdir()
    assert list(lacking(whole)) == ["source"]
