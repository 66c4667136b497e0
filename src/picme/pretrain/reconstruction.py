"""Reconstruction beside contrast: encoders of series learn to tell what was hidden from them.

Hidden measurements are predicted from the rest of a stay's series, and for hidden hours also what was measured in them
at all. Both losses, values and presence, are those of Labach et al.: DuETT: Dual event time transformer for electronic
health records, Machine Learning for Healthcare 2023, which hides whole hours; a loss over the measured values alone
follows Tipirneni, Reddy: Self-supervised transformer for sparse and irregularly sampled multivariate clinical
time-series (STraTS), ACM Transactions on Knowledge Discovery from Data 16 (2022). Other than there, the prediction is
made from the stay's embedding, because that is what fine-tuning reads; so it works with every encoder of series.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, relu
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from picme.encoders.series import DAY, MAX_SINCE, SUMMARY_LIMIT, Columns, hours_within, last_measured
from picme.encoders.series_transformer import positions
from picme.fitting import group
from picme.objectives.gather import gather
from picme.pretrain.model import modality_seed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from picme.modalities.view import ViewData
    from picme.pretrain.features import Encoding
    from picme.pretrain.model import ModalityEncoders

    MicroBatch = tuple[dict[str, dict[str, Tensor]], Tensor]
    """The batch of each modality, and presence (stay, modality)."""
    Part = tuple[dict[str, "Hidden"], Tensor]
    """The hidden parts of a part of a batch, by modality, and the presence (stay, modality) of those."""

HIDDEN_HOURS = 0.15
"""Share of a stay's hours of which nothing is shown."""
HIDDEN_VALUES = 0.15
"""Share of the other hours' measurements that are not shown."""
WIDTH, PLACES = 64, 16
"""Units of a head, and numbers that encode an hour."""
EVALUATED = 256
"""Stays in a batch that is not trained on."""


class Hidden(NamedTuple):
    """A batch of one modality of which something is hidden, and what is to be told.

    Attributes:
        batch: what the encoder sees: `values` (batch, hour, column) and `lengths` (batch,).
        values: the original values (batch, hour, value column), at most 3 standard deviations from their mean.
        value_hidden: the hidden measurements (batch, hour, value column), bool.
        measured: which variables were measured (batch, hour, mask), 0 or 1.
        hour_hidden: the hidden hours (batch, hour), bool.
    """

    batch: dict[str, Tensor]
    values: Tensor
    value_hidden: Tensor
    measured: Tensor
    hour_hidden: Tensor


