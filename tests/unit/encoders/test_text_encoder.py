from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
import transformers
from safetensors.torch import load, save

from picme.config.encoders import TransformerEncoder
from picme.encoders import build
from picme.encoders.transformers import attention_modules
from picme.errors import ConfigError
from tiny_checkpoints import FAMILIES, save_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from picme.encoders.base import Encoder

MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]])
BATCH = {"input_ids": torch.tensor([[2, 5, 6, 7, 8, 3], [2, 9, 3, 0, 0, 0]]), "attention_mask": MASK}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {family: save_checkpoint(family, tmp_path_factory.mktemp(family)) for family in FAMILIES}


def built(folder: Path, spec: dict[str, int] | None = None, **settings: object) -> Encoder:
    torch.manual_seed(3)
    config = TransformerEncoder(model=str(folder), **{"max_length": 32, **settings})  # type: ignore[arg-type]
    return build(config, spec or {}, embed_dim=7).eval()


def hidden_states(folder: Path) -> list[torch.Tensor]:
    """By transformers itself, each text alone and unpadded."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    alone = [BATCH["input_ids"][row : row + 1, : int(MASK[row].sum())] for row in (0, 1)]
    with torch.no_grad():
        return [model(input_ids=ids).last_hidden_state[0] for ids in alone]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_locked_features_are_the_pooled_hidden_states(checkpoints: dict[str, Path], family: str, pooling: str) -> None:
    encoder = built(checkpoints[family], pooling=pooling)
    states = hidden_states(checkpoints[family])
    expected = torch.stack([state[0] if pooling == "cls" else state.mean(dim=0) for state in states])
    features = encoder.trunk_features(BATCH)
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=1e-5)
    assert encoder.has_locked_trunk
    assert set(encoder.trainable_state()) == {"projection.0.weight", "projection.0.bias"}
    torch.testing.assert_close(encoder({"features": features}), encoder(BATCH))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("mode", ["lora", "full"])
def test_trained_modes_start_as_the_checkpoint(checkpoints: dict[str, Path], family: str, mode: str) -> None:
    encoder = built(checkpoints[family], mode=mode)
    locked = built(checkpoints[family])
    locked.projection.load_state_dict(encoder.projection.state_dict())  # type: ignore[union-attr, operator]
    torch.testing.assert_close(encoder(BATCH), locked(BATCH), atol=1e-5, rtol=1e-5)
    assert not encoder.has_locked_trunk


def trained(encoder: Encoder, steps: int = 3) -> Encoder:
    optimiser = torch.optim.SGD([value for value in encoder.parameters() if value.requires_grad], lr=0.1)
    for _ in range(steps):
        optimiser.zero_grad()
        (encoder(BATCH) - 1).square().mean().backward()
        optimiser.step()
    return encoder


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_alone_learn_and_reload_to_identical_embeddings(checkpoints: dict[str, Path], family: str) -> None:
    encoder = built(checkpoints[family], mode="lora")
    start = {name: value.clone() for name, value in encoder.state_dict().items()}
    before = encoder(BATCH)
    trained(encoder)
    changed = {name for name, value in encoder.state_dict().items() if not torch.equal(value, start[name])}
    state = encoder.trainable_state()
    assert changed == set(state)
    # Queries and values of three layers (one fused matrix in ModernBERT), two factors each, and the projection.
    assert len([name for name in state if "lora_" in name]) == 3 * 2 * (1 if family == "modernbert" else 2)
    assert not torch.allclose(encoder(BATCH), before)
    again = built(checkpoints[family], mode="lora")
    again.load_trainable(load(save(state)))
    assert torch.equal(again(BATCH), encoder(BATCH))


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_below_the_adapters_can_run_once(checkpoints: dict[str, Path], family: str) -> None:
    whole = built(checkpoints[family], mode="lora", lora_from_layer=2)
    hidden = whole.trunk_features(BATCH)
    assert hidden.shape == (2, 6, 32)
    head = built(checkpoints[family], {"feature_dim": 32}, mode="lora", lora_from_layer=2)
    kept = {"features": hidden, "attention_mask": MASK}
    torch.testing.assert_close(head(kept), whole(BATCH), atol=1e-6, rtol=1e-5)
    assert not head._trunk
    locked = built(checkpoints[family])
    locked.projection.load_state_dict(whole.projection.state_dict())  # type: ignore[union-attr, operator]
    torch.testing.assert_close(whole(BATCH), locked(BATCH), atol=1e-5, rtol=1e-5)
    names = [name for name in whole.trainable_state() if "lora_" in name]
    assert len(names) == 2 * (1 if family == "modernbert" else 2)


def test_a_head_for_kept_features_does_not_read_the_checkpoint(tmp_path: Path) -> None:
    head = built(tmp_path, {"feature_dim": 32})
    assert head({"features": torch.ones(2, 32)}).shape == (2, 7)
    assert not head._trunk


def test_the_trunk_stays_in_evaluation_mode_and_out_of_the_state(checkpoints: dict[str, Path]) -> None:
    encoder = built(checkpoints["bert"]).train()
    assert torch.equal(encoder.trunk_features(BATCH), encoder.trunk_features(BATCH))
    assert set(encoder.state_dict()) == set(encoder.trainable_state())


@pytest.mark.parametrize("family", FAMILIES)
def test_under_adapters_the_base_stays_in_evaluation_mode(checkpoints: dict[str, Path], family: str) -> None:
    encoder = built(checkpoints[family], mode="lora").train()
    in_training = {name for name, module in encoder.body.named_modules() if module.training}  # type: ignore[union-attr]
    assert in_training
    assert all("lora_" in name for name in in_training)
    assert encoder.projection.training
    assert not any(module.training for module in encoder.eval().modules())


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_windows_are_averaged(checkpoints: dict[str, Path], pooling: str) -> None:
    encoder = built(checkpoints["bert"], pooling=pooling, windows=4, max_length=8)
    apart = encoder.trunk_features(BATCH)
    together = encoder.trunk_features({**BATCH, "owner": torch.tensor([0, 0])})
    torch.testing.assert_close(together, apart.mean(dim=0, keepdim=True))


def test_manifest_says_where_it_comes_from(checkpoints: dict[str, Path]) -> None:
    manifest = built(checkpoints["bert"], mode="lora", lora_rank=2).manifest()
    assert manifest["base"] == str(checkpoints["bert"])
    assert manifest["mode"] == "lora"
    assert manifest["trained_parameters"] == 3 * 2 * 2 * (2 * 32) + 32 * 7 + 7


def test_attention_of_unknown_name_is_one_sentence(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert attention_modules(torch.nn.Sequential(torch.nn.Linear(2, 2))) == []
    monkeypatch.setattr("picme.encoders.transformers.ATTENTION", (("nothing",),))
    with pytest.raises(ConfigError, match="no attention layers that LoRA knows"):
        built(checkpoints["bert"], mode="lora")


def test_a_model_without_attention_takes_no_adapters(tmp_path: Path) -> None:
    """FNet mixes tokens by a Fourier transform."""
    settings = {"vocab_size": 10, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48}
    transformers.FNetModel(transformers.FNetConfig(**settings, max_position_embeddings=64)).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="no attention layers that LoRA knows") as caught:
        built(tmp_path, mode="lora")
    assert str(tmp_path) in str(caught.value)
    assert "use mode locked or full" in str(caught.value)


def test_paths_without_a_model_are_one_sentence(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no config\.json"):
        built(tmp_path)
    with pytest.raises(ConfigError, match="does not exist"):
        built(tmp_path / "nothing")
    (tmp_path / "config.json").write_bytes((checkpoints["bert"] / "config.json").read_bytes())
    with pytest.raises(ConfigError, match="cannot be loaded as a transformer"):
        built(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="cannot be loaded as a transformer"):
        built(tmp_path)


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta"])
def test_more_tokens_than_positions_are_refused(checkpoints: dict[str, Path], family: str) -> None:
    with pytest.raises(ConfigError, match="has 64 positions"):
        built(checkpoints[family], max_length=65)
    longest = torch.full((1, 64), 5)
    encoder = built(checkpoints[family], max_length=64)
    assert encoder({"input_ids": longest, "attention_mask": torch.ones_like(longest)}).isfinite().all()


def test_more_layers_than_there_are_is_refused(checkpoints: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="has 3 layers"):
        built(checkpoints["bert"], mode="lora", lora_from_layer=3)
