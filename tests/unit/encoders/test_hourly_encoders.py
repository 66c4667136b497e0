"""GRU-D, TCN and transformer over hours, and what all encoders of series share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from picme.config.encoders import (
    GRUDConfig,
    LSTMEncoder,
    ProjectionConfig,
    SeriesTransformerConfig,
    SetTransformerConfig,
    TCNConfig,
)
from picme.encoders import build
from picme.encoders.grud import intervals
from picme.encoders.series import SeriesNetwork, SeriesStates, days_since, summary
from picme.encoders.series_transformer import positions

if TYPE_CHECKING:
    from picme.config.base import Component

# Two measured variables, a category of two columns with one mask, a column without a mask.
SPEC = {"n_columns": 8, "values": [0, 1, 2, 3, 7], "masks": [4, 5, 6, 6, -1], "since": [-1] * 5}
LENGTHS = [6, 1, 9, 4]
ENCODERS: dict[str, Component] = {
    "lstm": LSTMEncoder(hidden=6, pooling="all", summary=True, time_since=True),
    "bidirectional": LSTMEncoder(hidden=6, pooling="all", layers=2, bidirectional=True),
    "grud": GRUDConfig(hidden=6, pooling="all", summary=True),
    "tcn": TCNConfig(hidden=6, blocks=3, pooling="all", time_since=True),
    "series_transformer": SeriesTransformerConfig(hidden=8, heads=2, feedforward=12, pooling="all", time_since=True),
    "set_transformer": SetTransformerConfig(hidden=8, heads=2, feedforward=12, layers=1, seeds=2, summary=True),
}


def batch(hours: int = max(LENGTHS), padding: float = 0.0) -> dict[str, Tensor]:
    """Series as a source of picme writes them: values carried forward from their last measurement."""
    generator = np.random.default_rng(3)
    values = np.full((len(LENGTHS), hours, 8), padding, np.float32)
    for row, length in enumerate(LENGTHS):
        masks = generator.random((length, 3)) < 0.5
        own = generator.normal(size=(length, 5))
        for hour in range(length):
            for value, mask in enumerate([0, 1, 2, 2]):
                if not masks[hour, mask]:
                    own[hour, value] = own[hour - 1, value] if hour else 0
        values[row, :length] = np.concatenate([own[:, :4], masks, own[:, 4:]], axis=1)
    return {"values": torch.from_numpy(values), "lengths": torch.tensor(LENGTHS)}


def encoder(name: str) -> SeriesNetwork:
    torch.manual_seed(5)
    built = build(ENCODERS[name], SPEC, embed_dim=7)
    assert isinstance(built, SeriesNetwork)
    return built


def with_states(name: str) -> SeriesStates:
    built = encoder(name)
    assert isinstance(built, SeriesStates)
    return built


@pytest.mark.parametrize("name", ENCODERS)
def test_padding_changes_nothing(name: str) -> None:
    model = encoder(name).eval()
    expected = model(batch())
    assert expected.shape == (4, 7)
    assert expected.dtype == torch.float32
    torch.testing.assert_close(model(batch(hours=30)), expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(model(batch(hours=13, padding=50.0)), expected, atol=1e-6, rtol=1e-5)
    # Nor does the company in the batch.
    alone = {"values": batch()["values"][3:, : LENGTHS[3]], "lengths": batch()["lengths"][3:]}
    torch.testing.assert_close(model(alone), expected[3:], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ENCODERS)
def test_gradient_reaches_every_parameter_and_no_padding(name: str) -> None:
    model = encoder(name)
    inputs = batch(hours=12)
    inputs["values"].requires_grad_()
    model(inputs).square().sum().backward()
    for parameter, value in model.named_parameters():
        assert value.grad is not None, parameter
        assert torch.isfinite(value.grad).all(), parameter
        assert value.grad.abs().sum() > 0, parameter
    gradient = inputs["values"].grad
    assert gradient is not None
    for row, length in enumerate(LENGTHS):
        assert gradient[row, :length].abs().sum() > 0
        assert gradient[row, length:].abs().sum() == 0


@pytest.mark.parametrize("name", ENCODERS)
def test_an_absent_stay_is_a_finite_vector_and_states_are_restored(name: str) -> None:
    first, second = encoder(name).eval(), build(ENCODERS[name], SPEC, embed_dim=7).eval()
    absent = {"values": torch.zeros(2, 1, 8), "lengths": torch.ones(2, dtype=torch.int64)}
    assert torch.isfinite(first(absent)).all()
    assert not torch.equal(first(batch()), second(batch()))
    second.load_trainable(first.trainable_state())
    torch.testing.assert_close(first(batch()), second(batch()))


@pytest.mark.parametrize(("name", "causal"), [("lstm", True), ("grud", True), ("tcn", True), ("bidirectional", False)])
def test_a_state_does_not_depend_on_later_hours(name: str, causal: bool) -> None:
    model, inputs = with_states(name).eval(), batch()
    before, _ = model.states(inputs["values"], inputs["lengths"])
    changed = inputs["values"].clone()
    changed[:, 5:] += 10
    after, _ = model.states(changed, inputs["lengths"])
    assert torch.equal(before[2, :5], after[2, :5]) == causal
    assert not torch.equal(before[2, 5], after[2, 5])


def test_states_of_a_tcn_reach_back_as_far_as_its_documentation_says() -> None:
    model = build(TCNConfig(hidden=4, blocks=3, kernel=3), {"n_columns": 2}, embed_dim=3).eval()
    assert isinstance(model, SeriesStates)
    with torch.no_grad():
        for value in model.parameters():  # so that no ReLU closes a path
            value.abs_()
    values = torch.rand(1, 60, 2, requires_grad=True)
    states, _ = model.states(values, torch.tensor([60]))
    states[0, 50].sum().backward()
    assert values.grad is not None
    reached = values.grad[0].abs().sum(dim=1).nonzero().flatten().tolist()
    span = 1 + 2 * (3 - 1) * (2**3 - 1)
    assert reached == list(range(50 - span + 1, 51))


def test_tcn_equals_sums_over_taps() -> None:
    model = build(TCNConfig(hidden=3, blocks=2, kernel=2), {"n_columns": 2}, embed_dim=3).eval()
    assert isinstance(model, SeriesStates)
    values = torch.randn(1, 5, 2)

    def convolve(series: Tensor, layer: nn.Conv1d, dilation: int) -> Tensor:
        direction = layer.parametrizations.weight.original1  # type: ignore[union-attr,attr-defined]
        size = layer.parametrizations.weight.original0  # type: ignore[union-attr,attr-defined]
        weight = size * direction / direction.square().sum(dim=(1, 2), keepdim=True).sqrt()
        rows = []
        for hour in range(len(series)):
            total = layer.bias.clone()  # type: ignore[union-attr]
            for tap in range(2):
                back = hour - dilation * (1 - tap)
                if back >= 0:
                    total = total + weight[:, :, tap] @ series[back]
            rows.append(total)
        return torch.stack(rows)

    series = values[0]
    for depth, block in enumerate(model.blocks):  # type: ignore[arg-type]
        inner = torch.relu(convolve(series, block.first, 2**depth))
        inner = torch.relu(convolve(inner, block.second, 2**depth))
        around = series if depth else series @ block.around.weight[:, :, 0].T + block.around.bias
        series = torch.relu(inner + around)
    torch.testing.assert_close(model.states(values, torch.tensor([5]))[0][0], series)


def test_grud_equals_a_cell_written_from_its_equations() -> None:
    model, inputs = with_states("grud"), batch()
    with torch.no_grad():  # away from the start, where biases are zero and some decays are none
        for value in model.parameters():
            value.add_(0.3 * torch.randn_like(value))
    model = model.double().eval()
    weights = {name: value.detach().numpy() for name, value in model.named_parameters()}
    states, last = model.states(inputs["values"].double(), inputs["lengths"])
    size, hidden = 5, 6

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    w, v = weights["from_input.weight"][:, :size], weights["from_input.weight"][:, size:]
    bias, u = weights["from_input.bias"], weights["from_state.weight"]
    for row, length in enumerate(LENGTHS):
        series = inputs["values"][row].double().numpy()
        x_all = series[:, SPEC["values"]]
        m_all = np.concatenate([series[:, [4, 5, 6, 6]], np.ones((len(series), 1))], axis=1)
        h, delta, latest = np.zeros(hidden), np.zeros(size), np.zeros(size)
        for t in range(length):
            m = m_all[t]
            if t:  # equation 2, hours in days
                delta = np.where(m_all[t - 1] == 1, 1 / 24, 1 / 24 + delta)
            # The last observation by itself; before the first one, what the series holds there.
            latest = np.where(m == 1, x_all[t], latest if t else x_all[0])
            fade = np.exp(-np.maximum(0, weights["input_decay"] * delta + weights["input_decay_bias"]))
            x = m * x_all[t] + (1 - m) * (fade * latest + (1 - fade) * 0)
            decay = np.exp(-np.maximum(0, weights["state_decay.weight"] @ delta + weights["state_decay.bias"]))
            h = decay * h
            r = sigmoid(w[:hidden] @ x + u[:hidden] @ h + v[:hidden] @ m + bias[:hidden])
            z = sigmoid(
                w[hidden : 2 * hidden] @ x + u[hidden:] @ h + v[hidden : 2 * hidden] @ m + bias[hidden : 2 * hidden]
            )
            candidate = np.tanh(
                w[2 * hidden :] @ x + weights["from_reset.weight"] @ (r * h) + v[2 * hidden :] @ m + bias[2 * hidden :]
            )
            h = (1 - z) * h + z * candidate
            np.testing.assert_allclose(states[row, t].detach().numpy(), h, atol=1e-6)
        np.testing.assert_allclose(last[row].detach().numpy(), h, atol=1e-6)


def test_intervals_and_days_since() -> None:
    measured = torch.tensor([[0, 0, 1, 0, 1, 1, 0]]).float()[..., None]
    assert (intervals(measured).flatten() * 24).tolist() == pytest.approx([0, 1, 2, 1, 2, 1, 1])
    assert (days_since(measured).flatten() * 24).tolist() == pytest.approx([48, 48, 0, 1, 0, 0, 1])
    late = torch.zeros(1, 60, 1)
    late[0, 1] = 1
    assert days_since(late)[0, [1, 2, 48, 49, 50, 59], 0].tolist() == pytest.approx([0, 1 / 24, 47 / 24, 2, 2, 2])


def test_time_since_equals_the_sources_columns() -> None:
    from picme.modalities.timeseries import column_roles
    from picme.sources.hourly import series

    generator = np.random.default_rng(0)
    grid = np.where(generator.random((70, 3)) < 0.15, generator.normal(size=(70, 3)), np.nan)
    rows = series(grid, np.array([70]), ["a", "b", "c"], np.zeros(3), since=True)
    values = torch.from_numpy(rows.values)[None]
    torch.testing.assert_close(days_since(values[..., 3:6]), values[..., 6:])
    without, given = rows.columns[:6], rows.columns
    config = LSTMEncoder(hidden=3, time_since=True)
    torch.manual_seed(0)
    computed = build(config, {"n_columns": 6, **column_roles(without)}, embed_dim=2)
    torch.manual_seed(0)
    read = build(config, {"n_columns": 9, **column_roles(given)}, embed_dim=2)
    lengths = torch.tensor([70])
    torch.testing.assert_close(
        computed({"values": values[..., :6], "lengths": lengths}), read({"values": values, "lengths": lengths})
    )


def test_summary_is_of_measured_hours_alone() -> None:
    inputs = batch(hours=12, padding=99.0)
    inputs["values"][0, :6, 7] *= 40
    model = encoder("lstm")
    measured = model.columns.measured(inputs["values"])
    found = summary(inputs["values"][..., SPEC["values"]], measured, inputs["lengths"]).reshape(4, 6, 5)
    for row, length in enumerate(LENGTHS):
        for place, (column, mask) in enumerate(zip(SPEC["values"], SPEC["masks"], strict=True)):
            own = inputs["values"][row, :length, column].numpy()
            seen = own if mask < 0 else own[inputs["values"][row, :length, mask].numpy() == 1]
            expected = [seen.mean(), seen.min(), seen.max(), seen[0], seen[-1]] if len(seen) else [0] * 5
            assert found[row, :5, place].tolist() == pytest.approx(np.clip(expected, -3, 3).tolist(), abs=1e-6)
            assert found[row, 5, place].item() == pytest.approx(len(seen) / length)
    assert found.abs().max() == 3


def test_summary_stands_beside_the_pooled_state() -> None:
    config = LSTMEncoder(hidden=4, summary=True, projection=ProjectionConfig(hidden=()))
    model = build(config, SPEC, embed_dim=3).eval()
    assert isinstance(model, SeriesStates)
    inputs = batch()
    beside = summary(inputs["values"][..., SPEC["values"]], model.columns.measured(inputs["values"]), inputs["lengths"])
    whole = torch.cat([model.pooled(inputs["values"], inputs["lengths"]), beside], dim=1)
    linear = model.projection[0]
    assert isinstance(linear, nn.Linear)
    torch.testing.assert_close(model(inputs), whole @ linear.weight.T + linear.bias)


def test_dropped_variables_are_as_if_never_measured() -> None:
    spec = {"n_columns": 8, "values": [0, 1, 2, 3], "masks": [4, 5, 5, -1], "since": [6, 7, 7, -1]}
    model = build(LSTMEncoder(hidden=3, variable_dropout=0.4), spec, embed_dim=2)
    assert isinstance(model, SeriesStates)
    torch.manual_seed(1)
    values = torch.rand(400, 5, 8) + 0.25
    found = model.train().some_variables(values)
    shares = []
    for columns, never in [((0, 4, 6), (0, 0, 2)), ((1, 2, 5, 7), (0, 0, 0, 2)), ((3,), (0,))]:
        gone = found[:, :, columns[0]].eq(0).all(dim=1)
        shares.append(gone.float().mean().item())
        for column, expected in zip(columns, never, strict=True):
            assert (found[gone][:, :, column] == expected).all()
            assert torch.equal(found[~gone][:, :, column], values[~gone][:, :, column])
    assert shares == pytest.approx([0.4] * 3, abs=0.08)
    assert len(set(shares)) > 1  # each variable by itself
    assert model.eval().some_variables(values) is values


def test_positions_are_sines_and_cosines() -> None:
    found = positions(50, 8)
    for hour in (0, 1, 49):
        for pair in range(4):
            angle = hour / 10_000 ** (2 * pair / 8)
            assert found[hour, 2 * pair : 2 * pair + 2].tolist() == pytest.approx(
                [math.sin(angle), math.cos(angle)], abs=1e-5
            )


def test_transformer_without_its_positions_would_not_know_the_order_of_hours() -> None:
    model = build(SeriesTransformerConfig(hidden=8, heads=2), {"n_columns": 3}, embed_dim=4).eval()
    values, lengths = torch.randn(2, 6, 3), torch.tensor([6, 6])
    turned = values.flip(1)
    assert not torch.allclose(
        model({"values": values, "lengths": lengths}), model({"values": turned, "lengths": lengths}), atol=1e-4
    )


@pytest.mark.parametrize("values", [{"hidden": 6, "heads": 4}, {"hidden": 7, "heads": 7}])
def test_a_transformers_size_fits_its_heads(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="must be even and divisible by heads"):
        SeriesTransformerConfig(**values)


@pytest.mark.parametrize("name", sorted(ENCODERS.keys() - {"set_transformer"}))
def test_learns_which_series_ends_high(name: str) -> None:
    torch.manual_seed(2)
    values = torch.randn(64, 10, 8)
    values[..., 4:7] = (values[..., 4:7] > -0.5).float()
    target = (values[:, 9, 0] > 0).float()
    inputs = {"values": values, "lengths": torch.full((64,), 10)}
    model = encoder(name)
    head = nn.Linear(7, 1)
    optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=0.02)
    for _ in range(40):
        loss = nn.functional.binary_cross_entropy_with_logits(head(model(inputs)).squeeze(1), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2
