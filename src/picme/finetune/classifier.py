"""Classifiers: the model of one cell, with encoders or frozen embeddings and a fusion head on top."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from picme.finetune import build as build_head
from picme.fitting.component import calling, check_shape
from picme.fitting.size import fitting_memory
from picme.pretrain.artifact import load_encoders
from picme.pretrain.model import ModalityEncoders, modality_seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from picme.engine.step import Step
    from picme.engine.store import Store
    from picme.finetune.cell import Cell
    from picme.modalities.view import ViewData


class Classifier(nn.Module):
    """A model that maps rows of a view to logits.

    Attributes:
        n_labels: logits of a stay.
        head_name: name of the fusion head in the configuration, for messages.
        head: fusion head, `(embeddings (batch, modality, dim), present (batch, modality)) -> logits (batch, label)`.
        read: the modalities that are read; all but after `restrict`.
    """

    head: nn.Module
    head_name: str
    n_labels: int

    def __init__(self, combination: Sequence[str], view: ViewData, device: torch.device) -> None:
        super().__init__()
        self.combination, self.view, self.device = tuple(combination), view, device
        self.present = torch.from_numpy(view.present(combination)).to(device)
        self.read = self.combination

    def restrict(self, to: Sequence[str]) -> None:
        """Read only some of the modalities from now on, as if no stay had any other."""
        self.read = tuple(name for name in self.read if name in to)
        self.present[:, [name not in self.read for name in self.combination]] = False

    def embeddings(self, rows: np.ndarray) -> Tensor:
        """Embeddings of rows, (batch, modality, dim)."""
        raise NotImplementedError

    def forward(self, rows: np.ndarray) -> Tensor:
        """Logits of rows, (batch, label)."""
        return self.logits(self.embeddings(rows), self.present[torch.from_numpy(rows).to(self.device)])

    def logits(self, embeddings: Tensor, present: Tensor) -> Tensor:
        """Logits (batch, label) of embeddings (batch, modality, dim) and presence (batch, modality) bool.

        A head gets zeros for what is not there, so that one that does not look at presence sees nothing of it.
        """
        embeddings = embeddings.masked_fill(~present[..., None], 0.0)
        what = f"fusion head {self.head_name!r}"
        with calling(what, embeddings=embeddings, present=present):
            logits: Tensor = self.head(embeddings, present)
        check_shape(what, logits, (len(embeddings), self.n_labels))
        return logits

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        """Probabilities of rows, (row, label) float64, in the rows' order."""
        return self.probabilities_within(rows, np.ones((1, len(self.combination)), dtype=bool))[0]

    @torch.no_grad()
    def probabilities_within(self, rows: np.ndarray, subsets: np.ndarray, size: int = 512) -> np.ndarray:
        """Probabilities of rows as if stays had nothing outside a subset of the modalities; embeddings are made once.

        Args:
            rows: row numbers.
            subsets: (subset, modality) bool.
            size: rows in a batch.

        Returns:
            (subset, row, label) float64, in the rows' order.
        """
        self.eval()
        place = np.full(len(self.view), -1)
        place[rows] = np.arange(len(rows))
        out = np.zeros((len(subsets), len(rows), self.n_labels))
        members = torch.from_numpy(subsets).to(self.device)
        for chosen in self.view.evaluation_batches(self.read, rows, size):
            embeddings, present = self.embeddings(chosen), self.present[torch.from_numpy(chosen).to(self.device)]
            for number, inside in enumerate(members):
                values = torch.sigmoid(self.logits(embeddings, present & inside).double())
                out[number, place[chosen]] = values.cpu().numpy()
        return out


