"""Both training loops: the best epoch's weights, early stopping, exact resume, an honest stop at NaN."""

from __future__ import annotations

import json
import math
import signal
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

import picme.fitting.course as training
from picme.errors import TrainingError
from picme.fitting.course import Fit, fit
from picme.fitting.device import resolve_device
from picme.fitting.lightning_loop import fit_lightning

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOOPS = pytest.mark.parametrize("loop", [fit, fit_lightning], ids=["plain", "lightning"])

X = torch.from_numpy(np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32))
Y = X @ torch.arange(5.0)[:, None]


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))


def train(
    epochs: int,
    state: Path | None = None,
    scores: list[float] | None = None,
    patience: int = 100,
    loop: Callable[..., Fit] = fit,
    at_batch: Callable[[nn.Module, int, int], None] | None = None,
    **options: Any,
) -> tuple[Model, Fit]:
    """`at_batch` is called with the model, the epoch and the batch of every loss."""
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    place = [0, 0]

    def batches(epoch: int) -> list[np.ndarray]:
        place[:] = epoch, 0
        order = np.random.default_rng(epoch).permutation(64)
        return np.array_split(order, 4)

    def loss_of(rows: np.ndarray) -> torch.Tensor:
        if at_batch is not None:
            at_batch(model, *place)
        place[1] += 1
        return mse_loss(model.net(X[rows]), Y[rows])

    def validate(epoch: int) -> dict[str, float]:
        assert not model.training
        assert not torch.is_grad_enabled()
        predicted = model.net(X)
        if not torch.isfinite(predicted).all():
            raise TrainingError("the embedding of modality 'x' is not finite")
        return {"score": scores[epoch] if scores else -float(mse_loss(predicted, Y))}

    return model, loop(
        model, optimizer, batches, loss_of, validate, epochs=epochs, patience=patience, seed=3, state=state, **options
    )


def assert_equal(mine: nn.Module, theirs: nn.Module, atol: float = 0.0) -> None:
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(mine.state_dict()[name], value, rtol=0, atol=atol)


def numbers(result: Fit) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in result.history]


@pytest.mark.parametrize("clip", [1.0, 1e9])
def test_lightning_gives_the_weights_and_history_of_the_plain_loop(clip: float) -> None:
    (plain, one), (lightning, two) = (train(7, loop=loop, clip=clip) for loop in (fit, fit_lightning))
    assert_equal(lightning, plain, atol=1e-6)
    assert len(numbers(one)) == 7
    for mine, theirs in zip(numbers(two), numbers(one), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-6)
    assert (two.best_epoch, two.best_score) == (one.best_epoch, pytest.approx(one.best_score, abs=1e-6))
    other, _ = train(7, clip=1e-3)
    assert (other.net[0].weight - plain.net[0].weight).abs().max() > 1e-4, "clipping is seen in the weights"


@LOOPS
def test_resumed_after_any_epoch_equals_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: Callable[..., Fit]
) -> None:
    whole, reference = train(6, loop=loop)
    monkeypatch.setattr(training, "SAVE_EVERY_SECONDS", 0.0)
    for cut in (1, 3, 5, 6):
        state = tmp_path / f"{cut}.pt"
        train(cut, state, loop=loop)
        resumed, result = train(6, state, loop=loop)
        assert_equal(resumed, whole)
        assert numbers(result) == numbers(reference)
        assert result.best_epoch == reference.best_epoch


def test_either_loop_resumes_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = train(6)
    monkeypatch.setattr(training, "SAVE_EVERY_SECONDS", 0.0)
    for first, second in ((fit, fit_lightning), (fit_lightning, fit)):
        state = tmp_path / f"{first.__name__}.pt"
        train(3, state, loop=first)
        resumed, _ = train(6, state, loop=second)
        assert_equal(resumed, whole, atol=1e-6)


@LOOPS
def test_stops_without_improvement_and_keeps_the_best_epoch(loop: Callable[..., Fit]) -> None:
    scores = [0.1, 0.5, 0.4, 0.3, 0.9, 1.0, 1.0, 1.0, 1.0, 1.0]
    model, result = train(10, scores=scores, patience=2, loop=loop)
    assert (result.best_epoch, len(result.history)) == (1, 4)
    two, _ = train(2, scores=[0.1, 0.5], loop=loop)
    assert_equal(model, two)
    assert not model.training


@LOOPS
def test_stopped_early_and_resumed_is_not_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: Callable[..., Fit]
) -> None:
    monkeypatch.setattr(training, "SAVE_EVERY_SECONDS", 0.0)
    state, scores = tmp_path / "state.pt", [0.5, *[0.1] * 9]
    model, _ = train(10, state, scores, patience=2, loop=loop)
    again, result = train(10, state, scores, patience=2, loop=loop)
    assert_equal(again, model)
    assert len(result.history) == 3


@LOOPS
def test_undefined_scores_still_leave_a_model(loop: Callable[..., Fit]) -> None:
    _, result = train(3, scores=[math.nan] * 3, loop=loop)
    assert result.best_epoch == 0
    assert len(result.history) == 3


def overflow(at_epoch: int, at_batch: int) -> Callable[[Model, int, int], None]:
    """Weights so large that the next output overflows."""

    def spoil(model: Model, epoch: int, batch: int) -> None:
        if (epoch, batch) == (at_epoch, at_batch):
            with torch.no_grad():
                model.net[3].weight.fill_(3e38)

    return spoil


