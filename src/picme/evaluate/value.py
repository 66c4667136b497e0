"""The value of each modality: by itself, beside the others, and together with each other one; and which are enough."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import digamma

from picme.config.combinations import label
from picme.evaluate.acquisition import acquisition, cost_of, front
from picme.evaluate.bootstrap import SubjectResamples
from picme.evaluate.folds import by_fold
from picme.evaluate.intervals import METRICS, Estimate, estimated
from picme.evaluate.lattice import Lattice
from picme.evaluate.predicted import ALL, COMPLETE, Predicted, predicted, shares, together
from picme.evaluate.shapley import added, interaction_weights, shapley_weights
from picme.evaluate.sufficient import sufficient
from picme.metrics.classification import macro
from picme.metrics.net_benefit import benefits
from picme.results.tables import table
from picme.strategies import strategies

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from picme.engine.step import Context
    from picme.evaluate.step import Value

TABLES = ("value", "interactions", "lattice", "sufficient", "acquisition")
ADDS, NOTHING, UNDECIDED = "adds", "nothing measurable", "undecided"


def measure_value(step: Value, folder: Path, context: Context) -> dict[str, Any]:
    """Write the tables of `TABLES` of one strategy."""
    about = {"task": step.cell.task.name, "strategy": step.cell.strategy}
    folds = [
        [predicted(fold, step.dedicated, split, context) for split in ("val", "test")]
        for fold in by_fold(step.finetuned)
    ]
    has = np.concatenate([test.has for _, test in folds])
    made: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    for stays, some in ((COMPLETE, has.all(axis=1).any()), (ALL, not has.all())):
        source = "dedicated" if step.dedicated else "shared"
        inside = [[split.of(stays) for split in fold] for fold in folds]
        for name, found in _rows(step, stays, inside) if some else ():
            made[name].append({**about, "source": source, "stays": stays, **found})
    for name in TABLES:
        table(name).frame(made[name]).write_parquet(folder / f"{name}.parquet")
    return {**about, "stays": int(has.all(axis=1).sum())}


def _rows(step: Value, stays: str, folds: list[list[Predicted]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each row of every table about some of the stays, with the table's name.

    Args:
        step: its settings.
        stays: which stays they are.
        folds: the stays of validation and of test, of each fold.
    """
    names, costs = step.cell.combination, step.costs
    declared = strategies().get(step.cell.strategy)
    seeded = declared is None or declared.seeded
    val, test = (together(each) for each in zip(*folds, strict=True))
    prior, found = shares(val.y), []
    for place, each in enumerate((val, test)):
        risk = together([fold[place].calibrated(fold[0]) for fold in folds])
        _, subject = np.unique(each.subject, return_inverse=True)
        resamples = SubjectResamples.draw(int(subject.max(initial=-1)) + 1, step.interval_resamples, step.seed)
        # Where all stays are judged, predictions stand beside shares, so that both must be calibrated.
        p = (each if stays == COMPLETE else risk).p
        about = (subject, resamples, names, seeded, step.draws, risk.p, step.thresholds, prior)
        found.append(lattices(each.y, p, *about))
    counts = {"n_val": val.y.shape[1], "events_val": events(val.y), "n_test": test.y.shape[1]}
    counts["events_test"] = events(test.y)
    have = dict(zip(names, test.has.mean(axis=0), strict=True))
    for chooses, judges in zip(*found, strict=True):
        for name, row in rows_of(chooses, judges, costs, step.confidence, step.margin, have, counts):
            yield name, {"metric": judges.like.metric, **row}


