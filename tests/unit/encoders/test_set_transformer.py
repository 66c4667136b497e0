"""Set transformer: which cells of a series are measurements, and what their order, company and absence change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.special import erf, softmax
from torch import Tensor, nn

from picme.config.encoders import SetTransformerConfig
from picme.encoders import build
from picme.encoders.set_transformer import SetTransformerEncoder

# Two measured variables, a category of two columns with one mask.
SPEC = {"n_columns": 9, "values": [0, 1, 2, 3], "masks": [4, 5, 6, 6], "since": [7, 8, -1, -1]}
LENGTHS = [6, 1, 9, 4]


def batch(seed: int = 3) -> dict[str, Tensor]:
    """Random values in every cell, measured or not; categories of which one is 1; nothing measured in the last stay."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(len(LENGTHS), 9, 9, generator=generator)
    first = torch.rand(len(LENGTHS), 9, generator=generator) < 0.5
    values[..., 2], values[..., 3] = first.float(), (~first).float()
    values[..., 4:7] = (torch.rand(len(LENGTHS), 9, 3, generator=generator) < 0.4).float()
    values[1, 0, 5], values[3, :, 4:7] = 1, 0
    return {"values": values, "lengths": torch.tensor(LENGTHS)}


def encoder(**settings: Any) -> SetTransformerEncoder:
    torch.manual_seed(5)
    config = SetTransformerConfig(**{"hidden": 8, "heads": 2, "feedforward": 12, "seeds": 3, **settings})
    built = build(config, SPEC, embed_dim=7)
    assert isinstance(built, SetTransformerEncoder)
    return built.eval()


def triplets(inputs: dict[str, Tensor], row: int) -> list[tuple[int, int, float]]:
    """The measurements of a stay as (hour, value column, value), by the definition alone."""
    series = inputs["values"][row].tolist()
    found = []
    for hour in range(LENGTHS[row]):
        for variable, mask in enumerate([4, 5, 6, 6]):
            value = series[hour][variable]
            if series[hour][mask] == 1 and (variable < 2 or value != 0):
                found.append((hour, variable, value))
    return found


def layer_norm(x: np.ndarray, norm: nn.LayerNorm) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + norm.eps)
    return scaled * norm.weight.detach().numpy() + norm.bias.detach().numpy()


def linear(x: np.ndarray, layer: Any) -> np.ndarray:
    return x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()


def feedforward(x: np.ndarray, part: Any) -> np.ndarray:
    inner = linear(layer_norm(x, part.before), part.enter)
    return x + linear(inner * (1 + erf(inner / np.sqrt(2))) / 2, part.leave)


def attention(x: np.ndarray, y: np.ndarray, part: Any, heads: int = 2) -> np.ndarray:
    """Multi-head attention, one head after the other, from the transformer's equation."""
    weight, bias = (one.detach().numpy() for one in (part.attend.in_proj_weight, part.attend.in_proj_bias))
    keys = layer_norm(y, part.others)
    queries, keys, values = (
        given @ block.T + shift
        for given, block, shift in zip(
            (layer_norm(x, part.before), keys, keys), np.split(weight, 3), np.split(bias, 3), strict=True
        )
    )
    size = x.shape[1] // heads
    parts = []
    for head in range(heads):
        own = slice(head * size, (head + 1) * size)
        shares = softmax(queries[:, own] @ keys[:, own].T / np.sqrt(size), axis=1)
        parts.append(shares @ values[:, own])
    return feedforward(x + linear(np.concatenate(parts, axis=1), part.attend.out_proj), part.after)


def test_equals_the_equations_on_each_stays_own_triplets() -> None:
    model, inputs = encoder(layers=1).double(), batch()
    inputs = {"values": inputs["values"].double(), "lengths": inputs["lengths"]}
    with torch.no_grad():  # away from the start, where biases are zero
        for value in model.parameters():
            value.add_(0.2 * torch.randn_like(value))
    found = model(inputs).detach().numpy()
    for row, length in enumerate(LENGTHS):
        elements = [model.nothing.detach().numpy()]
        for hour, variable, value in triplets(inputs, row):
            days = np.array([hour, length - 1 - hour]) / 24
            time = linear(np.tanh(linear(days, model.time[0])), model.time[2])
            own, slope = (part.weight.detach().numpy()[variable] for part in (model.variable, model.slope))
            elements.append(own + value * slope + time)
        states = np.stack(elements)
        layer: Any = model.layers[0]
        states = attention(states, attention(layer.points.detach().numpy(), states, layer.gather), layer.spread)
        seeds = attention(model.seeds.detach().numpy(), feedforward(states, model.before_pooling), model.pool)
        vector = layer_norm(attention(seeds, seeds, model.among_seeds), model.norm).flatten()
        np.testing.assert_allclose(found[row], linear(vector, model.projection[0]), atol=1e-9)


