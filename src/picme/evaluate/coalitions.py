"""Value of every subset (coalition) of a combination's modalities: one head per coalition on the same embeddings.

The values are the input of exact Shapley values. A coalition's head is a logistic regression per label on its
modalities' embeddings, with an L2 penalty chosen on validation; the encoders stay as they are. All 2^K − 1 coalitions
and all labels are fitted in the same matrix products, a coalition being a mask on the input.

With x standardised, n labelled training stays and mean cross-entropy over them, a head minimises

    1/n Σ log(1 + exp(−s · (w·x + b))) + ridge/2 · |w|²,   s = ±1

which is scikit-learn's `LogisticRegression(C=1 / (ridge · n))`; the intercept is not penalised. The problems are
convex and separate, so each takes its own step of preconditioned conjugate gradients (Polak-Ribière) along a path of
falling ridges. The step length is log(1 + sδ)/s, with δ Newton's step and s the greatest change of a logit: the third
derivative of the logistic loss is at most s times the second (Bach, 2010), so a step never goes beyond the minimum.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import torch

from picme.errors import DataError
from picme.metrics.classification import areas, macro

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

# Penalties from the strongest down: the path starts where the solution is near zero.
RIDGES = (1.0, 0.3, 0.1, 0.03, 0.01)
# AUROC of the empty coalition, whose head has no input.
EMPTY = 0.5
# Floats that one array of logits (stay × problem) may hold.
_AT_ONCE = 1 << 24


def coalition_values(
    embeddings: NDArray[np.floating],
    present: NDArray[np.bool_],
    targets: NDArray[np.floating],
    rows: Mapping[str, NDArray[np.integer]],
    names: Sequence[str],
    ridges: Sequence[float] = RIDGES,
) -> dict[frozenset[str], float]:
    """Compute the test AUROC of every coalition of modalities.

    Every coalition is fitted and judged on the same stays, so that differences are due to the modalities alone. A
    modality that some stays lack enters as zeros and a column that says so.

    Args:
        embeddings: (stay, modality, dim); each dimension is standardised here with the training stays that have it.
        present: (stay, modality); the embedding of an absent modality is ignored.
        targets: (stay, label) 0 or 1, NaN where unknown.
        rows: row numbers of `train`, `val` and `test`.
        names: names of the modalities.
        ridges: strengths of the penalty; each coalition takes that with the least cross-entropy on validation (the
            middle one without validation labels).

    Returns:
        AUROC for all 2^K coalitions, 0.5 for the empty one; over several labels the mean of those that have both
        classes in training and in test. All but the empty one are NaN if no label has both.

    Raises:
        DataError: for shapes that do not match, or embeddings that are not finite.
    """
    if embeddings.ndim != 3 or embeddings.shape[:2] != present.shape or len(names) != present.shape[1]:
        raise DataError(
            f"embeddings {embeddings.shape}, presence {present.shape} and {len(names)} modalities do not match: "
            "(stay, modality, dim) and (stay, modality) are expected"
        )
    if targets.ndim != 2 or len(targets) != len(present):
        raise DataError(f"targets must be of shape (stay, label) for {len(present)} stays, not {targets.shape}")
    for k, name in enumerate(names):
        if not np.isfinite(embeddings[present[:, k], k]).all():
            raise DataError(f"embeddings of the modality {name!r} hold NaN or infinity for stays that have it")
    members = [frozenset(part) for size in range(1, len(names) + 1) for part in combinations(names, size)]
    values = {frozenset[str](): EMPTY}
    usable = _both_classes(targets[rows["train"]]) & _both_classes(targets[rows["test"]])
    if not usable.any():
        return values | dict.fromkeys(members, float("nan"))
    x, owner = features(embeddings, present, rows["train"])
    masks = np.array([[names[k] in coalition for k in owner] for coalition in members])
    y = targets[:, usable].astype(np.float64)
    inputs = {split: torch.from_numpy(x[rows[split]]) for split in ("train", "val", "test")}
    # Labels are fitted in groups, which bounds the memory; they share one ridge, which is chosen after all of them.
    per_group = max(1, _AT_ONCE // (max(1, len(inputs["train"])) * len(members)))
    losses, known = np.zeros((len(ridges), len(members))), 0
    roc = np.full((len(ridges), len(members), y.shape[1]), np.nan)
    for start in range(0, y.shape[1], per_group):
        part = y[:, start : start + per_group]
        fits = fit_path(inputs["train"], torch.from_numpy(part[rows["train"]]), torch.from_numpy(masks), ridges)
        for number, (weights, bias) in enumerate(fits):
            losses[number] += _cross_entropy(logits(inputs["val"], weights, bias), part[rows["val"]])
            predicted = logits(inputs["test"], weights, bias)
            stays = len(rows["test"])
            flat = predicted.transpose(1, 2, 0).reshape(-1, stays)
            truth = np.tile(part[rows["test"]].T, (len(members), 1))
            roc[number, :, start : start + per_group] = areas(truth, flat)[0].reshape(len(members), -1)
        known += int((~np.isnan(part[rows["val"]])).sum())
    chosen = losses.argmin(axis=0) if known else np.full(len(members), len(ridges) // 2)
    scores = macro(roc[chosen, np.arange(len(members))])
    return values | dict(zip(members, scores.tolist(), strict=True))


def features(
    embeddings: NDArray[np.floating], present: NDArray[np.bool_], train: NDArray[np.integer]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the heads' input: standardised embeddings in the principal axes of each modality, and columns of presence.

    A rotation changes neither an L2-penalised fit nor its predictions, but in these axes the problem is nearly
    diagonal, so that a diagonal preconditioner works well.

    Returns:
        (stay, feature) float32, and for each feature the modality it belongs to.
    """
    parts, owner = [], []
    for k in range(present.shape[1]):
        there = present[:, k]
        seen = embeddings[train[there[train]], k].astype(np.float64)
        if not len(seen):
            continue
        value = np.zeros((len(present), embeddings.shape[2]))
        deviation = seen.std(axis=0)
        # A dimension that does not vary in training is of no use.
        scale = np.where(deviation > 1e-6, 1 / np.maximum(deviation, 1e-6), 0.0)
        value[there] = (embeddings[there, k] - seen.mean(axis=0)) * scale
        inside = value[train]
        axes = np.linalg.eigh(inside.T @ inside)[1]
        found = [value @ axes]
        if not there[train].all():
            share = there[train].mean()
            found.append(((there - share) / np.sqrt(share * (1 - share)))[:, None])
        parts += found
        owner += [k] * sum(part.shape[1] for part in found)
    if not parts:
        return np.zeros((len(present), 0), np.float32), np.zeros(0, np.int64)
    return np.concatenate(parts, axis=1).astype(np.float32), np.array(owner, dtype=np.int64)


