"""Several processes that pretrain together: losses and weights are those of one process with the whole batch."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from picme.engine.step import Context
from picme.errors import TrainingError
from picme.fitting import group
from picme.pretrain.features import open_encoded
from picme.pretrain.train import pretrain, train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from picme.modalities.view import ViewData
    from picme.pipeline import Run
    from picme.pretrain.step import Pretrain

    Finished = Callable[..., tuple[Run, ViewData]]

pytestmark = pytest.mark.slow

TRIPLE, PAIR = ("note", "report", "person"), ("report", "person")
TWO = ("cpu", "cpu")


def exact(tree: dict[str, Any]) -> dict[str, Any]:
    """Sections of the configuration that compute in single precision and without dropout."""
    note, person = tree["modalities"]["note"], tree["modalities"]["person"]
    changed = {
        "note": {**note, "encoder": {**note["encoder"], "lora_dropout": 0.0}},
        "person": {**person, "encoder": {**person["encoder"], "dropout": 0.0}},
    }
    return {"modalities": changed, "study": {"precision": "fp32"}}


def interrupted(device: str, step: Pretrain, folder: Path, context: Context) -> None:
    """Pretrain up to the second epoch, which fails in the last process alone while the others wait for it."""
    pretraining = step.pretraining
    view = open_encoded(pretraining.prepare, "pretrain", pretraining.encodings, context.store)

    def report(epoch: int, recall: float) -> None:
        if epoch == 1 and group.rank() == group.size() - 1:
            raise TrainingError("an epoch that fails in one process")

    train(
        pretraining, view, step.seed, torch.device(device), learning_rate=0.01, batch_size=8, folder=folder,
        report=report,
    )  # fmt: skip


def assert_equal(mine: Path, whole: Path) -> None:
    histories = [pl.read_parquet(folder / "history.parquet") for folder in (mine, whole)]
    for column in ("train_loss", "val_loss", "temperature"):
        np.testing.assert_allclose(*(each[column].to_numpy() for each in histories), atol=1e-4, rtol=0)
    for name in ("encoders", "objective"):
        states = [load_file(folder / f"{name}.safetensors") for folder in (mine, whole)]
        assert states[0].keys() == states[1].keys()
        for key, value in states[0].items():
            torch.testing.assert_close(value, states[1][key], atol=1e-3, rtol=0, msg=lambda said, k=key: f"{k}: {said}")
    for name in ("rows", "present"):
        np.testing.assert_array_equal(*(np.load(folder / f"{name}.npy") for folder in (mine, whole)))
    np.testing.assert_allclose(*(np.load(folder / "embeddings.npy") for folder in (mine, whole)), atol=1e-3)


def made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("names", [PAIR, TRIPLE], ids=["plain loop", "lightning"])
def test_two_processes_train_as_one(
    finished: Finished, tree: dict[str, Any], names: tuple[str, ...], tmp_path: Path
) -> None:
    run, _ = finished("encode", **exact(tree))
    step, context = run.design.pretrain(names), Context(run.store, "cpu")
    assert step.spread is (names == TRIPLE)
    said = {}
    for name, devices in (("one", ()), ("two", TWO)):
        said[name] = pretrain(step, made(tmp_path / name), replace(context, devices=devices))
    assert_equal(tmp_path / "two", tmp_path / "one")
    assert said["two"]["best_epoch"] == said["one"]["best_epoch"]
    files = [sorted(str(file.relative_to(tmp_path / name)) for file in (tmp_path / name).rglob("*")) for name in said]
    assert files[0] == files[1]


def test_batches_of_some_modalities_in_micro_batches_are_shared_by_more_processes_than_stays(
    finished: Finished, tree: dict[str, Any], tmp_path: Path
) -> None:
    """One batch of an epoch has fewer stays than there are processes, so that some have none."""
    run, _ = finished("encode", pretrain={"mode": "shared", "batch_size": 38}, **exact(tree))
    step, context = run.design.pretrain(TRIPLE), Context(run.store, "cpu")
    pretraining = step.pretraining
    view = open_encoded(pretraining.prepare, "pretrain", pretraining.encodings, run.store)
    train_rows = view.usable(list(TRIPLE), "train", at_least=2)
    sizes = [len(rows) for rows in view.training_batches(list(TRIPLE), train_rows, 38, 0, 0)]
    assert min(sizes) < 3, sizes
    whole = step.model_copy(update={"pretraining": pretraining.model_copy(update={"micro_batch": None})})
    micro = step.model_copy(update={"pretraining": pretraining.model_copy(update={"micro_batch": 5})})
    pretrain(whole, made(tmp_path / "one"), context)
    pretrain(micro, made(tmp_path / "three"), replace(context, devices=("cpu",) * 3))
    assert_equal(tmp_path / "three", tmp_path / "one")


def test_a_training_that_failed_in_one_process_is_resumed_by_all(
    finished: Finished, tree: dict[str, Any], tmp_path: Path
) -> None:
    run, _ = finished("encode", **exact(tree))
    step, context = run.design.pretrain(TRIPLE), Context(run.store, "cpu")
    pretrain(step, made(tmp_path / "one"), context)
    with pytest.raises(TrainingError, match=r"epoch 1: an epoch that fails in one process \(the weights of epoch 0 "):
        group.together(interrupted, TWO, step, made(tmp_path / "two"), context)
    assert torch.load(tmp_path / "two" / "state.pt", weights_only=True)["epoch"] == 0
    assert json.loads((tmp_path / "two" / "state.failed.json").read_text(encoding="utf-8")) == {"epoch": 1}
    pretrain(step, tmp_path / "two", replace(context, devices=TWO))
    assert_equal(tmp_path / "two", tmp_path / "one")
    assert not list((tmp_path / "two").glob("state*"))
