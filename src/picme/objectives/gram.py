"""GRAM: an objective on the volume that a stay's embeddings span."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from picme.errors import ConfigError
from picme.objectives.base import Info, Objective, Options, report
from picme.objectives.by_rows import by_rows
from picme.objectives.similarity import unit, without_absent

JITTER = 1e-9  # added to the diagonal of the others' Gram matrix, which aligned modalities make singular
FLOOR = 1e-10  # least squared volume: at 0 the slope of the square root is infinite


class GRAM(Objective):
    """Contrastive loss on the volume of the parallelotope that a stay's embeddings span; a small volume is aligned.

    ½ (mean_k −log softmax_m(−V(x_m^a, x_k^{¬a}) / τ)[k] + mean_k −log softmax_m(−V(x_k^a, x_m^{¬a}) / τ)[k])

    with V = √det G, G the Gram matrix of the unit vectors of modality a (the anchor) of one stay and all other
    modalities of another. Cicchetti et al. 2024 (arXiv 2412.11959), without its matching head. The paper's anchor is
    text; here each modality is the anchor in turn and the terms are averaged, unless `anchor` names one.

    With R the Gram matrix of the others and g their products with the anchor, det G = det R − gᵀ adj(R) g: R and its
    adjugate are computed once for each stay, only g for each pair of stays.

    Only stays with all modalities take part; with fewer than two of them the loss is 0.

    Args:
        n_modalities: K.
        anchor: index of the only modality that is used as anchor; None for each in turn.
        **options: see `picme.objectives.base.Objective`.

    Raises:
        ConfigError: if `anchor` is not the index of a modality.

    Inputs:
        embeddings (K, batch, dim); present (batch, K) bool or None.

    Example:
        >>> objective = GRAM(n_modalities=3)
        >>> embeddings = torch.randn(3, 64, 256, requires_grad=True)
        >>> loss, info = objective(embeddings)
        >>> loss.backward()
    """

    def __init__(self, n_modalities: int = 3, anchor: int | None = None, **options: Unpack[Options]) -> None:
        super().__init__(n_modalities, **options)
        if anchor is not None and anchor >= n_modalities:
            raise ConfigError(f"anchor {anchor} of objective 'gram' is not one of the {n_modalities} modalities from 0")
        self.anchors = list(range(n_modalities)) if anchor is None else [anchor]

    def evaluate(self, embeddings: Tensor, present: Tensor | None) -> tuple[Tensor, Info]:  # noqa: D102
        vectors = unit(without_absent(embeddings, present))
        if present is not None:
            vectors = vectors[:, present.all(1)]
        count = vectors.shape[1]
        if count < 2:
            terms = vectors.sum() * self.scale(embeddings.dtype) * vectors.new_zeros(len(self.anchors))
        else:
            terms = torch.stack([self._term(vectors, anchor) for anchor in self.anchors])
        weights = torch.full_like(terms, (count >= 2) / len(self.anchors)).detach()
        return weights @ terms, report(terms, weights, count)

    def match_scores(self, stays: Tensor, candidates: Tensor, target: int) -> Tensor:
        """Return the squared cosine of each candidate with the span of a stay's other modalities.

        The greater it is, the smaller is the volume. Shapes are those of `Objective.match_scores`.
        """
        others = torch.stack([part for index, part in enumerate(unit(stays)) if index != target], 2)
        basis = torch.linalg.qr(others).Q
        return torch.einsum("qdi,nd->qni", basis, unit(candidates)).square().sum(2)

    def _term(self, vectors: Tensor, anchor: int) -> Tensor:
        """Compute both directions of one anchor from the unit vectors of complete stays (modality, stay, dim)."""
        parts = vectors.unbind()
        x = parts[anchor]
        rest = torch.stack([part for index, part in enumerate(parts) if index != anchor], 1)
        gram = (rest @ rest.mT).double()
        gram = gram + JITTER * torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
        determinant = torch.linalg.det(gram)
        adjugate = determinant[:, None, None] * torch.linalg.inv(gram)
        of_stays = [rest, adjugate.to(x.dtype), determinant.to(x.dtype)]
        found = by_rows(_volumes, of_stays, [x, self.scale(x.dtype)], len(x) * gram.shape[1], self.chunk)
        rows, columns, positives = zip(*found, strict=True)
        positive = torch.cat(positives)
        return (torch.cat(rows) + torch.stack(columns).logsumexp(0) - 2 * positive).mean() / 2


def _volumes(
    start: int, rest: Tensor, adjugate: Tensor, determinant: Tensor, x: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what the loss needs of the volumes of some stays with every anchor.

    These are the log-sum-exp of the logits by stay and by anchor, and the logits of the stays' own anchors.
    """
    products = rest.transpose(0, 1) @ x.T
    projected = torch.einsum("ipq,qij->pij", adjugate, products)
    squared = determinant[:, None] - (projected * products).sum(0)
    logits = -squared.clamp_min(FLOOR).sqrt() * scale
    # A view of the diagonal would keep the whole block in memory.
    return logits.logsumexp(1), logits.logsumexp(0), logits.diagonal(start).clone()
