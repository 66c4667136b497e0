"""Symile: all modalities of a stay at once, through their multilinear inner product."""

from __future__ import annotations

from typing import Literal, Unpack

import torch
from torch import Tensor

from picme.errors import ConfigError
from picme.objectives.base import Info, Objective, Options, report
from picme.objectives.chunked import by_rows
from picme.objectives.similarity import unit, without_absent


class Symile(Objective):
    """InfoNCE with the multilinear inner product ⟨x, y, z, …⟩ = Σ_d x_d y_d z_d … in place of the cosine.

    1/K Σ_i mean_k −log (exp(s_k / τ) / Σ exp(s / τ)),  s = dim^{(K−2)/2} ⟨x^1, …, x^K⟩ of unit vectors

    It sees what only all modalities together carry (their total correlation), which no sum of pairs does. Saporta et
    al. 2024 (arXiv 2411.01053). The denominator of modality i holds, with x_k^i fixed, every combination of the other
    modalities' stays (`all`, three modalities), or N − 1 in which each other modality's stays are shuffled (`sampled`).
    The power of dim, missing in the paper, keeps s at the size of a cosine, so that one τ suits every objective; for
    K = 2 the loss is `InfoNCE`.

    `all` costs N³ products of size dim; shuffles depend on `seed` and the number of training steps, kept in the state.
    Complete stays only; fewer than two give 0.

    Args:
        n_modalities: K.
        negatives: `all`, `sampled`, or `auto`: all for three modalities, sampled beyond.
        seed: of the shuffles.
        **options: see `picme.objectives.base.Objective`.

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
        scale = self.scale() * dim ** ((modalities - 2) / 2)
        if count < 2:
            terms = vectors.sum() * scale * vectors.new_zeros(modalities)
        elif self.sampled:
            terms = self._sampled(vectors, scale)
        else:
            terms = self._all(vectors, scale)
        weights = torch.full_like(terms, (count >= 2) / modalities).detach()
        return weights @ terms, report(terms, weights, count)

    def _all(self, vectors: Tensor, scale: Tensor) -> Tensor:
        """Terms of all modalities from one cube (stay of x, stay of y, stay of z) of logits; a square for two."""
        x, y = vectors[0] * scale, vectors[1]
        z = vectors[2] if len(vectors) == 3 else torch.ones_like(x[:1])
        count = len(x)

        def block(start: int, stop: int) -> tuple[Tensor, Tensor, Tensor]:
            logits = (x[start:stop, None] * y).flatten(0, 1) @ z.T
            cube = logits.view(stop - start, count, len(z))
            return cube.flatten(1).logsumexp(1), cube.logsumexp((0, 2)), cube.flatten(0, 1).logsumexp(0)

        width = count * max(len(z), x.shape[1])
        first, second, third = zip(*by_rows(block, count, width, self.chunk), strict=True)
        positive = (x * y * z).sum(1).mean()
        sums = [torch.cat(first), torch.stack(second).logsumexp(0), torch.stack(third).logsumexp(0)]
        return torch.stack([each.mean() for each in sums[: len(vectors)]]) - positive

    def _sampled(self, vectors: Tensor, scale: Tensor) -> Tensor:
        """Terms of all modalities, each against products of the others' shuffled stays."""
        modalities, count, _ = vectors.shape
        positive = vectors.prod(0).sum(1) * scale
        shuffles = self.shuffles(count).to(vectors.device)
        terms = []
        for anchor in range(modalities):
            x = vectors[anchor] * scale
            partners = [index for index in range(modalities) if index != anchor]
            product = torch.ones_like(x)
            for place, index in enumerate(partners):
                product = product * vectors[index][shuffles[anchor, place]]

            def block(start: int, stop: int, x: Tensor = x, product: Tensor = product) -> tuple[Tensor]:
                logits = x[start:stop] @ product.T
                own = torch.zeros_like(logits, dtype=torch.bool)
                own.diagonal(start).fill_(True)
                return (torch.where(own, positive[start:stop, None], logits).logsumexp(1),)

            rows = torch.cat([part for (part,) in by_rows(block, count, count, self.chunk)])
            terms.append((rows - positive).mean())
        if self.training and torch.is_grad_enabled():
            self.step += 1
        return torch.stack(terms)

    def shuffles(self, count: int) -> Tensor:
        """This step's order of the stays (modality, partner, stay), the same in every process."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + int(self.step))
        shape = (self.n_modalities, self.n_modalities - 1, count)
        return torch.rand(shape, generator=generator).argsort(2)
