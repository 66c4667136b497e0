"""Integrated gradients of a head's logits with respect to the modality embeddings (Sundararajan et al., 2017).

The attributions of one stay add up to f(x) − f(baseline). What a sum lacks is the completeness error, which is reported
and held under a tolerance by taking more steps. The integral is by Gauss-Legendre quadrature. Since a modality's
attribution sums over its dimensions, a derivative along the way is needed for each modality and label, no gradient.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from picme.errors import DataError
from picme.evaluate.attribution import shares

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    Head = Callable[[Tensor, Tensor], Tensor]

# Rows (stays × steps) that go through the head at once.
_ROWS_AT_ONCE = 16384


@dataclass(frozen=True)
class IntegratedGradients:
    """Attributions of logits to modalities, summed over the dimensions of each embedding.

    Attributes:
        per_label: (label, stay, modality); a stay's row adds up to its change of the label's logit.
        signed: (stay, modality), averaged over the labels; a stay's row adds up to its mean change of logit.
        absolute: (stay, modality), the absolute value per label, averaged over the labels: labels do not cancel.
        change: f(x) − f(baseline), averaged over the labels (stay,).
        completeness_error: Σ |error| / Σ |f(x) − f(baseline)| over stays and labels; NaN if nothing changes.
        steps: number of steps that were taken.
    """

    per_label: NDArray[np.float64]
    signed: NDArray[np.float64]
    absolute: NDArray[np.float64]
    change: NDArray[np.float64]
    completeness_error: float
    steps: int

    @property
    def shares(self) -> NDArray[np.float64]:
        """Return the mean over the stays of `absolute`, normalised to add up to 1 (modality,)."""
        return shares(self.absolute)


def integrated_gradients(
    head: Head,
    embeddings: Tensor,
    present: Tensor | None = None,
    baseline: Literal["zero", "mean"] | Tensor = "zero",
    steps: int = 64,
    labels: Sequence[int] | None = None,
    tolerance: float = 0.01,
    max_steps: int = 1024,
) -> IntegratedGradients:
    """Attribute a head's logits to the modalities of its input.

    Args:
        head: (embeddings (batch, modality, dim), present (batch, modality)) → logits (batch, label) or (batch,); a
            module is in evaluation mode meanwhile.
        embeddings: (stay, modality, dim).
        present: (stay, modality) bool, default all; an absent modality is its own baseline, so nothing is attributed
            to it.
        baseline: `zero`; `mean`, over the stays that have the modality; or a tensor (modality, dim), such as the mean
            over the training stays.
        steps: points on the way from baseline to embedding; doubled up to `max_steps` while the completeness error is
            above `tolerance`.
        labels: indices of the logits, default all.
        tolerance: completeness error to stay under, as a fraction.
        max_steps: most steps.

    Returns:
        See `IntegratedGradients`; arrays on the CPU.

    Raises:
        DataError: for shapes that do not match, or an unknown baseline.
    """
    if embeddings.ndim != 3 or len(embeddings) == 0:
        raise DataError(f"embeddings must be of shape (stay, modality, dim) with a stay, not {tuple(embeddings.shape)}")
    if present is None:
        present = torch.ones(embeddings.shape[:2], dtype=torch.bool, device=embeddings.device)
    if present.shape != embeddings.shape[:2]:
        raise DataError(f"presence has the shape {tuple(present.shape)}, embeddings {tuple(embeddings.shape[:2])}")
    embeddings = embeddings.detach()
    # NaN in the embedding of an absent modality would spread, because 0 · NaN is NaN.
    embeddings = torch.where(present[..., None], embeddings, embeddings.nan_to_num())
    start = torch.where(present[..., None], _baseline(embeddings, present, baseline), embeddings)
    with _evaluation(head):
        while True:
            result = _attribute(head, embeddings, present, start, steps, labels)
            # NaN (no change at all) is not above the tolerance either.
            if not result.completeness_error > tolerance or 2 * steps > max_steps:
                return result
            steps *= 2


def _attribute(
    head: Head, embeddings: Tensor, present: Tensor, start: Tensor, steps: int, labels: Sequence[int] | None
) -> IntegratedGradients:
    def logits(x: Tensor, there: Tensor) -> Tensor:
        out = head(x, there)
        return out[:, None] if out.ndim == 1 else out

    away = embeddings - start
    with torch.no_grad():
        parts = zip(*(t.split(_ROWS_AT_ONCE) for t in (embeddings, present, start)), strict=True)
        change = torch.cat([logits(x, there) - logits(origin, there) for x, there, origin in parts]).double()
    chosen = list(range(change.shape[1])) if labels is None else list(labels)
    change = change[:, chosen]
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    # The derivative along the way is a matrix (label, modality), taken by its shorter side.
    along = _by_modality if len(chosen) > present.shape[1] else _by_label
    per_label = torch.zeros(len(chosen), *present.shape, dtype=torch.float64, device=embeddings.device)
    together = max(1, _ROWS_AT_ONCE // len(embeddings))
    for first in range(0, steps, together):
        at = torch.from_numpy((nodes[first : first + together] + 1) / 2).to(embeddings)[:, None, None, None]
        x, there = (start + at * away).flatten(0, 1), present.repeat(len(at), 1)
        ways = away.repeat(len(at), 1, 1)
        try:
            found = along(logits, x, there, ways, chosen)  # (label, step · stay, modality)
        except NotImplementedError:  # an operation of the head has no forward-mode derivative
            found = _by_label(logits, x, there, ways, chosen)
        weight = torch.from_numpy(weights[first : first + together] / 2).to(per_label)
        per_label += torch.einsum("lsnm,s->lnm", found.unflatten(1, (len(at), -1)).double(), weight)
    error = (per_label.sum(dim=2).T - change).abs().sum()
    total = change.abs().sum()
    return IntegratedGradients(
        per_label=per_label.cpu().numpy(),
        signed=per_label.mean(dim=0).cpu().numpy(),
        absolute=per_label.abs().mean(dim=0).cpu().numpy(),
        change=change.mean(dim=1).cpu().numpy(),
        completeness_error=float(error / total) if float(total) > 0 else float("nan"),
        steps=steps,
    )


def _by_label(head: Head, x: Tensor, there: Tensor, away: Tensor, labels: Sequence[int]) -> Tensor:
    """Return the derivatives along the way, (label, row, modality), by a backward pass for each label."""
    with torch.enable_grad():
        out = head(x.requires_grad_(), there)
        found = [torch.autograd.grad(out[:, label].sum(), x, retain_graph=True)[0] for label in labels]
    return torch.stack([(gradient * away).sum(dim=2) for gradient in found])


def _by_modality(head: Head, x: Tensor, there: Tensor, away: Tensor, labels: Sequence[int]) -> Tensor:
    """Return what `_by_label` does, by a forward pass for each modality."""
    found = []
    # The fused kernels of attention, and those of inference, have no forward-mode derivatives.
    with warnings.catch_warnings(), torch.enable_grad(), forward_ad.dual_level(), sdpa_kernel(SDPBackend.MATH):
        warnings.simplefilter("ignore", FutureWarning)  # torch compiles some of its derivatives in a way it gives up
        for modality in range(x.shape[1]):
            only = torch.zeros_like(away)
            only[:, modality] = away[:, modality]
            tangent = forward_ad.unpack_dual(head(forward_ad.make_dual(x, only), there)).tangent
            found.append(x.new_zeros(len(x), len(labels)) if tangent is None else tangent[:, labels].detach())
    return torch.stack(found, dim=2).transpose(0, 1)


def _baseline(embeddings: Tensor, present: Tensor, baseline: Any) -> Tensor:
    if isinstance(baseline, torch.Tensor):
        if baseline.shape != embeddings.shape[1:]:
            expected, got = tuple(embeddings.shape[1:]), tuple(baseline.shape)
            raise DataError(f"a baseline of shape (modality, dim) = {expected} is expected, not {got}")
        return baseline.to(embeddings).expand_as(embeddings)
    if baseline == "zero":
        return torch.zeros_like(embeddings)
    if baseline == "mean":
        there = present[..., None].to(embeddings.dtype)
        # An absent modality's embedding may be anything, NaN included; it must not reach the mean.
        total = torch.where(present[..., None], embeddings, torch.zeros_like(embeddings)).sum(dim=0)
        return (total / there.sum(dim=0).clamp(min=1)).expand_as(embeddings)
    raise DataError(f"unknown baseline {baseline!r}; known: mean, zero, or a tensor (modality, dim)")


@contextmanager
def _evaluation(head: Head) -> Iterator[None]:
    """Set evaluation mode for a module, and allow gradients through recurrent layers.

    cuDNN has these gradients in training mode only, so it is switched off.
    """
    module = head if isinstance(head, torch.nn.Module) else None
    training = module.training if module is not None else False
    if module is not None:
        module.eval()
    try:
        with torch.backends.cudnn.flags(enabled=False), torch.enable_grad():
            yield
    finally:
        if module is not None:
            module.train(training)
