"""Intervals and p-values of metrics and their differences, from one prediction's resamples of subjects.

An interval is a t interval around the estimate with the standard error of the resamples; that of a metric is on the
logit scale, which keeps it within 0 and 1. The methods were chosen by simulation, see docs/statistics.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri, stdtr, stdtrit

from picme.errors import DataError
from picme.evaluate.bootstrap import SubjectResamples, auprc_among_others, bootstrap_all
from picme.metrics.classification import areas, macro

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

METRICS = ("auroc", "auprc")
# Subjects that the smaller class must have for an interval: below, no method comes near the coverage it claims.
FEWEST = {"auroc": 6, "auprc": 10}
# Resamples and their seed, those of a study by default.
_RESAMPLES, _SEED = 2_000, 0
# Resamples for the standard error of the AUPRC among others, which takes longer than the rest: to about 2 %.
_ENOUGH = 1000


def class_sizes(y: NDArray[np.floating], subject: NDArray[np.integer]) -> NDArray[np.int64]:
    """Count per label the subjects with a positive stay and those with a negative one; return the smaller (label,)."""
    if not len(subject):
        return np.zeros(len(y), dtype=np.int64)
    order = np.argsort(subject, kind="stable")
    first = np.flatnonzero(np.diff(subject[order], prepend=subject[order[0]] - 1))
    found: NDArray[np.int64] = np.minimum(
        *(np.logical_or.reduceat(y[:, order] == value, first, axis=1).sum(axis=1) for value in (0, 1))
    )
    return found


def effective_size(sizes: NDArray[np.integer]) -> float:
    """Return the harmonic mean of the labels' sizes (label,).

    Labels of one class (size 0) have no metric and are left out.
    """
    sizes = sizes[sizes > 0]
    return float(len(sizes) / (1 / sizes).sum()) if len(sizes) else 0.0


@dataclass(frozen=True)
class Estimate:
    """A metric, or a difference of two, with what its interval follows from.

    Attributes:
        metric: `auroc` or `auprc`.
        value: the metric on test as it is reported, or the difference.
        drawn: the same in each resample (resample,).
        size: number of subjects in the smaller class, from `effective_size`.
        single: whether a label's smaller class is a single subject, so that resamples do not tell the label's error.
        centre: centre of the interval, if it is not the value: the AUPRC among others.
        among_others: AUPRC among others in each resample, for the interval of an AUPRC.
        difference: whether it is a difference of two metrics.
        seeds: for each mean over seeds in it, the variance that seeds add to that of the resamples, and its degrees of
            freedom.
    """

    metric: str
    value: float
    drawn: NDArray[np.float64] = field(repr=False)
    size: float
    single: bool = False
    centre: float | None = None
    among_others: NDArray[np.float64] | None = field(default=None, repr=False)
    difference: bool = False
    seeds: tuple[tuple[float, float], ...] = ()

    def minus(self, other: Estimate) -> Estimate:
        """Return the difference to another prediction's metric on the same stays, in the same resamples."""
        value, drawn = self.value - other.value, self.drawn - other.drawn
        size, seeds = min(self.size, other.size), self.seeds + other.seeds
        return Estimate(self.metric, value, drawn, size, self.single or other.single, difference=True, seeds=seeds)

    @cached_property
    def parts(self) -> list[tuple[float, float]]:
        """Return the parts of the variance with their degrees of freedom: from subjects first, then from seeds.

        Subjects: a resample of m of them varies by (m − 1)/m too little, so it is scaled up, with 2(m − 1) degrees of
        freedom. Not so for a difference in AUPRC, where the bias of both mostly cancels and what is left makes up for
        the small sample.
        """
        error = float(np.nanstd(self.drawn, ddof=1))
        if self.difference and self.metric == "auprc":
            return [(error**2, float("inf")), *self.seeds]
        if self.among_others is not None:
            error = max(error, float(np.nanstd(self.among_others, ddof=1)))
        return [(error**2 * self.size / (self.size - 1), 2 * (self.size - 1)), *self.seeds]

    @property
    def freedom(self) -> float:
        """Return the degrees of freedom of the t distribution, those of the sum of all parts (Satterthwaite, 1946)."""
        spread = sum(variance**2 / freedom for variance, freedom in self.parts if variance)
        return sum(variance for variance, _ in self.parts) ** 2 / spread if spread else float("inf")

    @cached_property
    def error(self) -> float:
        """Return the standard error."""
        return float(np.sqrt(sum(variance for variance, _ in self.parts)))

    @cached_property
    def obstacle(self) -> str | None:
        """Return why there is no interval, in words; None where there is one."""
        fewest = FEWEST["auroc" if self.difference else self.metric]
        if np.isnan(self.value):
            return "undefined: no label has stays of both classes"
        if self.single or self.size < fewest:
            many = "only one subject is in a label's" if self.single else f"{self.size:.3g} subjects are in the"
            return f"{many} smaller class, {fewest} are needed"
        if any(freedom == 0 for _, freedom in self.seeds):
            return "of a single seed it is not known how much models differ from seed to seed"
        if not self.difference and not 0 < self._centre < 1:
            return f"a value of {self._centre:g} does not tell how far it may be off"
        if self.error == 0 and self.value != 0:
            return "the value is the same in every resample"
        return None

    @property
    def _centre(self) -> float:
        return self.value if self.centre is None else self.centre

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the ends of the interval, NaN where `obstacle` says why."""
        if self.obstacle:
            return float("nan"), float("nan")
        share, centre = (1 + confidence) / 2, self._centre
        reach = float(ndtri(share) if np.isinf(self.freedom) else stdtrit(self.freedom, share)) * self.error
        if self.difference:
            return max(-1.0, centre - reach), min(1.0, centre + reach)
        reach /= centre * (1 - centre)
        return float(expit(logit(centre) - reach)), float(expit(logit(centre) + reach))

    def p_value(self) -> float:
        """Return the two-sided p-value that a difference is not 0, by the test of its interval; NaN without one."""
        if self.obstacle:
            return float("nan")
        if self.error == 0:
            return 1.0
        ratio = -abs(self.value) / self.error
        return float(2 * (ndtr(ratio) if np.isinf(self.freedom) else stdtr(self.freedom, ratio)))

    def columns(self, confidence: float, prefix: str = "") -> dict[str, float | str | None]:
        """Return a table's columns of the interval, as `results.columns.bounds` declares them."""
        low, high = self.interval(confidence)
        return {f"{prefix}low": low, f"{prefix}high": high, f"{prefix}no_interval": self.obstacle}


