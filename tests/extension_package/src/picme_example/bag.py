"""The encoder of the kind `counts`: a sum of event vectors."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from picme.config.encoders import EncoderConfig
from picme.encoders.base import Encoder, projection


class BagConfig(EncoderConfig):
    """What a configuration can set; `projection` comes from `EncoderConfig`."""

    reads: ClassVar[tuple[str, ...]] = ("counts",)
    name: Literal["bag"] = "bag"
    size: int = Field(32, ge=1)
    """Size of an event's vector."""


class BagEncoder(Encoder):
    """`values` (batch, event) → (batch, embed_dim): the events' vectors, weighted by how often they were recorded."""

    Config = BagConfig

    def __init__(self, config: BagConfig, n_events: int, embed_dim: int) -> None:
        super().__init__(config, embed_dim)
        self.vectors = nn.Linear(n_events, config.size)
        self.projection = projection(config.projection, config.size, embed_dim)

    @classmethod
    def from_config(cls, config: BagConfig, spec: dict[str, Any], embed_dim: int) -> BagEncoder:
        return cls(config, int(spec["n_events"]), embed_dim)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        embeddings: Tensor = self.projection(self.vectors(batch["values"]).relu())
        return embeddings.float()
