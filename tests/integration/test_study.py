"""The study end to end on the synthetic hospital."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

import picme
from picme.plan import plan

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = {
    "cohort_flow": "task step stays subjects",
    "availability": "task modality split stays_present stays_total cut_share tokens_total tokens_read",
    "leakage": "check modality split count detail violation preset label auroc",
    "alignment": "combination n_modalities metric source target k split candidates chance value",
    "lambdas": "combination epoch modality weight selected",
    "pretraining": "combination epoch train_loss val_loss val_recall5 temperature seconds selected",
    "predictions": "task combination strategy seed split stay_id label target probability",
    "scores": "task combination strategy seed split label auroc auprc n positives",
    "summary": "task combination strategy n_seeds auroc_mean auroc_std auprc_mean auprc_std ensemble_auroc "
    "ensemble_auroc_low ensemble_auroc_high ensemble_auprc ensemble_auprc_low ensemble_auprc_high selected",
    "comparisons": "task combination_a strategy_a combination_b strategy_b metric difference low high p_value "
    "p_adjusted family",
    "finetuning": "task combination strategy seed epoch train_loss val_auroc best_epoch learning_rate batch_size",
    "subgroups": "task combination strategy attribute group n_stays n_subjects positives auroc low high suppressed",
    "phenotype_types": "combination strategy type auroc_mean auroc_std",
    "attributions": "task combination strategy modality method value std",
    "calibration": "task combination strategy brier ece bin mean_predicted observed n",
    "thresholds": "task combination strategy label rule threshold sensitivity specificity ppv npv",
    "tsne": "combination epoch stay modality x y",
    "runtimes": "stage combination task strategy seconds epochs peak_memory_mb",
}
FIVE = "discharge+radiology+image+timeseries+demographics"


@pytest.mark.parametrize("name", COLUMNS)
def test_result_table_has_the_promised_columns(study: picme.Study, name: str) -> None:
    table = study.table(name)
    assert set(COLUMNS[name].split()) <= set(table.columns)
    assert table.height > 0


def test_every_combination_is_pretrained_and_aligned(study: picme.Study) -> None:
    names = list(study.config.modalities)
    wanted = {"+".join(chosen) for size in (2, 3, 5) for chosen in combinations(names, size)}
    assert set(study.table("alignment")["combination"].unique()) == wanted
    assert set(study.table("pretraining")["combination"].unique()) == wanted


def test_lambdas_exist_from_three_modalities_on_and_add_up_to_one(study: picme.Study) -> None:
    table = study.table("lambdas")
    assert {len(name.split("+")) for name in table["combination"].unique()} == {3, 5}
    sums = table.group_by("combination", "epoch").agg(pl.col("weight").sum())["weight"]
    np.testing.assert_allclose(sums, 1.0, atol=1e-6)
    assert set(table.filter("selected").group_by("combination").agg(pl.col("epoch").n_unique())["epoch"]) == {1}


def test_strategies_are_those_that_apply(study: picme.Study) -> None:
    cells = set(study.table("summary").select("combination", "strategy").rows())
    assert (FIVE, "gated") in cells
    assert ("radiology+demographics", "gated") not in cells, "λ needs three modalities"
    assert ("radiology+demographics", "gated_uniform") in cells
    assert ("image", "supervised") in cells
    assert ("image", "random") in cells
    assert ("image", "contrastive") not in cells


def test_scores_follow_from_predictions(study: picme.Study) -> None:
    from sklearn.metrics import roc_auc_score

    key = {"task": "mortality", "combination": FIVE, "strategy": "supervised", "seed": 1, "split": "test"}
    rows = study.table("predictions").filter(*(pl.col(name) == value for name, value in key.items()))
    score = study.table("scores").filter(
        *(pl.col(name) == value for name, value in key.items()), pl.col("label") == "mortality"
    )
    assert score["auroc"][0] == pytest.approx(roc_auc_score(rows["target"], rows["probability"]), abs=1e-9)
    assert score["n"][0] == rows.height


def test_predictions_are_of_held_out_stays_of_the_cohort(study: picme.Study) -> None:
    predictions = study.table("predictions")
    assert predictions["probability"].is_between(0, 1).all()
    for task in ("mortality", "phenotyping"):
        cohort = study.cohort(task)
        joined = (
            predictions.filter(pl.col("task") == task).select("stay_id", "split").unique().join(cohort, on="stay_id")
        )
        assert joined.height == cohort.filter(pl.col("split") != "train").height
        assert (joined["split"] == joined["split_right"]).all()


def test_no_subject_is_in_two_splits_of_any_view(study: picme.Study) -> None:
    frames = [study.cohort(task).select("subject_id", "split") for task in study.config.tasks]
    both = pl.concat(frames).group_by("subject_id").agg(pl.col("split").n_unique())
    assert both["split"].max() == 1


def test_attributions_are_shares(study: picme.Study) -> None:
    table = study.table("attributions").filter(pl.col("method").is_in(["lambda", "integrated_gradients"]))
    sums = table.group_by("task", "combination", "strategy", "method").agg(pl.col("value").sum())["value"]
    np.testing.assert_allclose(sums, 1.0, atol=1e-5)


def test_embeddings_are_of_the_combination_and_split(study: picme.Study) -> None:
    found = study.embeddings("radiology+image", split="test")
    assert set(found) == {"radiology", "image", "stay_id"}
    assert found["image"].shape == (len(found["stay_id"]), study.config.study.embed_dim)
    assert np.abs(found["image"]).sum(axis=1).min() > 0


def test_tensors_are_hours_of_the_task(study: picme.Study) -> None:
    series = study.tensors("timeseries", task="mortality")
    cohort = study.cohort("mortality")
    assert list(series.stay_id) == cohort["stay_id"].to_list()
    assert series.values.shape == (series.lengths.sum(), len(series.columns))
    assert series.lengths.max() <= 48
    assert len(series.columns) == 76


def test_run_folder_is_for_its_owner_and_says_how_it_was_made(study: picme.Study) -> None:
    assert stat.S_IMODE(study.folder.stat().st_mode) == 0o700
    info = json.loads((study.folder / "run.json").read_text(encoding="utf-8"))
    assert info["picme"] == picme.__version__
    assert set(info["stages"]) >= {"prepare", "pretrain", "align", "finetune"}
    assert "pretrain:" in (study.folder / "config.yaml").read_text(encoding="utf-8")


def test_report_is_one_file_without_identifiers(study: picme.Study) -> None:
    text = study.report.read_text(encoding="utf-8")
    stays = study.cohort("mortality")["stay_id"].to_list()
    assert not [stay for stay in stays if str(stay) in text]


def test_running_again_reuses_everything(study: picme.Study, small_settings: dict[str, object]) -> None:
    before = {path: path.stat().st_mtime_ns for path in (study.folder / "store").glob("*/*/manifest.json")}
    rows = plan(study.config, study.folder)
    assert all(row["jobs"] == row["done"] for row in rows)
    again = picme.run("demo", out=study.folder, set=small_settings)
    after = {path: path.stat().st_mtime_ns for path in (again.folder / "store").glob("*/*/manifest.json")}
    assert before == after


def test_another_configuration_gets_its_own_keys(study: picme.Study) -> None:
    from picme.config.loading import load
    from picme.pipeline import Run

    other = Run(load(study.folder / "config.yaml", {"pretrain.learning_rate": 0.01}), study.folder)
    mine = Run(study.config, study.folder)
    pair = ("radiology", "image")
    assert other.design.prepare.key == mine.design.prepare.key
    assert other.design.pretrain(pair).key != mine.design.pretrain(pair).key


KILLER = """
import os, signal, sys
import picme.fitting.course as training

