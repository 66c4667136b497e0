"""The missingness grid: models of all modalities on test stays of which modalities are withheld.

Every stay is predicted from every subset of its modalities once; a column of the grid then says for each stay which of
these predictions counts. So a column costs no more than its metrics, and all strategies are judged on the same
withheld modalities.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtrit

from picme.config.combinations import label
from picme.evaluate.bootstrap import SubjectResamples
from picme.evaluate.by_subset import place, subsets_of
from picme.evaluate.calibration import brier, curve, expected_calibration_error
from picme.evaluate.folds import by_fold, largest_cell
from picme.evaluate.intervals import METRICS, Estimate, estimated, weighted
from picme.evaluate.predicted import Predicted, predicted, together
from picme.evaluate.withholding import order_of, shares
from picme.modalities.withheld import draws, kept
from picme.results.tables import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from picme.engine.step import Context
    from picme.evaluate.step import Missing
    from picme.finetune.step import Finetune

NO_ECE = "the error of a resample is greater than that of the sample, so that resamples do not tell its interval"


@dataclass(frozen=True)
class Column:
    """A column of the grid: which stays it judges, and what they keep.

    Attributes:
        mechanism, rate, subset: as in the table `missing`.
        rows: (row,) bool, the test stays that are judged.
        kept: (row, modality) bool, what stays keep.
        withheld: share of the judged stays' modalities that is withheld.
    """

    mechanism: str
    rate: float | None
    subset: str | None
    rows: NDArray[np.bool_] = field(repr=False)
    kept: NDArray[np.bool_] = field(repr=False)
    withheld: float


@dataclass(frozen=True)
class Mean:
    """A mean over stays and labels, or a weighted sum of such means, with what its interval follows from.

    Attributes:
        value: the value on the sample.
        drawn: the value in each resample of subjects (resample,).
        subjects: their number.
    """

    value: float
    drawn: NDArray[np.float64] = field(repr=False)
    subjects: int

    def columns(self, confidence: float, prefix: str = "") -> dict[str, float | str | None]:
        """Return a table's columns of the t interval, which is cut at 0."""
        if self.subjects < 2 or np.isnan(self.value):
            return {f"{prefix}no_interval": "a single subject does not tell the spread of others"}
        reach = stdtrit(self.subjects - 1, (1 + confidence) / 2) * float(np.nanstd(self.drawn, ddof=1))
        return {f"{prefix}low": max(0.0, self.value - reach), f"{prefix}high": self.value + reach}


Judged = dict[str, "Estimate | Mean | float"]
"""The metrics of one column; the ECE is a number alone."""


def missing_grid(step: Missing, folder: Path, context: Context) -> dict[str, Any]:
    """Write the tables `missing` and `robustness` of one strategy and one choice of training stays."""
    names = step.cell.combination
    folds = by_fold(step.finetuned)
    read = [predicted(fold, step.dedicated, "test", context) for fold in folds]
    each = zip(folds, read, strict=True)
    severity = np.concatenate([_severity(step, fold, one.rows, context) for fold, one in each])
    stays = together(read)
    probabilities = stays.p.mean(axis=0)
    _, subject = np.unique(stays.subject, return_inverse=True)
    resamples = SubjectResamples.draw(int(subject.max(initial=-1)) + 1, step.interval_resamples, step.seed)
    key = {"task": step.cell.task.name, "strategy": step.cell.strategy, "trained_on": step.trained_on}
    judged: list[tuple[Column, Judged]] = []
    made: list[dict[str, Any]] = []
    for column in columns(step, stays, severity, names) if len(subject) else ():
        chosen = np.flatnonzero(column.rows)
        p = probabilities[place(column.kept[chosen]), :, chosen].T
        metrics = judge(stays.y[:, chosen], p, subject[chosen], resamples, step.ece_bins)
        judged.append((column, metrics))
        about = {"mechanism": column.mechanism, "rate": column.rate, "subset": column.subset}
        about |= {"n": len(chosen), "withheld": column.withheld}
        made += [
            {**key, **about, "metric": name, **_columns("value", one, step.confidence)} for name, one in metrics.items()
        ]
    table("missing").frame(made).write_parquet(folder / "missing.parquet")
    robust = [{**key, **row} for row in robustness(judged, names, step.confidence)]
    table("robustness").frame(robust).write_parquet(folder / "robustness.parquet")
    return {**key, "columns": len(judged)}


def _severity(step: Missing, fold: Sequence[Finetune], rows: NDArray[np.integer], context: Context) -> NDArray[Any]:
    """Return how severely ill a fold's stays look, NaN where no modality tells it."""
    prepare = largest_cell(fold).prepare.key
    for one in step.severity:
        if one.cell.prepare.key == prepare:
            return np.asarray(np.load(context.store.path(one) / "severity.npy")[rows])
    return np.full(len(rows), np.nan)


