"""Loggers: every epoch once with its numbers, also over a resume; a missing package is one sentence."""

from __future__ import annotations

import csv
import json
import logging
import math
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

import picme.fitting.epoch_log as epoch_log
from picme.config.loading import load
from picme.config.search import SearchConfig
from picme.design.study import Design
from picme.errors import ConfigError
from picme.fitting.epoch_log import EpochLog, check_loggers, numbers

if TYPE_CHECKING:
    from pathlib import Path

    from picme.config.study import Config

ROWS: list[dict[str, Any]] = [
    {
        "epoch": epoch, "train_loss": 2.0 - epoch / 4, "val_loss": math.nan if epoch == 0 else 1.5, "val_recall5": 0.25,
        "temperature": 0.07, "weights": [0.5, 0.3, 0.2], "score": 0.2, "seconds": 1.0,
    }
    for epoch in range(3)
]  # fmt: skip
COMBINATION = ("a", "b", "c")


KEY = "0123456789abcdef"


def write(run: Path, name: str, rows: list[dict[str, Any]]) -> None:
    with EpochLog([name], run / "logs", COMBINATION, 1, KEY, learning_rate=0.01) as log:
        for row in rows:
            log(row)


def interrupted(run: Path, name: str) -> Path:
    """Logged up to a kill, and then all again by the attempt that resumed."""
    with pytest.raises(KeyboardInterrupt), EpochLog([name], run / "logs", COMBINATION, 1, KEY) as log:
        for row in ROWS[:2]:
            log(row)
        raise KeyboardInterrupt
    write(run, name, ROWS)
    return run / "logs" / name / "a+b+c" / f"seed1-{KEY}"


def test_the_numbers_of_a_row() -> None:
    found = numbers(ROWS[0], COMBINATION)
    assert found == {
        "train_loss": 2.0, "val_recall5": 0.25, "temperature": 0.07, "seconds": 1.0,
        "lambda/a": 0.5, "lambda/b": 0.3, "lambda/c": 0.2,
    }  # fmt: skip
    assert "lambda/a" not in numbers({**ROWS[0], "weights": None}, COMBINATION)


def test_csv(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = interrupted(tmp_path, "csv")
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [0, 1, 2]
    assert [float(row["train_loss"]) for row in rows] == [2.0, 1.75, 1.5]
    assert [row["val_loss"] for row in rows] == ["", "1.5", "1.5"]
    assert [float(row["lambda/b"]) for row in rows] == [0.3] * 3
    assert "learning_rate: 0.01" in (folder / "hparams.yaml").read_text(encoding="utf-8")
    assert capfd.readouterr() == ("", "")


def test_tensorboard(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = interrupted(tmp_path, "tensorboard")
    assert capfd.readouterr() == ("", "")
    events = accumulator.EventAccumulator(str(folder)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("train_loss")] == [(0, 2.0), (1, 1.75), (2, 1.5)]
    assert [event.step for event in events.Scalars("val_loss")] == [1, 2]
    assert [event.value for event in events.Scalars("lambda/c")] == pytest.approx([0.2] * 3)


def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    interrupted(tmp_path, "mlflow")
    assert capfd.readouterr() == ("", "")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'logs' / 'mlflow' / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("picme").experiment_id])
    assert (run.info.run_name, run.info.status) == ("a+b+c", "FINISHED")
    history = client.get_metric_history(run.info.run_id, "train_loss")
    assert [(point.step, point.value) for point in history] == [(0, 2.0), (1, 1.75), (2, 1.5)]
    assert run.data.metrics["lambda/a"] == 0.5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs"]


def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    interrupted(tmp_path, "wandb")
    assert capfd.readouterr() == ("", "")
    assert len(list((tmp_path / "logs" / "wandb").glob("wandb/offline-run-*/*.wandb"))) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs"]


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_package_that_is_not_installed_is_one_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epoch_log, "find_spec", lambda package: None if package == name else find_spec(package))
    with pytest.raises(ConfigError, match=rf"names '{name}'.*pip install 'picme\[{name}\]'"):
        write(tmp_path, name, ROWS)
    assert not (tmp_path / "logs").exists()
    check_loggers(["csv"])


def test_a_logger_that_does_not_start_is_named(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "csv").write_text("not a folder", encoding="utf-8")
    with pytest.raises(ConfigError, match="csv does not start"):
        write(tmp_path, "csv", ROWS)


def test_a_training_outlives_its_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with EpochLog(["csv"], tmp_path / "logs", COMBINATION, 1, KEY) as log, caplog.at_level(logging.WARNING):
        log(ROWS[0])
        (folder,) = (tmp_path / "logs" / "csv").glob("*/*")
        (folder / "metrics.csv").unlink()
        (folder / "metrics.csv").mkdir()
        for row in ROWS[1:]:
            log(row)
    assert [record.getMessage() for record in caplog.records] == [
        "a+b+c: logging to csv ended at epoch 1 (IsADirectoryError)"
    ]


def test_without_loggers_nothing_is_written_or_imported(tmp_path: Path) -> None:
    for names, folder in (((), tmp_path / "logs"), (("csv",), None)):
        with EpochLog(names, folder, COMBINATION, 0, KEY) as log:
            assert log.row is None
    assert list(tmp_path.iterdir()) == []
    code = (
        "import sys, picme.cli, picme.pretrain.train; print(json.dumps([m for m in sys.modules if 'lightning' in m]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import json; {code}"], check=True, capture_output=True, text=True
    ).stdout
    assert json.loads(done) == []


def test_loggers_are_in_no_key() -> None:
    plain, logged = (load("demo", {"pretrain.loggers": names}) for names in ([], ["csv", "tensorboard"]))
    for combination in (("radiology", "image"), tuple(plain.modalities)):
        for of in (Design.pretrain, Design.align):
            assert of(Design(logged), combination) == of(Design(plain), combination)
        searches = [Design(searched(one)).pretrain(combination).search for one in (plain, logged)]
        assert searches[0] == searches[1] is not None
        steps = [Design(one).finetune("mortality", combination, "contrastive", 0) for one in (plain, logged)]
        assert steps[0] == steps[1]
    other = load("demo", {"pretrain.batch_size": 32})
    assert Design(other).pretrain(("radiology", "image")) != Design(plain).pretrain(("radiology", "image"))


def searched(config: Config) -> Config:
    """The same with a search before each pretraining."""
    space = SearchConfig(trials=2)
    return config.model_copy(update={"pretrain": config.pretrain.model_copy(update={"search": space})})
