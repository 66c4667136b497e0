"""Pretraining killed at any moment, or stopped by what is not finite, in both loops of a real step."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import torch
import transformers
import yaml
from safetensors.torch import load_file

import picme.fitting.course as training
import picme.fitting.lightning_loop as training_lightning
import picme.pretrain.train as job_module
from picme.config.loading import dump, validate
from picme.encoders.tabular import TabularEncoder
from picme.encoders.text import TextEncoder
from picme.engine.local import explain, perform
from picme.engine.step import Context
from picme.errors import PicmeError
from picme.objectives import OBJECTIVES
from picme.pipeline import Run, run
from tiny_checkpoints import save_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from picme.pretrain.step import Pretrain

# Which loop a combination is trained by follows from its encoders: adapters are trained in radiology's.
LOOPS = {"plain": ("timeseries", "demographics"), "lightning": ("radiology", "demographics")}

CHILD = """
import os, signal, sys
from pathlib import Path
import picme.fitting.course as training
from picme.config.loading import load
from picme.engine.local import perform
from picme.engine.step import Context
from picme.pipeline import Run

config, folder, combination, moment, number = sys.argv[1:]
training.SAVE_EVERY_SECONDS = 0.0
calls, save, loss = [0], training._save, training.Course.loss

def count():
    calls[0] += 1
    return calls[0] == int(number)

def killed_in_batch(self, loss_of, rows):
    value = loss(self, loss_of, rows)
    if count():
        os.kill(os.getpid(), signal.SIGKILL)
    return value

def killed_before_save(path, **state):
    if count():
        path.with_suffix(".writing").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    save(path, **state)

def killed_after_save(path, **state):
    save(path, **state)
    if count():
        os.kill(os.getpid(), signal.SIGKILL)

if moment == "in batch":
    training.Course.loss = killed_in_batch
else:
    training._save = {"before save": killed_before_save, "after save": killed_after_save}[moment]
run = Run(load(config), Path(folder))
perform(run.design.pretrain(tuple(combination.split("+"))), Context(run.store), 1)
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder up to the stage before pretraining."""
    folder = tmp_path_factory.mktemp("resume")
    model = save_checkpoint("bert", folder / "bert", layers=2)
    # As many places as reports have words, so that their lengths differ.
    longer = transformers.AutoConfig.from_pretrained(model, max_position_embeddings=256)
    transformers.AutoModel.from_config(longer).save_pretrained(model)
    tree: dict[str, Any] = {
        "source": {"kind": "synthetic", "stays": 150},
        "modalities": {
            "radiology": {
                "kind": "text",
                "table": "radiology",
                "encoder": {
                    "name": "transformer", "model": str(model), "mode": "lora", "lora_dropout": 0.1, "max_length": 256,
                },
            },
            "timeseries": {
                "kind": "timeseries", "table": "chartevents", "encoder": {"name": "lstm", "hidden": 8, "dropout": 0.2},
            },
            "demographics": {
                "kind": "tabular", "table": "demographics", "encoder": {"name": "mlp", "hidden": [8], "dropout": 0.2},
            },
        },
        "tasks": {"mortality": {}},
        "study": {"combination_sizes": [2], "embed_dim": 16, "precision": "fp32"},
        "pretrain": {"epochs": 4, "batch_size": 16, "learning_rate": 0.01},
        "execution": {"workers": 1},
    }  # fmt: skip
    config = validate(tree)
    (folder / "config.yaml").write_text(dump(config), encoding="utf-8")
    run(config, folder / "run", until="encode", quiet=True)
    return folder


def study_in(prepared: Path, run_folder: Path, **changes: dict[str, Any]) -> Run:
    """A run folder of its own with what was prepared."""
    tree = yaml.safe_load((prepared / "config.yaml").read_text(encoding="utf-8"))
    for section, values in changes.items():
        tree[section] |= values
    (run_folder / "store").mkdir(parents=True)
    for stage in ("hospital", "prepare"):
        (run_folder / "store" / stage).symlink_to(prepared / "run" / "store" / stage)
    return Run(validate(tree), run_folder)


def pretraining(study: Run, loop: str) -> Pretrain:
    return study.design.pretrain(LOOPS[loop])


def make(study: Run, step: Pretrain) -> None:
    """Make an artifact in this process, as an executor does."""
    perform(step, Context(study.store, "auto", study.config.pretrain.loggers), 1)


def failure(study: Run, step: Pretrain) -> str:
    """What a run says of a step that fails."""
    with pytest.raises(PicmeError) as caught:
        make(study, step)
    return explain(caught.value)


def numbers(folder: Path) -> tuple[dict[str, torch.Tensor], pl.DataFrame, list[np.ndarray]]:
    """Weights, history and snapshots of a finished pretraining."""
    weights = load_file(folder / "encoders.safetensors") | load_file(folder / "objective.safetensors")
    snapshots = [np.load(file)["values"] for file in sorted((folder / "snapshots").glob("*.npz"))]
    return weights, pl.read_parquet(folder / "history.parquet").drop("seconds"), snapshots


def assert_same(mine: Path, theirs: Path) -> None:
    (weights, history, snapshots), (expected, before, frames) = numbers(mine), numbers(theirs)
    assert weights.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(weights[name], value, rtol=0, atol=1e-6)
    assert history.equals(before)
    assert len(snapshots) == len(frames) > 2
    for one, other in zip(snapshots, frames, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.fixture(scope="module")
def uninterrupted(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Artifacts by loop; each loop is seen to be the one that is used."""
    study = study_in(prepared, tmp_path_factory.mktemp("whole") / "run")
    found = {}
    for loop, place in {"plain": (training_lightning, "fit_lightning"), "lightning": (job_module, "fit")}.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(*place, None)  # the other one cannot be called
            step = pretraining(study, loop)
            make(study, step)
        found[loop] = study.store.path(step)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "number"), [("in batch", 16), ("before save", 2), ("after save", 3)])
