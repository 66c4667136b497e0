"""The fusion heads: one interface, absent modalities without influence, settings that are checked."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from picme.config.fusions import (
    CONFIGS,
    AttentionConfig,
    ConcatConfig,
    GatedLSTMConfig,
    GatedSumConfig,
    LSTMConfig,
)
from picme.errors import ConfigError
from picme.finetune import FUSIONS, GatedLSTMHead, ModalityGatedLSTM, build

WEIGHTS = [0.4, 0.1, 0.3, 0.2]
SMALL = {"hidden": 12, "dropout": 0.3}
HEADS = {
    "concat": ConcatConfig(**SMALL),
    "linear": ConcatConfig(**SMALL, layers=0),
    "deep": ConcatConfig(**SMALL, layers=3),
    "gated": GatedLSTMConfig(**SMALL),
    "ordered": GatedLSTMConfig(**SMALL, order=(3, 1, 0, 2)),
    "uniform": GatedLSTMConfig(**SMALL, gate="uniform"),
    "learned": GatedLSTMConfig(**SMALL, gate="learned"),
    "lstm": LSTMConfig(**SMALL, order=(1, 0, 2, 3)),
    "attention": AttentionConfig(**SMALL, layers=2, heads=2),
    "sum": GatedSumConfig(**SMALL),
}


def stays(count=9, modalities=4, dim=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    present = torch.rand(count, modalities, generator=generator) < 0.7
    present[0] = False
    return torch.randn(count, modalities, dim, generator=generator), present


def head(config, modalities=4, labels=3):
    torch.manual_seed(0)
    return build(config, modalities, 8, labels, WEIGHTS[:modalities])


@pytest.mark.parametrize("name", HEADS)
def test_logits_have_a_column_for_each_label(name):
    x, present = stays()
    module = head(HEADS[name])
    assert module(x, present).shape == (9, 3)
    assert module(x).shape == (9, 3)
    assert module(x[:, :, :], torch.ones_like(present)).shape == (9, 3)
    # Dropout works in training and not after.
    assert not torch.equal(module(x, present), module(x, present))
    module.eval()
    assert torch.equal(module(x, present), module(x, present))
    assert torch.allclose(module(x), module(x, torch.ones_like(present)), atol=1e-6)


@pytest.mark.parametrize("name", HEADS)
def test_absent_embeddings_have_no_influence(name):
    x, present = stays()
    module = head(HEADS[name]).eval()
    dirty = torch.where(present[:, :, None], x, torch.nan).requires_grad_()
    logits = module(dirty, present)
    assert torch.isfinite(logits).all()
    assert torch.equal(logits, module(torch.where(present[:, :, None], x, 5.0), present))
    (gradient,) = torch.autograd.grad(logits.sum(), dirty)
    assert torch.isfinite(gradient).all()
    assert (gradient[~present] == 0).all()
    assert (gradient[present].abs().sum(1) > 0).all()
    # A stay's logits are its own.
    assert torch.allclose(logits[3:5], module(x[3:5], present[3:5]), atol=1e-6)


@pytest.mark.parametrize("name", HEADS)
def test_presence_is_seen(name):
    x, _ = stays()
    module = head(HEADS[name]).eval()
    fewer = torch.ones(9, 4, dtype=torch.bool)
    fewer[:, 1] = False
    x[:, 1] = 0
    assert not torch.allclose(module(x, fewer), module(x))


@pytest.mark.parametrize("name", HEADS)
def test_gradient_reaches_every_parameter(name):
    x, present = stays(64)
    module = head(HEADS[name])
    module(x, present).square().sum().backward()
    for part, parameter in module.named_parameters():
        assert parameter.grad is not None, part
        assert parameter.grad.abs().sum() > 0, part


@pytest.mark.parametrize("name", HEADS)
def test_every_head_learns_which_modality_decides(name):
    torch.manual_seed(0)
    x = torch.randn(1000, 4, 8)
    target = (x[:, 2, 0] > 0).float()
    module = head(HEADS[name], labels=1)
    optimizer = torch.optim.Adam(module.parameters(), 0.02)
    for _ in range(80):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(module(x)[:, 0], target).backward()
        optimizer.step()
    fresh = torch.randn(500, 4, 8)
    accuracy = ((module.eval()(fresh)[:, 0] > 0) == (fresh[:, 2, 0] > 0)).float().mean()
    assert accuracy > 0.8


def test_given_weights_and_order_reach_the_lstm():
    x, present = stays()
    module = head(HEADS["ordered"]).eval()
    order = [3, 1, 0, 2]
    lstm = module.lstm
    assert isinstance(lstm, ModalityGatedLSTM)
    hidden = lstm(x[:, order], torch.tensor([WEIGHTS[i] for i in order]), present[:, order])
    assert torch.allclose(module(x, present), module.classifier(hidden), atol=1e-6)
    plain = head(HEADS["lstm"]).eval()
    hidden = plain.lstm(x[:, [1, 0, 2, 3]], torch.ones(4), present[:, [1, 0, 2, 3]])
    assert torch.allclose(plain(x, present), plain.classifier(hidden), atol=1e-6)


def test_where_the_gate_comes_from():
    assert head(HEADS["gated"]).weights().tolist() == pytest.approx(WEIGHTS)
    assert head(HEADS["uniform"]).weights().tolist() == [0.25] * 4
    learned = head(HEADS["learned"])
    assert learned.weights().tolist() == pytest.approx(WEIGHTS)
    x, present = stays()
    learned(x, present).square().sum().backward()
    torch.optim.SGD([learned.gate_logits], 0.5).step()
    assert learned.weights().tolist() != pytest.approx(WEIGHTS)
    assert float(learned.weights().sum().detach()) == pytest.approx(1)
    assert build(GatedLSTMConfig(gate="learned"), 4, 8, 1).weights().tolist() == pytest.approx([0.25] * 4)
    # λ is saved with the model.
    restored = GatedLSTMHead(4, 8, 3, hidden=12, gate="uniform")
    restored.load_state_dict(head(HEADS["gated"]).state_dict())
    assert restored.weights().tolist() == pytest.approx(WEIGHTS)


@pytest.mark.parametrize(
    ("config", "weights", "message"),
    [
        (GatedLSTMConfig(), None, "needs weights"),
        (GatedLSTMConfig(), [0.5, 0.5], "one number for each of 4 modalities"),
        (GatedLSTMConfig(), [0.5, 0.5, 0.5, 0.5], "add up to 1, not 2"),
        (GatedLSTMConfig(), [1.5, -0.5, 0.0, 0.0], "must not be negative"),
        (GatedLSTMConfig(), [float("nan"), 0.5, 0.3, 0.2], "must not be negative"),
        (GatedLSTMConfig(order=(0, 1, 1, 2)), WEIGHTS, "each modality index 0 to 3 once"),
        (LSTMConfig(order=(0, 1)), None, "each modality index 0 to 3 once"),
        (AttentionConfig(heads=3), None, "heads must divide the embedding size 8"),
    ],
)
def test_settings_that_do_not_fit_end_in_one_sentence(config, weights, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build(config, 4, 8, 1, weights)
    assert "\n" not in str(caught.value)


def test_registry_and_configuration_agree():
    assert set(CONFIGS) == set(FUSIONS.builtin)
    for name, config in CONFIGS.items():
        module = FUSIONS.load(name)
        assert isinstance(build(config(), 4, 8, 2, WEIGHTS), module)
