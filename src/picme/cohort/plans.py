"""Plans of the MIMIC views: the stays of each, the cut-off of each stay, and the labels, before any modality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from picme.cohort.mimic_stays import DISCHARGE, MimicStays, alive_at, alive_until, in_hospital_at, labelled
from picme.cohort.stays import long_enough

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from picme.cohort.notices import Notices
    from picme.cohort.stays import Cohort, Flow
    from picme.config.cohort import CohortConfig
    from picme.sources.tables import Tables
    from picme.tasks import Task

HOUR = 3600
PRETRAIN = "pretrain"


@dataclass
class Plan:
    """A view before its modalities are built.

    Attributes:
        name: name of the task, or `pretrain`.
        stays: the view's stays, with the label columns and `index`, the stay's place in the cohort.
        hours: (stay,) the cut-off, in hours after ICU admission.
        labels: the label columns.
        flow: the exclusions so far.
        measured: True if stays without any measurement are to be left out.
        task: the task; None for pretraining.
    """

    name: str
    stays: pl.DataFrame
    hours: np.ndarray
    labels: list[str]
    flow: Flow
    measured: bool = False
    task: Task | None = None

    @property
    def members(self) -> np.ndarray:
        """Places of the stays in the cohort, (stay,) int64."""
        return self.stays["index"].to_numpy().astype(np.int64)


def make_labels(
    release: Tables, rules: CohortConfig, people: Cohort, tasks: Mapping[str, Task], notices: Notices
) -> tuple[dict[str, pl.DataFrame], pl.DataFrame | None]:
    """Let each task make its labels, and take over what it reports.

    Returns:
        Task → stay_id and label columns; and how two definitions of labels agree, where a task compares them.
    """
    labels: dict[str, pl.DataFrame] = {}
    agreement = None
    for name, task in tasks.items():
        stays = MimicStays(name, task, people.stays, rules, release)
        labels[name] = labelled(name, task, stays)
        notices.quarantine += [("labels", reason, count) for reason, count in stays.left_out.items()]
        notices.notes += stays.notes
        agreement = stays.agreement if agreement is None else agreement
    return labels, agreement


def make_plans(
    rules: CohortConfig,
    people: Cohort,
    tasks: Mapping[str, Task],
    labels: Mapping[str, pl.DataFrame],
    window_hours: float,
) -> list[Plan]:
    """Plan a view for each task, and `pretrain`.

    The published extraction leaves a stay that a task cannot label out of every view, so `people` then loses it.
    """
    published = rules.extraction == "benchmark"
    if published:
        for name, task in tasks.items():
            if task.labelled_if:
                with_label = people.stays.join(labels[name], on="stay_id", how="semi", maintain_order="left")
                people.stays = people.flow.add(task.labelled_if, with_label)
    plans = [_plan(name, task, labels[name], people, rules) for name, task in tasks.items()]
    stays = people.stays.with_row_index("index")
    return [*plans, Plan(PRETRAIN, stays, _hours(stays, window_hours), [], people.flow.copy())]


def _plan(name: str, task: Task, labels: pl.DataFrame, people: Cohort, rules: CohortConfig) -> Plan:
    published = rules.extraction == "benchmark"
    flow = people.flow.copy()
    stays = people.stays.with_row_index("index")
    hours = task.prediction_hours(rules)
    if task.moment in DISCHARGE:
        stays = flow.add(f"alive at {task.moment}", alive_until(stays, DISCHARGE[task.moment]))
    if hours is not None:
        stays = flow.add(f"at least {hours:g} hours in the ICU", long_enough(stays, hours))
        # The published extraction has no such rules.
        for state, at in () if published else (("alive", alive_at), ("in hospital", in_hospital_at)):
            kept = at(stays, hours)
            if kept.height < stays.height:
                stays = flow.add(f"{state} after {hours:g} hours", kept)
    before = stays.height
    stays = stays.join(labels, on="stay_id", how="inner", maintain_order="left")
    if (task.labelled_if and not published) or stays.height < before:
        flow.add(task.labelled_if or "with a label", stays)
    names = [column for column in labels.columns if column != "stay_id"]
    seen = _until(stays, DISCHARGE[task.moment]) if task.moment in DISCHARGE else _hours(stays, hours)
    return Plan(name, stays, seen, names, flow, task.measured, task)


def _until(stays: pl.DataFrame, column: str) -> np.ndarray:
    """Return the hours from ICU admission to a time, not less than none."""
    seconds = (stays[column] - stays["intime"]).dt.total_seconds().to_numpy()
    return np.maximum(seconds / HOUR, 0.0)


def _hours(stays: pl.DataFrame, limit: float | None) -> np.ndarray:
    """Return the cut-off of each stay: the limit, or the end of the stay where that is earlier."""
    return np.minimum(stays["seconds"].to_numpy() / HOUR, np.inf if limit is None else float(limit))