class Reconstruction(nn.Module):
    """A head for each modality whose encoder learns to reconstruct; heads are used in pretraining alone.

    Args:
        encodings: the encodings of the modalities that are reconstructed.
        view: the stays of pretraining, which say what the columns are.
        seed: the seed of the heads' weights, which do not depend on the other modalities.
    """

    def __init__(self, encodings: Sequence[Encoding], view: ViewData, seed: int) -> None:
        super().__init__()
        self.columns = {one.modality: Columns(view.modalities[one.modality].spec()) for one in encodings}
        heads = {}
        for one in encodings:
            torch.manual_seed(modality_seed(seed, f"reconstruct {one.modality}"))
            heads[one.modality] = Head(one.embed_dim, self.columns[one.modality])
        self.heads = nn.ModuleDict(heads)

    def draw(self, name: str, lengths: np.ndarray, seed: Sequence[int]) -> np.ndarray:
        """Draw the numbers that decide what is hidden of some stays.

        Args:
            name: the modality.
            lengths: (stay,) hours.
            seed: numbers that name the batch; the modality is added to them.

        Returns:
            (stay, hour, 1 + variable) in [0, 1), the first for the whole hour.
        """
        generator = np.random.default_rng([*seed, modality_seed(0, name)])
        size = (len(lengths), max(1, int(lengths.max(initial=1))), 1 + max(self.columns[name].variable) + 1)
        return generator.random(size, dtype=np.float32)

    def hide(self, view: ViewData, rows: np.ndarray, micro: Sequence[MicroBatch], seed: Sequence[int]) -> list[Part]:
        """Hide something of this process's part of a batch; of a stay the same, however the batch is divided.

        Args:
            view: the stays.
            rows: (stay,) row numbers of the whole batch.
            micro: the micro-batches of the part, in the order of its rows; of the first row where the part has none.
            seed: numbers that name the epoch; the first row is added to them.

        Returns:
            What each micro-batch hides, by modality, and the presence of those; empty where none is reconstructed.
        """
        names = list(micro[0][0])
        own = [name for name in names if name in self.columns]
        if not own:
            return []
        part = group.part(np.arange(len(rows)))
        places, ends = part if len(part) else np.zeros(1, int), np.cumsum([len(mask) for _, mask in micro])[:-1]
        split = {}
        for name in own:
            drawn = self.draw(name, view.modalities[name].lengths[rows], [*seed, int(rows[0])])
            split[name] = np.split(drawn[places], ends)
        columns = [names.index(name) for name in own]
        return [
            (
                {name: self.hidden(name, batch[name], torch.from_numpy(split[name][number])) for name in own},
                mask[:, columns] & bool(len(part)),
            )
            for number, (batch, mask) in enumerate(micro)
        ]

    def of_batch(self, model: ModalityEncoders, parts: Sequence[Part]) -> Tensor:
        """Return the sums (modality, 4) of what `hide` returned of this process's part of a batch.

        Micro-batches are encoded one after the other, with the memory of one, as contrast encodes them.
        """

        def told(part: Part) -> Tensor:
            hidden, present = part
            embedded = model({name: one.batch for name, one in hidden.items()}, present)
            pairs = zip(embedded, present.unbind(1), strict=True)
            return torch.stack([self.sums(name, *pair, hidden[name]) for name, pair in zip(hidden, pairs, strict=True)])

        if len(parts) == 1:
            return told(parts[0])
        with set_checkpoint_early_stop(False):
            return torch.stack([checkpoint(told, part, use_reentrant=False) for part in parts]).sum(dim=0)

    def validated(
        self, model: ModalityEncoders, view: ViewData, rows: np.ndarray, seed: int, device: torch.device
    ) -> float:
        """Return the loss on some stays, of whom the same is hidden every time; NaN without any."""
        names, total = list(self.columns), torch.zeros(len(self.columns), 4, device=device)
        present = view.present(names)
        for chosen in view.evaluation_batches(names, rows, EVALUATED):
            own = group.part(chosen)
            if len(own):
                batch = view.batch(names, own, device), torch.from_numpy(present[own]).to(device)
                total += self.of_batch(model, self.hide(view, chosen, [batch], [seed]))
        return float(mean_loss(total)) if len(rows) else math.nan

    def hidden(self, name: str, batch: Mapping[str, Tensor], drawn: Tensor) -> Hidden:
        """Hide some hours and measurements of a modality's batch.

        Args:
            name: the modality.
            batch: the batch of the modality.
            drawn: numbers of the batch's stays from `draw`, of its hours or more.
        """
        values, columns = batch["values"], self.columns[name]
        drawn = drawn[:, : values.shape[1]].to(values.device)
        within = hours_within(values, batch["lengths"].to(values.device))
        hour_hidden = within & (drawn[..., 0] < HIDDEN_HOURS)
        variable = [1 + columns.variable[value] for value in columns.values]
        measured = columns.measured(values) > 0
        value_hidden = measured & within[..., None] & (hour_hidden[..., None] | (drawn[..., variable] < HIDDEN_VALUES))
        told = values[..., columns.values].clamp(-SUMMARY_LIMIT, SUMMARY_LIMIT)
        seen = {**batch, "values": without(values, columns, value_hidden)}
        return Hidden(seen, told, value_hidden, values[..., masks_of(columns)], hour_hidden)

    def sums(self, name: str, embeddings: Tensor, present: Tensor, hidden: Hidden) -> Tensor:
        """Return what the loss of a modality is made of, so that parts of a batch add up.

        Args:
            name: the modality.
            embeddings: (batch, dim) of what the encoder saw.
            present: (batch,) bool; absent stays do not count.
            hidden: what it did not see.

        Returns:
            Squared errors of hidden values and their number, cross-entropy of presence in hidden hours and its number.
        """
        values, logits = self.heads[name](embeddings, hidden.values.shape[1])
        value_hidden = hidden.value_hidden & present[:, None, None]
        hour_hidden = (hidden.hour_hidden & present[:, None])[..., None].expand_as(hidden.measured)
        errors = (values - hidden.values).square()[value_hidden].sum()
        entropy = binary_cross_entropy_with_logits(logits, hidden.measured, reduction="none")[hour_hidden].sum()
        return torch.stack([errors, value_hidden.sum().to(errors), entropy, hour_hidden.sum().to(errors)])


