"""Predictions of a run's cells for the stays of another source, as rows of the table `predictions`."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

from picme.config.combinations import label, parse
from picme.errors import ConfigError, near
from picme.predict.choose import keeps_models
from picme.predict.model import Model
from picme.results.record import result_table
from picme.results.tables import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from picme.engine.progress import Parts
    from picme.pipeline import Run
    from picme.predict.new_stays import NewStays


class Cell(NamedTuple):
    """A cell whose models are applied; `selected` if the run chose it on validation."""

    task: str
    combination: str
    strategy: str
    selected: bool


def cells_of(
    study: Run, tasks: Sequence[str], strategies: Sequence[str], combinations: Sequence[str]
) -> tuple[list[Cell], list[str]]:
    """Return the cells of a run that keep models, all or those asked for, and sentences on those that keep none.

    Raises:
        ConfigError: if the run has no such task, strategy or combination, or no cell is left.
    """
    for name in tasks:
        if name not in study.config.tasks:
            raise ConfigError(f"unknown task {name!r}{near(name, study.config.tasks)}")
    summary = result_table(study.folder, "summary").filter(pl.col("task").is_in(list(tasks)))
    named = [label(parse(one, list(study.config.modalities))) for one in combinations]
    for column, asked in (("strategy", strategies), ("combination", named)):
        known = summary[column].unique(maintain_order=True).to_list()
        for one in asked:
            if one not in known:
                raise ConfigError(f"{study.folder} has no models of {column} {one!r}{near(one, known)}")
        if asked:
            summary = summary.filter(pl.col(column).is_in(list(asked)))
    ran = summary["strategy"].unique(maintain_order=True).to_list()
    without = [name for name in ran if not keeps_models(study.design.strategy(name))]
    notes = [f"{name} keeps no models to apply, so it is left out" for name in without]
    rows = summary.filter(~pl.col("strategy").is_in(without)).iter_rows(named=True)
    found = [Cell(row["task"], row["combination"], row["strategy"], bool(row["selected"])) for row in rows]
    if not found:
        raise ConfigError(f"{study.folder} has no models that could be applied; {'; '.join(notes)}")
    return sorted(found, key=lambda cell: (cell.task, cell.combination)), notes


def predictions_of(
    study: Run, cells: Sequence[Cell], stays: NewStays, judged: dict[str, np.ndarray], progress: Parts
) -> tuple[pl.DataFrame, list[str]]:
    """Apply the models of cells to new stays.

    Args:
        study: the run.
        cells: sorted by task and combination.
        stays: the new ones.
        judged: for each task which stays are judged (stay,) bool.
        progress: of the models.

    Returns:
        Rows of `predictions`, all of the split `test`, for stays that have any of a cell's modalities; and sentences on
        how the stays differ from the training stays.
    """
    frames: list[pl.DataFrame] = [table("predictions").frame().with_columns(pl.col("stay_id").cast(pl.String))]
    notes: list[str] = []
    for _, group in groupby(cells, key=lambda cell: cell[:2]):
        stays.encoded.clear()
        for cell in group:
            model = Model(study, cell.task, cell.strategy, cell.combination)
            with model.on(stays, progress) as new:
                notes += new.notes
                rows = new.rows[judged[cell.task][new.rows]]
                if not len(rows):
                    continue
                targets = new.view.labels(model.labels)[rows].astype(np.float64)
                ids = new.stays(rows).cast(pl.String)
                for seed, one in enumerate(new.seeds):
                    frames.append(_rows(cell, seed, ids, model.labels, targets, one.probabilities(rows)))
    return pl.concat(frames), list(dict.fromkeys(notes))


def _rows(
    cell: Cell, seed: int, ids: pl.Series, labels: tuple[str, ...], targets: np.ndarray, found: np.ndarray
) -> pl.DataFrame:
    named: dict[str, Any] = {**cell._asdict(), "seed": seed, "split": "test"}
    del named["selected"]
    frame = pl.DataFrame(
        {
            "stay_id": ids.gather(np.repeat(np.arange(len(ids)), len(labels))),
            "label": np.tile(np.array(labels), len(ids)),
            "target": targets.ravel(),
            "probability": found.ravel(),
        }
    )
    return table("predictions").conform(frame.with_columns(**{key: pl.lit(value) for key, value in named.items()}))