def columns(step: Missing, stays: Predicted, severity: NDArray[np.floating], names: Sequence[str]) -> Iterator[Column]:
    """Yield the columns of the grid.

    Args:
        step: its settings.
        stays: the test stays.
        severity: how severely ill each stay looks (stay,), NaN where unknown.
        names: the modalities.
    """
    present, targets = stays.has, stays.y.T
    every, complete = np.ones(len(present), dtype=bool), present.all(axis=1)

    def column(mechanism: str, judged: Any, mask: Any, rate: float | None = None, subset: str | None = None) -> Column:
        had, has = present[judged].sum(), (present & mask)[judged].sum()
        return Column(mechanism, rate, subset, judged, present & mask, float(1 - has / had) if had else float("nan"))

    yield column("natural", every, present)
    if complete.any():
        for subset in subsets_of(len(names)):
            inside = [name for name, taken in zip(names, subset, strict=True) if taken]
            yield column("subset", complete, subset[None], subset=label(inside))
    drawn = draws(stays.subject.tolist(), names, step.seed)
    known = ~np.isnan(targets)
    outcome = np.where(known.any(axis=1), (targets == 1).sum(axis=1) / np.maximum(known.sum(axis=1), 1), np.nan)
    orders = {"mcar": np.zeros(len(present)), "mar": order_of(severity), "mnar": order_of(outcome)}
    for mechanism in step.missing.mechanisms:
        spared = np.array([mechanism == "mar" and name == step.anchor for name in names])
        slope = 0.0 if mechanism == "mcar" else step.missing.slope
        for rate in step.missing.rates:
            share = np.where(spared, 0, shares(orders[mechanism], rate, slope)[:, None])
            yield column(mechanism, every, kept(present, share, drawn), rate)


def judge(
    y: NDArray[np.floating],
    p: NDArray[np.floating],
    subject: NDArray[np.integer],
    resamples: SubjectResamples,
    bins: int,
) -> Judged:
    """Return the metrics of predictions.

    Args:
        y: labels (label, stay), NaN where undefined.
        p: probabilities (label, stay); a label with NaN, which a model does not know, is not judged.
        subject: index of each stay's subject.
        resamples: the number of resamples of the subjects.
        bins: the number of bins of the expected calibration error.
    """
    y, p = np.where(np.isnan(p).any(axis=1, keepdims=True), np.nan, y), np.nan_to_num(p)
    known = ~np.isnan(y)
    error = np.where(known, (p - np.nan_to_num(y)) ** 2, 0).sum(axis=0)
    total, count = resamples.totals(np.stack([error, known.sum(axis=0)]), subject)
    drawn = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return {
        **estimated(y, p, subject, resamples),
        "brier": Mean(brier(p[known], y[known]), drawn, len(np.unique(subject))),
        "ece": expected_calibration_error(curve(p[known], y[known], bins)),
    }


def robustness(
    judged: Sequence[tuple[Column, Judged]], names: Sequence[str], confidence: float
) -> Iterator[dict[str, Any]]:
    """Yield the rows of `robustness`, but for what they are about.

    Args:
        judged: the columns of the grid.
        names: the modalities.
        confidence: the confidence level of the intervals.
    """
    for metric in (*METRICS, "brier", "ece"):
        better = 1 if metric in METRICS else -1
        row: dict[str, Any] = {"metric": metric}
        by_subset = {column.subset: found[metric] for column, found in judged if column.mechanism == "subset"}
        if by_subset:
            row["worst_subset"] = min(by_subset, key=lambda name: better * _value(by_subset[name]))
            row |= _columns("worst", by_subset[row["worst_subset"]], confidence)
            row["more_is_worse"] = _more_is_worse(
                {name: better * _value(one) for name, one in by_subset.items()}, names
            )
        natural = [found[metric] for column, found in judged if column.mechanism == "natural"]
        for mechanism in dict.fromkeys(column.mechanism for column, _ in judged if column.rate is not None):
            along = [(column.rate, found[metric]) for column, found in judged if column.mechanism == mechanism]
            rates = np.array([0.0, *(rate or 0.0 for rate, _ in along)])
            area = _area(rates, [*natural, *(found for _, found in along)])
            row |= _columns("area" if mechanism == "mcar" else f"area_{mechanism}", area, confidence)
        yield row


def _more_is_worse(values: Mapping[str | None, float], names: Sequence[str]) -> float | None:
    """Return the share of pairs of a subset and the same with one modality more in which the greater is worse."""
    sets = {frozenset((subset or "").split("+")): value for subset, value in values.items()}
    gains = np.array([sets[one | {name}] - value for one, value in sets.items() for name in names if name not in one])
    return float((gains < 0).mean()) if len(gains) and np.isfinite(gains).all() else None


def _area(rates: NDArray[np.float64], values: Sequence[Any]) -> Estimate | Mean | float:
    """Return the mean height of a curve by the trapezoid rule."""
    steps = np.diff(rates)
    weights = (np.append(steps, 0) + np.append(0, steps)) / 2 / rates[-1]
    if isinstance(values[0], Estimate):
        return weighted(values, weights)
    if isinstance(values[0], Mean):
        drawn = np.einsum("c,cr->r", weights, np.stack([each.drawn for each in values]))
        return Mean(float(weights @ [each.value for each in values]), drawn, min(each.subjects for each in values))
    return float(weights @ values)


def _value(found: Estimate | Mean | float) -> float:
    return found if isinstance(found, float) else found.value


def _columns(name: str, found: Estimate | Mean | float, confidence: float) -> dict[str, Any]:
    """Return a table's columns of a value and its interval."""
    prefix = "" if name == "value" else f"{name}_"
    if isinstance(found, float):
        return {name: found, f"{prefix}no_interval": NO_ECE}
    return {name: found.value, **found.columns(confidence, prefix)}