class FrozenClassifier(Classifier):
    """A head on embeddings that were computed once; no encoder is touched.

    Unless they are wanted as they are, each dimension is standardised with the training stays' mean and deviation: how
    far pretraining spreads the embeddings depends on its temperature, and the head's learning rate should not.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        combination: Sequence[str],
        view: ViewData,
        device: torch.device,
        embedded: np.ndarray,
        train: np.ndarray,
        standardise: bool = True,
    ) -> None:
        super().__init__(combination, view, device)
        values = torch.from_numpy(np.ascontiguousarray(embedded.transpose(1, 0, 2)))
        present = self.present.cpu()[..., None]
        seen, counted = values[train], present[train].float()
        count = counted.sum(0).clamp_min(1)
        mean = (seen * counted).sum(0) / count
        deviation = (((seen - mean) * counted).square().sum(0) / count).sqrt().clamp_min(1e-6)
        if not standardise:
            mean, deviation = torch.zeros_like(mean), torch.ones_like(deviation)
        # Kept with the weights: new stays are standardised as the training stays were.
        self.register_buffer("mean", mean.to(device))
        self.register_buffer("deviation", deviation.to(device))
        self.values = values.to(device)

    def embeddings(self, rows: np.ndarray) -> Tensor:  # noqa: D102
        index = torch.from_numpy(rows).to(self.device)
        scaled = (self.values[index] - self.mean) / self.deviation
        return scaled.masked_fill(~self.present[index][..., None], 0.0)


class TrainedClassifier(Classifier):
    """Encoders and head, trained together."""

    def __init__(
        self, combination: Sequence[str], view: ViewData, device: torch.device, encoders: ModalityEncoders
    ) -> None:
        super().__init__(combination, view, device)
        self.encoders = encoders

    def embeddings(self, rows: np.ndarray) -> Tensor:  # noqa: D102
        mask = self.present[torch.from_numpy(rows).to(self.device)]
        places = [self.combination.index(name) for name in self.read]
        found = self.encoders(self.view.batch(self.read, rows, self.device), mask[:, places]).transpose(0, 1)
        if self.read == self.combination:
            return found
        every = found.new_zeros(len(rows), len(self.combination), found.shape[2])
        return every.index_copy(1, torch.tensor(places, device=self.device), found)


def build_classifier(
    cell: Cell,
    embedded: Sequence[Step],
    view: ViewData,
    n_labels: int,
    seed: int,
    device: torch.device,
    store: Store,
) -> Classifier:
    """Build the untrained classifier of a cell.

    Args:
        cell: what it consists of.
        embedded: the steps with the embeddings of frozen encoders: of the combination, or of each modality.
        view: the task's stays.
        n_labels: logits of a stay.
        seed: the seed of the weights.
        device: where it runs.
        store: where the artifacts of earlier steps are.
    """
    values = [np.load(store.path(step) / "embeddings.npy", mmap_mode="r") for step in embedded]
    return assemble(cell, view, n_labels, seed, device, store, np.concatenate(values) if values else None)


def assemble(
    cell: Cell,
    view: ViewData,
    n_labels: int,
    seed: int,
    device: torch.device,
    store: Store,
    embedded: np.ndarray | None,
) -> Classifier:
    """Build the untrained classifier of a cell on given embeddings (modality, stay, dim) of frozen encoders."""
    model: Classifier
    if embedded is not None:
        train = view.usable(cell.combination, "train")
        model = FrozenClassifier(cell.combination, view, device, embedded, train, cell.standardise is not False)
    elif cell.encoders == "from_pretrained" and cell.pretrain is not None:
        encoders = load_encoders(store.path(cell.pretrain), cell.encodings, view).to(device)
        model = TrainedClassifier(cell.combination, view, device, encoders)
    else:
        encoders = ModalityEncoders(cell.encodings, view, seed).to(device)
        model = TrainedClassifier(cell.combination, view, device, encoders)
    torch.manual_seed(modality_seed(seed, "head"))
    weights = cell.weights
    if weights is None and cell.pretrain is not None:
        weights = store.manifest(cell.pretrain)["weights"]
    model.n_labels, model.head_name = n_labels, cell.head.name
    with fitting_memory(f"fusion head {cell.head.name!r}", "finetune.hidden, the head's own sizes or study.embed_dim"):
        model.head = build_head(
            cell.head,
            len(cell.combination),
            cell.encodings[0].embed_dim,
            n_labels,
            weights=None if weights is None else list(weights),
        ).to(device)
    return model
