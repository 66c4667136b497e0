"""Differences of another source's stays from a run's training stays: variable by variable, and all together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.cohort.separation import cross_fitted, folds
from picme.evaluate.bootstrap import SubjectResamples
from picme.evaluate.independent import Told, difference
from picme.evaluate.intervals import estimated
from picme.evaluate.subgroups import SMALL
from picme.metrics.shares import share
from picme.prepare.contents import linear_inputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from picme.config.evaluate import EvaluateConfig

MOST = 10_000
"""Most stays of a side that are compared."""
STRENGTH = 0.1
"""Inverse of the L2 penalty of the classifier between the sources."""


@dataclass(frozen=True)
class Side:
    """The stays of one source.

    Attributes:
        described: for each modality its plain columns, one row per stay.
        present: for each modality which stays have it (stay,) bool.
        subject: whose each stay is (stay,).
    """

    described: Mapping[str, pl.DataFrame] = field(repr=False)
    present: Mapping[str, np.ndarray] = field(repr=False)
    subject: np.ndarray = field(repr=False)


def shift_rows(run: Side, there: Side, least: int) -> Iterator[dict[str, Any]]:
    """Yield rows of `shift`, without the task.

    A mean or share of fewer than `least` stays is not told; categories that so few have are taken together.
    """
    for modality, columns in run.described.items():
        if modality not in there.described:
            continue
        for name in columns.columns:
            one, other = columns[name].drop_nulls(), there.described[modality][name].drop_nulls()
            about: dict[str, Any] = {
                "modality": modality,
                "variable": name,
                "run_known": len(one),
                "there_known": len(other),
            }
            if min(len(one), len(other)) < least:
                yield about | {key: None for key in ("run_known", "there_known") if 0 < about[key] < least}
            elif one.dtype.is_numeric():
                yield about | _numbers(one.to_numpy().astype(float), other.cast(pl.Float64).to_numpy())
            else:
                for category, shares in _categories(one.cast(pl.String), other.cast(pl.String), least):
                    yield about | {"category": category, **shares}


def _numbers(run: np.ndarray, there: np.ndarray) -> dict[str, float]:
    return {
        "run": float(run.mean()),
        "run_std": float(run.std(ddof=1)),
        "there": float(there.mean()),
        "there_std": float(there.std(ddof=1)),
        "smd": standardised(run.mean(), run.var(ddof=1), there.mean(), there.var(ddof=1)),
    }


def _categories(run: pl.Series, there: pl.Series, least: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the shares of each category; small ones are joined until none, nor what they join, is small."""
    counts = [dict(side.value_counts().iter_rows()) for side in (run, there)]
    names = sorted(set(counts[0]) | set(counts[1]))
    pairs = {name: [side.get(name, 0) for side in counts] for name in names}
    small = [name for name, pair in pairs.items() if any(0 < count < least for count in pair)]
    kept = sorted((name for name in names if name not in small), key=lambda name: sum(pairs[name]))
    while small and kept and any(0 < sum(pairs[name][side] for name in small) < least for side in (0, 1)):
        small.append(kept.pop(0))
    groups = [(name, [name]) for name in sorted(kept)] + ([(SMALL, small)] if small else [])
    if len(groups) < 2:
        return
    for name, members in groups:
        here, other = (sum(pairs[one][side] for one in members) / len(of) for side, of in ((0, run), (1, there)))
        smd = standardised(here, here * (1 - here), other, other * (1 - other))
        yield name, {"run": here, "there": other, "smd": smd}


def standardised(run: float, run_variance: float, there: float, there_variance: float) -> float:
    """Return the standardised difference of two means (Austin, Statistics in Medicine 2009, 28:3083)."""
    spread = np.sqrt((run_variance + there_variance) / 2)
    return float((there - run) / spread) if spread > 0 else (0.0 if run == there else float("nan"))


def presence_rows(run: Side, there: Side, confidence: float) -> Iterator[dict[str, Any]]:
    """Yield rows of `shift_presence`, without the task."""
    for modality in run.present:
        told = []
        for side in (run, there):
            _, subject = np.unique(side.subject, return_inverse=True)
            told.append(Told(*share(side.present[modality], subject, confidence)))
        apart = difference(told[1], told[0])
        yield {
            "modality": modality,
            "run": told[0].value,
            "run_low": told[0].low,
            "run_high": told[0].high,
            "there": told[1].value,
            "there_low": told[1].low,
            "there_high": told[1].high,
            "difference": apart.value,
            "difference_low": apart.low,
            "difference_high": apart.high,
        }


def classifier_rows(run: Side, there: Side, config: EvaluateConfig) -> Iterator[dict[str, Any]]:
    """Yield rows of `shift_classifier`, without the task: of all modalities together, and of each by itself.

    Each reads the stays that have the modality; that of all reads which of them a stay has, too.
    """
    for modality in (None, *run.described):
        names = list(run.described) if modality is None else [modality]
        names = [name for name in names if name in there.described]
        if not names or not any(run.described[name].width for name in names):
            continue
        parts, sizes, subjects = [], [], []
        for number, side in enumerate((run, there)):
            rows = np.flatnonzero(np.ones(len(side.subject), bool) if modality is None else side.present[modality])
            if len(rows) > MOST:
                rows = np.sort(np.random.default_rng(config.seed).choice(rows, MOST, replace=False))
            columns = [
                side.described[name][rows].select(pl.all().name.prefix(f"{name} "))
                for name in names
                if side.described[name].width
            ]
            if modality is None:
                columns.append(
                    pl.DataFrame({f"presence {name}": side.present[name][rows].astype(float) for name in run.present})
                )
            parts.append(pl.concat(columns, how="horizontal"))
            sizes.append(len(rows))
            subjects.append(np.array([f"{number} {one}" for one in side.subject[rows]], dtype=object))
        row: dict[str, Any] = {"modality": modality, "n_run": sizes[0], "n_there": sizes[1]}
        if min(sizes) < config.min_group:
            yield (
                row
                | {"no_interval": f"fewer than {config.min_group} stays of a source"}
                | {
                    key: None
                    for key, size in zip(("n_run", "n_there"), sizes, strict=True)
                    if 0 < size < config.min_group
                }
            )
            continue
        y = np.repeat([0.0, 1.0], sizes)
        whose = np.concatenate(subjects).astype(str)
        inputs = linear_inputs(pl.concat(parts, how="vertical_relaxed"))
        scores = cross_fitted(inputs, y.astype(int), folds(whose.tolist()), STRENGTH)
        _, subject = np.unique(whose, return_inverse=True)
        resamples = SubjectResamples.draw(int(subject.max()) + 1, config.interval_resamples, config.seed)
        auroc = estimated(y[None], scores[None], subject, resamples, others=False)["auroc"]
        yield row | {"auroc": auroc.value, **auroc.columns(config.confidence)}
