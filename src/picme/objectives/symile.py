"""Symile: an objective on the multilinear inner product of all modalities of a stay."""

from __future__ import annotations

from functools import reduce
from typing import Literal, Unpack

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from picme.errors import ConfigError
from picme.objectives.base import Info, Objective, Options, report
from picme.objectives.by_rows import by_rows
from picme.objectives.similarity import unit, without_absent


class Symile(Objective):
    """InfoNCE with the multilinear inner product ⟨x, y, z, …⟩ = Σ_d x_d y_d z_d … in place of the cosine.

    1/K Σ_i mean_k −log (exp(s_k / τ) / Σ exp(s / τ)),  s = dim^{(K−2)/2} ⟨x^1, …, x^K⟩ of unit vectors

    It captures what only all modalities together carry (their total correlation), which no sum of pairs does. Saporta
    et al. 2024 (arXiv 2411.01053). The denominator of modality i holds, with x_k^i fixed, every combination of the
    other modalities' stays (`all`, up to three modalities), or N − 1 in which each other modality's stays are shuffled
    (`sampled`). The power of dim, missing in the paper, keeps s at the size of a cosine, so that one τ suits every
    objective; for K = 2 the loss is `InfoNCE`.

    `all` costs N³ products of size dim. Shuffles depend on `seed` and on the number of training steps, which is kept in
    the state. Only stays with all modalities take part; with fewer than two of them the loss is 0.

    Args:
        n_modalities: K.
        negatives: `all`, `sampled`, or `auto`: all for up to three modalities, sampled beyond.
        seed: seed of the shuffles.
        **options: see `picme.objectives.base.Objective`.

    Raises:
        ConfigError: if all negatives of more than three modalities are asked for.

    Inputs:
        embeddings (K, batch, dim); present (batch, K) bool or None.

    Example:
        >>> objective = Symile(n_modalities=3)
        >>> embeddings = torch.randn(3, 64, 256, requires_grad=True)
        >>> loss, info = objective(embeddings)
        >>> loss.backward()
    """

    step: Tensor

    def __init__(
        self,
        n_modalities: int = 3,
        negatives: Literal["auto", "all", "sampled"] = "auto",
        seed: int = 0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(n_modalities, **options)
        if negatives == "all" and n_modalities > 3:
            raise ConfigError(f"objective 'symile' takes all negatives of three modalities, not of {n_modalities}")
        self.sampled = negatives == "sampled" or (negatives == "auto" and n_modalities > 3)
        self.seed = seed
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def evaluate(self, embeddings: Tensor, present: Tensor | None) -> tuple[Tensor, Info]:  # noqa: D102
        vectors = unit(without_absent(embeddings, present))
        if present is not None:
            vectors = vectors[:, present.all(1)]
        modalities, count, dim = vectors.shape
        scale = self.scale(embeddings.dtype) * dim ** ((modalities - 2) / 2)
        if count < 2:
            terms = vectors.sum() * scale * vectors.new_zeros(modalities)
        elif self.sampled:
            terms = self._sampled(vectors, scale)
        else:
            terms = self._all(vectors, scale)
        weights = torch.full_like(terms, (count >= 2) / modalities).detach()
        return weights @ terms, report(terms, weights, count)

    def match_scores(self, stays: Tensor, candidates: Tensor, target: int) -> Tensor:
        """Return the cosine between each candidate and the product of a stay's other modalities.

        It orders candidates as their ⟨x, y, z, …⟩ does. Shapes are those of `Objective.match_scores`.
        """
        parts = [part for index, part in enumerate(unit(stays)) if index != target]
        return unit(reduce(torch.mul, parts)) @ unit(candidates).T

    def _all(self, vectors: Tensor, scale: Tensor) -> Tensor:
        """Compute the terms of all modalities from one cube of logits (stay of x, stay of y, stay of z); a square for
        two.
        """
        x, y = vectors[0] * scale, vectors[1]
        z = vectors[2] if len(vectors) == 3 else torch.ones_like(x[:1])
        width = len(x) * max(len(z), x.shape[1])
        first, second, third = zip(*by_rows(_cube, [x], [y, z], width, self.chunk), strict=True)
        positive = (x * y * z).sum(1).mean()
        sums = [torch.cat(first), torch.stack(second).logsumexp(0), torch.stack(third).logsumexp(0)]
        return torch.stack([each.mean() for each in sums[: len(vectors)]]) - positive

    def _sampled(self, vectors: Tensor, scale: Tensor) -> Tensor:
        """Compute the terms of all modalities, each against products of the others' shuffled stays."""
        count = vectors.shape[1]
        shuffles = self.shuffles(count).to(vectors.device)
        parts = vectors.unbind()
        positive = reduce(torch.mul, parts).sum(1) * scale
        terms = []
        for anchor, x in enumerate(parts):
            partners = parts[:anchor] + parts[anchor + 1 :]
            # The product is computed again in backward: its factors take more memory than all the rest.
            product = checkpoint(_product, shuffles[anchor], *partners, use_reentrant=False, preserve_rng_state=False)
            found = by_rows(_negatives, [x, positive], [product, scale], count, self.chunk)
            terms.append((torch.cat([part for (part,) in found]) - positive).mean())
        if self.training and torch.is_grad_enabled():
            self.step += 1
        return torch.stack(terms)

    def shuffles(self, count: int) -> Tensor:
        """Return this step's orders of the stays (modality, partner, stay), the same in every process."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + int(self.step))
        shape = (self.n_modalities, self.n_modalities - 1, count)
        return torch.rand(shape, generator=generator).argsort(2)


def _cube(start: int, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute log-sum-exp by stay of x, of y and of z, of the logits of some stays of x with all of y and z."""
    logits = ((x[:, None] * y).flatten(0, 1) @ z.T).view(len(x), len(y), len(z))
    return logits.flatten(1).logsumexp(1), logits.logsumexp((0, 2)), logits.flatten(0, 1).logsumexp(0)


def _product(shuffles: Tensor, *partners: Tensor) -> Tensor:
    """Return the elementwise product of the partners' stays (stay, dim), each in its own order."""
    return reduce(torch.mul, (part[order] for part, order in zip(partners, shuffles, strict=True)))


def _negatives(start: int, x: Tensor, positive: Tensor, product: Tensor, scale: Tensor) -> tuple[Tensor]:
    """Compute log-sum-exp of some stays' logits with all products, the positive in place of their own product."""
    logits = (x * scale) @ product.T
    own = torch.zeros_like(logits, dtype=torch.bool)
    own.diagonal(start).fill_(True)
    return (torch.where(own, positive[:, None], logits).logsumexp(1),)
