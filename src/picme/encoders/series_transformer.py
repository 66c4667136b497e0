"""Transformer encoder of hourly series.

Vaswani et al.: Attention is all you need, NeurIPS 2017, sections 3.1 to 3.5. Layers are normalised before each part
(Xiong et al.: On layer normalization in the transformer architecture, ICML 2020), which trains without a warm-up.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from picme.encoders.series import SeriesStates, at_end, hours_within

if TYPE_CHECKING:
    from collections.abc import Mapping

    from picme.config.encoders import SeriesTransformerConfig


class SeriesTransformerEncoder(SeriesStates):
    """Transformer encoder: `values` (batch, hour, column) with `lengths` (batch,) → (batch, embed_dim).

    Hours are mapped linearly to `hidden`, sines and cosines of the hour are added, and every hour attends to all hours
    before the series' end.
    """

    def __init__(self, config: SeriesTransformerConfig, spec: Mapping[str, Any], embed_dim: int) -> None:
        super().__init__(config, spec, embed_dim)
        self.enter = nn.Linear(self.n_inputs, config.hidden)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                config.hidden,
                config.heads,
                config.feedforward,
                config.dropout,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.hidden)
        self.project_from(config.hidden)

    def states(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        states = self.enter(self.inputs(values))
        states = self.dropout(states + positions(states.shape[1], states.shape[2], states.device))
        beyond = ~hours_within(values, lengths)
        for layer in self.layers:
            states = layer(states, src_key_padding_mask=beyond)
        states = self.norm(states)
        return states, at_end(states, lengths)


def positions(hours: int, size: int, device: torch.device | None = None) -> Tensor:
    """Return the positions' encoding (hour, size): sin(hour · ω) in even and cos(hour · ω) in odd places.

    The rates ω fall from 1 to 1/10,000 per hour.
    """
    rates = torch.exp(torch.arange(0, size, 2, device=device) * (-math.log(10_000.0) / size))
    angles = torch.arange(hours, device=device)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