def weighted(estimates: Sequence[Estimate], weights: NDArray[np.floating]) -> Estimate:
    """Return a weighted mean of one metric's estimates in the same resamples, as the estimate of such a metric.

    Args:
        estimates: the estimates of predictions of the same stays.
        weights: (estimate,), which add up to 1.
    """
    first = estimates[0]

    def mean(each: list[Any]) -> Any:
        return None if any(one is None for one in each) else np.tensordot(weights, np.stack(each), 1)

    centre = mean([one.centre for one in estimates])
    return replace(
        first,
        value=float(mean([one.value for one in estimates])),
        drawn=mean([one.drawn for one in estimates]),
        size=min(one.size for one in estimates),
        single=any(one.single for one in estimates),
        centre=None if centre is None else float(centre),
        among_others=mean([one.among_others for one in estimates]),
    )


def estimated(
    y: NDArray[np.floating],
    p: NDArray[np.floating],
    subject: NDArray[np.integer],
    resamples: SubjectResamples,
    others: bool = True,
) -> dict[str, Estimate]:
    """Estimate a prediction's metrics, of several labels their mean.

    Args:
        y: labels (label, stay), NaN where undefined.
        p: scores (label, stay).
        subject: index of each stay's subject (stay,).
        resamples: the draws; only predictions with the same can be compared.
        others: whether to estimate the AUPRC among others, without which only differences in AUPRC have an interval.

    Returns:
        The estimate of each metric by name.
    """
    roc, prc, among = bootstrap_all(y, p, subject, resamples, _ENOUGH if others else 0)
    sizes = class_sizes(y, subject)
    points = (float(macro(values)) for values in areas(y, p))
    found = {
        name: Estimate(name, point, macro(drawn, axis=0), effective_size(sizes), bool((sizes == 1).any()))
        for name, point, drawn in zip(METRICS, points, (roc, prc), strict=True)
    }
    if others:
        centre = float(macro(auprc_among_others(y, p, subject)))
        found["auprc"] = replace(found["auprc"], centre=centre, among_others=macro(among, axis=0))
    return found


