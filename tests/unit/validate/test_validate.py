"""A small study judged on other tables: whole, with what is lacking, and refused where it does not fit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pages
import polars as pl
import pytest
import torch

import picme
from picme.config.loading import validate as checked
from picme.errors import ConfigError, DataError
from picme.finetune.classifier import Classifier
from picme.fitting.threads import torch_threads
from picme.pipeline import run as run_pipeline
from picme.predict.new_stays import fits
from picme.results.tables import EXTERNAL
from picme.validate import validate
from picme.validate.cohort import other_tasks

if TYPE_CHECKING:
    from pathlib import Path

    from picme.pipeline import Run

CELL = ["task", "combination", "strategy", "seed", "label"]


def write(folder: Path, seed: int, samples: int = 300, rate: float = 0.5, **names: str) -> Path:
    """Samples with two tables that both tell of the label; `names` are other names of columns."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    label = (rng.random(samples) < rate).astype(int)
    told = label[:, None] * 1.2 + rng.normal(size=(samples, 2))
    pl.DataFrame({"id": range(samples), "group": np.arange(samples) % 2, "label": label}).write_csv(
        folder / "samples.csv"
    )
    for place, name in enumerate(("labs", "person")):
        kept = np.flatnonzero(rng.random(samples) > 0.15)
        values = {"id": kept, names.get("x", "x"): told[kept, place], "y": rng.normal(size=len(kept))}
        pl.DataFrame(values).write_csv(folder / f"{name}.csv")
    return folder


def tree_of(folder: Path, *modalities: str, column: str = "x") -> dict[str, Any]:
    mlp = {"name": "mlp", "hidden": [8]}
    return {
        "source": {"kind": "table", "path": str(folder / "samples.csv"), "id": "id", "groups": ["group"]},
        "require": "none",
        "modalities": {
            name: {"kind": "tabular", "path": str(folder / f"{name}.csv"), "columns": [column, "y"], "encoder": mlp}
            for name in modalities or ("labs", "person")
        },
        "tasks": {"label": {"hours": 24}},
        "splits": {"train": 0.5, "val": 0.25},
        "study": {"seeds": 2, "embed_dim": 8},
        "pretrain": {"epochs": 1, "batch_size": 16},
        "align": {"tsne": "off"},
        "finetune": {
            "combinations": "all", "strategies": ["supervised", "logistic_regression", "late_fusion"], "epochs": 6,
            "hidden": 8, "learning_rate": 0.01, "batch_size": 16,
        },
        "evaluate": {"resamples": 100, "interval_resamples": 100, "groups": ["group"], "shapley": "off"},
        "execution": {"workers": 1, "device": "cpu"},
    }  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("validated")
    return run_pipeline(checked(tree_of(write(folder / "here", 0))), folder / "run", "evaluate", quiet=True)


