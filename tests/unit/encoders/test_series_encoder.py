from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from picme.config.encoders import LSTMEncoder, MLPEncoder, ProjectionConfig
from picme.encoders import build
from picme.encoders.timeseries import SeriesEncoder, reverse

LENGTHS = torch.tensor([4, 1, 7, 3])


def padded() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    values = torch.randn(4, 7, 5)
    # What lies beyond the end must not matter, whatever it is.
    for row, length in enumerate(LENGTHS):
        values[row, length:] = 100
    return {"values": values, "lengths": LENGTHS}


def packed(encoder: SeriesEncoder, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """torch's own LSTM with the encoder's weights on packed sequences: states and last states (layer·direction, …)."""
    config = encoder.config
    assert isinstance(config, LSTMEncoder)
    peer = nn.LSTM(5, config.hidden, config.layers, batch_first=True, bidirectional=config.bidirectional)
    state = {}
    if config.bidirectional:
        for depth in range(config.layers):
            for direction, suffix in ((encoder.forwards, ""), (encoder.backwards, "_reverse")):
                for name, value in direction[depth].state_dict().items():
                    state[name.replace("_l0", f"_l{depth}{suffix}")] = value
    else:
        state = encoder.lstm.state_dict()
    peer.load_state_dict(state)
    sequence = pack_padded_sequence(batch["values"], batch["lengths"], batch_first=True, enforce_sorted=False)
    states, (last, _) = peer(sequence)
    return pad_packed_sequence(states, batch_first=True)[0], last


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "all"])
def test_equals_torchs_lstm_on_packed_sequences(bidirectional: bool, layers: int, pooling: str) -> None:
    config = LSTMEncoder(hidden=6, layers=layers, bidirectional=bidirectional, pooling=pooling)  # type: ignore[arg-type]
    encoder = build(config, {"n_columns": 5}, embed_dim=8).eval()
    assert isinstance(encoder, SeriesEncoder)
    batch = padded()
    states, last_states = packed(encoder, batch)
    last = torch.cat([last_states[-2], last_states[-1]], dim=-1) if bidirectional else last_states[-1]
    mean = torch.stack([states[row, :length].mean(dim=0) for row, length in enumerate(LENGTHS)])
    highest = torch.stack([states[row, :length].amax(dim=0) for row, length in enumerate(LENGTHS)])
    expected = {"last": last, "mean": mean, "max": highest, "all": torch.cat([last, mean, highest], dim=-1)}[pooling]
    torch.testing.assert_close(encoder.pooled(**batch_arguments(batch)), expected, atol=1e-6, rtol=1e-5)
    assert encoder(batch).shape == (4, 8)


def batch_arguments(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {"values": batch["values"], "lengths": batch["lengths"]}


def test_gradients_equal_packed_and_do_not_reach_the_padding() -> None:
    encoder = build(LSTMEncoder(hidden=6), {"n_columns": 5}, embed_dim=8)
    assert isinstance(encoder, SeriesEncoder)
    batch = padded()
    values = batch["values"].requires_grad_()
    encoder.pooled(values, LENGTHS).square().sum().backward()
    assert values.grad is not None
    ours = values.grad.clone()
    values.grad = None
    packed(encoder, batch)[1][-1].square().sum().backward()
    torch.testing.assert_close(ours, values.grad)
    assert ours[1, 1:].abs().sum() == 0
    assert ours[1, 0].abs().sum() > 0


def test_reverse_turns_each_series_within_its_own_length() -> None:
    values = torch.arange(8.0).reshape(2, 4, 1)
    assert reverse(values, torch.tensor([3, 1])).squeeze(-1).tolist() == [[2, 1, 0, 3], [4, 5, 6, 7]]


def test_states_are_restored_and_strange_ones_refused() -> None:
    from picme.errors import TrainingError

    torch.manual_seed(1)
    first = build(LSTMEncoder(hidden=6), {"n_columns": 5}, embed_dim=8).eval()
    second = build(LSTMEncoder(hidden=6), {"n_columns": 5}, embed_dim=8).eval()
    batch = padded()
    assert not torch.equal(first(batch), second(batch))
    state = first.trainable_state()
    second.load_trainable(state)
    assert torch.equal(first(batch), second(batch))
    # Copies: training on does not change what was kept.
    with torch.no_grad():
        next(first.parameters()).add_(1)
    assert torch.equal(second(batch), second(batch))
    with pytest.raises(TrainingError, match=r"lacks 'lstm\.bias_hh_l0'"):
        second.load_trainable({name: value for name, value in state.items() if name != "lstm.bias_hh_l0"})
    with pytest.raises(TrainingError, match="unknown entry 'x'"):
        second.load_trainable({**state, "x": torch.zeros(1)})
    with pytest.raises(TrainingError, match=r"has shape \(8, 5\), expected \(8, 6\)"):
        second.load_trainable({**state, "projection.0.weight": torch.zeros(8, 5)})


def test_state_stays_the_same_when_frozen() -> None:
    encoder = build(LSTMEncoder(hidden=6), {"n_columns": 5}, embed_dim=8)
    names = encoder.trainable_state().keys()
    encoder.requires_grad_(False)
    assert encoder.trainable_state().keys() == names


def test_mlp_layers_and_projection() -> None:
    config = MLPEncoder(hidden=(7, 3), projection=ProjectionConfig(hidden=(5,), dropout=0.5))
    encoder = build(config, {"n_columns": 4}, embed_dim=2).eval()
    shapes = [tuple(value.shape) for value in encoder.trainable_state().values() if value.ndim == 2]
    assert shapes == [(7, 4), (3, 7), (5, 3), (2, 5)]
    values = torch.randn(6, 4)
    hidden = values
    state = list(encoder.trainable_state().values())
    for weight, bias in zip(state[0:6:2], state[1:6:2], strict=True):
        hidden = torch.relu(hidden @ weight.T + bias)
    torch.testing.assert_close(encoder({"values": values}), hidden @ state[6].T + state[7])
    assert build(MLPEncoder(hidden=()), {"n_columns": 4}, embed_dim=2)({"values": values}).shape == (6, 2)