def over_seeds(
    y: NDArray[np.floating],
    p: NDArray[np.floating],
    subject: NDArray[np.integer],
    resamples: SubjectResamples,
    seeded: bool = True,
    draws: int = 0,
) -> dict[str, Estimate]:
    """Estimate the mean metric of single models, one for each seed, to take differences of.

    Both what other subjects and what other seeds would give is in the error. The resamples are of the mean over the
    seeds at hand. What seeds differ by in ranking the subjects at hand is in it already (`own`); added is by how much
    more they differ.

    Args:
        y: labels (label, stay), NaN where undefined.
        p: scores (seed, label, stay).
        subject: index of each stay's subject (stay,).
        resamples: the draws; the first 1,000 are used.
        seeded: whether another seed gives another model.
        draws: number of draws of encoders that the seeds take in turn, where there are several but fewer than seeds:
            models on the same draw are alike, so it is draws that are compared.

    Returns:
        The estimate of each metric by name.
    """
    few = resamples.first(_ENOUGH)
    models = [estimated(y, one, subject, few, others=False) for one in p]
    found = {}
    for name in METRICS:
        values, drawn = (np.array([getattr(model[name], part) for model in models]) for part in ("value", "drawn"))
        found[name] = mean_over_seeds(models[0][name], values, drawn, seeded, draws)
    return found


def mean_over_seeds(
    like: Estimate,
    values: NDArray[np.float64],
    drawn: NDArray[np.float64],
    seeded: bool = True,
    draws: int = 0,
    difference: bool = False,
) -> Estimate:
    """Return the estimate of a mean over seeds (seed,), the same in each resample (seed, resample); see `over_seeds`.

    Args:
        like: an estimate of the same metric on the same stays.
        values: the values of each seed.
        drawn: the value of each seed in each resample.
        seeded: whether another seed gives another model.
        draws: number of draws of encoders that the seeds take in turn.
        difference: whether the values are differences of metrics.
    """
    alike = [np.arange(turn, len(values), draws) for turn in range(draws)] if 1 < draws < len(values) else []
    apart = (np.stack([each[rows].mean(axis=0) for rows in alike]) if alike else each for each in (values, drawn))
    part = _between_seeds(*apart) if len(values) > 1 else (0.0, 0.0)
    return replace(
        like,
        value=float(values.mean()),
        drawn=drawn.mean(axis=0),
        seeds=(part,) if seeded else (),
        difference=difference or like.difference,
    )


def _between_seeds(values: NDArray[np.float64], drawn: NDArray[np.float64]) -> tuple[float, float]:
    """Return the variance that a mean over seeds has beyond its resamples (seed, resample), and its freedom."""
    seeds = len(values)
    whole = float(values.var(ddof=1))
    known = drawn[:, np.isfinite(drawn).all(axis=0)]
    own = float((known - known.mean(axis=1, keepdims=True)).var(axis=0, ddof=1).mean()) if known.size else 0.0
    more = max(0.0, whole - own)
    return more / seeds, (seeds - 1) * (more / whole) ** 2 if more else float(seeds - 1)


def interval(
    y: ArrayLike,
    p: ArrayLike,
    subject: ArrayLike | None = None,
    metric: str = "auroc",
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Compute the interval of AUROC or AUPRC, or of its mean over several labels.

    Args:
        y: labels (stay,) or (stay, label), 0 or 1, NaN where undefined.
        p: scores or probabilities of the same shape.
        subject: whose each stay is (stay,); without it, every stay is of another subject.
        metric: `auroc` or `auprc`.
        confidence: coverage.

    Returns:
        (low, high); (NaN, NaN) with too few subjects of one class for any interval to be right. The interval of AUPRC
        may lie below the average precision, which is too high in a small sample.

    Raises:
        DataError: for another metric, a confidence outside 0 and 1, shapes that do not match, labels other than 0, 1
            and NaN, or NaN scores.
    """
    if metric not in METRICS:
        raise DataError(f"an interval is of 'auroc' or 'auprc', not of {metric!r}")
    if not 0 < confidence < 1:
        raise DataError(f"the confidence of an interval is between 0 and 1, not {confidence}")
    labels, scores = (np.asarray(values, dtype=np.float64) for values in (y, p))
    if labels.ndim not in (1, 2) or labels.shape != scores.shape:
        raise DataError(
            f"labels {labels.shape} and scores {scores.shape} must both be of shape (stay,) or (stay, label)"
        )
    labels, scores = (values.reshape(len(values), -1).T for values in (labels, scores))
    whose = np.arange(labels.shape[1]) if subject is None else np.unique(np.asarray(subject), return_inverse=True)[1]
    if whose.shape != labels.shape[1:]:
        raise DataError(
            f"there are {labels.shape[1]} stays but {whose.size} subjects: one subject per stay is expected"
        )
    drawn = SubjectResamples.draw(int(whose.max(initial=-1)) + 1, _RESAMPLES, _SEED)
    return estimated(labels, scores, whose, drawn, others=metric == "auprc")[metric].interval(confidence)
