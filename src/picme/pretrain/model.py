"""Model of pretraining: the encoders of a combination, side by side."""

from __future__ import annotations

import hashlib
from math import prod
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from picme.encoders import build
from picme.engine.memory import check_memory
from picme.errors import TrainingError
from picme.fitting.ahead import Ahead
from picme.fitting.component import calling, check_shape
from picme.fitting.size import fitting_memory
from picme.pretrain.trunk_cache import has_bf16

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from picme.encoders.base import Encoder
    from picme.modalities.view import ViewData
    from picme.pretrain.features import Encoding


# Name in a state for what all modalities share; no modality can have this name.
SHARED = "*"


class ModalityEncoders(nn.Module):
    """One encoder for each modality of a combination, each initialised with a seed of its own modality.

    An untrained encoder is therefore the same in every combination, and the control `random` equals the start of
    pretraining. With `study.projection: shared`, one linear layer that all modalities share follows the encoders' own
    projections; it has a seed of its own, so that it, too, starts the same in every combination.
    """

    def __init__(self, encodings: Sequence[Encoding], view: ViewData, seed: int) -> None:
        super().__init__()
        self.combination = tuple(one.modality for one in encodings)
        encoders = {}
        for one in encodings:
            torch.manual_seed(modality_seed(seed, one.modality))
            name = one.modality
            keys = f"modalities.{name}.encoder's sizes or study.embed_dim"
            with fitting_memory(f"the encoder of modality {name!r}", keys):
                encoders[name] = build(one.encoder, view.modalities[name].spec(), one.embed_dim, name)
        self.encoders = nn.ModuleDict(encoders)
        self.shared: nn.Linear | None = None
        if encodings[0].shared:
            torch.manual_seed(modality_seed(seed, SHARED))
            self.shared = nn.Linear(encodings[0].embed_dim, encodings[0].embed_dim)
        self._precision, self._embed_dim = encodings[0].precision, encodings[0].embed_dim
        self._names = {one.modality: one.encoder.name for one in encodings}
        self._large = {one.modality for one in encodings if one.large}

    def forward(self, batch: Mapping[str, dict[str, Tensor]], present: Tensor) -> Tensor:
        """Compute embeddings (modality, batch, dim) of the modalities in a batch, zero where absent.

        Args:
            batch: the batch of all modalities or some, in the combination's order.
            present: (batch, modality) bool, of the same modalities.

        Raises:
            TrainingError: if an embedding is not finite, naming the modality.
        """
        embeddings = []
        names = [name for name in self.combination if name in batch]
        kind = present.device.type
        half = has_bf16(kind) if self._precision == "auto" else self._precision == "bf16"
        for index, name in enumerate(names):
            what = f"encoder {self._names[name]!r} of modality {name!r}"
            with (
                calling(what, batch=batch[name]),
                torch.autocast(kind, torch.bfloat16, enabled=half and name in self._large),
            ):
                embedding = self.encoders[name](batch[name])
            check_shape(what, embedding, (len(present), self._embed_dim))
            embedding = embedding.float()
            if self.shared is not None:
                embedding = self.shared(embedding)
            embeddings.append(embedding.masked_fill(~present[:, index, None], 0.0))
        stacked = torch.stack(embeddings)
        if not torch.isfinite(stacked).all():
            bad = [name for name, one in zip(names, embeddings, strict=True) if not torch.isfinite(one).all()]
            raise TrainingError(f"the embedding of modality {bad[0]!r} is not finite; try a smaller learning rate")
        return stacked

    def trainable_state(self) -> dict[str, Tensor]:
        """Return the trained part as `modality.parameter`, and what the modalities share as `*.parameter`."""
        return {
            f"{name}.{key}": value.detach().cpu().contiguous()
            for name, part in self._parts().items()
            for key, value in part.items()
        }

    def load_trainable(self, state: Mapping[str, Tensor]) -> None:
        """Load what `trainable_state` returned; entries of other modalities are passed over.

        Raises:
            TrainingError: if the state belongs to other encoders.
        """
        for name, encoder in self.encoders.items():
            cast("Encoder", encoder).load_trainable(_below(state, name))
        shared = _below(state, SHARED)
        if bool(shared) != (self.shared is not None):
            raise TrainingError(
                f"the stored encoders have {'a' if shared else 'no'} projection that all modalities share, "
                f"study.projection is {'shared' if self.shared is not None else 'own'!r}"
            )
        if self.shared is not None:
            self.shared.load_state_dict(shared)

    def manifest(self) -> dict[str, Any]:
        """Describe each modality's encoder for a checkpoint: base model, revision, mode, sizes."""
        return {name: cast("Encoder", encoder).manifest() for name, encoder in self.encoders.items()}

    def _parts(self) -> dict[str, dict[str, Tensor]]:
        parts = {name: cast("Encoder", encoder).trainable_state() for name, encoder in self.encoders.items()}
        return parts | ({SHARED: self.shared.state_dict()} if self.shared is not None else {})


def _below(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return the entries `name.…` of a state, without the name."""
    prefix = f"{name}."
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def modality_seed(seed: int, name: str) -> int:
    """Return a seed that depends on the modality and the study's seed alone."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=4).digest(), "big") >> 1


@torch.no_grad()
def embed(
    model: ModalityEncoders, view: ViewData, rows: np.ndarray, device: torch.device, size: int = 256
) -> np.ndarray:
    """Compute the embeddings of rows, (modality, row, dim) float32, in the rows' order; zero where absent."""
    model.eval()
    combination = model.combination
    present = view.present(combination)
    place = np.full(len(view), -1)
    place[rows] = np.arange(len(rows))
    out: np.ndarray | None = None

    def built(chosen: np.ndarray) -> tuple[np.ndarray, dict[str, dict[str, Tensor]]]:
        return chosen, view.batch(combination, chosen, device)

    for chosen, batch in Ahead(view.evaluation_batches(combination, rows, size), built, device):
        embedded = model(batch, torch.from_numpy(present[chosen]).to(device)).cpu().numpy()
        if out is None:
            shape = (len(combination), len(rows), embedded.shape[-1])
            check_memory(4.0 * prod(shape), f"embeddings of {len(rows):,} stays", "make study.embed_dim smaller")
            out = np.zeros(shape, dtype=np.float32)
        out[:, place[chosen]] = embedded
    return out if out is not None else np.zeros((len(combination), 0, 1), dtype=np.float32)
