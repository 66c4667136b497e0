"""Tabular encoder: fully connected layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from picme.encoders.base import Encoder, projection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from picme.config.encoders import MLPEncoder


class TabularEncoder(Encoder):
    """Tabular encoder, a multilayer perceptron: `values` (batch, column) → (batch, embed_dim)."""

    def __init__(self, config: MLPEncoder, n_columns: int, embed_dim: int) -> None:
        super().__init__(config, embed_dim)
        layers: list[nn.Module] = []
        size = n_columns
        for hidden in config.hidden:
            layers += [nn.Linear(size, hidden), nn.ReLU(), nn.Dropout(config.dropout)]
            size = hidden
        self.layers = nn.Sequential(*layers)
        self.projection = projection(config.projection, size, embed_dim)

    @classmethod
    def from_config(cls, config: MLPEncoder, spec: Mapping[str, Any], embed_dim: int) -> TabularEncoder:  # noqa: D102
        return cls(config, int(spec["n_columns"]), embed_dim)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:  # noqa: D102
        embeddings: Tensor = self.projection(self.layers(batch["values"]))
        return embeddings.float()
