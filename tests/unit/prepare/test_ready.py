"""Whether a study can run as configured: what keeps it from running is told before it starts."""

from __future__ import annotations

import shutil
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
import torch

from picme.config.loading import load
from picme.errors import DataError
from picme.prepare import ready
from picme.prepare.ready import judge_sources, lacking_devices, machine, missing_packages, obstacles
from picme.prepare.weights import Loaded

if TYPE_CHECKING:
    from pathlib import Path


def own(place: Path, **image: Any) -> dict[str, Any]:
    (place / "own.csv").write_text("a,file,label\n1,x.png,0\n2,y.png,1\n", encoding="utf-8")
    return {
        "preset": "demo",
        "source": {"kind": "table", "path": str(place / "own.csv")},
        "modalities": {
            "discharge": None, "radiology": None, "timeseries": None, "demographics": None,
            "a": {"kind": "tabular", "columns": ["a"]},
            "image": {"kind": "image", "column": "file", **image},
        },
        "tasks": {"mortality": None, "phenotyping": None, "sick": {"labels": ["label"]}},
        "finetune": {"combinations": "all"},
        "evaluate": {"crossed": []},
    }  # fmt: skip


def test_the_demo_has_no_obstacle() -> None:
    assert obstacles(load("demo")) == []


def test_a_folder_of_images_that_is_not_there_is_told(tmp_path: Path) -> None:
    said = obstacles(load(own(tmp_path, folder="films")))
    assert said == [f"modality 'image' cannot be made: its folder {tmp_path / 'films'} does not exist"]
    (tmp_path / "films").mkdir()
    assert obstacles(load(own(tmp_path, folder="films"))) == []


def test_a_path_that_does_not_exist_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"source\.ehr: .* does not exist"):
        obstacles(load("mimic-ehr", {"source.ehr": str(tmp_path / "not-there")}))


def test_packages_that_are_not_installed_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("picme.fitting.epoch_log.find_spec", lambda name: None)
    said = missing_packages(load("demo", {"pretrain.loggers": ["csv", "mlflow", "wandb"]}))
    assert [one.partition("pip install ")[2] for one in said] == ["'picme[mlflow]'", "'picme[wandb]'"]


def test_a_gpu_that_is_not_there_is_told_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "may_have_gpu", lambda: False)
    assert lacking_devices(load("demo", {"execution.device": "cuda"})) == [
        "execution.device is 'cuda', which this machine does not have"
    ]
    assert lacking_devices(load("demo")) == []


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="needs a machine without an Apple GPU")
def test_a_device_of_another_kind_is_told() -> None:
    assert lacking_devices(load("demo", {"execution.device": "mps"})) == [
        "execution.device is 'mps', which this machine does not have"
    ]


def test_more_gpus_for_one_training_than_there_are_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "may_have_gpu", lambda: True)
    monkeypatch.setattr("picme.fitting.device.gpus_of", lambda name: ("cuda:0", "cuda:1"))
    assert lacking_devices(load("demo", {"execution.devices_per_fit": 2})) == []
    assert lacking_devices(load("demo", {"execution.devices_per_fit": 4})) == [
        "execution.devices_per_fit asks for 4 GPUs, execution.device has 2"
    ]


def test_the_devices_of_a_cluster_are_its_own_and_its_address_is_tried() -> None:
    pytest.importorskip("ray")
    ray = {"execution.engine": "ray", "execution.device": "cuda"}
    assert lacking_devices(load("demo", {**ray, "execution.address": "local"})) == []
    (said,) = lacking_devices(load("demo", {**ray, "execution.address": "127.0.0.1:1"}))
    assert said.startswith("no Ray head can be reached at 127.0.0.1:1 (execution.address)")


def test_a_modality_of_no_stay_is_an_obstacle() -> None:
    config = load("demo")
    rows = [("mortality", "image", 40, 0), ("mortality", "timeseries", 40, 3), ("pretrain", "image", 40, 0)]
    table = pl.DataFrame(rows, schema=["view", "modality", "stays", "present"], orient="row")
    assert judge_sources(config, table) == ["modality 'image' is present in none of the stays of mortality"]


def test_the_machine_of_the_demo_suffices(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "run"
    rows, said = machine(load("demo"), out, None)
    assert said == []
    assert [row["item"] for row in rows] == ["weights"] * 3 + ["device", "memory", "disk"]
    assert {row["status"] for row in rows} == {"ok"}
    assert "stays" in rows[-1]["detail"] and not out.parent.exists()


def test_a_disk_that_is_too_small_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load("demo", {"source.stays": 10_000})
    # By hand: two texts of 20 kB, an image of 224 x 224 bytes and 8 kB, a series of 120 h x 76 x 4, 1 kB of a table.
    needed = 10_000 * (2 * 20_000 + 224 * 224 + 8_000 + 120 * 76 * 4 + 1_000)
    for free, status in ((needed - 1, "short"), (needed, "ok")):
        monkeypatch.setattr(shutil, "disk_usage", lambda place, free=free: SimpleNamespace(free=free))
        row = ready._disk(config, tmp_path / "run", None)
        assert row["status"] == status
        assert f"about {needed / 2**30:.1f} GB more needed for the data of up to 10,000 stays" in row["detail"]


def test_what_the_run_folder_has_already_needs_no_more_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=3 << 20))
    config = load("demo", {"source.stays": 100})  # which need 13.5 MB
    assert ready._disk(config, tmp_path, None)["detail"].startswith(
        f"{tmp_path} has too little space: 3 MB free, about 13"
    )
    for kind, size in (("prepare", 9 << 20), ("features", 3 << 20), ("finetune", 9 << 20)):
        folder = tmp_path / "store" / kind / "key"
        folder.mkdir(parents=True)
        with (folder / "data").open("wb") as file:
            file.truncate(size)
    row = ready._disk(config, tmp_path, None)
    assert row["status"] == "ok" and "about 1 MB more needed" in row["detail"]


def test_the_memory_of_a_gpu_is_held_against_what_the_encoders_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: 4 bytes of a weight, and 12 more of one that is trained."""
    monkeypatch.setattr("picme.fitting.device.resolve_device", lambda name: torch.device("cuda"))
    about = SimpleNamespace(name="a GPU")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: about)
    loaded = {"image": Loaded(1000, 1000, None), "discharge": Loaded(500, 0, None)}
    for free, status in ((1000 * 16 + 500 * 4, "ok"), (1000 * 16 + 500 * 4 - 1, "short")):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 80 << 30))
        row = ready._device(load("demo"), loaded)
        assert row["status"] == status and "a GPU, 80 GB of memory" in row["name"]
