"""Integrated gradients of a head's logits with respect to the modality embeddings (Sundararajan et al., 2017).

The attributions of one stay add up to f(x) − f(baseline). What a sum lacks is the completeness error, which is reported
and held under a tolerance by taking more steps. Captum computes the attributions, by Gauss-Legendre quadrature.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from picme.errors import DataError
from picme.evaluate.attribution import shares

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
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
    from captum.attr import IntegratedGradients as Captum

    def logits(x: Tensor, there: Tensor) -> Tensor:
        out = head(x, there)
        return out[:, None] if out.ndim == 1 else out

    with torch.no_grad():
        change = torch.cat(
            [
                logits(x, there) - logits(origin, there)
                for x, there, origin in zip(
                    *(t.split(_ROWS_AT_ONCE) for t in (embeddings, present, start)), strict=True
                )
            ]
        ).double()
    chosen = list(range(change.shape[1])) if labels is None else list(labels)
    change = change[:, chosen]
    captum = Captum(logits, multiply_by_inputs=True)
    per_label = torch.stack(
        [
            captum.attribute(
                embeddings,
                baselines=start,
                target=label,
                additional_forward_args=(present,),
                n_steps=steps,
                method="gausslegendre",
                internal_batch_size=max(_ROWS_AT_ONCE, len(embeddings)),
            )
            .detach()
            .double()
            .sum(dim=2)
            for label in chosen
        ]
    )  # (label, stay, modality)
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
