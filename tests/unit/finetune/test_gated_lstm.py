"""The modality-gated LSTM against torch's LSTM and a cell written from the equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from picme.errors import ConfigError
from picme.finetune import ModalityGatedLSTM


def embeddings(stays=7, modalities=5, dim=6, seed=0):
    return torch.randn(stays, modalities, dim, generator=torch.Generator().manual_seed(seed))


def lstm(dim=6, hidden=4, seed=0):
    torch.manual_seed(seed)
    return ModalityGatedLSTM(dim, hidden)


def from_the_equations(module, x, weights, present):
    """H after the last step, one stay and one gate at a time."""

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    w, u, b, c = (parameter.detach().double().numpy() for parameter in module.parameters())
    n = module.hidden_size
    rows = {gate: slice(place * n, (place + 1) * n) for place, gate in enumerate("ifgo")}
    outputs = []
    for k in range(len(x)):
        h, memory = np.zeros(n), np.zeros(n)
        for t in range(x.shape[1]):
            if not present[k, t]:
                continue
            z = {gate: w[at] @ x[k, t].double().numpy() + b[at] + u[at] @ h + c[at] for gate, at in rows.items()}
            candidate = np.tanh(z["g"])
            memory = sigmoid(z["f"]) * memory + float(weights[t]) * (sigmoid(z["i"]) * candidate)
            h = sigmoid(z["o"]) * np.tanh(memory)
        outputs.append(h)
    return np.stack(outputs)


def test_weights_of_one_are_torchs_lstm():
    reference = nn.LSTM(6, 4, batch_first=True)
    module = lstm()
    module.load_state_dict(reference.state_dict())
    x = embeddings().requires_grad_()
    expected = reference(x)[1][0][0]
    found = module(x, torch.ones(5))
    assert torch.allclose(found, expected, atol=1e-6)
    gradients = [torch.autograd.grad(output.sin().sum(), x)[0] for output in (found, expected)]
    assert torch.allclose(*gradients, atol=1e-6)
    reference.load_state_dict(module.state_dict())


@pytest.mark.parametrize("weights", [[0.2] * 5, [0.6, 0.25, 0.1, 0.05, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0]])
@pytest.mark.parametrize("share", [1.0, 0.6])
def test_equals_the_equations(weights, share):
    x, module = embeddings(), lstm()
    present = torch.rand(7, 5, generator=torch.Generator().manual_seed(1)) < share
    expected = from_the_equations(module, x, weights, present)
    found = module(x, torch.tensor(weights), None if share == 1 else present)
    assert np.allclose(found.detach().numpy(), expected, atol=1e-6)


def test_a_weight_of_zero_writes_no_candidate_into_the_memory():
    module = lstm()
    weights = torch.tensor([0.5, 0.0, 0.5])
    x = embeddings(modalities=3)
    with torch.no_grad():
        # Without the recurrent and input share of forget and output gates only the candidate sees the modality.
        for gate in (1, 3):
            module.weight_ih_l0[gate * 4 : (gate + 1) * 4] = 0
    other = x.clone()
    other[:, 1] += 1
    assert torch.equal(module(x, weights), module(other, weights))
    assert not torch.allclose(module(x, weights.flip(0).roll(1)), module(other, weights.flip(0).roll(1)))


def test_an_absent_step_is_skipped():
    module, x = lstm(), embeddings()
    weights = torch.tensor([0.3, 0.1, 0.2, 0.25, 0.15])
    present = torch.ones(7, 5, dtype=torch.bool)
    present[:, 2] = False
    dirty = torch.where(present[:, :, None], x, torch.nan).requires_grad_()
    rest = [0, 1, 3, 4]
    found = module(dirty, weights, present)
    assert torch.allclose(found, module(x[:, rest], weights[rest]), atol=1e-7)
    (gradient,) = torch.autograd.grad(found.sum(), dirty)
    assert torch.isfinite(gradient).all()
    assert (gradient[:, 2] == 0).all()
    nothing = module(x, weights, torch.zeros(7, 5, dtype=torch.bool))
    assert (nothing == 0).all()


def test_gradient_reaches_every_parameter_and_the_weights():
    module = lstm()
    weights = torch.full((5,), 0.2, requires_grad=True)
    module(embeddings(), weights).square().sum().backward()
    for name, parameter in module.named_parameters():
        assert (parameter.grad != 0).all(), name
    assert (weights.grad != 0).all()
    module.double()
    x = embeddings(3, 4).double().requires_grad_()
    present = torch.tensor([[1, 1, 0, 1], [0, 1, 1, 1], [1, 1, 1, 1]], dtype=torch.bool)
    leaf = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: module(x, w, present), (x, leaf))


def test_weights_of_another_length_are_refused():
    with pytest.raises(ConfigError, match="one weight for each of 5 modalities, not 4"):
        lstm()(embeddings(), torch.full((4,), 0.25))
