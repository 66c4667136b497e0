"""Temporal convolutional network: causal, dilated convolutions over hours.

Bai, Kolter, Koltun: An empirical evaluation of generic convolutional and recurrent networks for sequence modeling,
arXiv 1803.01271 (2018), section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn.functional import pad, relu
from torch.nn.utils.parametrizations import weight_norm

from picme.encoders.series import SeriesStates, at_end

if TYPE_CHECKING:
    from collections.abc import Mapping

    from picme.config.encoders import TCNConfig


class TCNEncoder(SeriesStates):
    """Temporal convolutional encoder: `values` (batch, hour, column) with `lengths` (batch,) → (batch, embed_dim).

    Residual blocks with dilations 1, 2, 4, …; the state of an hour depends on that hour and those before it.
    """

    def __init__(self, config: TCNConfig, spec: Mapping[str, Any], embed_dim: int) -> None:
        super().__init__(config, spec, embed_dim)
        sizes = [self.n_inputs] + [config.hidden] * config.blocks
        self.blocks = nn.Sequential(
            *(
                Block(size, config.hidden, config.kernel, 2**depth, config.dropout)
                for depth, size in enumerate(sizes[:-1])
            )
        )
        self.project_from(config.hidden)

    def states(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        states: Tensor = self.blocks(self.inputs(values).transpose(1, 2)).transpose(1, 2)
        return states, at_end(states, lengths)


class Block(nn.Module):
    """Residual block: two causal convolutions, each with weight normalisation, ReLU and dropout, and a shortcut.

    It maps (batch, channel, hour) to (batch, hidden, hour).
    """

    def __init__(self, channels: int, hidden: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.before = (kernel - 1) * dilation
        self.first = weight_norm(nn.Conv1d(channels, hidden, kernel, dilation=dilation))
        self.second = weight_norm(nn.Conv1d(hidden, hidden, kernel, dilation=dilation))
        self.around = nn.Conv1d(channels, hidden, 1) if channels != hidden else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor) -> Tensor:  # noqa: D102
        inner = self.dropout(relu(self.first(pad(values, (self.before, 0)))))
        inner = self.dropout(relu(self.second(pad(inner, (self.before, 0)))))
        return relu(inner + self.around(values))