original, calls = training._save, [0]

def save(path, **state):
    original(path, **state)
    calls[0] += 1
    if calls[0] == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

training._save, training.SAVE_EVERY_SECONDS = save, 0.0
from picme.config.loading import load
from picme.pipeline import run
from pathlib import Path
run(load(sys.argv[1]), Path(sys.argv[2]), quiet=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", [4, 40])
def test_killed_and_resumed_ends_with_the_same_scores(study: picme.Study, tmp_path: Path, moment: int) -> None:
    """Killed inside a training (after so many saved epochs), the same command completes with equal numbers."""
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(study.folder / "config.yaml", tmp_path / "config.yaml")
    for stage in ("hospital", "prepare", "features"):  # what is killed is training
        shutil.copytree(study.folder / "store" / stage, run / "store" / stage)
    if moment == 40:  # past pretraining
        for stage in ("pretrain", "align", "embed"):
            shutil.copytree(study.folder / "store" / stage, run / "store" / stage)
    killed = subprocess.run(
        [sys.executable, "-c", KILLER, str(tmp_path / "config.yaml"), str(run), str(moment)],
        check=False,
        capture_output=True,
    )
    assert killed.returncode == -9
    partial = [path.parent.name for path in (run / "store").glob("*/.*.partial")]
    assert partial == ["finetune" if moment == 40 else "pretrain"]
    resumed = picme.run(tmp_path / "config.yaml", out=run)
    keys = ["task", "combination", "strategy", "seed", "split", "label"]
    mine, theirs = (one.table("scores").sort(keys) for one in (study, resumed))
    assert mine.select(keys).equals(theirs.select(keys))
    for metric in ("auroc", "auprc"):
        np.testing.assert_allclose(mine[metric].to_numpy(), theirs[metric].to_numpy(), atol=1e-6, equal_nan=True)


def test_shuffled_labels_are_not_predicted(study: picme.Study) -> None:
    """Forty shuffles of the labels under a fast model, three-fold: what is left above chance would be a leak."""
    from sklearn.metrics import roc_auc_score

    from picme.finetune.baselines import fit, probabilities
    from picme.finetune.features import features, learn
    from picme.pipeline import Run
    from picme.pretrain.features import open_encoded

    run = Run(study.config, study.folder)
    names = FIVE.split("+")
    encodings = [run.design.encoding(name) for name in names]
    view = open_encoded(run.design.prepare, "mortality", encodings, run.store)
    labels = view.labels(["mortality"])
    rng = np.random.default_rng(0)
    part = rng.permutation(len(view)) % 3  # the study's own test stays hold too few deaths
    splits = [np.where(part == fold, "test", "train").astype(object) for fold in range(3)]
    inputs = [features(view, names, learn(view, names, np.flatnonzero(split == "train"))) for split in splits]

    def score(targets: np.ndarray) -> float:
        areas = []
        for split, given in zip(splits, inputs, strict=True):
            held_out = split == "test"
            x, fast = given.values, "logistic_regression"
            models = fit(fast, x[~held_out], given.categorical, targets[~held_out], {"strength": 0.01}, seed=0)
            predicted = probabilities(fast, models, x)
            if 0 < targets[held_out].sum() < held_out.sum():
                areas.append(roc_auc_score(targets[held_out, 0], predicted[held_out, 0]))
        return float(np.mean(areas))

    assert score(labels) > 0.65, "the model finds what is there"
    shuffled = [score(rng.permutation(labels)) for _ in range(40)]
    assert np.mean(shuffled) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("strategy", ["contrastive", "gated"])
def test_contributions_of_the_modalities_add_up_to_the_logit(study: picme.Study, tmp_path: Path, strategy: str) -> None:
    """Over the modalities they are the logit minus that of the average stay, which is the same for every stay."""
    from picme.predict import predict

    files = tmp_path / "probabilities.parquet", tmp_path / "contributions.parquet"
    predict(study.folder, study.folder, "mortality", strategy, FIVE, *files)
    found = pl.read_parquet(files[1])
    assert found.columns == ["stay_id", "label", "modality", "present", "contribution"]
    assert found["modality"].unique().sort().to_list() == sorted(FIVE.split("+"))
    total = found.group_by("stay_id", maintain_order=True).agg(pl.col("contribution").sum())
    rows = study.table("predictions").filter(
        pl.col("task") == "mortality", pl.col("combination") == FIVE, pl.col("strategy") == strategy
    )
    p = pl.col("probability")
    logits = rows.group_by("stay_id").agg((p / (1 - p)).log().mean().alias("logit"))
    joined = total.join(logits, on="stay_id")
    assert joined.height > 20
    difference = joined["logit"] - joined["contribution"]
    spread = float(joined["logit"].max() - joined["logit"].min())
    assert float(difference.max() - difference.min()) < 0.05 * spread
