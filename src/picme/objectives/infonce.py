"""InfoNCE between two modalities."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from picme.errors import ConfigError
from picme.objectives.base import Info, Objective, Options, report
from picme.objectives.chunked import contrast
from picme.objectives.similarity import unit, without_absent


class InfoNCE(Objective):
    """Symmetric InfoNCE of two modalities.

    ½ (mean_k −log softmax_m(cos(x_k, y_m) / τ)[k] + mean_k −log softmax_m(cos(y_k, x_m) / τ)[k])

    over the stays that have both; with fewer than two of them the loss is 0. van den Oord et al. 2018 (arXiv
    1807.03748), in both directions as in Radford et al. 2021 (CLIP).

    Args:
        n_modalities: 2.
        **options: see `picme.objectives.base.Objective`.

    Raises:
        ConfigError: if `n_modalities` is not 2.

    Inputs:
        embeddings (2, batch, dim); present (batch, 2) bool or None.

    Example:
        >>> objective = InfoNCE()
        >>> embeddings = torch.randn(2, 64, 256, requires_grad=True)
        >>> loss, info = objective(embeddings)
        >>> loss.backward()
    """

    def __init__(self, n_modalities: int = 2, **options: Unpack[Options]) -> None:
        if n_modalities != 2:
            raise ConfigError(f"objective 'infonce' takes two modalities, not {n_modalities}; 'all_pairs' takes more")
        super().__init__(n_modalities, **options)

    def evaluate(self, embeddings: Tensor, present: Tensor | None) -> tuple[Tensor, Info]:  # noqa: D102
        terms, counts = both_directions(embeddings, present, self.scale(embeddings.dtype), self.chunk)
        weights = (counts >= 2).to(terms.dtype).expand(2) / 2
        return weights @ terms, report(terms * (weights > 0), weights, counts.expand(2))


def both_directions(
    embeddings: Tensor, present: Tensor | None, scale: Tensor, chunk: int | None
) -> tuple[Tensor, Tensor]:
    """Compute the InfoNCE terms of two modalities in both directions.

    Returns:
        The terms (2,), first to second and second to first, and the number of stays with both modalities.
    """
    vectors = unit(without_absent(embeddings, present))
    valid = None if present is None else present.all(1)[None]
    rows, columns = contrast(vectors[:1], vectors[1:], scale, [(0, 0)], valid, both=True, chunk=chunk)
    counts = torch.tensor(vectors.shape[1], device=rows.device) if valid is None else valid.sum()
    return torch.cat([rows, columns]), counts
