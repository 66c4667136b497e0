"""What a user gets wrong ends in one sentence that names it, and in status 2."""

from __future__ import annotations

import gzip
import sys
from typing import TYPE_CHECKING

import polars as pl
import pytest

from picme.cli import main
from picme_hospital import write_hospital

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hospital")
    write_hospital(folder, 40, seed=1, images=False)
    return folder / "ehr"


@pytest.fixture
def copy(hospital: Path, tmp_path: Path) -> Path:
    """A hospital whose files can be damaged: links to the whole ones."""
    folder = tmp_path / "ehr"
    for file in hospital.glob("*/*.csv.gz"):
        target = folder / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(file)
    return folder


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["picme", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    # Progress lines come first; the sentence is the last line.
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("picme:")]
    assert len(lines) <= 1
    return int(ended.value.code or 0), lines[0] if lines else ""


def prepare(ehr: Path, out: Path) -> list[str]:
    return [
        "prepare",
        "mimic-ehr",
        "--set",
        f"source.ehr={ehr}",
        "--out",
        str(out),
        "--set",
        "execution.workers=1",
        "-q",
    ]


def rewrite(file: Path, content: bytes) -> None:
    file.unlink()
    file.write_bytes(content)


def test_a_missing_table(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / "icu" / "icustays.csv.gz").unlink()
    code, message = run(monkeypatch, capsys, *prepare(copy, tmp_path / "run"))
    assert code == 2
    assert "icustays" in message


def test_a_missing_column(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = copy / "icu" / "icustays.csv.gz"
    table = pl.read_csv(file).rename({"intime": "in_time"})
    rewrite(file, gzip.compress(table.write_csv().encode()))
    code, message = run(monkeypatch, capsys, *prepare(copy, tmp_path / "run"))
    assert code == 2
    assert "icustays" in message
    assert "intime" in message
    assert "in_time" in message


@pytest.mark.parametrize("table", ["hosp/admissions", "icu/chartevents"])
def test_a_file_cut_in_the_middle(
    copy: Path, tmp_path: Path, table: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = copy / f"{table}.csv.gz"
    content = file.read_bytes()
    rewrite(file, content[: len(content) // 2])
    code, message = run(monkeypatch, capsys, *prepare(copy, tmp_path / "run"))
    assert code == 2
    assert table.rpartition("/")[2] in message


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["run", "dmo"], "'demo'"),
        (["run", "demo", "--set", "pretrain.epocs=1"], "'epochs'"),
        (["run", "demo", "--set", "modalities.image.encoder.name=resnet"], "'modalities.image.encoder'"),
        (["run", "demo", "--set", "finetune.combinations=[discharge+imge]"], "'image'"),
        (["run", "mimic-ehr", "--set", "source.ehr=/nowhere"], "source.ehr"),
        (["run", "demo", "--until", "finetun"], "'finetune'"),
        (["list", "encodrs"], "'encoders'"),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(
    arguments: list[str], word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, message = run(monkeypatch, capsys, *arguments)
    assert code == 2
    assert word in message
    assert not list(tmp_path.glob("runs/*/store")), "nothing is written before the configuration is right"


def test_a_folder_with_other_files_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    code, message = run(monkeypatch, capsys, "run", "demo", "--out", str(tmp_path))
    assert code == 2
    assert str(tmp_path) in message
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_undamaged_hospital_is_prepared(hospital: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others fail for their damage, not for something else."""
    monkeypatch.setattr(sys, "argv", ["picme", *prepare(hospital, tmp_path / "run")])
    try:
        main()
    except SystemExit as ended:
        assert not ended.code
    assert list((tmp_path / "run" / "store" / "prepare").glob("*/manifest.json"))
