"""The gap of a group of stays: the AUROC of all other stays minus its own, over the labels that both sides can judge.

The error of an AUROC is, to first order, a sum over subjects, so the gaps of many groups are judged together from one
set of resamples of subjects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit, ndtr, stdtrit

from picme.evaluate.intervals import FEWEST, class_sizes, effective_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from picme.evaluate.bootstrap import SubjectResamples


def placements(
    y: NDArray[np.floating], p: NDArray[np.floating], subject: NDArray[np.integer], n_subjects: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the AUROC and each subject's part in its error, whose squares add up to the variance.

    This is the variance of DeLong et al. (1988), for several stays of a subject that of Obuchowski (1997).

    Returns:
        AUROC (label,), parts (label, subject); NaN and 0 for a label of one class.
    """
    roc, parts = np.full(len(y), np.nan), np.zeros((len(y), n_subjects))
    for label, row in enumerate(y):
        positive, negative = row == 1, row == 0
        if not positive.any() or not negative.any():
            continue
        a, b = p[label][positive], p[label][negative]
        below = [np.searchsorted(np.sort(b), a, side) for side in ("left", "right")]
        above = [len(a) - np.searchsorted(np.sort(a), b, side) for side in ("left", "right")]
        for values, whose in (
            ((below[0] + below[1]) / (2 * len(b)), subject[positive]),
            ((above[0] + above[1]) / (2 * len(a)), subject[negative]),
        ):
            roc[label] = values.mean()
            units = len(np.unique(whose))
            factor = np.sqrt(units / max(units - 1, 1)) / len(values)
            parts[label] += factor * np.bincount(whose, values - values.mean(), minlength=n_subjects)
    return roc, parts


@dataclass(frozen=True)
class Side:
    """One side of a gap: AUROC, each subject's part in its error (subject,), and the subjects in the smaller class."""

    auroc: float
    parts: NDArray[np.float64]
    size: float

    def reach(self, level: float) -> tuple[float, float]:
        """Return how far the interval on the logit scale goes below and above the AUROC, at a normal `level`."""
        error = float(np.sqrt((self.parts**2).sum())) / (self.auroc * (1 - self.auroc))
        far = float(stdtrit(2 * (self.size - 1), level)) * error
        centre = float(logit(self.auroc))
        return self.auroc - float(expit(centre - far)), float(expit(centre + far)) - self.auroc


@dataclass(frozen=True)
class Gap:
    """The gap between a group and all other stays, over the labels that both can judge."""

    others: Side
    group: Side

    @property
    def value(self) -> float:
        """Return the AUROC of the others minus that of the group."""
        return self.others.auroc - self.group.auroc

    def interval(self, level: float) -> tuple[float, float]:
        """Return the interval of the gap, from those of its sides and their correlation (Zou and Donner, 2008).

        The sides' intervals are skewed as AUROC is, which a symmetric interval of a small group is not.
        """
        a, b = self.others.parts, self.group.parts
        both = float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))
        below, above = self.others.reach(level)
        group_below, group_above = self.group.reach(level)
        down = below**2 + group_above**2 - 2 * both * below * group_above
        up = above**2 + group_below**2 - 2 * both * above * group_below
        return self.value - float(np.sqrt(max(down, 0.0))), self.value + float(np.sqrt(max(up, 0.0)))


def gap_to_the_rest(
    y: NDArray[np.float64],
    p: NDArray[np.float64],
    members: NDArray[np.bool_],
    others: NDArray[np.bool_],
    subject: NDArray[np.integer],
    n_subjects: int,
) -> Gap | str:
    """Compare a group with all other stays, over the labels that have enough subjects of each class on both sides.

    Returns:
        The gap, or why there is none, in words.
    """
    sizes = [class_sizes(y[:, side], subject[side]) for side in (others, members)]
    common = np.minimum(*sizes) >= (fewest := FEWEST["auroc"])
    if not common.any():
        return f"no label has {fewest} subjects of each class both in the group and among the others"
    sides = []
    for side, size in zip((others, members), sizes, strict=True):
        roc, parts = placements(y[common][:, side], p[common][:, side], subject[side], n_subjects)
        sides.append(Side(float(roc.mean()), parts.mean(axis=0), effective_size(size[common])))
    if all(0 < side.auroc < 1 and side.parts.any() for side in sides):
        return Gap(*sides)
    return "the group or the others are ranked without a fault, which does not tell how far that may be off"


def simultaneous(gaps: list[Gap], resamples: SubjectResamples, confidence: float) -> list[tuple[float, float]]:
    """Return intervals that hold all together with the confidence given.

    In a resample the error of a gap is, to first order, the sum of its subjects' parts, each as often as it was drawn
    more or less than once. The greatest error over the gaps, each in units of its standard error, has the quantile
    that all intervals share; a small group's is widened to that of a t distribution.
    """
    if not gaps:
        return []
    parts = np.stack([gap.others.parts - gap.group.parts for gap in gaps])
    parts /= np.sqrt((parts**2).sum(axis=1, keepdims=True))
    total = parts.sum(axis=1, keepdims=True)
    greatest = np.concatenate([np.abs(parts @ counts - total).max(axis=0) for counts in resamples.blocks])
    level = float(ndtr(np.quantile(greatest, confidence)))
    return [gap.interval(level) for gap in gaps]
