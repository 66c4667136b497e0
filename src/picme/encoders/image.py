"""Image encoder: a torchvision or timm network that is locked, or trained in its last layers or as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from picme.encoders.base import Encoder, projection
from picme.encoders.networks import Network, load_network

if TYPE_CHECKING:
    from collections.abc import Mapping

    from picme.config.encoders import ImageEncoder


class ConvEncoder(Encoder):
    """Image encoder: `pixels` (batch, 1 or 3, height, width) uint8 → (batch, embed_dim).

    In mode `locked` the trunk is the whole network and features are vectors. In modes `head` and `last_stage` the trunk
    ends where training begins and features are maps (channels, height, width). In mode `full` there is no trunk.
    """

    def __init__(self, config: ImageEncoder, spec: Mapping[str, Any], embed_dim: int) -> None:
        super().__init__(config, embed_dim)
        self.has_locked_trunk = config.locked_trunk
        self.body: nn.Module | None = None
        feature_dim = spec.get("feature_dim")
        if config.mode == "locked":
            if feature_dim is None:
                feature_dim = self._network().feature_dim
        else:
            network = load_network(config)
            feature_dim = network.feature_dim
            if config.mode == "full":
                self.body = Prepared(network, network.whole)
            else:
                lower, self.body = network.split(config.mode)
                if "feature_dim" not in spec:
                    self._trunk.append(Prepared(network, lower).requires_grad_(False).eval())
            self.body.to(memory_format=torch.channels_last)
        self.projection = projection(config.projection, int(feature_dim), embed_dim)

    @classmethod
    def from_config(cls, config: ImageEncoder, spec: Mapping[str, Any], embed_dim: int) -> ConvEncoder:  # noqa: D102
        return cls(config, spec, embed_dim)

    def load_trunk(self) -> nn.Module:  # noqa: D102
        network = load_network(self.config)  # type: ignore[arg-type]
        mode = self.config.mode  # type: ignore[attr-defined]
        lower = network.whole if mode == "locked" else network.split(mode)[0]
        return Prepared(network, lower).to(memory_format=torch.channels_last)

    def _network(self) -> Network:
        trunk = self.trunk
        assert isinstance(trunk, Prepared)
        return trunk.network[0]

    def trunk_features(self, batch: dict[str, Tensor]) -> Tensor:
        """Return (batch, feature_dim), or (batch, channels, height, width) where training begins inside the network."""
        with torch.no_grad():
            features: Tensor = self.trunk(batch["pixels"])
            return features.float()

    def forward(self, batch: dict[str, Tensor]) -> Tensor:  # noqa: D102
        if not self.has_locked_trunk:
            assert self.body is not None
            features = self.body(batch["pixels"])
        else:
            features = self.features(batch)
            if self.body is not None:
                features = self.body(features.contiguous(memory_format=torch.channels_last))
        embeddings: Tensor = self.projection(features)
        return embeddings.float()


class Prepared(nn.Module):
    """A network, or a part of it, with the preparation of stored pixels before it.

    uint8 → [0, 1] → resized (bicubic, antialiased) → normalised with the network's mean and deviation → as many
    channels as the first convolution takes → channels-last.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: Network, part: nn.Module) -> None:
        super().__init__()
        self.network = [network]  # a list keeps it from becoming a submodule
        self.part = part
        self.resize = network.resize
        self.register_buffer("mean", torch.tensor(network.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(network.std).view(1, -1, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:  # noqa: D102
        images = pixels.float().div_(255)
        if self.resize is not None and tuple(images.shape[-2:]) != (self.resize, self.resize):
            size = (self.resize, self.resize)
            images = functional.interpolate(images, size=size, mode="bicubic", antialias=True).clamp_(0, 1)
        # By broadcasting, one grey channel and three means give three channels.
        images = (images - self.mean) / self.std
        features: Tensor = self.part(images.contiguous(memory_format=torch.channels_last))
        return features
