"""The model of one cell (combination × strategy × task): encoders or frozen embeddings, and a fusion head on top."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from picme.config.fusions import AttentionConfig, ConcatConfig, GatedLSTMConfig, GatedSumConfig, LSTMConfig
from picme.config.study import FROZEN
from picme.finetune import build as build_head
from picme.pretrain.job import load_encoders
from picme.pretrain.model import ModalityEncoders, modality_seed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from picme.config.base import Component
    from picme.config.study import Config
    from picme.modalities.view import ViewData


class Cell(nn.Module):
    """What maps rows of a view to logits.

    Attributes:
        head: fusion head, `(embeddings (batch, modality, dim), present (batch, modality)) -> logits (batch, label)`.
    """

    head: nn.Module

    def __init__(self, combination: Sequence[str], view: ViewData, device: torch.device) -> None:
        super().__init__()
        self.combination, self.view, self.device = tuple(combination), view, device
        self.present = torch.from_numpy(view.present(combination)).to(device)

    def embeddings(self, rows: np.ndarray) -> Tensor:
        """Embeddings of rows, (batch, modality, dim)."""
        raise NotImplementedError

    def forward(self, rows: np.ndarray) -> Tensor:
        """Logits of rows, (batch, label)."""
        logits: Tensor = self.head(self.embeddings(rows), self.present[torch.from_numpy(rows).to(self.device)])
        return logits

    @torch.no_grad()
    def probabilities(self, rows: np.ndarray, size: int = 512) -> np.ndarray:
        """Probabilities of rows, (row, label) float64, in the rows' order."""
        self.eval()
        place = np.full(len(self.view), -1)
        place[rows] = np.arange(len(rows))
        out = None
        for chosen in self.view.evaluation_batches(self.combination, rows, size):
            values = torch.sigmoid(self(chosen).double()).cpu().numpy()
            if out is None:
                out = np.zeros((len(rows), values.shape[1]))
            out[place[chosen]] = values
        return out if out is not None else np.zeros((0, 1))


class FrozenCell(Cell):
    """A head on embeddings that were computed once; no encoder is touched.

    Each dimension is standardised with the training stays' mean and deviation: how far pretraining spreads the
    embeddings depends on its temperature, and the head's learning rate should not.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, combination: Sequence[str], view: ViewData, device: torch.device, embedded: np.ndarray, train: np.ndarray
    ) -> None:
        super().__init__(combination, view, device)
        values = torch.from_numpy(np.ascontiguousarray(embedded.transpose(1, 0, 2)))
        present = self.present.cpu()[..., None]
        seen, counted = values[train], present[train].float()
        count = counted.sum(0).clamp_min(1)
        mean = (seen * counted).sum(0) / count
        deviation = (((seen - mean) * counted).square().sum(0) / count).sqrt().clamp_min(1e-6)
        # Kept with the weights: new stays are standardised as the training stays were.
        self.register_buffer("mean", mean.to(device))
        self.register_buffer("deviation", deviation.to(device))
        self.values = values.to(device)

    def embeddings(self, rows: np.ndarray) -> Tensor:  # noqa: D102
        index = torch.from_numpy(rows).to(self.device)
        scaled = (self.values[index] - self.mean) / self.deviation
        return scaled.masked_fill(~self.present[index][..., None], 0.0)


class TrainedCell(Cell):
    """Encoders and head, trained together."""

    def __init__(
        self, combination: Sequence[str], view: ViewData, device: torch.device, encoders: ModalityEncoders
    ) -> None:
        super().__init__(combination, view, device)
        self.encoders = encoders

    def embeddings(self, rows: np.ndarray) -> Tensor:  # noqa: D102
        mask = self.present[torch.from_numpy(rows).to(self.device)]
        return self.encoders(self.view.batch(self.combination, rows, self.device), mask).transpose(0, 1)


def head_config(strategy: str, study: Config, combination: Sequence[str]) -> Component:
    """The fusion head of a strategy."""
    section = study.finetune
    if strategy in section.fusions:
        return section.fusions[strategy]
    common: dict[str, Any] = {"hidden": section.hidden, "dropout": section.dropout}
    order = tuple(combination.index(name) for name in section.order if name in combination) or None
    if order is not None:  # modalities that the configured order leaves out come after it
        order += tuple(i for i in range(len(combination)) if i not in order)
    if strategy == "gated":
        return GatedLSTMConfig(**common, order=order, gate="learned" if section.gate == "learned" else "given")
    if strategy == "gated_uniform":
        return GatedLSTMConfig(**common, order=order, gate="uniform")
    if strategy == "supervised_lstm":
        return LSTMConfig(**common, order=order)
    if strategy == "supervised_attention":
        return AttentionConfig(**common)
    if strategy == "supervised_sum":
        return GatedSumConfig(**common)
    return ConcatConfig(**common)


def build_cell(
    study: Config,
    view: ViewData,
    combination: Sequence[str],
    strategy: str,
    n_labels: int,
    seed: int,
    device: torch.device,
    *,
    pretrained: Path | None,
    embedded: Sequence[Path],
    weights: Sequence[float] | None,
) -> Cell:
    """The untrained cell of a strategy.

    Args:
        pretrained: the combination's pretraining, for `finetuned`.
        embedded: embedding artifacts of frozen strategies: one of the combination, or one of each modality.
        weights: λ of the gate, where it is given.
    """
    cell: Cell
    if strategy in FROZEN:
        values = np.concatenate([np.load(path / "embeddings.npy", mmap_mode="r") for path in embedded])
        cell = FrozenCell(combination, view, device, values, view.usable(combination, "train"))
    elif strategy == "finetuned" and pretrained is not None:
        encoders = load_encoders(pretrained, list(combination), study, view).to(device)
        cell = TrainedCell(combination, view, device, encoders)
    else:
        cell = TrainedCell(combination, view, device, ModalityEncoders(combination, study, view, seed).to(device))
    torch.manual_seed(modality_seed(seed, "head"))
    cell.head = build_head(
        head_config(strategy, study, list(combination)),
        len(combination),
        study.study.embed_dim,
        n_labels,
        weights=None if weights is None else list(weights),
    ).to(device)
    return cell
