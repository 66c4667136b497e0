"""Set transformer over the measurements of a series, with no grid of hours.

Measurements as triplets of time, variable and value, with a small network that embeds the time: Tipirneni, Reddy:
Self-supervised transformer for sparse and irregularly sampled multivariate clinical time-series (STraTS), ACM
Transactions on Knowledge Discovery from Data 16 (2022). Values embedded by weights of their variable: Gorishniy et
al.: Revisiting deep learning models for tabular data, NeurIPS 2021, section 3.3. Attention through inducing points,
and pooling by attention to seeds that then see each other: Lee et al.: Set Transformer, ICML 2019, section 3; as in
picme's transformer over hours, layers are normalised before each part.
"""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from picme.encoders.series import DAY, SeriesNetwork, hours_within

if TYPE_CHECKING:
    from collections.abc import Mapping

    from picme.config.encoders import SetTransformerConfig


class SetTransformerEncoder(SeriesNetwork):
    """Set transformer encoder: `values` (batch, hour, column) with `lengths` (batch,) → (batch, embed_dim).

    A measurement is a triplet: the time, given as the days since the series began and until it ends, the variable, and
    the value. Prepared series are hourly, so the time is that of the hour, and a variable has one value in it. Cells
    that hold a value carried forward are no measurements and have no influence; nor have columns `since->x`. Of a
    category, which has a column for each of its values, the columns that are not 0 count. A column without a mask
    counts as measured every hour.

    Every set has one learned element more, so that a stay without any measurement has a learned embedding.
    """

    config: SetTransformerConfig

    def __init__(self, config: SetTransformerConfig, spec: Mapping[str, Any], embed_dim: int) -> None:
        super().__init__(config, spec, embed_dim)
        hidden, masks = config.hidden, self.columns.masks
        self.category = [mask >= 0 and masks.count(mask) > 1 for mask in masks]
        self.variable = nn.Embedding(len(masks), hidden)
        self.slope = nn.Embedding(len(masks), hidden)
        width = max(2, isqrt(hidden))
        self.time = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, hidden))
        self.nothing = nn.Parameter(torch.randn(hidden))
        self.layers = nn.ModuleList(InducedAttention(config) for _ in range(config.layers))
        self.before_pooling = Feedforward(config)
        self.seeds = nn.Parameter(torch.randn(config.seeds, hidden))
        self.pool, self.among_seeds = Attention(config), Attention(config)
        self.norm = nn.LayerNorm(hidden)
        self.project_from(config.seeds * hidden)

    def pooled(self, values: Tensor, lengths: Tensor) -> Tensor:  # noqa: D102
        states, beyond = self.elements(values, lengths)
        for layer in self.layers:
            states = layer(states, beyond)
        seeds = self.pool(self.seeds.expand(len(states), -1, -1), self.before_pooling(states), beyond)
        found: Tensor = self.norm(self.among_seeds(seeds, seeds)).flatten(1)
        return found

    def elements(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Embed the measurements of each series.

        Returns:
            The learned element and the measurements (batch, 1 + measurement, hidden), and which of them are padding
            (batch, 1 + measurement) bool.
        """
        own = values[..., self.columns.values]
        measured = (self.columns.measured(values) > 0) & hours_within(values, lengths).unsqueeze(-1)
        measured &= (own != 0) | ~torch.tensor(self.category, device=values.device)
        stay, hour, variable = measured.nonzero(as_tuple=True)
        days = torch.stack([hour, lengths[stay] - 1 - hour], dim=1).to(own.dtype) / DAY
        found = self.variable(variable) + self.slope(variable) * own[measured].unsqueeze(1) + self.time(days)
        count = measured.flatten(1).sum(dim=1)
        # The first place of each row is that of the learned element.
        place = 1 + torch.arange(len(stay), device=values.device) - (count.cumsum(0) - count)[stay]
        size = 1 + int(count.max())
        states = found.new_zeros(len(values), size, found.shape[1]).index_put((stay, place), found)
        states = torch.cat([self.nothing.expand(len(values), 1, -1), states[:, 1:]], dim=1)
        return states, torch.arange(size, device=values.device) > count.unsqueeze(1)


class Feedforward(nn.Module):
    """Two linear maps of each element by itself, with GELU between, added to the element: (batch, n, hidden) → same."""

    def __init__(self, config: SetTransformerConfig) -> None:
        super().__init__()
        self.before = nn.LayerNorm(config.hidden)
        self.enter = nn.Linear(config.hidden, config.feedforward)
        self.leave = nn.Linear(config.feedforward, config.hidden)

    def forward(self, elements: Tensor) -> Tensor:  # noqa: D102
        found: Tensor = elements + self.leave(gelu(self.enter(self.before(elements))))
        return found


class Attention(nn.Module):
    """Attention of some elements to others (Lee et al.'s MAB): (batch, n, hidden), (batch, m, hidden) → the first."""

    def __init__(self, config: SetTransformerConfig) -> None:
        super().__init__()
        self.before, self.others = nn.LayerNorm(config.hidden), nn.LayerNorm(config.hidden)
        self.attend = nn.MultiheadAttention(config.hidden, config.heads, batch_first=True)
        self.dropout = nn.Dropout(config.dropout)
        self.after = Feedforward(config)

    def forward(self, elements: Tensor, others: Tensor, beyond: Tensor | None = None) -> Tensor:
        """Attend to all others but those where `beyond` (batch, m) is true."""
        keys = self.others(others)
        found, _ = self.attend(self.before(elements), keys, keys, key_padding_mask=beyond, need_weights=False)
        attended: Tensor = self.after(elements + self.dropout(found))
        return attended


class InducedAttention(nn.Module):
    """Attention of the elements of a set to each other through learned points (Lee et al.'s ISAB).

    The points attend to the elements, and the elements to the points: (batch, n, hidden) → the same.
    """

    def __init__(self, config: SetTransformerConfig) -> None:
        super().__init__()
        self.points = nn.Parameter(torch.randn(config.inducing, config.hidden))
        self.gather, self.spread = Attention(config), Attention(config)

    def forward(self, elements: Tensor, beyond: Tensor) -> Tensor:
        """Let the points see all elements but those where `beyond` (batch, n) is true."""
        points = self.gather(self.points.expand(len(elements), -1, -1), elements, beyond)
        spread: Tensor = self.spread(elements, points)
        return spread