def test_the_order_of_measurements_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = encoder(layers=1), batch()
    expected = model(inputs)
    states, beyond = model.elements(inputs["values"], inputs["lengths"])
    order = torch.randperm(states.shape[1], generator=torch.Generator().manual_seed(1))
    assert not torch.equal(states[:, order], states)
    monkeypatch.setattr(model, "elements", lambda values, lengths: (states[:, order], beyond[:, order]))
    torch.testing.assert_close(model(inputs), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("summary", [False, True])
def test_cells_that_were_not_measured_change_nothing(summary: bool) -> None:
    model, inputs = encoder(layers=1, summary=summary), batch()
    values = inputs["values"]
    unmeasured = torch.zeros_like(values, dtype=torch.bool)
    unmeasured[..., :4] = values[..., [4, 5, 6, 6]] == 0
    unmeasured[..., 7:] = True  # the days since a measurement
    for row, length in enumerate(LENGTHS):
        unmeasured[row, length:] = True  # beyond the end, masks too
    changed = {**inputs, "values": torch.where(unmeasured, torch.full_like(values, 7.0), values)}
    assert torch.equal(model(changed), model(inputs))
    measured = {**inputs, "values": torch.where(unmeasured, values, 1.5 * values)}
    assert not torch.allclose(model(measured)[:3], model(inputs)[:3], atol=1e-3)


def test_a_stay_without_measurements_has_the_learned_embedding() -> None:
    model, inputs = encoder(), batch()
    found = model(inputs)
    never = {"values": torch.zeros(2, 30, 9), "lengths": torch.tensor([30, 1])}
    torch.testing.assert_close(model(never), found[3:].expand(2, -1), atol=1e-6, rtol=1e-5)
    assert (found[:3] - found[3]).abs().max(dim=1).values.min() > 1e-2
    model(never).square().sum().backward()
    assert model.nothing.grad is not None and model.nothing.grad.abs().sum() > 0
    assert model.variable.weight.grad is not None and not model.variable.weight.grad.any()


def test_the_time_of_a_measurement_counts_from_both_ends() -> None:
    model = encoder()
    values = torch.zeros(3, 9, 9)
    values[0, 2, [0, 4]] = values[1, 5, [0, 4]] = values[2, 2, [0, 4]] = 1.0
    found = model({"values": values, "lengths": torch.tensor([9, 9, 5])})
    for one, other in [(0, 1), (0, 2), (1, 2)]:
        assert not torch.allclose(found[one], found[other], atol=1e-4)


def test_columns_without_masks_are_measured_every_hour() -> None:
    torch.manual_seed(5)
    model = build(SetTransformerConfig(hidden=8), {"n_columns": 2}, embed_dim=3).eval()
    assert isinstance(model, SetTransformerEncoder)
    states, beyond = model.elements(torch.zeros(2, 6, 2), torch.tensor([6, 4]))
    assert states.shape == (2, 1 + 12, 8)
    assert (~beyond).sum(dim=1).tolist() == [1 + 12, 1 + 8]


@pytest.mark.parametrize("layers", [0, 1])
def test_learns_the_last_measurement_of_a_variable(layers: int) -> None:
    generator = torch.Generator().manual_seed(2)
    values = torch.randn(96, 10, 9, generator=generator)
    values[..., 4:7] = (torch.rand(96, 10, 3, generator=generator) < 0.5).float()
    values[:, 0, 4] = 1
    last = (values[..., 4] * torch.arange(1, 11)).argmax(dim=1)
    target = (values[torch.arange(96), last, 0] > 0).float()
    inputs = {"values": values, "lengths": torch.full((96,), 10)}
    model = encoder(layers=layers, hidden=16).train()
    head = nn.Linear(7, 1)
    optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=0.01)
    for _ in range(150):
        loss = nn.functional.binary_cross_entropy_with_logits(head(model(inputs)).squeeze(1), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < 0.2:
            break
    assert loss.item() < 0.2


def test_the_size_fits_the_heads() -> None:
    with pytest.raises(ValidationError, match=r"hidden \(6\) must be divisible by heads \(4\)"):
        SetTransformerConfig(hidden=6, heads=4)
