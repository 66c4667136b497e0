"""Losses of fine-tuning: functions of logits and labels, weighted as the configuration says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def masked_bce(logits: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """Compute the binary cross-entropy, averaged over the labels that are known.

    Args:
        logits: (batch, label).
        target: (batch, label) 0 or 1, NaN where unknown.
        weight: (label,) weight of the positives; None for 1.
    """
    known = ~torch.isnan(target)
    losses = binary_cross_entropy_with_logits(logits, target.nan_to_num(), pos_weight=weight, reduction="none")
    return (losses * known).sum() / known.sum().clamp_min(1)


def released_loss(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Compute the loss of the published code: `torch.nn.CrossEntropyLoss` with class weights, for both tasks.

    Several labels share one softmax, −Σ_c w_c y_c log softmax(logits)_c averaged over stays, although a stay can have
    many of them. For one label it is the cross-entropy of two classes averaged by weight, where the logit here is the
    second class's logit minus the first's.

    Args:
        logits: (batch, label).
        target: (batch, label) 0 or 1, NaN where unknown, which counts as 0.
        weight: (label,) weight of the positives.
    """
    positive = target.nan_to_num()
    if logits.shape[1] > 1:
        return -(weight * positive * log_softmax(logits, dim=1)).sum(1).mean()
    known = (~torch.isnan(target)).to(logits.dtype)
    share = known * (1 + (weight - 1) * positive)
    losses = binary_cross_entropy_with_logits(logits, positive, reduction="none")
    return (share * losses).sum() / share.sum().clamp_min(1e-12)


def build_loss(
    name: str, class_weight: str, targets: np.ndarray, device: torch.device
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss that `finetune.loss` names, with the weights of the training stays.

    Args:
        name: `bce`, `paper` or `released`.
        class_weight: `balanced` or `none`.
        targets: (stay, label) of the training stays, NaN where unknown.
        device: device of the logits.

    Returns:
        A function (logits, target) → scalar loss.
    """
    weight: Tensor | None = None
    if class_weight == "balanced":
        found = balanced(targets) if targets.shape[1] == 1 else by_frequency(targets) if name != "bce" else None
        weight = None if found is None else torch.tensor(found, dtype=torch.float32, device=device)
    if name != "released":
        return lambda logits, target: masked_bce(logits, target, weight)
    given = torch.ones(targets.shape[1], device=device) if weight is None else weight
    return lambda logits, target: released_loss(logits, target, given)


def balanced(targets: np.ndarray) -> np.ndarray | None:
    """Return negatives / positives of a single label, (1,); None where a class is missing."""
    positives, known = np.nansum(targets), (~np.isnan(targets)).sum()
    return None if positives in (0, known) else np.array([(known - positives) / positives])


def by_frequency(targets: np.ndarray) -> np.ndarray:
    """Return positives of the most frequent label / positives of each, (label,); 1 for a label without any."""
    positives = np.nansum(targets, axis=0)
    return np.divide(positives.max(), positives, out=np.ones(len(positives)), where=positives > 0)
