"""Studies on the device: pretraining and every strategy against the CPU, micro-batches, a small demo, and `predict`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import torch

import picme
from picme.config.loading import validate
from picme.fitting.device import peak_memory_mb, resolve_device
from picme.modalities.batch import on_device
from picme.pipeline import run as run_pipeline
from picme.predict import predict
from picme.pretrain.features import open_encoded
from picme.pretrain.train import train
from picme.strategies import BUILT_IN
from tiny_checkpoints import WORDS, save_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("note", "person", "vitals")
# Baselines without a network use no device.
STRATEGIES = sorted(name for name, one in BUILT_IN.items() if one.encoders != "none")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """200 samples with a note, a table and a series, no dropout: nothing is drawn on the device."""
    folder = tmp_path_factory.mktemp("samples")
    generator = np.random.default_rng(0)
    label = np.arange(200) % 2
    told = label[:, None] * 1.5 + generator.normal(size=(200, 2))
    notes = [" ".join(generator.choice(WORDS[:5] if one else WORDS[3:], 8)) for one in label]
    values = {"id": range(200), "label": label, "note": notes, "x": told[:, 0], "y": generator.normal(size=200)}
    pl.DataFrame(values).write_csv(folder / "samples.csv")
    rows = [(stay, hour, "pulse", told[stay, 1]) for stay in range(0, 200) if stay % 7 for hour in range(1 + stay % 5)]
    pl.DataFrame(rows, schema=["id", "hours", "variable", "value"], orient="row").write_csv(folder / "vitals.csv")
    text = {"name": "transformer", "model": str(save_checkpoint("bert", folder / "bert")), "max_length": 12}
    return {
        "source": {"kind": "table", "path": str(folder / "samples.csv"), "id": "id"},
        "require": "any",
        "modalities": {
            "note": {"kind": "text", "column": "note", "encoder": {**text, "mode": "lora", "lora_dropout": 0}},
            "person": {"kind": "tabular", "columns": ["x", "y"], "encoder": {"name": "mlp", "hidden": [8]}},
            "vitals": {"kind": "timeseries", "path": str(folder / "vitals.csv"), "encoder": {"hidden": 8}},
        },
        "tasks": {"label": {"hours": 24}},
        "splits": {"train": 0.5, "val": 0.25},
        "study": {"seeds": 1, "embed_dim": 8, "precision": "fp32", "combination_sizes": [3]},
        "pretrain": {"epochs": 2, "batch_size": 16},
        "align": {"tsne": "off"},
        "finetune": {
            "combinations": ["+".join(NAMES)], "strategies": STRATEGIES, "epochs": 1, "hidden": 8, "dropout": 0,
            "batch_size": 16,
        },
        "evaluate": {"resamples": 100, "interval_resamples": 100, "shapley": "off"},
        "execution": {"workers": 1},
    }  # fmt: skip


@pytest.fixture(scope="module")
def studies(
    tree: dict[str, Any], device: torch.device, tmp_path_factory: pytest.TempPathFactory
) -> tuple[picme.Study, picme.Study]:
    """The same study on the CPU and on the device."""
    folder = tmp_path_factory.mktemp("runs")
    on = [("cpu", "cpu"), ("device", str(device))]
    done = [picme.run(tree, folder / name, {"execution.device": where}, "evaluate") for name, where in on]
    return done[0], done[1]


def test_pretraining_goes_the_same_way(studies: tuple[picme.Study, picme.Study]) -> None:
    tables = [one.table("pretraining").sort("combination", "epoch") for one in studies]
    assert tables[0].height == 2
    for column in ("train_loss", "val_loss"):
        np.testing.assert_allclose(*(one[column].to_numpy() for one in tables), atol=2e-3)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_predicts_the_same(studies: tuple[picme.Study, picme.Study], strategy: str) -> None:
    keys = ["task", "combination", "strategy", "seed", "split", "stay_id", "label"]
    cpu, there = (one.table("predictions").filter(strategy=strategy) for one in studies)
    keys = [name for name in keys if name in cpu.columns]
    cpu, there = cpu.sort(keys), there.sort(keys)
    assert cpu.height > 20
    assert cpu["probability"].std() > 1e-4  # type: ignore[operator]
    np.testing.assert_allclose(there["probability"].to_numpy(), cpu["probability"].to_numpy(), atol=5e-3)


def test_new_stays_are_predicted_like_the_study_s_own(
    studies: tuple[picme.Study, picme.Study], device: torch.device, tmp_path: Path
) -> None:
    found = []
    for study, name in zip(studies, ("cpu", "device"), strict=True):
        folder = study._run.folder
        predict(folder, folder, "label", "any_subset", None, tmp_path / f"{name}.parquet")
        found.append(pl.read_parquet(tmp_path / f"{name}.parquet").sort("stay_id"))
    assert found[0]["label"].n_unique() > 50
    np.testing.assert_allclose(*(one["label"].to_numpy() for one in found), atol=2e-2)


def test_micro_batches_give_the_whole_batch_s_weights_in_less_memory(
    tree: dict[str, Any], device: torch.device, tmp_path: Path
) -> None:
    changed = {"pretrain": {**tree["pretrain"], "batch_size": 64}}
    run = run_pipeline(validate(tree | changed), tmp_path / "run", "encode", quiet=True)
    pretraining = run.design.pretraining(NAMES)
    view = open_encoded(pretraining.prepare, "pretrain", pretraining.encodings, run.store)
    losses, peaks = [], []
    for size in (None, 4):
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        part = pretraining.model_copy(update={"micro_batch": size})
        done = train(part, view, 0, device, learning_rate=0.003, batch_size=64)
        losses.append([row["train_loss"] for row in done.result.history])
        peaks.append(peak_memory_mb(device))
    np.testing.assert_allclose(*losses, atol=1e-4)
    if device.type == "cuda":
        assert peaks[1] < peaks[0]


def test_a_batch_goes_through_pinned_memory_unchanged(device: torch.device) -> None:
    batch = {"values": torch.randn(1000, 64), "mask": torch.rand(1000, 64) < 0.5}
    there = on_device(batch, device)
    assert all(torch.equal(there[name].cpu(), value) for name, value in batch.items())
    assert {value.device.type for value in there.values()} == {device.type}


def test_a_small_demo_ends_on_the_best_device(device: torch.device, tmp_path: Path) -> None:
    text = {"name": "transformer", "model": str(save_checkpoint("bert", tmp_path / "bert")), "max_length": 32}
    settings: dict[str, Any] = {
        "source.stays": 120, "pretrain.epochs": 2, "finetune.epochs": 2, "study.seeds": 1,
        "study.combination_sizes": [2, 5], "evaluate.resamples": 100, "evaluate.interval_resamples": 100,
        "finetune.combinations": ["discharge+radiology+image+timeseries+demographics"], "align.tsne": "off",
        "finetune.label_efficiency": "off", "finetune.orders": 0, "finetune.strategies": ["contrastive", "gated"],
        "modalities.discharge.encoder": {**text, "mode": "lora"}, "modalities.radiology.encoder": text,
        "modalities.image.size": 32,
        "modalities.image.encoder": {"name": "image", "model": "resnet18", "weights": None},
        "execution.device": "auto", "execution.workers": 1,
    }  # fmt: skip
    study = picme.run("demo", tmp_path / "run", settings, "evaluate")
    scores = study.table("scores")
    assert scores.height > 0
    assert study.table("predictions")["probability"].is_finite().all()
    if device.type == "cuda":
        assert resolve_device("auto").type == "cuda"
    peaks = [json.loads(file.read_text()).get("peak_memory_mb") for file in study._run.folder.rglob("manifest.json")]
    assert max(peak for peak in peaks if peak is not None) > 0
    predict(study._run.folder, study._run.folder, "mortality", "gated", None, tmp_path / "new.parquet")
    assert pl.read_parquet(tmp_path / "new.parquet").height > 50