def fit_path(
    x: Tensor, y: Tensor, masks: Tensor, ridges: Sequence[float], tolerance: float = 1e-6, steps: int = 100
) -> Iterator[tuple[Tensor, Tensor]]:
    """Fit logistic regressions of every coalition and label, one ridge after the other, each from the last solution.

    Args:
        x: (stay, feature) float, standardised at least roughly.
        y: (stay, label) 0 or 1, NaN where unknown (left out); each label has both classes.
        masks: (coalition, feature) bool, which features a coalition sees.
        ridges: strengths of the penalty, falling.
        tolerance: the estimated distance to the minimum, in mean cross-entropy, at which a ridge is done.
        steps: most steps for each ridge.

    Yields:
        weights (feature, coalition, label), zero where masked, and intercepts (coalition, label).
    """
    coalitions, labels = len(masks), y.shape[1]
    x = torch.cat([x, torch.ones(len(x), 1)], dim=1)
    free = torch.cat([masks.T.float(), torch.ones(1, coalitions)])[:, :, None]  # (feature + 1, coalition, 1)
    known = ~torch.isnan(y)
    target = y.nan_to_num().float()[:, None, :]
    share = (known / known.sum(dim=0)).float()[:, None, :]  # 1/n of each label where it is known
    rate = (target * share).sum(dim=0)[0]
    weights = torch.zeros(x.shape[1], coalitions, labels)
    weights[-1] = torch.log(rate / (1 - rate))
    out = torch.tensordot(x, weights, dims=1)  # (stay, coalition, label)
    # Curvature of the loss where every prediction is the rate of positives, as it is in the first step.
    curvature = (rate * (1 - rate)) * torch.einsum("nf,nl->fl", x * x, share[:, 0])[:, None, :]
    for ridge in ridges:
        penalty = torch.full((x.shape[1], 1, 1), float(ridge))
        penalty[-1] = 0
        condition = free / (curvature + penalty).clamp_min(1e-8)
        before = direction = scaled_before = None
        for _ in range(steps):
            p = torch.sigmoid(out)
            gradient = torch.tensordot(x.T, (p - target).mul_(share), dims=1).mul_(free) + penalty * weights
            scaled = condition * gradient
            power = (gradient * scaled).sum(dim=0)  # (coalition, label), twice the estimated distance
            if float(power.max()) < 2 * tolerance:
                break
            if before is None:
                direction = -scaled
            else:
                change = (scaled * (gradient - before)).sum(dim=0) / scaled_before
                direction = direction * change.clamp_min(0) - scaled
                # Where the directions have lost their conjugacy, the search starts again from steepest descent.
                rising = (direction * gradient).sum(dim=0) >= 0
                direction = torch.where(rising, -scaled, direction)
            before, scaled_before = gradient, power.clamp_min(1e-30)
            moved = torch.tensordot(x, direction, dims=1)
            bend = (p.mul_(1 - p).mul_(share) * moved * moved).sum(dim=0) + (penalty * direction * direction).sum(dim=0)
            newton = -(direction * gradient).sum(dim=0) / bend.clamp_min(1e-30)
            reach = moved.abs().amax(dim=0).clamp_min(1e-12)
            step = torch.log1p(reach * newton) / reach
            weights = weights + step * direction
            out += step * moved
        yield weights[:-1], weights[-1]


def logits(x: Tensor, weights: Tensor, bias: Tensor) -> NDArray[np.float64]:
    """Compute logits (stay, coalition, label) of features (stay, feature)."""
    return (torch.tensordot(x, weights, dims=1) + bias).double().numpy()


def _both_classes(y: NDArray[np.floating]) -> NDArray[np.bool_]:
    return (y == 1).any(axis=0) & (y == 0).any(axis=0)


def _cross_entropy(out: NDArray[np.float64], y: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the sum of the cross-entropy over the known labels, (coalition,)."""
    known = ~np.isnan(y)[:, None, :]
    loss = np.logaddexp(0, out) - np.nan_to_num(y)[:, None, :] * out
    return np.where(known, loss, 0).sum(axis=(0, 2))
