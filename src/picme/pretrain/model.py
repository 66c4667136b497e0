"""The encoders of a combination, side by side."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn

from picme.encoders import build
from picme.errors import TrainingError
from picme.pretrain.trunk_cache import has_bf16

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from picme.config.study import Config
    from picme.encoders.base import Encoder
    from picme.modalities.view import ViewData


class ModalityEncoders(nn.Module):
    """One encoder for each modality of a combination; each starts from a seed of its own modality.

    So an untrained encoder is the same in every combination, and the control `random` is what pretraining began with.
    """

    def __init__(self, combination: Sequence[str], config: Config, view: ViewData, seed: int) -> None:
        super().__init__()
        self.combination = tuple(combination)
        encoders = {}
        for name in combination:
            torch.manual_seed(modality_seed(seed, name))
            encoders[name] = build(
                config.modalities[name].encoder, view.modalities[name].spec(), config.study.embed_dim
            )
        self.encoders = nn.ModuleDict(encoders)
        self._precision = config.study.precision
        self._large = {name for name in combination if getattr(config.modalities[name].encoder, "large", False)}

    def forward(self, batch: Mapping[str, dict[str, Tensor]], present: Tensor) -> Tensor:
        """Embeddings (modality, batch, dim), zero where absent (`present` is (batch, modality) bool).

        Raises:
            TrainingError: if an embedding is not finite, naming the modality.
        """
        embeddings = []
        kind = present.device.type
        half = has_bf16(kind) if self._precision == "auto" else self._precision == "bf16"
        for index, name in enumerate(self.combination):
            with torch.autocast(kind, torch.bfloat16, enabled=half and name in self._large):
                embedding = self.encoders[name](batch[name])
            embedding = embedding.float()
            embeddings.append(embedding.masked_fill(~present[:, index, None], 0.0))
        stacked = torch.stack(embeddings)
        if not torch.isfinite(stacked).all():
            bad = [
                name for name, one in zip(self.combination, embeddings, strict=True) if not torch.isfinite(one).all()
            ]
            raise TrainingError(f"the embedding of modality {bad[0]!r} is not finite; try a smaller learning rate")
        return stacked

    def trainable_state(self) -> dict[str, Tensor]:
        """The trained part by `modality.parameter`."""
        return {
            f"{name}.{key}": value.detach().cpu().contiguous()
            for name, encoder in self.encoders.items()
            for key, value in cast("Encoder", encoder).trainable_state().items()
        }

    def load_trainable(self, state: Mapping[str, Tensor]) -> None:
        """Puts back what `trainable_state` gave; modalities of other combinations in it are passed over."""
        for name, encoder in self.encoders.items():
            prefix = f"{name}."
            own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            cast("Encoder", encoder).load_trainable(own)


def modality_seed(seed: int, name: str) -> int:
    """A seed that depends on the modality and the study's seed alone."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=4).digest(), "big") >> 1


@torch.no_grad()
def embed(
    model: ModalityEncoders, view: ViewData, rows: np.ndarray, device: torch.device, size: int = 256
) -> np.ndarray:
    """Embeddings of rows, (modality, row, dim) float32, in the rows' order; zero where a modality is absent."""
    model.eval()
    combination = model.combination
    present = view.present(combination)
    place = np.full(len(view), -1)
    place[rows] = np.arange(len(rows))
    out: np.ndarray | None = None
    for chosen in view.evaluation_batches(combination, rows, size):
        mask = torch.from_numpy(present[chosen]).to(device)
        embedded = model(view.batch(combination, chosen, device), mask).cpu().numpy()
        if out is None:
            out = np.zeros((len(combination), len(rows), embedded.shape[-1]), dtype=np.float32)
        out[:, place[chosen]] = embedded
    return out if out is not None else np.zeros((len(combination), 0, 1), dtype=np.float32)
