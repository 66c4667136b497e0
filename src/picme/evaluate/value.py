"""What each modality is worth: by itself, beside the others, and together with each other one."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from picme.config.combinations import label
from picme.evaluate.bootstrap import SubjectResamples
from picme.evaluate.by_subset import dedicated_models, whole_models
from picme.evaluate.folds import by_fold
from picme.evaluate.intervals import METRICS, Estimate, estimated
from picme.evaluate.lattice import Lattice
from picme.evaluate.shapley import added, interaction_weights, shapley_weights
from picme.metrics.classification import macro
from picme.pretrain.features import open_encoded
from picme.results.tables import table
from picme.strategies import strategies
from picme.tasks import build as build_task

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from picme.engine.step import Context
    from picme.evaluate.step import Value
    from picme.finetune.step import Finetune

TABLES = ("value", "interactions", "lattice")
ADDS, NOTHING, UNDECIDED = "adds", "nothing measurable", "undecided"


def measure_value(step: Value, folder: Path, context: Context) -> dict[str, Any]:
    """Write the tables `value`, `interactions` and `lattice` of one strategy."""
    cell = step.cell
    names = cell.combination
    made: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    read = (_predicted(step, fold, context) for fold in by_fold(step.finetuned))
    folds = [fold for fold in read if len(fold[2])]
    stays = sum(len(fold[2]) for fold in folds)
    if stays:
        y, p = (np.concatenate([fold[place] for fold in folds], axis=-1) for place in (0, 1))
        _, subject = np.unique(np.concatenate([fold[2] for fold in folds]), return_inverse=True)
        resamples = SubjectResamples.draw(int(subject.max()) + 1, step.interval_resamples, step.seed)
        declared = strategies().get(cell.strategy)
        seeded = declared is None or declared.seeded
        for lattice in lattices(y, p, subject, resamples, names, seeded, step.draws):
            about = {"task": cell.task.name, "strategy": cell.strategy, "metric": lattice.like.metric}
            about["source"] = "dedicated" if step.dedicated else "shared"
            for name, found in table_rows(lattice, step.confidence, step.margin):
                made[name].append(about | found)
    for name in TABLES:
        table(name).frame(made[name]).write_parquet(folder / f"{name}.parquet")
    return {"task": cell.task.name, "strategy": cell.strategy, "stays": stays}


def _predicted(
    step: Value, finetuned: Sequence[Finetune], context: Context
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[Any]]:
    """Return labels, predictions (as `lattices` takes them) and subjects of one fold's test stays with everything."""
    cell = max((one.cell for one in finetuned), key=lambda cell: len(cell.encodings))
    task, names = build_task(cell.task.name, cell.task.section), cell.combination
    view = open_encoded(cell.prepare, task.name, cell.encodings, context.store)
    rows = view.usable(names, "test", at_least=len(names))
    subjects = view.cohort["subject_id"].to_numpy()[rows]
    y = view.labels(task.labels)[rows].T.astype(np.float64)
    if not len(rows):
        return y, np.empty(0), subjects
    predict = dedicated_models if step.dedicated else whole_models
    seeds = sorted({one.seed for one in finetuned})
    each = ([one for one in finetuned if one.seed == seed] for seed in seeds)
    p = np.stack([predict(models, view, rows, context) for models in each])
    return y, p.transpose(0, 1, 3, 2), subjects


def lattices(
    y: NDArray[np.floating],
    p: NDArray[np.floating],
    subject: NDArray[np.integer],
    resamples: SubjectResamples,
    names: Sequence[str],
    seeded: bool = True,
    draws: int = 0,
) -> Iterator[Lattice]:
    """Yield the lattice of each metric.

    Args:
        y: labels (label, stay), NaN where undefined.
        p: probabilities (seed, subset, label, stay), subsets as in `by_subset.subsets_of`; NaN for a label that the
            models do not know, which is left out of every subset.
        subject: index of each stay's subject (stay,).
        resamples: of the subjects.
        names: the modalities.
        seeded: whether another seed gives other models.
        draws: draws of encoders that the seeds take in turn.
    """
    unknown = np.isnan(p).any(axis=(0, 1, 3))
    y, p = np.where(unknown[:, None], np.nan, y), np.where(unknown[:, None], 0.0, p)
    found = [[estimated(y, one, subject, resamples, others=False) for one in seed] for seed in p]
    prevalence = _prevalence(y, subject, resamples)
    none = {"auroc": np.full(1 + resamples.resamples, 0.5), "auprc": prevalence}
    for metric in METRICS:
        values = np.array([[none[metric][0], *(one[metric].value for one in seed)] for seed in found])
        drawn = np.array([[none[metric][1:], *(one[metric].drawn for one in seed)] for seed in found])
        yield Lattice(tuple(names), found[0][0][metric], values, drawn, seeded, draws)


def _prevalence(
    y: NDArray[np.floating], subject: NDArray[np.integer], resamples: SubjectResamples
) -> NDArray[np.float64]:
    """Return the mean prevalence of the labels of both classes, on the sample and in each resample (1 + resample,)."""
    stays, positives = (
        np.column_stack([each.sum(axis=1), resamples.totals(each, subject)])
        for each in ((~np.isnan(y)).astype(float), np.nan_to_num(y))
    )
    share = np.divide(positives, stays, out=np.full(stays.shape, np.nan), where=stays > 0)
    return macro(np.where((positives > 0) & (positives < stays), share, np.nan), axis=0)


def table_rows(lattice: Lattice, confidence: float, margin: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each row of the tables of `TABLES`, with the table's name.

    Args:
        lattice: of one metric.
        confidence: of the intervals.
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
        whole = row(lattice.sum({subset: 1.0}, difference=False)) if subset else {"value": lattice.values[0, 0]}
        yield "lattice", {"combination": combination, "added": None, **whole}
        for name in names:
            if name not in subset:
                yield "lattice", {"combination": combination, "added": name, **row(lattice.sum(added(name, subset)))}


def verdict(found: dict[str, Any], margin: float) -> dict[str, Any]:
    """Return the columns `verdict` and `at_most` of a quantity: they go by its interval, never by its centre."""
    low, high = (float("nan") if found.get(name) is None else found[name] for name in ("low", "high"))
    if low > 0:
        return {"verdict": ADDS}
    if low <= 0 <= high < margin:
        return {"verdict": NOTHING, "at_most": high}
    return {"verdict": UNDECIDED}
