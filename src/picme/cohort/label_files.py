"""Tasks whose labels come in a file: one sample for each label, which sees its stay up to the label's own time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from picme.cohort.death import death
from picme.cohort.plans import HOUR, Plan
from picme.errors import DataError
from picme.tasks import Task

if TYPE_CHECKING:
    from pathlib import Path

    from picme.cohort.notices import Notices
    from picme.cohort.stays import Cohort

REPEATED = "the same subject and prediction_time twice"
CONTRADICTED = "several boolean_value for the same subject and prediction_time"
UNKNOWN = "subject without a stay in the cohort"
OUTSIDE = "prediction_time outside the subject's stays (ICU admission to hospital discharge)"
DEAD = "prediction_time not before death"


def plan_labels(
    name: str, labels: pl.DataFrame, people: Cohort, every: pl.DataFrame, file: Path, notices: Notices
) -> tuple[Plan, pl.DataFrame]:
    """Plan the view of a task by its labels; labels that cannot be used are counted.

    A label belongs to the stay of its subject that began last before it and from which the patient is not yet
    discharged. Several labels of one stay are several samples, which the splits by subject keep together.

    Args:
        name: name of the task, and of its label.
        labels: subject_id, prediction_time, label (bool).
        people: the eligible stays.
        every: all stays and samples that measurements are wanted of; samples are added to it.
        file: where the labels are, for messages.
        notices: gets the labels that are left out.

    Returns:
        The plan, whose samples have numbers after the largest stay_id in place of it; and `every` with the samples.

    Raises:
        DataError: if no label can be used.
    """
    counts = {}
    keys = ["subject_id", "prediction_time"]
    rows = labels.unique(maintain_order=True)
    counts[REPEATED] = labels.height - rows.height
    alone = rows.filter(pl.len().over(keys) == 1)
    counts[CONTRADICTED] = rows.height - alone.height
    known = alone.join(people.stays.select("subject_id").unique(), on="subject_id", how="semi")
    counts[UNKNOWN] = alone.height - known.height
    time = pl.col("prediction_time")
    joined = known.join(people.stays.with_columns(dead=death()), on="subject_id", how="inner")
    # Where a bed in the ICU was kept beyond discharge, or discharge is unknown, the ICU stay counts.
    inside = joined.filter(time >= pl.col("intime"), time <= pl.max_horizontal("dischtime", "outtime"))
    inside = inside.sort(*keys, "intime").unique(keys, keep="last", maintain_order=True)
    counts[OUTSIDE] = known.height - inside.height
    alive = inside.filter((pl.col("dead") > time).fill_null(True))
    counts[DEAD] = inside.height - alive.height
    notices.quarantine += [("labels", f"{name}: {reason}", count) for reason, count in counts.items() if count]
    if alive.is_empty():
        most = max(counts, key=lambda reason: counts[reason]) if labels.height else "the file is empty"
        raise DataError(f"tasks.{name}.file: none of the {labels.height} labels of {file} can be used (mostly: {most})")
    samples = alive.sort(keys)
    place = pl.int_range(every.height, every.height + samples.height, dtype=pl.UInt32)
    largest = int(people.stays["stay_id"].max())  # type: ignore[arg-type]  # the stays are not empty
    seconds = samples.select((time - pl.col("intime")).dt.total_seconds()).to_series().to_numpy()
    stays = samples.select(
        place.alias("index"),
        *(pl.col(column) for column in people.stays.columns if column != "stay_id"),
        pl.col("label").cast(pl.Int8).alias(name),
    ).with_columns(stay_id=largest + 1 + pl.col("index").cast(pl.Int64))
    flow = people.flow.copy()
    flow.add("samples: labels with a prediction time within the stay", stays)
    task = Task(name, (name,), at="row")
    return (
        Plan(name, stays, seconds.astype(np.float64) / HOUR, [name], flow, task=task),
        pl.concat([every, samples.select(every.columns)]),
    )
