"""Networks that the memory cannot hold are refused before their weights are drawn, and before they are trained."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import picme.fitting.size as size_module
from picme.engine import memory
from picme.errors import DataError
from picme.fitting.size import check_training, fitting_memory


def limit(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(memory, "memory_limit", lambda: size)
    monkeypatch.setattr(size_module, "STRIDE", 1)


def test_weights_are_counted_while_a_network_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    size = 4 * (10 * 20 + 20 + 20 * 5 + 5)
    limit(monkeypatch, size)
    with fitting_memory("it", "x.hidden"):
        nn.Sequential(nn.Linear(10, 20), nn.Linear(20, 5))
    limit(monkeypatch, size - 1)
    with (
        pytest.raises(DataError, match=r"^it needs about .*; make x\.hidden smaller$"),
        fitting_memory("it", "x.hidden"),
    ):
        nn.Sequential(nn.Linear(10, 20), nn.Linear(20, 5))
    nn.Linear(100, 100)  # nothing is counted after the block


def test_a_giant_is_refused_before_its_memory_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, 1 << 20)
    drawn: list[object] = []
    monkeypatch.setattr(nn.Linear, "reset_parameters", lambda self: drawn.append(self))
    with pytest.raises(DataError), fitting_memory("it", "x"):
        nn.Linear(1000, 1000)
    assert drawn == []


def test_weights_on_no_device_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, 10)
    with fitting_memory("it", "x"), torch.device("meta"):
        nn.Linear(1000, 1000)


def test_training_takes_seven_copies_more_of_what_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Linear(9, 10), nn.Linear(10, 10).requires_grad_(False))
    limit(monkeypatch, 7 * 4 * 100)
    check_training(model)
    limit(monkeypatch, 7 * 4 * 100 - 1)
    with pytest.raises(DataError, match=r"training a model of 210 weights needs"):
        check_training(model)
