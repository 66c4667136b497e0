"""Cached gradients equal those of one graph over all micro-batches."""

from __future__ import annotations

import torch
from torch import nn

from picme.objectives import OneVersusOthers, cached_backward


class Encoders(nn.Module):
    """One network a modality, with dropout."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.networks = nn.ModuleList(
            nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.4), nn.Linear(16, 5)) for _ in range(3)
        )

    def forward(self, batch):
        values, present = batch
        return torch.stack([network(part) for network, part in zip(self.networks, values, strict=True)]), present


def test_gradients_equal_one_graph_with_dropout_and_missing_modalities():
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(3, 21, 6, generator=generator)
    present = torch.rand(21, 3, generator=generator) < 0.8
    batches = [(part, mask) for part, mask in zip(values.split(8, 1), present.split(8), strict=True)]
    gradients, losses, after = [], [], []
    for cached in (False, True):
        encoders, objective = Encoders(), OneVersusOthers(3)
        torch.manual_seed(7)
        if cached:
            loss, info = cached_backward(encoders, batches, objective)
            assert not loss.requires_grad
        else:
            embeddings, masks = zip(*(encoders(batch) for batch in batches), strict=True)
            loss, info = objective(torch.cat(embeddings, 1), torch.cat(masks))
            loss.backward()
        losses.append(loss.item())
        after.append(torch.rand(1).item())
        parameters = [*encoders.parameters(), *objective.parameters()]
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in parameters]))
        assert "temperature" in info
    assert losses[0] == losses[1]
    assert torch.allclose(*gradients, atol=1e-6)
    assert gradients[0].abs().max() > 1e-3
    assert after[0] == after[1]  # the second pass leaves the random numbers where the first did


def test_micro_batches_without_presence_and_of_any_iterable():
    linear = nn.Linear(6, 4)
    values = torch.randn(3, 10, 6)
    cached_backward(linear, iter(values.split(4, 1)), OneVersusOthers(3))
    cached = linear.weight.grad.clone()
    linear.zero_grad()
    OneVersusOthers(3)(linear(values))[0].backward()
    assert torch.allclose(cached, linear.weight.grad, atol=1e-6)
    linear.zero_grad()

    def mixed(part):
        everything = torch.ones(part.shape[1], 3, dtype=torch.bool)
        return (linear(part), everything) if part.shape[1] == 2 else linear(part)

    cached_backward(mixed, values.split(4, 1), OneVersusOthers(3))
    assert torch.allclose(cached, linear.weight.grad, atol=1e-6)
