from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from picme.config.fusions import CONFIGS
from picme.errors import DataError
from picme.evaluate.integrated_gradients import integrated_gradients
from picme.finetune import build


class Head(nn.Module):
    """Absent modalities as zeros, concatenation, MLP with dropout."""

    def __init__(self, modalities: int = 4, dim: int = 16, labels: int = 3) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(modalities * dim, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, labels))

    def forward(self, embeddings: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        return self.mlp(embeddings.masked_fill(~present[..., None], 0).flatten(1))


@pytest.fixture
def head() -> Head:
    torch.manual_seed(0)
    return Head()


@pytest.fixture
def embeddings() -> torch.Tensor:
    return torch.randn(60, 4, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("baseline", ["zero", "mean"])
def test_completeness_on_an_mlp(head: Head, embeddings: torch.Tensor, baseline: str) -> None:
    present = torch.rand(60, 4, generator=torch.Generator().manual_seed(2)) > 0.2
    found = integrated_gradients(head, embeddings, present, baseline)
    assert found.completeness_error <= 0.01
    # Said independently of what the function reports.
    head.eval()
    there = present[..., None]
    mean = (embeddings * there).sum(0) / there.sum(0)
    start = torch.where(there, torch.zeros_like(embeddings) if baseline == "zero" else mean, embeddings)
    with torch.no_grad():
        change = (head(embeddings, present) - head(start, present)).mean(1).numpy()
    assert np.abs(found.signed.sum(1) - change).sum() / np.abs(change).sum() <= 0.02
    np.testing.assert_allclose(found.change, change, atol=1e-5)
    assert found.shares.sum() == pytest.approx(1)
    assert (found.signed[~present.numpy()] == 0).all()


def test_a_linear_head_gives_its_exact_terms(embeddings: torch.Tensor) -> None:
    weight = torch.randn(4, 16, 2, generator=torch.Generator().manual_seed(3))
    weight[1] = 0
    start = torch.full((4, 16), 0.3)
    found = integrated_gradients(
        lambda x, _: torch.einsum("bmd,mdl->bl", x, weight) + 5, embeddings, baseline=start, steps=8
    )
    terms = torch.einsum("bmd,mdl->bml", embeddings - start, weight).double().numpy()
    np.testing.assert_allclose(found.signed, terms.mean(2), atol=1e-5)
    np.testing.assert_allclose(found.absolute, np.abs(terms).mean(2), atol=1e-5)
    expected = np.abs(terms).mean((0, 2))
    np.testing.assert_allclose(found.shares, expected / expected.sum(), atol=1e-5)
    assert found.shares[1] == 0
    assert found.completeness_error < 1e-5


def test_chosen_labels_and_one_logit(head: Head, embeddings: torch.Tensor) -> None:
    every = [integrated_gradients(head, embeddings, labels=[label]).signed for label in range(3)]
    np.testing.assert_allclose(integrated_gradients(head, embeddings).signed, np.mean(every, axis=0), atol=1e-6)
    head.eval()
    single = integrated_gradients(lambda x, there: head(x, there)[:, 1], embeddings)
    np.testing.assert_allclose(single.signed, every[1], atol=1e-6)


def test_more_steps_are_taken_until_the_error_is_small(embeddings: torch.Tensor) -> None:
    def steep(x: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(40 * (x.sum((1, 2)) - 1))[:, None]

    few = integrated_gradients(steep, embeddings, steps=4, max_steps=4)
    enough = integrated_gradients(steep, embeddings, steps=4)
    assert few.completeness_error > 0.01 >= enough.completeness_error
    assert enough.steps > 4


def test_training_mode_comes_back_and_dropout_is_off(head: Head, embeddings: torch.Tensor) -> None:
    head.train()
    first, second = (integrated_gradients(head, embeddings).signed for _ in range(2))
    assert np.array_equal(first, second)
    assert head.training


def test_nan_in_an_absent_modality_does_not_spread(head: Head, embeddings: torch.Tensor) -> None:
    present = torch.ones(60, 4, dtype=torch.bool)
    present[:10, 2] = False
    spoiled = embeddings.clone()
    spoiled[:10, 2] = float("nan")
    for baseline in ("zero", "mean"):
        found = integrated_gradients(head, spoiled, present, baseline)
        np.testing.assert_allclose(found.signed, integrated_gradients(head, embeddings, present, baseline).signed)


def test_a_constant_head_has_no_shares(embeddings: torch.Tensor) -> None:
    found = integrated_gradients(lambda x, _: (0 * x).sum((1, 2)), embeddings)
    assert np.isnan(found.completeness_error)
    assert np.isnan(found.shares).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"embeddings": torch.zeros(3, 4)}, "stay, modality, dim"),
        ({"embeddings": torch.zeros(0, 4, 16)}, "with a stay"),
        ({"present": torch.ones(60, 3, dtype=torch.bool)}, "presence"),
        ({"baseline": torch.zeros(16)}, "modality, dim"),
        ({"baseline": "median"}, "unknown baseline 'median'"),
    ],
)
def test_bad_input_is_said(head: Head, embeddings: torch.Tensor, change: dict, words: str) -> None:
    with pytest.raises(DataError, match=words):
        integrated_gradients(head, **{"embeddings": embeddings, **change})


@pytest.mark.parametrize("labels", [2, 7], ids=["by label", "by modality"])
@pytest.mark.parametrize("fusion", CONFIGS)
def test_every_head_is_attributed_as_captum_does(fusion: str, labels: int, embeddings: torch.Tensor) -> None:
    from captum.attr import IntegratedGradients as Captum

    torch.manual_seed(5)
    head = build(CONFIGS[fusion](), 4, 16, labels, [0.4, 0.3, 0.2, 0.1]).eval()
    present = torch.rand(60, 4, generator=torch.Generator().manual_seed(2)) > 0.2
    start = torch.where(present[..., None], torch.full_like(embeddings, 0.1), embeddings)
    found = integrated_gradients(head, embeddings, present, torch.full((4, 16), 0.1), steps=8, max_steps=8)
    for label in range(labels):
        reference = Captum(head).attribute(
            embeddings, start, target=label, additional_forward_args=(present,), n_steps=8, method="gausslegendre"
        )
        np.testing.assert_allclose(found.per_label[label], reference.detach().sum(2).numpy(), rtol=1e-5, atol=2e-6)
