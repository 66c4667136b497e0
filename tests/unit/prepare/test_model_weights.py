"""Published weights: found where they are, and told what to copy where they are not."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError

import pytest
from torchvision import models

from picme.config.loading import load
from picme.prepare import weights
from picme.prepare.weights import find_weights, load_weights
from tiny_checkpoints import save_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from picme.config.study import Config


def study(**encoders: dict[str, Any]) -> Config:
    return load("demo", {f"modalities.{name}.encoder": encoder for name, encoder in encoders.items()})


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of both libraries, and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    def nowhere(*arguments: object, **options: object) -> None:
        raise URLError("no route")

    monkeypatch.setattr(weights, "urlopen", nowhere)
    return tmp_path


def problems(config: Config, exact: bool = False) -> dict[str, str]:
    return {one.modality: one.problem for one in find_weights(config, exact) if one.problem}


def test_the_packages_of_the_demo_are_found_and_loaded() -> None:
    config = load("demo")
    found = find_weights(config)
    assert [one.modality for one in found] == ["discharge", "radiology", "image"]
    assert all(one.place is not None and one.place.exists() and not one.problem for one in found)
    loaded = load_weights(config, found)
    assert loaded["discharge"] == loaded["radiology"]
    assert all(one.weights > 1e6 and one.trained == 0 and one.problem is None for one in loaded.values())


def test_a_package_that_is_not_installed_is_named_with_its_key() -> None:
    said = problems(study(discharge={"name": "transformer", "model": "package:not_there"}))
    assert said == {
        "discharge": "modalities.discharge.encoder.model: package 'not_there' is not installed: "
        "pip install not-there, or name another model"
    }


@pytest.mark.parametrize(
    ("removed", "told"),
    [("config.json", "no config.json"), ("model.safetensors", "no weights"), ("tokenizer.json", "no tokenizer")],
)
def test_a_checkpoint_says_which_of_its_files_is_missing(tmp_path: Path, removed: str, told: str) -> None:
    folder = save_checkpoint("bert", tmp_path / "bert")
    config = study(discharge={"name": "transformer", "model": str(folder), "mode": "full", "max_length": 32})
    (place,) = (one.place for one in find_weights(config) if one.modality == "discharge")
    assert place == folder
    whole = load_weights(config, find_weights(config))["discharge"]
    size = sum(one.numel() for one in models_of(folder).parameters())
    assert (whole.weights, whole.trained, whole.problem) == (size, size, None)
    (folder / removed).unlink()
    assert told in problems(config)["discharge"]


def models_of(folder: Path) -> torch.nn.Module:
    import transformers

    return transformers.BertModel.from_pretrained(folder, add_pooling_layer=False)


def test_a_cut_file_is_found_unreadable_when_it_is_loaded(tmp_path: Path) -> None:
    folder = save_checkpoint("bert", tmp_path / "bert")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    network = tmp_path / "resnet.pth"
    network.write_bytes(b"nothing")
    config = study(
        discharge={"name": "transformer", "model": str(folder), "max_length": 32},
        image={"name": "image", "library": "torchvision", "model": "resnet18", "weights": str(network)},
    )
    assert not problems(config)
    loaded = load_weights(config, find_weights(config))
    assert "cannot be loaded as a transformer" in str(loaded["discharge"].problem)
    assert "cannot be read as weights" in str(loaded["image"].problem)


def test_what_is_neither_cached_nor_in_reach_is_told_with_the_files_to_copy(caches: Path) -> None:
    config = study(
        discharge={"name": "transformer", "model": "some/model"},
        image={"name": "image", "library": "torchvision", "model": "resnet18", "weights": "pretrained"},
    )
    said = problems(config)
    assert "some/model cannot be fetched, since https://huggingface.co is out of reach" in said["discharge"]
    assert "config.json, model.safetensors" in said["discharge"] and str(caches / "hub") in said["discharge"]
    file = models.ResNet18_Weights.DEFAULT.url.rpartition("/")[2]
    assert f"copy {file} there" in problems(config, exact=True)["image"]
    folder = caches / "torch" / "hub" / "checkpoints"
    assert str(folder) in said["image"]
    folder.mkdir(parents=True)
    (folder / file).write_bytes(b"")
    for exact in (False, True):
        assert "image" not in problems(config, exact)


def test_the_cache_of_the_hub_is_looked_into(caches: Path) -> None:
    config = study(
        discharge={"name": "transformer", "model": "some/model"},
        image={"name": "image", "library": "timm", "model": "resnet18", "weights": "pretrained"},
    )
    assert "timm model 'resnet18' cannot be fetched" in problems(config)["image"]
    hub = caches / "hub" / "models--some--model"
    save_checkpoint("bert", hub / "snapshots" / "abc")
    (hub / "refs").mkdir()
    (hub / "refs" / "main").write_text("abc")
    (caches / "hub" / "models--timm--resnet18.a1_in1k" / "snapshots" / "abc").mkdir(parents=True)
    assert problems(config) == {}


def test_a_server_that_answers_is_enough_unless_it_has_no_such_model(
    caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = study(discharge={"name": "transformer", "model": "some/model"})
    asked = []

    def answer(request: Any, timeout: float) -> io.BytesIO:
        asked.append((request.get_method(), request.full_url))
        return io.BytesIO()

    monkeypatch.setattr(weights, "urlopen", answer)
    (found,) = (one for one in find_weights(config) if one.modality == "discharge")
    assert (found.place, found.problem) == (None, None)
    assert asked == [("HEAD", "https://huggingface.co/some/model/resolve/main/config.json")]
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in problems(config)["discharge"]
    assert len(asked) == 1
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)

    def unknown(request: Any, timeout: float) -> None:
        raise HTTPError(request.full_url, 404, "not found", {}, None)  # type: ignore[arg-type]

    monkeypatch.setattr(weights, "urlopen", unknown)
    assert "has no some/model" in problems(config)["discharge"]
