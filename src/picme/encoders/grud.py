"""GRU-D: a gated recurrent unit that takes the age of each measurement into account.

Che, Purushotham, Cho, Sontag, Liu: Recurrent neural networks for multivariate time series with missing values,
Scientific Reports 8, 6085 (2018), equations 10 to 17.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from picme.encoders.series import DAY, SeriesStates, at_end, last_measured

if TYPE_CHECKING:
    from collections.abc import Mapping

    from picme.config.encoders import GRUDConfig


class GRUDEncoder(SeriesStates):
    """GRU-D encoder: `values` (batch, hour, column) with `lengths` (batch,) → (batch, embed_dim).

    With values x (carried forward in hours without a measurement), masks m and intervals δ, at hour t:

        γx = exp(-max(0, w ⊙ δ + b))          γh = exp(-max(0, W δ + c))
        x̂ = m ⊙ x + (1 - m) ⊙ γx ⊙ x          ĥ = γh ⊙ h(t-1)
        r, z = σ(W x̂ + U ĥ + V m + b)         h̃ = tanh(W x̂ + U (r ⊙ ĥ) + V m + b)
        h(t) = (1 - z) ⊙ ĥ + z ⊙ h̃

    A value decays to 0, which is the training mean of a normalised column and, for a category, stands for none. δ is
    computed from the masks, in days: 0 at the first hour, after it the time since the last measurement before hour t,
    or since the first hour where there was none. A column without a mask counts as measured every hour. Columns
    `since->x` are not read, because δ holds the same. In hours without a measurement a column must hold the last value,
    as all sources of picme provide it.
    """

    def __init__(self, config: GRUDConfig, spec: Mapping[str, Any], embed_dim: int) -> None:
        super().__init__(config, spec, embed_dim)
        size, hidden = len(self.columns.values), config.hidden
        self.input_decay = nn.Parameter(torch.empty(size).uniform_(0, 1))
        self.input_decay_bias = nn.Parameter(torch.zeros(size))
        self.state_decay = nn.Linear(size, hidden)
        # Positive, or a unit would neither decay nor learn to; small, or rarely measured variables would erase it.
        nn.init.uniform_(self.state_decay.weight, 0, 0.1 / size)
        nn.init.zeros_(self.state_decay.bias)
        self.from_input = nn.Linear(2 * size, 3 * hidden)
        self.from_state = nn.Linear(hidden, 2 * hidden, bias=False)
        self.from_reset = nn.Linear(hidden, hidden, bias=False)
        for weight in (self.from_state.weight, self.from_reset.weight):
            for block in weight.chunk(len(weight) // hidden):
                nn.init.orthogonal_(block)
        self.project_from(hidden)

    def states(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        measured = self.columns.measured(values)
        days = intervals(measured)
        fade = torch.exp(-torch.relu(self.input_decay * days + self.input_decay_bias))
        decayed = values[..., self.columns.values] * (measured + (1 - measured) * fade)
        keep = torch.exp(-torch.relu(self.state_decay(days))).unbind(1)
        # Two gates, then the candidate: what does not depend on the state is computed for all hours at once.
        inputs = self.from_input(torch.cat([decayed, measured], dim=-1))
        hidden = self.from_reset.in_features
        gates, candidates = (part.unbind(1) for part in inputs.split([2 * hidden, hidden], dim=-1))
        state = inputs.new_zeros(len(values), hidden)
        states = []
        for hour, kept in enumerate(keep):
            state = kept * state
            reset, update = torch.sigmoid(gates[hour] + self.from_state(state)).chunk(2, dim=-1)
            candidate = torch.tanh(candidates[hour] + self.from_reset(reset * state))
            state = torch.lerp(state, candidate, update)
            states.append(state)
        stacked = torch.stack(states, dim=1)
        return stacked, at_end(stacked, lengths)


def intervals(measured: Tensor) -> Tensor:
    """Return δ, the days since the last measurement before each hour, of the same shape as `measured`.

    Args:
        measured: (batch, hour, variable), above 0 where measured.
    """
    before = last_measured(measured).clamp(min=0)[:, :-1]
    hour = torch.arange(1, measured.shape[1], device=measured.device)[:, None]
    days = (hour - before).to(measured.dtype) / DAY
    return torch.cat([days.new_zeros(len(days), 1, days.shape[2]), days], dim=1)
