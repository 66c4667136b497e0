"""Training of one model for every subset of its modalities: some are withheld from each stay of each batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn

from picme.finetune.teaching import Teaching
from picme.finetune.withhold import keep, validation_subsets
from picme.pretrain.model import modality_seed

if TYPE_CHECKING:
    from torch import Tensor

    from picme.config.finetune import AnySubsetConfig
    from picme.finetune.classifier import Classifier
    from picme.finetune.teaching import Loss


class Draw(NamedTuple):
    """The stays of a batch and what they keep of their modalities.

    Attributes:
        rows: (stay,) row numbers.
        fewer: (stay, modality) bool, what is kept.
        more: (stay, modality) bool, what is kept and more of what the stay has.
    """

    rows: np.ndarray
    fewer: np.ndarray
    more: np.ndarray


class AnySubset(Teaching):
    """A training in which modalities are withheld, validated by the mean over the subsets of the modalities.

    Args:
        model: the classifier; while it is trained, it holds the auxiliary heads.
        loss: the loss of logits and target.
        target: (stay, label) of the whole view.
        settings: the section `finetune.any_subset`.
        embed_dim: size of the embeddings.
        seed: the seed of what is drawn.
    """

    def __init__(
        self, model: Classifier, loss: Loss, target: Tensor, settings: AnySubsetConfig, embed_dim: int, seed: int
    ) -> None:
        super().__init__(model, loss, target)
        self.settings, self.seed = settings, seed
        self.present = model.present.cpu().numpy()
        self.subsets = validation_subsets(self.present.shape[1])
        torch.manual_seed(modality_seed(seed, "auxiliary"))
        heads = [nn.Linear(embed_dim, model.n_labels) for _ in model.combination if settings.auxiliary]
        self.auxiliary = model.auxiliary = nn.ModuleList(heads).to(model.device)

    def draws(self, batches: list[np.ndarray], epoch: int) -> list[Any]:  # noqa: D102
        # The batches are drawn from [seed, epoch].
        generator = np.random.default_rng(np.random.SeedSequence([self.seed, epoch, 1]))
        return [Draw(rows, *keep(self.present[rows], self.settings.withhold, generator)) for rows in batches]

    def loss_of(self, draw: Draw) -> Tensor:
        """Compute the loss of a batch: of what is kept, of more over fewer modalities, and of each by itself."""
        device, settings = self.model.device, self.settings
        index = torch.from_numpy(draw.rows).to(device)
        embeddings, target = self.model.embeddings(draw.rows), self.target[index]
        fewer = self.model.logits(embeddings, torch.from_numpy(draw.fewer).to(device))
        loss = self.loss(fewer, target)
        if settings.ranking:
            more = self.model.logits(embeddings, torch.from_numpy(draw.more).to(device))
            each = torch.func.vmap(self.loss)
            rise = each(more[:, None], target[:, None]) - each(fewer[:, None], target[:, None])
            loss = (loss + self.loss(more, target)) / 2 + settings.ranking * rise.clamp_min(0).mean()
        if settings.auxiliary:
            known = self.model.present[index]
            single = [
                self.loss(head(embeddings[:, place]), target.masked_fill(~known[:, place, None], torch.nan))
                for place, head in enumerate(self.auxiliary)
            ]
            loss = loss + settings.auxiliary * torch.stack(single).mean()
        return loss

    def predictions(self, rows: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return for each subset the rows that have some of it, and their probabilities (row, label)."""
        found = self.model.probabilities_within(rows, self.subsets)
        some = (self.present[rows][None] & self.subsets[:, None]).any(axis=2)
        return [(rows[here], values[here]) for here, values in zip(some, found, strict=True)]

    def end(self) -> None:
        """Take the auxiliary heads off."""
        del self.model.auxiliary
