"""Every modality is aligned with one of them, the anchor, as in ImageBind (Girdhar et al. 2023)."""

from __future__ import annotations

from typing import Literal, Unpack

import torch
from pydantic import Field
from torch import Tensor

from picme.config.objectives import ObjectiveConfig
from picme.errors import ConfigError
from picme.objectives.base import Info, Objective, Options, report
from picme.objectives.infonce import both_directions


class AnchoredConfig(ObjectiveConfig):
    """What a configuration can set; temperature and the rest come from `ObjectiveConfig`."""

    name: Literal["anchored"] = "anchored"
    anchor: int = Field(0, ge=0)
    """The anchor's place in the combination."""


class Anchored(Objective):
    """The mean of InfoNCE(anchor, other) over the others: K−1 terms instead of K(K−1)/2 pairs.

    Inputs:
        embeddings (K, batch, dim), raw; present (batch, K) bool or None.
    """

    Config = AnchoredConfig

    def __init__(self, n_modalities: int, anchor: int = 0, **options: Unpack[Options]) -> None:
        super().__init__(n_modalities, **options)
        if anchor >= n_modalities:
            raise ConfigError(f"anchor {anchor} is no place in a combination of {n_modalities}; places start at 0")
        self.anchor = anchor

    def evaluate(self, embeddings: Tensor, present: Tensor | None) -> tuple[Tensor, Info]:
        terms, counts = [], []
        for other in range(self.n_modalities):
            if other == self.anchor:
                continue
            pair = [self.anchor, other]
            both = None if present is None else present[:, pair]
            directions, count = both_directions(embeddings[pair], both, self.scale(embeddings.dtype), self.chunk)
            terms.append(directions.mean())
            counts.append(count)
        every, stays = torch.stack(terms), torch.stack(counts)
        # A pair without two stays in the batch has nothing to contrast and drops out.
        usable = (stays >= 2).to(every.dtype)
        weights = usable / usable.sum().clamp_min(1)
        return weights @ every, report(every * usable, weights, stays)
