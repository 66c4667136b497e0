"""What a pretraining leaves: weights that reload to the same embeddings, a manifest, a shared projection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from picme.align import retrieval
from picme.errors import PicmeError, TrainingError
from picme.pretrain.artifact import load_encoders
from picme.pretrain.model import ModalityEncoders, embed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from picme.modalities.view import ViewData
    from picme.pipeline import Run
    from picme.pretrain.features import Encoding

    Finished = Callable[..., tuple[Run, ViewData]]

TRIPLE = ("note", "report", "person")
CPU = torch.device("cpu")


def artifact(run: Run, combination: tuple[str, ...] = TRIPLE) -> Path:
    return run.store.path(run.design.pretrain(combination))


def encodings(run: Run, combination: tuple[str, ...] = TRIPLE) -> list[Encoding]:
    return [run.design.encoding(name) for name in combination]


@pytest.mark.parametrize("projection", ["own", "shared"])
def test_stored_encoders_reload_to_identical_embeddings(finished: Finished, projection: str) -> None:
    run, view = finished("pretrain", study={"projection": projection})
    for combination in (TRIPLE, TRIPLE[:2]):
        folder = artifact(run, combination)
        rows, kept = np.load(folder / "rows.npy"), np.load(folder / "embeddings.npy")
        again = embed(load_encoders(folder, encodings(run, combination), view), view, rows, CPU)
        assert np.array_equal(again, kept), "bit for bit"
        untrained = embed(ModalityEncoders(encodings(run, combination), view, 0), view, rows, CPU)
        assert not np.allclose(untrained, kept, atol=1e-3)


@pytest.mark.parametrize("projection", ["own", "shared"])
def test_a_checkpoint_holds_what_was_trained_and_no_base(finished: Finished, projection: str) -> None:
    run, _ = finished("pretrain", study={"projection": projection})
    state = load_file(artifact(run) / "encoders.safetensors")
    note = {name for name in state if name.startswith("note.")}
    assert {name for name in note if "lora_" not in name} == {"note.projection.0.weight", "note.projection.0.bias"}
    assert len(note) == 2 + 3 * 2 * 2, "three layers' queries and values, two factors each"
    assert {name for name in state if name.startswith("report.")} == {
        "report.projection.0.weight",
        "report.projection.0.bias",
    }
    shared = {name for name in state if name.startswith("*.")}
    assert shared == (set() if projection == "own" else {"*.weight", "*.bias"})


def test_the_manifest_says_what_each_encoder_is(finished: Finished, tree: dict[str, Any]) -> None:
    run, _ = finished("pretrain")
    manifest = run.store.manifest(run.design.pretrain(TRIPLE))
    encoders = manifest["encoders"]
    assert list(encoders) == list(TRIPLE)
    assert encoders["note"]["base"] == tree["modalities"]["note"]["encoder"]["model"]
    assert [encoders[name]["mode"] for name in TRIPLE] == ["lora", "locked", "full"]
    assert encoders["note"]["trained_parameters"] == 3 * 2 * 2 * (8 * 32) + 32 * 8 + 8
    state = load_file(artifact(run) / "encoders.safetensors")
    stored = sum(value.numel() for name, value in state.items() if name.startswith("person."))
    assert encoders["person"]["trained_parameters"] == stored
    assert (manifest["learning_rate"], manifest["batch_size"]) == (0.01, 8)


def test_symile_is_stopped_by_the_product_of_all_modalities(finished: Finished) -> None:
    run, view = finished("pretrain", study={"combination_sizes": [3]}, pretrain={"objective": {"name": "symile"}})
    manifest = run.store.manifest(run.design.pretrain(TRIPLE))
    assert manifest["matched_by"] == "objective"
    values = np.load(artifact(run) / "embeddings.npy")[:, : len(view.usable(TRIPLE, "val"))].astype(np.float64)
    unit = values / np.linalg.norm(values, axis=2, keepdims=True)
    hits = []
    for target in range(3):
        first, second = (unit[other] for other in range(3) if other != target)
        scores = (first * second) @ unit[target].T
        hits.append((scores >= np.diag(scores)[:, None]).sum(axis=1) <= 5)
    assert manifest["val_recall5"] == pytest.approx(np.mean(hits), abs=1e-9)
    assert manifest["val_recall5"] != pytest.approx(retrieval(values, 5), abs=1e-9)


def test_every_modality_trains_the_one_shared_layer(finished: Finished) -> None:
    run, view = finished("encode", study={"projection": "shared"})
    rows = view.splits["train"][:8]
    model = ModalityEncoders(encodings(run), view, 0)
    assert model.shared is not None
    present = torch.ones(len(rows), 3, dtype=torch.bool)
    gradients = []
    for index in range(3):
        model.zero_grad()
        model(view.batch(TRIPLE, rows, CPU), present)[index].square().sum().backward()
        gradients.append(model.shared.weight.grad.clone())  # type: ignore[union-attr]
        others = [name for name in TRIPLE if name != TRIPLE[index]]
        assert not any(p.grad is not None and p.grad.any() for n in others for p in model.encoders[n].parameters())
    assert all(float(gradient.abs().max()) > 0 for gradient in gradients)
    assert sum(p is model.shared.weight for p in model.parameters()) == 1


def test_an_embedding_is_the_shared_layer_of_the_encoders_own_projection(finished: Finished) -> None:
    own_run, view = finished("encode")
    run, _ = finished("encode", study={"projection": "shared"})
    rows, present = view.splits["train"][:5], torch.ones(5, 2, dtype=torch.bool)
    present[2, 1] = False
    batch = view.batch(TRIPLE[1:], rows, CPU)
    own = ModalityEncoders(encodings(own_run, TRIPLE[1:]), view, 3).eval()(batch, present)
    model = ModalityEncoders(encodings(run, TRIPLE[1:]), view, 3).eval()
    assert model.shared is not None
    expected = own @ model.shared.weight.T + model.shared.bias
    expected[1, 2] = 0
    torch.testing.assert_close(model(batch, present), expected, atol=1e-6, rtol=1e-5)


def test_untrained_encoders_are_the_same_in_every_combination(finished: Finished) -> None:
    run, view = finished("encode", study={"projection": "shared"})
    rows = view.splits["val"]

    def untrained(combination: tuple[str, ...], seed: int) -> np.ndarray:
        return embed(ModalityEncoders(encodings(run, combination), view, seed), view, rows, CPU)

    assert np.array_equal(untrained(TRIPLE, 1)[2], untrained(("person",), 1)[0])
    assert not np.allclose(untrained(TRIPLE, 1)[2], untrained(("person",), 2)[0])


def test_encoders_of_the_other_kind_of_projection_are_refused(finished: Finished) -> None:
    run, view = finished("encode")
    other, _ = finished("encode", study={"projection": "shared"})
    own, shared = (ModalityEncoders(encodings(one), view, 0) for one in (run, other))
    with pytest.raises(TrainingError, match=r"have a projection that all modalities share, .* is 'own'"):
        own.load_trainable(shared.trainable_state())
    with pytest.raises(TrainingError, match=r"have no projection that all modalities share, .* is 'shared'"):
        shared.load_trainable(own.trainable_state())
    assert run.design.pretrain(TRIPLE) != other.design.pretrain(TRIPLE)
    untrained = [one.design.finetune("label", TRIPLE, "random", 0).embedded for one in (run, other)]
    assert len(untrained[0]) == 3
    assert all(mine != theirs for mine, theirs in zip(*untrained, strict=True))
    assert run.design.features("report") == other.design.features("report"), "the trunk is before it"


def test_strategies_run_on_a_shared_projection(finished: Finished) -> None:
    run, _ = finished(
        "finetune",
        study={"projection": "shared", "combination_sizes": [2]},
        finetune={
            "strategies": ["contrastive", "finetuned", "random"], "combinations": ["note+person"], "singles": False,
            "epochs": 1, "hidden": 8,
        },
    )  # fmt: skip
    steps = run.graph.of("finetune")
    assert {step.cell.strategy for step in steps if run.store.done(step)} == {"contrastive", "finetuned", "random"}


def test_an_embedding_that_turns_nan_names_modality_and_epoch(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished("encode")
    original, calls = ModalityEncoders.forward, [0]

    def poisoned(self: ModalityEncoders, batch: Any, present: Any) -> Any:
        if self.training:
            calls[0] += 1
        if calls[0] == 6 and self.training:  # four batches make an epoch
            torch.nn.init.constant_(self.encoders["person"].projection[-1].weight, float("nan"))  # type: ignore[union-attr, arg-type, index]
        return original(self, batch, present)

    monkeypatch.setattr(ModalityEncoders, "forward", poisoned)
    with pytest.raises(PicmeError, match="epoch 1: the embedding of modality 'person' is not finite"):
        finished("pretrain", study={"combination_sizes": [3]}, pretrain={"epochs": 4, "learning_rate": 0.02})
