"""The value of the modalities of a small study: from the models of every subset, in Python and on the command line."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

import picme
from picme.cli import app
from picme.errors import ConfigError
from picme.pretrain.features import open_encoded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from picme.pipeline import Run

NAMES = ("labs", "person", "vitals")


@pytest.fixture(scope="module")
def study(finished: Callable[..., Run]) -> Run:
    return finished(
        "report", study={"seeds": 2}, finetune={"strategies": ["supervised", "any_subset", "presence_only"]}
    )


def test_tables_are_of_dedicated_and_of_shared_models(study: Run) -> None:
    made = {name: pl.read_parquet(study.folder / "results" / f"{name}.parquet") for name in ("value", "interactions")}
    kinds = {("supervised", "dedicated"), ("any_subset", "shared")}
    for name, rows in (("value", 2 * 2 * 9), ("interactions", 2 * 2 * 3)):
        assert set(made[name].select("strategy", "source").rows()) == kinds
        # Four metrics; stays with every modality, and all stays.
        assert made[name].height == 4 * rows
        assert set(made[name]["metric"]) == {"auroc", "auprc", "net_benefit_0.1", "net_benefit_0.2"}
        assert set(made[name]["stays"]) == {"complete", "all"}
    assert set(made["value"]["verdict"]) <= {"adds", "nothing measurable", "undecided"}


@pytest.mark.parametrize("strategy", ["supervised", "any_subset"])
def test_the_lattice_holds_the_mean_auroc_of_single_models_on_complete_stays(study: Run, strategy: str) -> None:
    encodings = [study.design.encoding(name) for name in NAMES]
    view = open_encoded(study.design.prepare, "label", encodings, study.store)
    rows = view.usable(NAMES, "test", at_least=3)
    target = view.labels(["label"])[:, 0]
    lattice = pl.read_parquet(study.folder / "results" / "lattice.parquet").filter(
        strategy=strategy, metric="auroc", stays="complete"
    )
    for row in lattice.filter(pl.col("added").is_null(), pl.col("combination") != "").iter_rows(named=True):
        scores = []
        for seed in (0, 1):
            step = study.design.finetune("label", tuple(row["combination"].split("+")), strategy, seed)
            with np.load(study.store.path(step) / "predictions.npz") as saved:
                where = np.isin(saved["test_rows"], rows)
                scores.append(roc_auc_score(target[saved["test_rows"][where]], saved["test"][where, 0]))
        assert row["value"] == pytest.approx(np.mean(scores), abs=1e-5)
    assert lattice.filter(pl.col("combination") == "", pl.col("added").is_null())["value"].to_list() == [0.5]


def test_python_and_the_command_give_the_sentence(study: Run) -> None:
    opened = picme.load(study.folder)
    one: Any = opened.value("label", given="labs+vitals", add="person")
    row = opened.table("lattice").row(
        by_predicate=(pl.col("combination") == "labs+vitals")
        & (pl.col("added") == "person")
        & (pl.col("strategy") == "supervised")
        & (pl.col("metric") == "auroc")
        & (pl.col("stays") == "complete"),
        named=True,
    )
    assert (one.value, one.low, one.high, one.source) == (row["value"], row["low"], row["high"], "dedicated")
    points = [f"{100 * row[name]:+.1f}".replace("-", "−") for name in ("value", "low", "high")]
    start = "Given labs and vitals, person adds {} points of AUROC (label, supervised) ({} to {}): ".format(*points)
    assert str(one).startswith(start) and str(one).endswith(("adds.", "undecided.", "points."))
    wide: Any = opened.value("label", given="labs+vitals", add="person", margin=0.99)
    assert wide.verdict in ("adds", "nothing measurable")
    done = CliRunner().invoke(app, ["value", str(study.folder), "--given", "vitals+labs", "--add", "person"])
    said, enough = done.output.strip().split("\n")
    assert (done.exit_code, said) == (0, str(one))
    row = opened.table("sufficient").filter(strategy="supervised", metric="auroc", stays="complete").row(0, named=True)
    assert f"(label, supervised; {row['n_val']} stays, {row['events_val']} events; margin 1.0 points)" in enough
    assert enough.startswith("Undecided" if row["combination"] is None else "Enough on validation")
    assert "Few events" in enough and "splits.kind: folds" in enough
    every = CliRunner().invoke(app, ["value", str(study.folder), "--strategy", "any_subset", "--json"])
    found = json.loads(every.output)
    assert [each["added"] for each in found] == list(NAMES)
    assert [each["given"] for each in found] == ["person+vitals", "labs+vitals", "labs+person"]
    assert {each["sufficient"]["strategy"] for each in found} == {"any_subset"}
    alone: Any = opened.value("label", given="", add="labs")
    assert str(alone).startswith("By itself, labs adds ")


def test_the_command_says_what_is_not_there(study: Run, tmp_path: Path) -> None:
    shutil.copytree(study.folder / "results", tmp_path / "results")
    for name in ("config.yaml", "run.json"):
        shutil.copy(study.folder / name, tmp_path / name)

    def said() -> str:
        return str(CliRunner().invoke(app, ["value", str(tmp_path)]).exception)

    (tmp_path / "results" / "lattice.parquet").write_bytes(b"PAR1")
    assert "lattice.parquet is damaged" in said()
    (tmp_path / "results" / "lattice.parquet").unlink()
    assert "has no predictions of every subset of its modalities; finetune.combinations: all makes them" in said()
    (tmp_path / "run.json").unlink()
    assert "is not finished" in said()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "label", "add": "vital"}, r"no modality 'vital'.*'vitals'"),
        ({"task": "label", "add": "labs", "given": "labs"}, "'labs' is among those that are given"),
        ({"task": "labels", "add": "labs"}, "for 'labels'.*'label'"),
        ({"task": "label", "add": "labs", "strategy": "presence_only"}, "'presence_only' has no predictions of every"),
    ],
)
def test_what_has_no_answer_is_refused(study: Run, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        picme.load(study.folder).value(**arguments)