def rows_of(
    val: Lattice,
    test: Lattice,
    costs: Mapping[str, float],
    confidence: float,
    margin: float,
    shares: Mapping[str, float],
    counts: Mapping[str, int],
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each row of the tables of `TABLES` about one metric, with the table's name.

    Args:
        val: the metric on validation, which chooses.
        test: the metric of the same models on test, which judges.
        costs: what each modality costs.
        confidence: the confidence level of the intervals.
        margin: what counts as nothing, in the metric's unit.
        shares: the shares of the test stays that have each modality.
        counts: the columns of the stays and events of both splits.
    """
    best = front(val, costs)
    for name, row in table_rows(test, confidence, margin):
        if name == "lattice":
            whole = frozenset(filter(None, row["combination"].split("+")))
            alone = row["added"] is None
            row |= {
                "cost": cost_of(whole, costs) if alone else costs[row["added"]],
                "front": whole in best if alone else None,
            }
        yield name, row
    yield "sufficient", {**sufficient(val, test, costs, confidence, margin, counts["n_val"]), **counts}
    for row in acquisition(val, test, costs, confidence, shares):
        yield "acquisition", row


def events(y: NDArray[np.floating]) -> int:
    """Count the positive stays of the label (label, stay) that has the fewest."""
    return int(np.nansum(y, axis=1).min(initial=np.inf)) if len(y) else 0


def lattices(
    y: NDArray[np.floating],
    p: NDArray[np.floating],
    subject: NDArray[np.integer],
    resamples: SubjectResamples,
    names: Sequence[str],
    seeded: bool = True,
    draws: int = 0,
    risk: NDArray[np.floating] | None = None,
    thresholds: Sequence[float] = (),
    prior: NDArray[np.floating] | None = None,
) -> Iterator[Lattice]:
    """Yield the lattice of each metric: AUROC, AUPRC, and net benefit at each threshold.

    The value of no modality is what a constant risk scores: an AUROC of 0.5, the average precision of a random order,
    and the net benefit of acting on everybody or on nobody, whichever the share of positives says.

    Args:
        y: labels (label, stay), NaN where undefined.
        p: probabilities (seed, subset, label, stay), subsets as in `by_subset.subsets_of`; NaN for a label that the
            models do not know, which is left out of every subset.
        subject: index of each stay's subject (stay,).
        resamples: the number of resamples of the subjects.
        names: the modalities.
        seeded: whether another seed gives other models.
        draws: draws of encoders that the seeds take in turn.
        risk: calibrated probabilities of the same shape, for net benefit; `p` if not given.
        thresholds: the thresholds of net benefit.
        prior: the share of positives (label,) by which one acts without any modality; that of `y` if not given.
    """
    prior = shares(y) if prior is None else prior
    risk = p if risk is None else risk
    unknown = np.isnan(p).any(axis=(0, 1, 3))
    y = np.where(unknown[:, None], np.nan, y)
    p, risk = (np.where(unknown[:, None], 0.0, each) for each in (p, risk))
    found = [[estimated(y, one, subject, resamples, others=False) for one in seed] for seed in p]
    none = {"auroc": np.full(1 + resamples.resamples, 0.5), "auprc": _random_precision(y, subject, resamples)}
    for metric in METRICS:
        values = np.array([[none[metric][0], *(one[metric].value for one in seed)] for seed in found])
        drawn = np.array([[none[metric][1:], *(one[metric].drawn for one in seed)] for seed in found])
        yield Lattice(tuple(names), found[0][0][metric], values, drawn, seeded, draws)
    for threshold in thresholds:
        # A net benefit may be below 0, as the difference to acting on nobody, and has the interval of one.
        like = replace(found[0][0]["auroc"], metric=f"net_benefit_{threshold:g}", difference=True)
        constant = np.broadcast_to(prior[:, None], (1, *y.shape))
        known = (np.concatenate([constant, one]) for one in risk)
        every = np.stack([_net_benefit(y, one, subject, resamples, threshold) for one in known])
        yield Lattice(tuple(names), like, every[..., 0], every[..., 1:], seeded, draws)


def _net_benefit(
    y: NDArray[np.floating],
    risk: NDArray[np.floating],
    subject: NDArray[np.integer],
    resamples: SubjectResamples,
    threshold: float,
) -> NDArray[np.float64]:
    """Return the net benefit of every subset on the sample and in each resample, (subset, 1 + resample)."""

    def totals(values: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.column_stack([values.sum(axis=1), resamples.totals(values, subject)])

    gained = totals(np.nan_to_num(benefits(y, risk, threshold)).reshape(-1, y.shape[1])).reshape(*risk.shape[:2], -1)
    stays = totals((~np.isnan(y)).astype(float))
    return macro(np.divide(gained, stays, out=np.full(gained.shape, np.nan), where=stays > 0), axis=1)


def _random_precision(
    y: NDArray[np.floating], subject: NDArray[np.integer], resamples: SubjectResamples
) -> NDArray[np.float64]:
    """Return the average precision expected of a random order, on the sample and in each resample (1 + resample,).

    With P positives among n stays it is H/n + (1 − H/n) (P − 1)/(n − 1), H the sum of 1/k for k up to n: the
    prevalence in a large sample, more in a small one, where average precision is too high. Labels of both classes
    count, with their mean.
    """
    stays, positives = (
        np.column_stack([each.sum(axis=1), resamples.totals(each, subject)])
        for each in ((~np.isnan(y)).astype(float), np.nan_to_num(y))
    )
    both = (positives > 0) & (positives < stays)
    n, first = (np.where(both, each, 2.0) for each in (stays, positives))
    harmonic = (digamma(n + 1) + np.euler_gamma) / n
    return macro(np.where(both, harmonic + (1 - harmonic) * (first - 1) / (n - 1), np.nan), axis=0)


def table_rows(lattice: Lattice, confidence: float, margin: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each row of `value`, `interactions` and `lattice`, with the table's name.

    Args:
        lattice: the lattice of one metric.
        confidence: the confidence level of the intervals.
        margin: what counts as nothing, in the metric's unit.
    """
    names = lattice.names
    every = frozenset(names)

    def row(estimate: Estimate) -> dict[str, Any]:
        return {"value": estimate.value, **estimate.columns(confidence)}

    for name in names:
        for quantity, weights in (
            ("alone", added(name)),
            ("added", added(name, every - {name})),
            ("shapley", shapley_weights(name, names)),
        ):
            found = row(lattice.sum(weights))
            yield "value", {"quantity": quantity, "modality": name, **found, **verdict(found, margin)}
    for one, other in combinations(names, 2):
        found = row(lattice.sum(interaction_weights(one, other, names)))
        yield "interactions", {"modality_a": one, "modality_b": other, **found}
    for subset in lattice.places:
        combination = label([name for name in names if name in subset])
        single = lattice.sum({subset: 1.0}, difference=False)
        # Average precision is too high in a small sample: `summary` has the interval that allows for it.
        whole = row(single) if subset and lattice.like.metric != "auprc" else {"value": single.value}
        yield "lattice", {"combination": combination, "added": None, **whole}
        for name in names:
            if name not in subset:
                yield "lattice", {"combination": combination, "added": name, **row(lattice.sum(added(name, subset)))}


def verdict(found: dict[str, Any], margin: float) -> dict[str, Any]:
    """Return the columns `verdict` and `at_most` of a quantity: they go by its interval, never by its centre."""
    low, high = (float("nan") if found.get(name) is None else found[name] for name in ("low", "high"))
    if low > 0:
        return {"verdict": ADDS}
    if high < margin:
        return {"verdict": NOTHING, "at_most": max(0.0, high)}
    return {"verdict": UNDECIDED}
