"""A planted leak is named, and the command ends with status 1; an honest study passes."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import sys
from typing import TYPE_CHECKING

import polars as pl
import pytest

from picme.cli import main
from picme.config.loading import load
from picme.pipeline import Run
from picme.pipeline import run as run_pipeline
from picme_hospital import write_hospital

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hospital(tmp_path_factory.mktemp("hospital") / "h", 60, seed=3, image_size=(64, 64))


def settings(hospital: Path) -> dict[str, object]:
    return {
        "source.ehr": str(hospital / "ehr"),
        "source.notes": str(hospital / "notes"),
        "source.cxr": str(hospital / "cxr"),
        "execution.workers": 1,
        "modalities.image.size": 64,
    }


@pytest.fixture(scope="module")
def prepared(hospital: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recommended study's cohort; no encoder is loaded for it."""
    out = tmp_path_factory.mktemp("run") / "run"
    run_pipeline(load("prospective", settings(hospital)), out, until="prepare", quiet=True)
    return out


def planted(file: Path, cohort: pl.DataFrame) -> None:
    """Write a changed cohort as if it had been prepared so: without the checksums, which would have it made again."""
    cohort.write_parquet(file)
    manifest = file.parents[2] / "manifest.json"
    about = json.loads(manifest.read_text(encoding="utf-8"))
    kept = {name: value for name, value in about.items() if name not in ("files", "checksum")}
    manifest.write_text(json.dumps(kept), encoding="utf-8")


def check(
    hospital: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    preset: str = "prospective",
) -> tuple[int, str]:
    given = [part for key, value in settings(hospital).items() for part in ("--set", f"{key}={value}")]
    monkeypatch.setattr(sys, "argv", ["picme", "check-leakage", preset, "--out", str(out), "-q", *given])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0), capsys.readouterr().err


def test_an_honest_study_passes(
    hospital: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(hospital, prepared, monkeypatch, capsys) == (0, "")


def test_a_subject_in_two_splits(
    hospital: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    shutil.copytree(prepared, out)
    file = next(out.glob("store/prepare/*/views/phenotyping/cohort.parquet"))
    cohort = pl.read_parquet(file)
    trained = cohort.filter(pl.col("split") == "train")["subject_id"][0]
    twice = pl.when((pl.col("split") == "test").cum_sum() == 1).then(trained).otherwise(pl.col("subject_id"))
    planted(file, cohort.with_columns(twice.alias("subject_id")))
    code, message = check(hospital, out, monkeypatch, capsys)
    assert code == 1
    assert "shared_subjects" in message
    assert str(trained) not in message


def test_an_image_from_after_the_cut_off(
    hospital: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    shutil.copytree(prepared, out)
    file = next(out.glob("store/prepare/*/views/mortality/cohort.parquet"))
    cohort = pl.read_parquet(file)
    late = pl.col("cutoff") + pl.duration(hours=3)
    first = pl.int_range(pl.len()) == 0
    planted(
        file, cohort.with_columns(pl.when(first).then(late).otherwise(pl.col("latest_image")).alias("latest_image"))
    )
    code, message = check(hospital, out, monkeypatch, capsys)
    assert code == 1
    assert "latest_time (image" in message
    assert "+3.0 h" in message


def test_the_outcome_in_an_admission_section(
    hospital: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = tmp_path / "hospital"
    shutil.copytree(hospital, planted)
    file = planted / "notes" / "discharge.csv.gz"
    notes = pl.read_csv(io.BytesIO(gzip.decompress(file.read_bytes())), infer_schema=False)
    heading = "History of Present Illness:"
    assert notes["text"].str.contains(heading, literal=True).sum() > 10
    notes = notes.with_columns(
        pl.col("text").str.replace(heading, f"{heading}\nThe patient expired on day 3.", literal=True)
    )
    file.write_bytes(gzip.compress(notes.write_csv().encode()))
    code, message = check(planted, tmp_path / "run", monkeypatch, capsys)
    assert code == 1
    assert "outcome_statement" in message
    assert "history_of_present_illness" in message


def test_the_paper_preset_shows_its_leak_beside_the_prospective_one(hospital: Path, prepared: Path) -> None:
    run = Run(load("prospective", settings(hospital)), prepared)
    table = pl.read_parquet(run.prepared / "leakage.parquet").filter(pl.col("check") == "measured_leak")
    assert set(table["preset"].unique()) == {"prospective", "paper"}
    assert set(table["modality"].unique()) == {"discharge", "radiology"}
    assert {"mortality", "Shock"} <= set(table["label"].unique())


def test_every_modality_is_judged_by_content_where_a_task_looks_ahead(hospital: Path, prepared: Path) -> None:
    run = Run(load("prospective", settings(hospital)), prepared)
    table = pl.read_parquet(run.prepared / "leakage.parquet").filter(pl.col("check") == "told_by_content")
    judged = table.filter(pl.col("modality").is_not_null())
    assert set(judged["modality"]) == {"discharge", "radiology", "image", "timeseries", "demographics"}
    assert judged["detail"].str.starts_with("mortality, ").all() and not judged["violation"].any()
    assert "phenotyping: not judged, the task looks back on the whole stay" in table["detail"].to_list()
