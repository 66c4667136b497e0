"""Base class of the encoders: a trained projection on features and, in some, a trunk that is never trained."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from picme.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from picme.config.base import Component
    from picme.config.encoders import ProjectionConfig


class Encoder(nn.Module):
    """Base class of the encoders, which turn a batch of one modality into embeddings (batch, embed_dim), float32.

    The `trunk` is locked (never trained, always in evaluation mode, loaded when first needed); all else is trained.
    Batches may hold the trunk's output as `features`; the trunk is then not used.
    """

    embed_dim: int
    has_locked_trunk: bool = False
    """True if the encoder has a trunk, so that a batch may hold the output of `trunk_features` as `features`."""

    def __init__(self, config: Component, embed_dim: int) -> None:
        super().__init__()
        self.config = config
        self.embed_dim = embed_dim
        self._trunk: list[nn.Module] = []
        self._trained: frozenset[str] = frozenset()

    @classmethod
    @abstractmethod
    def from_config(cls, config: Any, spec: Mapping[str, Any], embed_dim: int) -> Encoder:
        """Build the encoder for a modality with the sizes in `spec`."""

    @abstractmethod
    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the embeddings (batch, embed_dim), float32."""

    def load_trunk(self) -> nn.Module:
        """Load the trunk; encoders that have one override this method."""
        raise NotImplementedError

    @property
    def trunk(self) -> nn.Module:
        """Return the trunk, loaded at first use.

        The trunk is not a submodule: no optimiser, state or switch of mode reaches it.
        """
        if not self._trunk:
            self._trunk.append(self.load_trunk().requires_grad_(False).eval())
        trunk = self._trunk[0]
        own, held = next(self.parameters(), None), next(trunk.parameters(), None)
        if own is not None and held is not None and own.device != held.device:
            trunk.to(own.device)
        return trunk

    def trunk_features(self, batch: dict[str, Tensor]) -> Tensor:
        """Compute the trunk's output for a batch without `features`, without gradient.

        Returns:
            (batch, feature_dim), feature maps or one vector per token.
        """
        raise NotImplementedError(f"encoder {self.config.name!r} has no locked part")

    def features(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the batch's `features`, computed by the trunk if they are not there."""
        if "features" in batch:
            return batch["features"]
        return self.trunk_features(batch)

    def ready(self) -> Self:
        """Remember which parameters are trained, whatever is frozen later; `build` calls this method."""
        self._trained = frozenset(name for name, value in self.named_parameters() if value.requires_grad)
        return self

    def trainable_state(self) -> dict[str, Tensor]:
        """Return copies of trained parameters and of the running statistics of trained normalisations, on the CPU.

        The base of adapters and the trunk are left out: the checkpoint they come from has them.
        """
        owners = {name.rpartition(".")[0] for name in self._trained}
        parameters = {name for name, _ in self.named_parameters()}
        return {
            name: value.detach().to("cpu", copy=True).contiguous()
            for name, value in self.state_dict().items()
            if name in self._trained or (name not in parameters and name.rpartition(".")[0] in owners)
        }

    def load_trainable(self, state: Mapping[str, Tensor]) -> None:
        """Load what `trainable_state` returned.

        Raises:
            TrainingError: if names or shapes belong to another encoder.
        """
        own = {name: value.shape for name, value in self.trainable_state().items()}
        for name in sorted(own.keys() ^ state.keys()):
            where = "lacks" if name in own else "has an unknown entry"
            raise TrainingError(f"the stored state of encoder {self.config.name!r} {where} {name!r}")
        for name, shape in own.items():
            if state[name].shape != shape:
                raise TrainingError(
                    f"entry {name!r} of encoder {self.config.name!r} has shape {tuple(state[name].shape)}, "
                    f"expected {tuple(shape)}"
                )
        self.load_state_dict(dict(state), strict=False)

    def manifest(self) -> dict[str, Any]:
        """Describe the encoder for a checkpoint: encoder, base model, revision, mode, sizes (parameters)."""
        return {
            "encoder": self.config.name,
            "base": getattr(self.config, "model", None),
            "revision": getattr(self.config, "revision", None),
            "weights": getattr(self.config, "weights", None),
            "mode": getattr(self.config, "mode", "full"),
            "embed_dim": self.embed_dim,
            "trained_parameters": sum(
                value.numel() for name, value in self.named_parameters() if name in self._trained
            ),
        }


def projection(config: ProjectionConfig, feature_dim: int, embed_dim: int) -> nn.Sequential:
    """Build the projection (batch, feature_dim) → (batch, embed_dim): hidden layers, dropout, a linear layer.

    ReLU follows each hidden layer.
    """
    layers: list[nn.Module] = []
    size = feature_dim
    for hidden in config.hidden:
        layers += [nn.Linear(size, hidden), nn.ReLU()]
        size = hidden
    if config.dropout:
        layers.append(nn.Dropout(config.dropout))
    return nn.Sequential(*layers, nn.Linear(size, embed_dim))


def masked_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of (batch, step, dim) over the steps where mask (batch, step) is 1, in float32."""
    weights = mask.to(torch.float32).unsqueeze(-1)
    return (hidden.float() * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
