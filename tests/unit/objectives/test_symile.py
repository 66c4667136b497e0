"""Symile against the package of its authors, and its sampled negatives."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from picme.objectives import Symile


def batch(modalities, stays=9, dim=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(modalities, stays, dim, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("chunk", [None, 2])
def test_all_negatives_equal_the_package(chunk):
    reference = pytest.importorskip("symile").Symile(negative_sampling="n_squared")
    x = batch(3).requires_grad_()
    objective = Symile(3, temperature=0.2, chunk=chunk).double()
    loss, _ = objective(x)
    unit = functional.normalize(x, dim=-1)
    expected = reference(list(unit), 8**0.5 / 0.2)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)
    assert torch.allclose(torch.autograd.grad(loss, x)[0], torch.autograd.grad(expected, x)[0], atol=1e-6)


@pytest.mark.parametrize("chunk", [None, 4])
@pytest.mark.parametrize("modalities", [3, 4, 5])
def test_sampled_negatives_equal_the_package_with_the_same_shuffles(modalities, chunk, monkeypatch):
    reference = pytest.importorskip("symile").Symile(negative_sampling="n")
    objective = Symile(modalities, negatives="sampled", temperature=0.2, chunk=chunk).double()
    shuffles = iter(objective.shuffles(9).flatten(0, 1))
    x = batch(modalities).requires_grad_()
    loss, _ = objective(x)
    monkeypatch.setattr(torch, "randperm", lambda n: next(shuffles))
    scale = 8 ** ((modalities - 2) / 2) / 0.2
    expected = reference(list(functional.normalize(x, dim=-1)), scale)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)
    assert torch.allclose(torch.autograd.grad(loss, x)[0], torch.autograd.grad(expected, x)[0], atol=1e-6)


def test_shuffles_repeat_with_the_seed_and_change_with_the_step():
    x = batch(4)

    def losses(seed):
        objective = Symile(4, seed=seed).double()
        trained = [objective(x)[0].item() for _ in range(2)]
        return trained, objective

    (first, second), objective = losses(0)
    assert losses(0)[0] == [first, second]
    assert first != second
    assert losses(1)[0][0] != first
    with torch.no_grad():
        assert objective(x)[0].item() == objective(x)[0].item()
    restored = Symile(4)
    restored.load_state_dict(objective.state_dict())
    assert restored.double()(x)[0].item() == objective(x)[0].item()


def test_only_complete_stays_count():
    x = batch(3)
    present = torch.ones(9, 3, dtype=torch.bool)
    present[[1, 4], [0, 2]] = False
    objective = Symile(3).double()
    complete = present.all(1)
    loss, info = objective(x, present)
    assert loss.item() == pytest.approx(objective(x[:, complete])[0].item(), abs=1e-12)
    assert info["counts"].tolist() == [7, 7, 7]
