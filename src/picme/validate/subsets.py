"""The value of modalities in another source, and which are enough, from predictions of every subset of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from picme.config.combinations import label
from picme.evaluate.bootstrap import SubjectResamples
from picme.evaluate.by_subset import subsets_of
from picme.evaluate.independent import Told, difference
from picme.evaluate.predicted import COMPLETE
from picme.evaluate.sufficient import judged, sufficient
from picme.evaluate.summary import seeded
from picme.evaluate.value import events, lattices, table_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from picme.config.evaluate import EvaluateConfig
    from picme.evaluate.lattice import Lattice
    from picme.evaluate.predictions import TaskPredictions


def subset_rows(
    there: TaskPredictions,
    names: tuple[str, ...],
    costs: Mapping[str, float],
    own: Mapping[str, pl.DataFrame],
    config: EvaluateConfig,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield rows of `external_value` and `external_sufficient` with the table's name, for strategies with all subsets.

    Args:
        there: a task's predictions with the other source's stays as test stays.
        names: the modalities of the run.
        costs: what each costs.
        own: the run's tables `value` and `sufficient`, where it has them.
        config: how to judge.
    """
    combinations = [
        label([name for name, inside in zip(names, subset, strict=True) if inside]) for subset in subsets_of(len(names))
    ]
    for strategy in dict.fromkeys(strategy for _, strategy in there.keys):
        if not all((one, strategy) in there.keys for one in combinations):
            continue
        cells = [there.cell(one, strategy) for one in combinations]
        complete = np.all([(~np.isnan(cell.y["test"])).any(axis=0) for cell in cells], axis=0)
        if not complete.any():
            continue
        y = cells[-1].y["test"][:, complete]
        # A label that the models of any subset do not know is left out of all.
        unknown = np.any([[name in cell.unpredicted for name in cell.labels] for cell in cells], axis=0)
        p = np.stack([cell.p["test"][..., complete].astype(np.float64) for cell in cells], axis=1)
        p[:, :, unknown] = np.nan
        of, subject = np.unique(there.stays["test"].subject[complete], return_inverse=True)
        resamples = SubjectResamples.draw(len(of), config.interval_resamples, config.seed)
        about = {"task": there.name, "strategy": strategy}
        for lattice in lattices(y, p, subject, resamples, names, seeded(strategy), cells[-1].draws):
            key = {**about, "metric": lattice.like.metric}
            mine = {name: _of(frame, key) for name, frame in own.items()}
            yield from _value(lattice, key, mine.get("value"), config)
            counted = {"n": int(complete.sum()), "events": events(y)}
            yield (
                "external_sufficient",
                {**key, **counted, **_enough(lattice, mine.get("sufficient"), costs, config, counted["n"])},
            )


def _of(frame: pl.DataFrame, key: Mapping[str, str]) -> pl.DataFrame:
    """Return the rows of a run's table about the stays that have every modality."""
    return frame.filter(*(pl.col(name) == value for name, value in key.items()), pl.col("stays") == COMPLETE)


def _value(
    lattice: Lattice, key: dict[str, str], own: pl.DataFrame | None, config: EvaluateConfig
) -> Iterator[tuple[str, dict[str, Any]]]:
    internal = {} if own is None else {(row["quantity"], row["modality"]): row for row in own.iter_rows(named=True)}
    for name, row in table_rows(lattice, config.confidence, config.margin):
        if name != "value":
            continue
        made = {**key, **row}
        here = internal.get((row["quantity"], row["modality"]))
        if here is not None:
            made |= {"internal": here["value"], "internal_verdict": here["verdict"]}
            apart = difference(_told(row), _told(here))
            made |= {"difference": apart.value, "difference_low": apart.low, "difference_high": apart.high}
        yield "external_value", made


def _told(row: Mapping[str, Any]) -> Told:
    ends = (float("nan") if row[name] is None else float(row[name]) for name in ("value", "low", "high"))
    return Told(*ends)


def _enough(
    lattice: Lattice, own: pl.DataFrame | None, costs: Mapping[str, float], config: EvaluateConfig, stays: int
) -> dict[str, Any]:
    """Return what the run's choice comes to there, and what would be chosen there."""
    found = sufficient(lattice, lattice, costs, config.confidence, config.margin, stays)
    row = {"margin": config.margin, "there": found.get("combination"), "needed": found.get("needed")}
    row["there_none_needed"] = found.get("none_needed")
    if own is None or not own.height:
        return row
    mine = own.row(0, named=True)
    row |= {name: mine[name] for name in ("combination", "none_needed", "best", "against")}
    if mine["combination"] is None or mine["against"] is None:
        return row
    enough, against = (frozenset(mine[name].split("+")) for name in ("combination", "against"))
    return row | judged(lattice, enough, against, config.confidence, config.margin)
