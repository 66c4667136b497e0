"""Teaching of a classifier: what a batch is, its loss, and the predictions that validation judges."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    import numpy as np

    from picme.finetune.classifier import Classifier

Loss = Callable[[Tensor, Tensor], Tensor]
"""A function (logits (batch, label), target (batch, label)) → scalar."""


class Teaching:
    """The plain training: each stay with all that it has.

    Args:
        model: the classifier.
        loss: the loss of logits and target.
        target: (stay, label) of the whole view.
    """

    def __init__(self, model: Classifier, loss: Loss, target: Tensor) -> None:
        self.model, self.loss, self.target = model, loss, target

    def draws(self, batches: list[np.ndarray], epoch: int) -> list[Any]:
        """Return the batches of an epoch; they depend on their rows, the seed and the epoch alone."""
        return batches

    def loss_of(self, batch: Any) -> Tensor:
        """Return the loss of a batch, a scalar."""
        return self.loss(self.model(batch), self.target[torch.from_numpy(batch).to(self.model.device)])

    def predictions(self, rows: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return what is judged on its own: row numbers, and their probabilities (row, label)."""
        return [(rows, self.model.probabilities(rows))]

    def end(self) -> None:
        """Take off the model what only the training needed."""