class Head(nn.Module):
    """Predict a series from its embedding: (batch, dim) → values (batch, hour, value), presence (batch, hour, mask).

    Presence is a logit. One hidden layer sees the embedding and sines and cosines of the hour.
    """

    def __init__(self, embed_dim: int, columns: Columns) -> None:
        super().__init__()
        self.sizes = [len(columns.values), len(masks_of(columns))]
        self.from_embedding = nn.Linear(embed_dim, WIDTH)
        self.from_hour = nn.Linear(PLACES, WIDTH, bias=False)
        self.leave = nn.Linear(WIDTH, sum(self.sizes))

    def forward(self, embeddings: Tensor, hours: int) -> tuple[Tensor, Tensor]:  # noqa: D102
        place = self.from_hour(positions(hours, PLACES, embeddings.device))
        values, logits = self.leave(relu(self.from_embedding(embeddings)[:, None] + place)).split(self.sizes, dim=-1)
        return values, logits


def masks_of(columns: Columns) -> list[int]:
    """Return the columns that are masks, each once: those of a category are one."""
    return sorted({mask for mask in columns.masks if mask >= 0})


def without(values: Tensor, columns: Columns, hidden: Tensor) -> Tensor:
    """Return a series as it would be had some measurements not been made: without them, and without what they leave.

    Until the next measurement the value before is carried forward. Where there is none, a variable has the value that
    the series starts with if its first hour is not measured, and else 0, the training mean. A variable without a mask
    counts as measured in every hour.

    Args:
        values: (batch, hour, column).
        columns: the roles of the columns.
        hidden: (batch, hour, value column), true for the measurements that are taken out.
    """
    own = values[..., columns.values]
    measured = columns.measured(values) > 0
    left = measured & ~hidden
    last = last_measured(left.to(values.dtype))
    start = torch.where(measured[:, :1], 0.0, own[:, :1]).expand_as(own)
    found = values.clone()
    found[..., columns.values] = torch.where(last < 0, start, own.gather(1, last.clamp(min=0)))
    hour = torch.arange(values.shape[1], device=values.device)[:, None]
    days = torch.where(last < 0, MAX_SINCE, ((hour - last) / DAY).clamp(max=MAX_SINCE)).to(values.dtype)
    for place, (mask, since) in enumerate(zip(columns.masks, columns.since, strict=True)):
        if mask >= 0:
            found[..., mask] = left[..., place].to(values.dtype)
        if since >= 0:
            found[..., since] = days[..., place]
    return found


def mean_loss(sums: Tensor) -> Tensor:
    """Return the loss, of each modality the mean error of hidden values plus the mean cross-entropy of presence.

    Args:
        sums: (modality, 4) from `of_batch`, to which those of the other processes of a group are added; the loss is the
            mean over the modalities.
    """
    errors, values, entropy, hours = gather(sums.unsqueeze(1), None)[0].sum(dim=1).unbind(-1)
    return (errors / values.clamp(min=1) + entropy / hours.clamp(min=1)).mean()