@pytest.mark.parametrize("loop", list(LOOPS))
def test_killed_and_resumed_ends_with_the_same_weights(
    prepared: Path, uninterrupted: dict[str, Path], tmp_path: Path, loop: str, moment: str, number: int
) -> None:
    study = study_in(prepared, tmp_path / "run")
    step = pretraining(study, loop)
    killed = subprocess.run(
        [sys.executable, "-c", CHILD, str(prepared / "config.yaml"), str(study.folder), step.name, moment, str(number)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stdout + killed.stderr == ""
    (partial,) = (study.store.root / "pretrain").glob(f".{step.key}*.partial")
    epoch = torch.load(partial / "state.pt", weights_only=True)["epoch"]
    assert 0 <= epoch < 3, "killed before its end, after its first epoch"
    make(study, step)
    assert_same(study.store.path(step), uninterrupted[loop])
    assert not list((study.store.root / "pretrain").glob(".*"))


@pytest.mark.parametrize("loop", list(LOOPS))
def test_an_encoder_that_overflows_stops_and_leaves_the_last_good_epoch(
    prepared: Path, uninterrupted: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    study = study_in(prepared, tmp_path / "run")
    step = pretraining(study, loop)
    forward, begin, epoch = TabularEncoder.forward, training.Course.begin, [-1]

    def noted(self: training.Course, number: int) -> None:
        epoch[0] = number
        begin(self, number)

    def overflowing(self: TabularEncoder, batch: Any) -> torch.Tensor:
        embedding = forward(self, batch)
        return embedding * 1e30 * 1e30 if epoch[0] == 2 else embedding

    with monkeypatch.context() as patch:
        patch.setattr(training.Course, "begin", noted)
        patch.setattr(TabularEncoder, "forward", overflowing)
        first = failure(study, step)
        assert "epoch 2: the embedding of modality 'demographics' is not finite" in first
        assert step.key in study.store.attempted(step.kind)
        assert not study.store.done(step)
        state = study.store.root / "pretrain" / f".{step.key}.partial" / "state.pt"
        assert f"the weights of epoch 1 are kept in {state.relative_to(study.folder)}" in first
        assert torch.load(state, weights_only=True)["epoch"] == 1
        epoch[0] = -1
        second = failure(study, step)
        assert second.startswith(first)
        assert "the attempt before ended in the same epoch" in second
    # Whatever made it overflow is gone: the same step goes on from there, and nothing of the failure is left.
    make(study, step)
    artifact = study.store.path(step)
    assert_same(artifact, uninterrupted[loop])
    assert sorted(path.name for path in artifact.iterdir()) == sorted(
        path.name for path in uninterrupted[loop].iterdir()
    )


def test_large_encoders_run_in_half_precision_on_batches_of_their_own_length(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In Lightning's loop as in the plain one: autocast in the transformer alone, no padding beyond the longest."""
    study = study_in(prepared, tmp_path / "run", study={"precision": "bf16"}, pretrain={"epochs": 1})
    seen: dict[str, list[Any]] = {"text": [], "table": [], "loss": [], "denormal": []}
    text, table = TextEncoder.forward, TabularEncoder.forward
    objective = OBJECTIVES.load("infonce")
    scored = objective.forward

    def reads_text(self: TextEncoder, batch: Any) -> torch.Tensor:
        mask = batch["attention_mask"]
        seen["text"].append((torch.is_autocast_enabled("cpu"), mask.shape[1], int(mask.sum(1).max()), self.training))
        return text(self, batch)

    def reads_table(self: TabularEncoder, batch: Any) -> torch.Tensor:
        seen["table"].append(torch.is_autocast_enabled("cpu"))
        seen["denormal"].append(float(torch.tensor([1e-30]) * 1e-10))
        return table(self, batch)

    def scores(self: Any, embeddings: torch.Tensor, *rest: Any) -> Any:
        seen["loss"].append((torch.is_autocast_enabled("cpu"), embeddings.dtype))
        return scored(self, embeddings, *rest)

    monkeypatch.setattr(TextEncoder, "forward", reads_text)
    monkeypatch.setattr(TabularEncoder, "forward", reads_table)
    monkeypatch.setattr(objective, "forward", scores)
    make(study, pretraining(study, "lightning"))
    assert all(half for half, *_ in seen["text"])
    trained = [(width, longest) for _, width, longest, training in seen["text"] if training]
    assert all(width == longest for width, longest in trained)
    assert len({width for width, _ in trained}) > 1, "batches of short texts are narrower"
    assert set(seen["table"]) == {False}
    assert set(seen["loss"]) == {(False, torch.float32)}
    assert set(seen["denormal"]) <= {0.0}


def test_loggers_change_no_number(prepared: Path, uninterrupted: dict[str, Path], tmp_path: Path) -> None:
    study = study_in(prepared, tmp_path / "run", pretrain={"loggers": ["csv"]})
    for loop, combination in LOOPS.items():
        step = pretraining(study, loop)
        assert step.key == uninterrupted[loop].name
        make(study, step)
        assert_same(study.store.path(step), uninterrupted[loop])
        (file,) = (study.folder / "logs" / "csv" / "+".join(combination)).glob("*/metrics.csv")
        logged = pl.read_csv(file)
        history = pl.read_parquet(uninterrupted[loop] / "history.parquet")
        np.testing.assert_allclose(logged["train_loss"].to_numpy(), history["train_loss"].to_numpy(), atol=1e-6)
        assert logged["step"].to_list() == history["epoch"].to_list()
        assert {"val_loss", "val_recall5", "temperature"} <= set(logged.columns)
