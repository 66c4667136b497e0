"""Micro-batches of pretraining: losses and weights are those of the whole batch, whichever loop and objective."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

import picme.pretrain.train as training
from picme.errors import TrainingError
from picme.objectives import OBJECTIVES
from picme.pretrain.step import SharedPretraining
from picme.pretrain.train import Trained, train

if TYPE_CHECKING:
    from collections.abc import Callable

    from picme.modalities.view import ViewData
    from picme.pipeline import Run
    from picme.pretrain.step import Pretraining

    Finished = Callable[..., tuple[Run, ViewData]]

TRIPLE, PAIR = ("note", "report", "person"), ("report", "person")
CPU = torch.device("cpu")


def exact(tree: dict[str, Any], dropout: float = 0.0) -> dict[str, Any]:
    """Sections of the configuration that compute in single precision, with one rate of dropout everywhere."""
    note, person = tree["modalities"]["note"], tree["modalities"]["person"]
    changed = {
        "note": {**note, "encoder": {**note["encoder"], "lora_dropout": dropout}},
        "person": {**person, "encoder": {**person["encoder"], "dropout": dropout}},
    }
    return {"modalities": changed, "study": {"precision": "fp32"}}


def some_missing(view: ViewData) -> ViewData:
    """Every sixth stay lacks the report, every seventh the table."""
    rows = np.arange(len(view))
    return view.keeping({"report": rows % 6 != 0, "person": rows % 7 != 0})


def trained(pretraining: Pretraining, view: ViewData, micro_batch: int | None) -> Trained:
    part = pretraining.model_copy(update={"micro_batch": micro_batch})
    return train(part, view, 0, CPU, learning_rate=0.003, batch_size=8)


def assert_equal(mine: Trained, whole: Trained, atol: float) -> None:
    for key in ("train_loss", "val_loss", "temperature"):
        np.testing.assert_allclose(
            [row[key] for row in mine.result.history], [row[key] for row in whole.result.history], atol=atol, rtol=0
        )
    for module in ("encoders", "objective"):
        expected = dict(getattr(whole, module).named_parameters())
        for name, value in getattr(mine, module).named_parameters():
            torch.testing.assert_close(
                value, expected[name], atol=atol, rtol=0, msg=lambda said, n=name: f"{n}: {said}"
            )


@pytest.mark.parametrize("objective", OBJECTIVES.builtin)
def test_the_whole_batch_decides(finished: Finished, tree: dict[str, Any], objective: str) -> None:
    own = {"name": objective}
    names = PAIR if objective == "infonce" else TRIPLE
    chosen = {"pair_objective": own} if objective == "infonce" else {"objective": own}
    run, view = finished("encode", pretrain=chosen, **exact(tree))
    pretraining = run.design.pretraining(names)
    assert pretraining.objective.name == objective
    whole, micro = (trained(pretraining, some_missing(view), size) for size in (None, 3))
    assert len(whole.result.history) == 2
    assert_equal(micro, whole, 1e-4)
    # A batch of three is not the same as three stays of a batch.
    other = train(pretraining, some_missing(view), 0, CPU, learning_rate=0.003, batch_size=3)
    assert abs(other.result.history[0]["train_loss"] - whole.result.history[0]["train_loss"]) > 1e-2


@pytest.mark.parametrize("names", [PAIR, TRIPLE], ids=["plain loop", "lightning"])
def test_dropout_is_the_same_in_both_passes(
    finished: Finished, tree: dict[str, Any], names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, view = finished("encode", **exact(tree, dropout=0.4))
    pretraining = run.design.pretraining(names)
    cached = trained(pretraining, some_missing(view), 3)

    def one_graph(encode: Callable[[Any], tuple[torch.Tensor, torch.Tensor]], batches: list[Any]) -> Any:
        embeddings, masks = zip(*map(encode, batches), strict=True)
        return torch.cat(embeddings, 1), torch.cat(masks)

    monkeypatch.setattr(training, "cached_embeddings", one_graph)
    assert_equal(cached, trained(pretraining, some_missing(view), 3), 1e-6)


def test_one_training_for_all_combinations_takes_micro_batches(finished: Finished, tree: dict[str, Any]) -> None:
    run, view = finished("encode", pretrain={"mode": "shared"}, **exact(tree))
    pretraining = run.design.pretrain(TRIPLE).pretraining
    assert isinstance(pretraining, SharedPretraining)
    assert_equal(*(trained(pretraining, some_missing(view), size) for size in (3, None)), 1e-4)


def test_batch_normalisation_that_is_trained_is_refused(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    run, view = finished("encode")
    model = training.ModalityEncoders

    class Normalised(model):  # type: ignore[misc, valid-type]
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            self.encoders["person"].normalisation = nn.BatchNorm1d(8)

    monkeypatch.setattr(training, "ModalityEncoders", Normalised)
    pretraining = run.design.pretraining(PAIR)
    with pytest.raises(TrainingError, match=r"pretrain\.micro_batch: the encoder of modality 'person' trains batch"):
        trained(pretraining, view, 3)
    trained(pretraining, view, None)
