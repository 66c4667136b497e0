"""The training loop: the best epoch's weights, early stopping, exact resume, an honest stop at NaN."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

import picme.training as training
from picme.errors import TrainingError
from picme.training import Fit, fit

if TYPE_CHECKING:
    from pathlib import Path

X = torch.from_numpy(np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32))
Y = X @ torch.arange(5.0)[:, None]


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))


def train(
    epochs: int, state: Path | None = None, scores: list[float] | None = None, patience: int = 100
) -> tuple[Model, Fit]:
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)

    def batches(epoch: int) -> list[np.ndarray]:
        order = np.random.default_rng(epoch).permutation(64)
        return np.array_split(order, 4)

    def loss_of(rows: np.ndarray) -> torch.Tensor:
        return mse_loss(model.net(X[rows]), Y[rows])

    def validate(epoch: int) -> dict[str, float]:
        return {"score": scores[epoch] if scores else -float(mse_loss(model.net(X), Y))}

    return model, fit(
        model, optimizer, batches, loss_of, validate, epochs=epochs, patience=patience, seed=3, state=state
    )


def test_resumed_after_any_epoch_equals_uninterrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, reference = train(6)
    monkeypatch.setattr(training, "SAVE_EVERY_SECONDS", 0.0)
    for cut in (1, 3, 5):
        state = tmp_path / f"{cut}.pt"
        train(cut, state)
        resumed, result = train(6, state)
        for name, value in whole.state_dict().items():
            torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0)
        assert [row["train_loss"] for row in result.history] == [row["train_loss"] for row in reference.history]
        assert result.best_epoch == reference.best_epoch


def test_stops_without_improvement_and_keeps_the_best_epoch() -> None:
    model, result = train(10, scores=[0.1, 0.5, 0.4, 0.3, 0.9, 1.0, 1.0, 1.0, 1.0, 1.0], patience=2)
    assert (result.best_epoch, len(result.history)) == (1, 4)
    two, _ = train(2, scores=[0.1, 0.5])
    for name, value in two.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=0, atol=0)


def test_undefined_scores_still_leave_a_model() -> None:
    _, result = train(3, scores=[math.nan] * 3)
    assert result.best_epoch == 0
    assert len(result.history) == 3


def test_a_loss_that_is_not_finite_stops_with_the_epoch() -> None:
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    calls = []

    def loss_of(rows: np.ndarray) -> torch.Tensor:
        calls.append(1)
        loss = model.net(X).mean()
        return loss * float("nan") if len(calls) == 3 else loss

    with pytest.raises(TrainingError, match="epoch 2"):
        fit(
            model,
            optimizer,
            lambda epoch: [np.arange(4)],
            loss_of,
            lambda epoch: {"score": 0.0},
            epochs=9,
            patience=9,
            seed=0,
        )


def test_a_device_that_is_not_there_is_named() -> None:
    if not torch.cuda.is_available():
        with pytest.raises(TrainingError, match="cuda"):
            training.resolve_device("cuda")
    assert training.resolve_device("cpu").type == "cpu"
