"""A study by folds, end to end: every stay is tested once, by models that never saw its subject."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

import picme
from picme.pipeline import Run
from picme.prepare.check import check_leaks

if TYPE_CHECKING:
    from pathlib import Path

STAYS = 300


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> picme.Study:
    folder = tmp_path_factory.mktemp("folds")
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(STAYS, 2))
    pl.DataFrame(
        {
            "id": range(STAYS),
            "person": rng.integers(0, 200, STAYS),
            "pulse": signal[:, 0] + 0.5 * rng.normal(size=STAYS),
            "urea": signal[:, 1] + 0.5 * rng.normal(size=STAYS),
            "died": (signal.sum(axis=1) + rng.normal(size=STAYS) > 0.5).astype(int),
        }
    ).write_csv(folder / "stays.csv")
    tree: dict[str, Any] = {
        "name": "folds",
        "source": {"kind": "table", "path": str(folder / "stays.csv"), "id": "id", "subject": "person"},
        "modalities": {
            "vitals": {"kind": "tabular", "columns": ["pulse"], "encoder": {"name": "mlp", "hidden": [8]}},
            "labs": {"kind": "tabular", "columns": ["urea"], "encoder": {"name": "mlp", "hidden": [8]}},
        },
        "tasks": {"death": {"kind": "binary", "labels": ["died"]}},
        "splits": {"kind": "folds", "folds": 4},
        "study": {"seeds": 2, "embed_dim": 8},
        "pretrain": {"epochs": 2, "batch_size": 32},
        "finetune": {
            "combinations": "all", "strategies": ["contrastive", "supervised", "gradient_boosting"], "epochs": 8,
            "batch_size": 32, "learning_rate": 0.01, "hidden": 8,
        },
        "evaluate": {"resamples": 200, "interval_resamples": 100},
    }  # fmt: skip
    return picme.run(tree, folder / "run")


def test_every_stay_is_predicted_once_for_test_and_once_for_validation(study: picme.Study) -> None:
    predictions = study.table("predictions")
    for _, rows in predictions.group_by("combination", "strategy", "seed", "split"):
        assert sorted(rows["stay_id"].cast(pl.Int64)) == list(range(STAYS))
    scores = study.table("scores").filter(split="test", label="died")
    assert scores["n"].unique().to_list() == [STAYS]
    one = predictions.filter(combination="vitals+labs", strategy="supervised", seed=0, split="test")
    said = scores.filter(combination="vitals+labs", strategy="supervised", seed=0)["auroc"][0]
    assert said == pytest.approx(roc_auc_score(one["target"], one["probability"]))
    assert said > 0.75


def test_value_is_that_of_the_predictions_of_all_folds(study: picme.Study) -> None:
    """What a combination is worth is the mean over seeds of its AUROC, which the table of scores has too."""
    lattice = study.table("lattice").filter(strategy="supervised", metric="auroc").filter(pl.col("added").is_null())
    scores = study.table("scores").filter(split="test", strategy="supervised", label="died")
    for combination in ("vitals", "labs", "vitals+labs"):
        said = lattice.filter(combination=combination)["value"][0]
        assert said == pytest.approx(scores.filter(combination=combination)["auroc"].mean())


def test_no_subject_is_tested_by_a_model_that_was_trained_or_chosen_on_it(study: picme.Study) -> None:
    run = Run.at(study.folder)
    for fold in run.design.folds:
        divided = {
            view: pl.read_parquet(run.store.path(fold.prepare) / "views" / view / "cohort.parquet")
            for view in ("pretrain", "death")
        }
        tested = set(divided["death"].filter(split="test")["subject_id"])
        for cohort in divided.values():
            assert not tested & set(cohort.filter(pl.col("split").is_in(["train", "val"]))["subject_id"])
        for step in fold.finetunings([("vitals", "labs")]):
            with np.load(run.store.path(step) / "predictions.npz") as saved:
                assert set(divided["death"]["subject_id"].gather(saved["test_rows"])) == tested


def test_each_fold_is_normalised_by_its_own_training_stays(study: picme.Study) -> None:
    run = Run.at(study.folder)
    raw = pl.read_csv(run.config.source.path).rename({"id": "stay_id"})
    for fold in run.design.folds:
        folder = run.store.path(fold.prepare)
        cohort = pl.read_parquet(folder / "views" / "pretrain" / "cohort.parquet")
        train = cohort.filter(split="train").select(pl.col("stay_id").cast(pl.Int64)).join(raw, on="stay_id")
        said = json.dumps(json.loads((folder / "statistics.json").read_text()))
        assert str(train["pulse"].mean())[:6] in said


def test_a_subject_moved_between_the_splits_of_one_fold_is_found(study: picme.Study, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(study.folder, copy)
    run = Run.at(copy)
    checked = run.design.prepare, run.prepared, run.folds
    assert not check_leaks(*checked)[1]
    folder = run.folds[run.design.folds[2].prepare]
    file = folder / "views" / "death" / "cohort.parquet"
    cohort = pl.read_parquet(file)
    moved = cohort.filter(pl.col("subject_id").is_duplicated(), split="test")["stay_id"][0]
    split = pl.when(pl.col("stay_id") == moved).then(pl.lit("train")).otherwise("split")
    cohort.with_columns(split=split).write_parquet(file)
    found = check_leaks(*checked)[1]
    assert all("fold 3" in said for said in found)
    assert any("subjects in death train and death test" in said for said in found)


def test_the_statistics_of_another_fold_are_found(study: picme.Study, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(study.folder, copy)
    run = Run.at(copy)
    one, other = (folder / "statistics.json" for folder in list(run.folds.values())[:2])
    of_other = other.read_text(encoding="utf-8")
    assert one.read_text(encoding="utf-8") != of_other
    one.write_text(of_other, encoding="utf-8")
    assert json.loads(one.read_text(encoding="utf-8")) == json.loads(of_other)
    found = check_leaks(run.design.prepare, run.prepared, run.folds)[1]
    assert found
    assert all("fold 2" in said for said in found)


def test_all_stays_choose_the_combination_that_is_enough_and_judge_it(study: picme.Study) -> None:
    rows = study.table("sufficient")
    died = int(study.table("scores").filter(split="test", label="died")["positives"][0])
    assert set(rows.select("n_val", "events_val", "n_test", "events_test").rows()) == {(STAYS, died, STAYS, died)}
    lattice = study.table("lattice").filter(strategy="supervised", metric="auroc", combination="vitals+labs")
    own = study.table("scores").filter(strategy="supervised", combination="vitals+labs", split="test", label="died")
    assert lattice.filter(pl.col("added").is_null())["value"][0] == pytest.approx(own["auroc"].mean())
