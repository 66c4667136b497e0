"""A gated recurrent unit over hours."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from picme.config.encoders import EncoderConfig
from picme.encoders.base import Encoder, masked_mean, projection


class GRUConfig(EncoderConfig):
    """What a configuration can set; `projection` comes from `EncoderConfig`."""

    reads: ClassVar[tuple[str, ...]] = ("timeseries",)
    name: Literal["gru"] = "gru"
    hidden: int = Field(64, ge=1)
    """Units."""


class GRUEncoder(Encoder):
    """`values` (batch, hour, column) with `lengths` (batch,) → (batch, embed_dim): the mean state over the hours."""

    Config = GRUConfig

    def __init__(self, config: GRUConfig, n_columns: int, embed_dim: int) -> None:
        super().__init__(config, embed_dim)
        self.gru = nn.GRU(n_columns, config.hidden, batch_first=True)
        self.projection = projection(config.projection, config.hidden, embed_dim)

    @classmethod
    def from_config(cls, config: GRUConfig, spec: dict[str, Any], embed_dim: int) -> GRUEncoder:
        return cls(config, int(spec["n_columns"]), embed_dim)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        states, _ = self.gru(batch["values"])
        hours = batch["values"].new_ones(states.shape[:2]).cumsum(1)
        # Padded hours come after a stay's last one and do not count.
        embeddings: Tensor = self.projection(masked_mean(states, hours <= batch["lengths"][:, None]))
        return embeddings.float()