@LOOPS
@pytest.mark.parametrize("batch", [0, 2])
def test_what_is_not_finite_stops_and_the_last_good_epoch_is_kept(
    tmp_path: Path, loop: Callable[..., Fit], batch: int
) -> None:
    """Far from any save that is due, and whether the epoch had made steps before or not."""
    state = tmp_path / "state.pt"
    good, reference = train(4, loop=loop, patience=10)
    with pytest.raises(TrainingError, match=r"epoch 4.* \(the weights of epoch 3 are kept in .*/state.pt\)$"):
        train(9, state, loop=loop, at_batch=overflow(4, batch))
    kept = torch.load(state, weights_only=True)
    assert kept["epoch"] == 3
    assert [row["train_loss"] for row in kept["history"]] == [row["train_loss"] for row in reference.history]
    assert kept["best_epoch"] == reference.best_epoch
    for name, value in good.state_dict().items():
        torch.testing.assert_close(kept["best"][name], value, rtol=0, atol=0)
    # The same again says that it is the same again, and leaves what was kept.
    with pytest.raises(TrainingError, match=r"epoch 4.*the attempt before ended in the same epoch"):
        train(9, state, loop=loop, at_batch=overflow(4, batch))
    assert torch.load(state, weights_only=True)["epoch"] == 3
    # Another epoch is another matter.
    with pytest.raises(TrainingError, match="epoch 6") as error:
        train(9, state, loop=loop, at_batch=overflow(6, batch))
    assert "attempt before" not in str(error.value)
    # If what spoiled it is gone, the fit ends as if nothing had been.
    resumed, _ = train(9, state, loop=loop)
    assert_equal(resumed, train(9, loop=loop)[0])
    assert not list(tmp_path.glob("*.json"))


@LOOPS
def test_not_finite_from_the_start_leaves_nothing_to_resume(tmp_path: Path, loop: Callable[..., Fit]) -> None:
    state = tmp_path / "state.pt"
    for word in ("epoch 0; try a smaller learning rate$", "the attempt before"):
        with pytest.raises(TrainingError, match=word):
            train(9, state, loop=loop, at_batch=overflow(0, 0))
    assert not state.exists()
    assert json.loads((tmp_path / "state.failed.json").read_text(encoding="utf-8")) == {"epoch": 0}


@LOOPS
def test_a_gradient_that_is_not_finite_is_named(loop: Callable[..., Fit]) -> None:
    def spoil(model: Model, epoch: int, batch: int) -> None:
        if epoch == 2:
            model.net[3].weight.register_hook(lambda gradient: gradient * math.inf)

    with pytest.raises(TrainingError, match=r"gradient of net\.3\.weight is not finite in epoch 2"):
        train(9, loop=loop, at_batch=spoil)


@LOOPS
def test_not_finite_in_validation_names_the_epoch(loop: Callable[..., Fit]) -> None:
    def spoil(model: Model, epoch: int, batch: int) -> None:
        if (epoch, batch) == (1, 3):  # the step after the last loss of the epoch
            model.net[0].bias.register_hook(lambda gradient: gradient.new_full(gradient.shape, 1.0))
            with torch.no_grad():
                model.net[1].running_mean.fill_(math.nan)

    with pytest.raises(TrainingError, match="epoch 1: the embedding of modality 'x' is not finite"):
        train(9, loop=loop, at_batch=spoil)


@LOOPS
def test_interrupted_keeps_the_last_epoch(tmp_path: Path, loop: Callable[..., Fit]) -> None:
    state, before = tmp_path / "state.pt", signal.getsignal(signal.SIGINT)

    def interrupt(model: Model, epoch: int, batch: int) -> None:
        if (epoch, batch) == (3, 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(6, state, loop=loop, at_batch=interrupt)
    assert signal.getsignal(signal.SIGINT) is before
    assert torch.load(state, weights_only=True)["epoch"] == 2
    assert_equal(train(6, state, loop=loop)[0], train(6, loop=loop)[0])


@LOOPS
def test_rows_are_logged_once_each_also_over_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: Callable[..., Fit]
) -> None:
    monkeypatch.setattr(training, "SAVE_EVERY_SECONDS", 0.0)
    state = tmp_path / "state.pt"
    train(2, state, loop=loop)
    logged: list[dict[str, Any]] = []
    _, result = train(4, state, loop=loop, log=logged.append)
    assert logged == result.history


@LOOPS
def test_denormals_are_flushed_and_nothing_is_cast(loop: Callable[..., Fit]) -> None:
    """Half precision is the encoders' own choice, so the loop must not make one."""
    torch.set_flush_denormal(False)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush denormals")
    torch.set_flush_denormal(False)
    seen = []

    def look(model: Model, epoch: int, batch: int) -> None:
        seen.append((float(torch.tensor([1e-30]) * 1e-10), torch.is_autocast_enabled("cpu"), model.training))

    train(2, loop=loop, at_batch=look)
    assert set(seen) == {(0.0, False, True)}


def test_lightning_says_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLURM_NTASKS", "4")  # a cluster's job is not one training in four processes
    monkeypatch.setenv("SLURM_JOB_NAME", "study")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(2, loop=fit_lightning)
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_a_device_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    assert resolve_device("auto") == torch.device("cuda")
    with pytest.raises(TrainingError, match=r"'cuda:2', which this machine does not have \(it has 2 of this kind\)"):
        resolve_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(TrainingError, match=r"'cuda', which this machine does not have$"):
        resolve_device("cuda")
    assert resolve_device("cpu").type == "cpu"
