"""The losses of fine-tuning against torch's own and scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch.nn.functional import cross_entropy

from picme.finetune.losses import build_loss, by_frequency, masked_bce, released_loss

CPU = torch.device("cpu")


def draws(labels: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(40, labels))).float()
    return logits, torch.from_numpy((rng.random((40, labels)) < 0.3).astype(np.float32))


def test_bce_is_the_log_loss_of_each_known_label() -> None:
    logits, target = draws(3)
    target[4, 1] = target[7, 2] = float("nan")
    known = ~torch.isnan(target)
    expected = log_loss(target[known].numpy(), logits.double().sigmoid()[known].numpy())
    assert float(masked_bce(logits, target, None)) == pytest.approx(expected, abs=1e-6)


def test_a_balanced_binary_task_weighs_its_classes_alike() -> None:
    logits, target = draws(1)
    loss = build_loss("bce", "balanced", target.numpy(), CPU)
    positive = float(target.sum())
    losses = -torch.where(target == 1, logits.sigmoid().log(), (1 - logits.sigmoid()).log())
    by_class = losses[target == 1].sum() * (40 - positive) / positive + losses[target == 0].sum()
    assert float(loss(logits, target)) == pytest.approx(float(by_class) / 40, abs=1e-6)


def test_only_paper_weighs_the_labels_of_a_multilabel_task() -> None:
    logits, target = draws(4)
    plain = build_loss("bce", "balanced", target.numpy(), CPU)(logits, target)
    assert float(plain) == pytest.approx(float(masked_bce(logits, target, None)), abs=1e-7)
    weighted = build_loss("paper", "balanced", target.numpy(), CPU)(logits, target)
    weight = torch.from_numpy(by_frequency(target.numpy())).float()
    assert float(weighted) == pytest.approx(float(masked_bce(logits, target, weight)), abs=1e-7)
    assert float(weighted) > float(plain)


def test_released_over_several_labels_is_torchs_cross_entropy_with_a_multi_hot_target() -> None:
    logits, target = draws(5)
    counts = target.sum(0)
    weight = counts.max() / counts
    expected = cross_entropy(logits, target, weight=weight)
    assert float(build_loss("released", "balanced", target.numpy(), CPU)(logits, target)) == pytest.approx(
        float(expected), rel=1e-6
    )


def test_released_for_one_label_is_torchs_cross_entropy_of_two_classes() -> None:
    logits, target = draws(1)
    positive = target.sum()
    weight = torch.stack([torch.tensor(1.0), (40 - positive) / positive])
    two = torch.cat([torch.zeros_like(logits), logits], dim=1)
    expected = cross_entropy(two, target[:, 0].long(), weight=weight)
    assert float(build_loss("released", "balanced", target.numpy(), CPU)(logits, target)) == pytest.approx(
        float(expected), rel=1e-6
    )


def test_unknown_labels_give_no_gradient() -> None:
    logits, target = draws(1)
    target[3] = float("nan")
    logits.requires_grad_()
    released_loss(logits, target, torch.ones(1)).backward()
    assert logits.grad is not None
    assert float(logits.grad[3]) == 0.0
    assert float(logits.grad.abs().sum()) > 0


def test_a_label_without_positives_weighs_as_one() -> None:
    assert by_frequency(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])).tolist() == [1.0, 1.0]