def config_file(folder: Path, tree: dict[str, Any]) -> Path:
    file = folder / "other.yaml"
    file.write_text(json.dumps(tree), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def found(study: Run, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Another hospital with more positives, given as a configuration file."""
    folder = tmp_path_factory.mktemp("other")
    file = config_file(folder, tree_of(write(folder / "there", 1, rate=0.75)))
    return validate(study.folder, file, out=folder / "external")


def test_the_runs_own_data_give_its_own_test_scores(study: Run, tmp_path: Path) -> None:
    """Subjects of training and validation are left out, counted, and what is left are the test stays."""
    same = validate(study.folder, study.folder, out=tmp_path / "same")
    own = pl.read_parquet(study.folder / "results" / "scores.parquet").filter(split="test")
    joined = own.join(same.tables["scores"].filter(split="test"), on=CELL, suffix="_there")
    # Three combinations by two seeds, and by the baseline's one.
    assert joined.height == own.filter(pl.col("strategy") != "late_fusion").height == 9
    for metric in ("auroc", "auprc"):
        assert (joined[metric] - joined[f"{metric}_there"]).abs().max() < 1e-6
    assert joined["n"].equals(joined["n_there"])
    cohort = pl.read_parquet(study.prepared / "views" / "label" / "cohort.parquet")
    counted = dict(same.tables["external_stays"].select("place", "stays").iter_rows())
    assert counted["judged"] == (cohort["split"] == "test").sum()
    assert sum(counted.values()) == len(cohort)
    variables = same.tables["external_variables"]
    assert set(variables["stays_total"]) == {counted["judged"]}
    assert (variables["stays"] < variables["stays_total"]).all() and (variables["stays"] > 0).all()
    rows = same.tables["external"].filter(recalibration="none")
    assert (rows["value"] - rows["internal"]).abs().max() < 1e-6


def test_a_configuration_is_prepared_and_all_its_stays_judged(study: Run, found: Any) -> None:
    assert dict(found.tables["external_stays"].select("place", "stays").iter_rows()) == {"judged": 300}
    rows = found.tables["external"]
    summary = pl.read_parquet(study.folder / "results" / "summary.parquet")
    summary = summary.filter(pl.col("strategy") != "late_fusion")
    auroc = rows.filter(metric="auroc", recalibration="none").join(summary, on=["task", "combination", "strategy"])
    assert auroc.height == 6
    assert auroc["internal"].to_list() == pytest.approx(auroc["ensemble_auroc"].to_list())
    assert (auroc["difference"] - (auroc["value"] - auroc["internal"])).abs().max() < 1e-12
    assert (auroc["value"] > 0.7).all()
    assert auroc["selected"].sum() <= 1
    first, second = found.notes
    assert first == "late_fusion keeps no models to apply, so it is left out"
    # Both count their samples from 0.
    cohort = pl.read_parquet(study.prepared / "views" / "label" / "cohort.parquet")
    known = cohort["split"].is_in(["train", "val"]).sum()
    assert second.startswith(f"{known} subject ids of the other source are also")
    assert second.endswith("the persons differ, and are judged")
    there = {name for name in EXTERNAL if name in found.tables}
    assert there == set(EXTERNAL), "every table is filled"
    for name, frame in found.tables.items():
        file = found.folder / "results" / f"{name}.parquet"
        assert pl.read_parquet(file).equals(frame), name


def test_small_networks_predict_on_one_thread(study: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are trained and as `predict` asks them; what was set before is set again afterwards."""
    seen, ask = [], Classifier.probabilities_within

    def watched(self: Classifier, *given: Any) -> np.ndarray:
        seen.append(torch.get_num_threads())
        return ask(self, *given)

    monkeypatch.setattr(Classifier, "probabilities_within", watched)
    with torch_threads(3):
        validate(study.folder, study.folder, combinations=["labs"], out=tmp_path / "out")
        assert torch.get_num_threads() == 3
    assert seen == [1, 1], "one for each seed"


def test_probabilities_are_too_low_there_and_local_stays_mend_it(found: Any) -> None:
    rows = found.tables["external"].filter(metric="calibration_intercept")
    chosen = rows.filter(pl.col("recalibration") != "none").row(0, named=True)
    own = rows.filter(pl.col("combination") == chosen["combination"])
    before = own.filter(recalibration="none").row(0, named=True)
    after = own.filter(recalibration="intercept", n_local=100).row(0, named=True)
    assert before["low"] > 0 and abs(after["value"]) < before["value"] / 2
    assert after["low"] < 0 < after["high"] + 0.1
    auroc = found.tables["external"].filter(metric="auroc", combination=chosen["combination"])
    values = {row["recalibration"]: row["value"] for row in auroc.filter(n_local=100).iter_rows(named=True)}
    assert values["intercept"] == pytest.approx(auroc.filter(recalibration="none")["value"][0], abs=0.02)


def test_values_of_modalities_and_what_is_enough_are_told_there(study: Run, found: Any) -> None:
    value = found.tables["external_value"]
    own = pl.read_parquet(study.folder / "results" / "value.parquet").filter(stays="complete")
    joined = value.join(own, on=["task", "strategy", "metric", "quantity", "modality"], suffix="_own")
    assert joined.height == value.height == 2 * 2 * 2 * 3, "two strategies, metrics, modalities and three quantities"
    assert joined["internal"].to_list() == pytest.approx(joined["value_own"].to_list())
    alone = value.filter(metric="auroc", quantity="alone")
    assert (alone["value"] > 0.15).all() and (alone["verdict"] == "adds").all()
    assert set(found.tables["external_sufficient"]["metric"]) == {"auroc", "auprc"}


def test_every_number_of_the_page_is_one_of_the_tables(found: Any) -> None:
    read = pages.read(found.page)
    assert pages.check_numbers(read, found.tables) > 100
    shown = {name.partition(".")[0] for origin, _, _ in read.numbers for name in origin.split("|")}
    assert set(EXTERNAL) <= shown
    assert {"local-curve", "calibration", "subgroups"} <= set(read.payload["plates"])
    assert "Does it hold there?" in read.words


def test_columns_of_other_names_are_found_and_absent_ones_counted(study: Run, tmp_path: Path) -> None:
    folder = write(tmp_path / "there", 2, x="Z")
    file = config_file(tmp_path, tree_of(folder, column="Z"))
    made = validate(study.folder, file, strategies=["supervised"], out=tmp_path / "out")
    told = {(row["modality"], row["variable"]): row for row in made.tables["external_variables"].iter_rows(named=True)}
    assert {key: row["status"] for key, row in told.items()} == {
        ("labs", "x"): "absent", ("labs", "y"): "read", ("person", "x"): "absent", ("person", "y"): "read",
    }  # fmt: skip
    assert "x" not in made.tables["shift"]["variable"].to_list()
    auroc = made.tables["external"].filter(metric="auroc", recalibration="none")["value"]
    assert (auroc < 0.65).all(), "nothing that tells is left"


def test_a_modality_that_is_lacking_altogether_is_absent_in_every_stay(study: Run, tmp_path: Path) -> None:
    write(tmp_path / "there", 2)
    tree = tree_of(tmp_path / "there", "labs")
    tree["modalities"]["second"] = {**tree["modalities"]["labs"], "columns": ["y"]}
    made = validate(study.folder, config_file(tmp_path, tree), out=tmp_path / "out")
    rows = made.tables["shift_presence"].filter(modality="person")
    assert rows["there"].to_list() == [1.0] or rows["there"][0] > 0.5, "its columns are found in another table"
    taken = made.tables["external_variables"].filter(modality="person", variable="x")
    assert taken["source_modality"].to_list() == ["labs"]


def test_only_stays_with_an_outcome_are_counted(study: Run, tmp_path: Path) -> None:
    there = write(tmp_path / "there", 4)
    known = pl.col("id") % 3 > 0
    samples = pl.read_csv(there / "samples.csv").with_columns(label=pl.when(known).then("label"))
    samples.write_csv(there / "samples.csv")
    made = validate(study.folder, config_file(tmp_path, tree_of(there)), combinations=["labs"], out=tmp_path / "out")
    variables = made.tables["external_variables"].filter(modality="labs")
    labs = pl.read_csv(there / "labs.csv").filter(known)
    assert variables.select("variable", "stays", "stays_total").rows() == [("x", len(labs), 200), ("y", len(labs), 200)]
    assert made.tables["external"]["n"].max() == len(labs)


def test_another_task_of_the_same_name_is_said_or_refused(tmp_path: Path) -> None:
    """Here the labels are columns of one's own, there what picme calls by these names."""
    samples = write(tmp_path / "here", 0, samples=60) / "samples.csv"
    label = pl.read_csv(samples).rename({"label": "mortality"}).with_columns(readmission="mortality")
    label.write_csv(samples)
    own = {"mortality": {"labels": ["mortality"], "hours": 48}, "readmission": {"labels": ["readmission"]}}
    tree = tree_of(tmp_path / "here")
    mine, named, again = (
        run_pipeline(checked(tree | {"tasks": tasks}), tmp_path / name, "prepare", quiet=True)
        for name, tasks in (("mine", own), ("named", {"mortality": {}, "readmission": {}}), ("again", own))
    )
    assert other_tasks(mine, again, ["mortality", "readmission"]) == []
    (said,) = other_tasks(mine, named, ["mortality"])
    assert said.startswith("task mortality is declared otherwise there (measured, outcome, positive, negative, how its")
    assert fits(mine, named, "mortality", []) == []
    with pytest.raises(DataError, match=r"prediction time 'hospital discharge' of task readmission, .* 'looking back'"):
        fits(mine, named, "readmission", [])


def refused(study: Run, folder: Path, tree: dict[str, Any], message: str, **more: Any) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        validate(study.folder, config_file(folder, tree), out=folder / "out", **more)


def test_what_does_not_fit_is_refused_in_one_sentence(study: Run, tmp_path: Path) -> None:
    there = write(tmp_path / "there", 3, samples=60)
    tree = tree_of(there)
    refused(study, tmp_path, tree | {"tasks": {"death": {"hours": 24}}}, "has no task label, which the models predict")
    refused(study, tmp_path, tree | {"tasks": {"label": {"hours": 48}}}, r"with tasks\.label\.hours 48")
    long = pl.DataFrame({"id": range(60), "hours": [1] * 60, "variable": ["x"] * 60, "value": [1.0] * 60})
    long.write_csv(there / "long.csv")
    other = json.loads(json.dumps(tree))
    other["modalities"]["labs"] = {"kind": "timeseries", "path": str(there / "long.csv"), "encoder": {"hidden": 4}}
    refused(study, tmp_path, other, "modality 'labs' of .* is of kind timeseries, the model's of tabular")
    frame = pl.read_csv(there / "person.csv")
    frame.with_columns(pl.col("x") * 1000).write_csv(there / "person.csv")
    refused(study, tmp_path, tree, r"modality 'person' of .*: column 'x' has median .*is it in other units\?")
    frame.write_csv(there / "person.csv")
    samples = pl.read_csv(there / "samples.csv")
    samples.with_columns(label=pl.lit(None, pl.Int64)).write_csv(there / "samples.csv")
    refused(study, tmp_path, tree, r"no stay of .* can be judged for task label: 60 without an outcome")


def test_names_that_the_run_does_not_have(study: Run, tmp_path: Path) -> None:
    for more, message in (
        ({"tasks": ["lable"]}, "unknown task 'lable'; did you mean 'label'"),
        ({"strategies": ["superviced"]}, "no models of strategy 'superviced'; did you mean 'supervised'"),
        (
            {"strategies": ["late_fusion"]},
            "no models that could be applied; late_fusion keeps no models",
        ),
        ({"combinations": ["labs+persn"]}, "persn"),
        ({"overrides": {"source.id": "x"}}, "--set changes a configuration, and .* is a run folder"),
        ({"out": study.folder}, "is a run folder; choose one of its own"),
    ):
        with pytest.raises(ConfigError, match=message):
            validate(study.folder, study.folder, **{"out": tmp_path / "out", **more})
    with pytest.raises(
        ConfigError, match=r"is a folder without config\.yaml, expected a run folder or a configuration"
    ):
        validate(study.folder, tmp_path, out=tmp_path / "out")


def test_from_python_the_table_external_is_returned(study: Run, tmp_path: Path) -> None:
    opened = picme.load(study.folder)
    with pytest.warns(UserWarning, match="late_fusion keeps no models"):
        table = opened.validate(study.folder, task="label", combination="labs+person", out=tmp_path / "out")
    assert table["combination"].unique().to_list() == ["labs+person"]
    assert set(table["recalibration"]) == {"none", "intercept", "both"}
    assert (tmp_path / "out" / "external.html").is_file()
