"""Time-series encoder: an LSTM over padded hours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from picme.encoders.series import SeriesStates, at_end

if TYPE_CHECKING:
    from collections.abc import Mapping

    from picme.config.encoders import LSTMEncoder


class SeriesEncoder(SeriesStates):
    """LSTM encoder: `values` (batch, hour, column) with `lengths` (batch,) → (batch, embed_dim).

    The result equals that of an LSTM on packed sequences, but series are padded: on the CPU, packing costs 8 times the
    time. Forward, the hours after a series' end are computed and not used; backward, each series is reversed within its
    own length.
    """

    def __init__(self, config: LSTMEncoder, spec: Mapping[str, Any], embed_dim: int) -> None:
        super().__init__(config, spec, embed_dim)
        self.bidirectional = config.bidirectional
        hidden = config.hidden
        if config.bidirectional:
            sizes = [self.n_inputs] + [2 * hidden] * (config.layers - 1)
            self.forwards = nn.ModuleList(nn.LSTM(size, hidden, batch_first=True) for size in sizes)
            self.backwards = nn.ModuleList(nn.LSTM(size, hidden, batch_first=True) for size in sizes)
        else:
            between = config.dropout if config.layers > 1 else 0.0
            self.lstm = nn.LSTM(self.n_inputs, hidden, config.layers, batch_first=True, dropout=between)
        self.project_from(hidden * (2 if config.bidirectional else 1))

    def states(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the states at all hours (batch, hour, width), and the last one of each direction (batch, width)."""
        values = self.inputs(values)
        if not self.bidirectional:
            states, _ = self.lstm(values)
            return states, at_end(states, lengths)
        states, last = values, values[:, 0]
        for depth, (forwards, backwards) in enumerate(zip(self.forwards, self.backwards, strict=True)):
            if depth:
                states = self.dropout(states)
            ahead, _ = forwards(states)
            behind, _ = backwards(reverse(states, lengths))
            last = torch.cat([at_end(ahead, lengths), at_end(behind, lengths)], dim=-1)
            states = torch.cat([ahead, reverse(behind, lengths)], dim=-1)
        return states, last


def reverse(values: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each series within its own length; what follows its end stays in place."""
    hours = torch.arange(values.shape[1], device=values.device).unsqueeze(0)
    ends = lengths.to(values.device).unsqueeze(1)
    order = torch.where(hours < ends, ends - 1 - hours, hours)
    return values.gather(1, order.unsqueeze(-1).expand_as(values))
