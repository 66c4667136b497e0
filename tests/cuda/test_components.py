"""Every encoder and objective on the device against the CPU: output and gradients in float32.

Errors are relative norms, ‖device − CPU‖ / ‖CPU‖; rounding alone gives about 1e-6, or 1e-4 through many layers.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from picme.config.encoders import (
    GRUDConfig,
    ImageEncoder,
    LSTMEncoder,
    MLPEncoder,
    SeriesTransformerConfig,
    SetTransformerConfig,
    TCNConfig,
    TransformerEncoder,
)
from picme.config.objectives import CONFIGS
from picme.encoders import ENCODERS, build
from picme.objectives import build as build_objective
from tiny_checkpoints import FAMILIES, save_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from picme.config.base import Component

STAYS = 8
SERIES = {"n_columns": 8, "values": [0, 1, 2, 3, 7], "masks": [4, 5, 6, 6, -1], "since": [-1] * 5}
PIXELS, TABLE = {"channels": 1, "size": 64}, {"n_columns": 5}
CASES: dict[str, tuple[Component, dict[str, Any]]] = {
    "lstm": (LSTMEncoder(hidden=6, pooling="all", layers=2, bidirectional=True), SERIES),
    "grud": (GRUDConfig(hidden=6, pooling="all"), SERIES),
    "tcn": (TCNConfig(hidden=6, blocks=3, pooling="all"), SERIES),
    "series_transformer": (SeriesTransformerConfig(hidden=8, heads=2, feedforward=12, pooling="all"), SERIES),
    "set_transformer": (SetTransformerConfig(hidden=8, heads=2, feedforward=12, layers=1), SERIES),
    "mlp": (MLPEncoder(hidden=[8]), TABLE),
    **{f"image {m}": (ImageEncoder(model="resnet18", weights=None, mode=m), PIXELS) for m in ("locked", "full")},
}  # fmt: skip
OBJECTIVES = [(name, size) for name in CONFIGS for size in {"infonce": (2,), "confu": (3, 5)}.get(name, (2, 3, 5))]
TEXTS = [(family, mode) for family in FAMILIES for mode in ("locked", "lora", "full")]


def batch(kind: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    if kind == "text":
        lengths = torch.randint(3, 13, (STAYS,), generator=generator)
        mask = (torch.arange(12) < lengths[:, None]).long()
        ids = torch.randint(5, 15, (STAYS, 12), generator=generator) * mask
        return {"input_ids": ids, "attention_mask": mask}
    if kind == "image":
        return {"pixels": torch.randint(0, 256, (STAYS, 1, 64, 64), generator=generator, dtype=torch.uint8)}
    if kind == "mlp":
        return {"values": torch.randn(STAYS, 5, generator=generator)}
    values = torch.randn(STAYS, 9, 8, generator=generator)
    values[..., 4:7] = (values[..., 4:7] > 0).float()
    return {"values": values, "lengths": torch.randint(1, 10, (STAYS,), generator=generator)}


def error(found: Tensor, expected: Tensor) -> float:
    return float((found.cpu() - expected).norm() / expected.norm().clamp_min(1e-6))


def result(model: nn.Module, run: Callable[[nn.Module], Tensor]) -> tuple[Tensor, Tensor]:
    """The output, and the gradient of a sum of it over all parameters."""
    output = run(model)
    (output * torch.linspace(-1, 1, output.numel(), device=output.device).view_as(output)).sum().backward()
    gradients = [p.grad.flatten().cpu() for p in model.parameters() if p.grad is not None]
    return output.detach(), torch.cat(gradients)


def assert_alike(model: nn.Module, run: Callable[[nn.Module, torch.device], Tensor], device: torch.device) -> None:
    output, gradient = result(deepcopy(model), lambda one: run(one, torch.device("cpu")))
    there = result(deepcopy(model).to(device), lambda one: run(one, device))
    assert there[0].device.type == device.type
    assert gradient.norm() > 0
    assert error(there[0], output) < 1e-4
    assert error(there[1], gradient) < 1e-3


def check_encoder(config: Component, spec: dict[str, Any], kind: str, device: torch.device) -> None:
    torch.manual_seed(5)
    model = build(config, spec, embed_dim=7).eval()
    for part in model.modules():
        if isinstance(part, nn.RNNBase):
            part.train()  # cuDNN has no gradient of a recurrent layer in evaluation mode
    inputs = batch(kind)
    assert_alike(model, lambda one, where: one({name: value.to(where) for name, value in inputs.items()}), device)


@pytest.mark.parametrize("name", CASES)
def test_encoder(name: str, device: torch.device) -> None:
    config, spec = CASES[name]
    check_encoder(config, spec, name.partition(" ")[0], device)


@pytest.mark.parametrize(("family", "mode"), TEXTS)
def test_text_encoder(family: str, mode: str, tmp_path: Path, device: torch.device) -> None:
    config = TransformerEncoder(model=str(save_checkpoint(family, tmp_path)), mode=mode, max_length=12)
    check_encoder(config, {}, "text", device)


def test_every_encoder_is_compared() -> None:
    assert {config.name for config, _ in CASES.values()} | {"transformer"} == set(ENCODERS.builtin)


@pytest.mark.parametrize("chunk", [None, 5])
@pytest.mark.parametrize(("name", "modalities"), OBJECTIVES)
def test_objective(name: str, modalities: int, chunk: int | None, device: torch.device) -> None:
    torch.manual_seed(3)
    objective = build_objective(CONFIGS[name](chunk=chunk), modalities, 16)
    embeddings = torch.randn(modalities, 24, 16)
    present = torch.rand(24, modalities) < 0.85

    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.objective, self.embeddings = objective, nn.Parameter(embeddings)

    def run(one: nn.Module, where: torch.device) -> Tensor:
        loss: Tensor = one.objective(one.embeddings, present.to(where))[0]
        return loss.view(1)

    assert_alike(Loss(), run, device)
