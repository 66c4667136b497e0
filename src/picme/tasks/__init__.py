"""Tasks of a study: what is predicted, when, and how its labels are made. Each built-in task is one file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from picme.errors import ConfigError, near
from picme.registry import Registry

if TYPE_CHECKING:
    import polars as pl

    from picme.cohort.mimic_stays import MimicStays
    from picme.config.cohort import CohortConfig
    from picme.config.study import TaskConfig

Moment = Literal["hours", "looking back", "icu discharge", "hospital discharge", "row"]
"""When a prediction is made."""

TASKS = Registry(
    "tasks",
    {
        "mortality": "picme.tasks.mortality:TASK",
        "phenotyping": "picme.tasks.phenotyping:TASK",
        "length_of_stay": "picme.tasks.length_of_stay:TASK",
        "readmission": "picme.tasks.readmission:TASK",
        "icu_readmission": "picme.tasks.icu_readmission:TASK",
    },
)


@dataclass(frozen=True)
class Task:
    """A task of a study, declared once; a subclass with `make_labels` also runs on MIMIC and the synthetic hospital.

    Attributes:
        name: the name under `tasks` in a configuration.
        labels: label columns; one makes the task binary, several make it multilabel.
        hours: prediction time, in hours after ICU admission; None for a task that looks back on the whole ICU stay, or
            one with `at`. Inputs end there, and a stay that is discharged or dead by then is not in the task.
        types: a type (acute, chronic, mixed) for each label, where labels have one.
        tables: raw tables that `make_labels` reads beside those of stays, diagnoses and events; they are needed, and
            their change makes a study prepare its data again.
        labelled_if: what a stay must have to get a label, in words for the cohort flow; empty if every stay gets one.
        measured: leave out stays without any measurement up to the prediction time, where a time series is configured.
        outcome: what is predicted, in words for the report; the task's name where it is empty.
        positive: a stay with the outcome, as a sentence of the report has it.
        negative: a stay without the outcome, as the same sentence goes on.
        at: when the prediction of what comes later is made, where that is not so many hours after ICU admission:
            `icu discharge`; `hospital discharge`; or `row`, the time that each label has in its file. Who is dead by
            then is not in the task.
    """

    name: str
    labels: tuple[str, ...]
    hours: float | None = None
    types: tuple[tuple[str, str], ...] = ()
    tables: tuple[str, ...] = ()
    labelled_if: str = ""
    measured: bool = False
    outcome: str = ""
    positive: str = "a stay with the outcome"
    negative: str = "one without it"
    at: Moment | None = None

    @property
    def moment(self) -> Moment:
        """When the prediction is made: `hours` after ICU admission, `looking back` on the stay, or as `at` says."""
        return self.at or ("looking back" if self.hours is None else "hours")

    @property
    def multilabel(self) -> bool:
        """True if there is more than one label."""
        return len(self.labels) > 1

    @property
    def headline(self) -> str:
        """The label whose score stands for the task: the only one, or the macro mean."""
        return "macro" if self.multilabel else self.labels[0]

    @property
    def on_mimic(self) -> bool:
        """True if the task makes its labels from MIMIC's tables."""
        return type(self).make_labels is not Task.make_labels

    def prediction_hours(self, rules: CohortConfig) -> float | None:
        """Return the prediction time: `hours`, unless a task lets the cohort's rules decide."""
        return self.hours

    def make_labels(self, stays: MimicStays) -> pl.DataFrame:
        """Make the labels of MIMIC stays.

        Args:
            stays: all eligible stays, with their diagnoses and events at hand. Those that are already discharged or
                dead at the prediction time are taken out afterwards.

        Returns:
            One row per stay: `stay_id` and the label columns (0, 1 or null). A stay without a row is not in the task.
        """
        raise NotImplementedError(f"task {self.name!r} makes no labels from MIMIC's tables")


def build(name: str, config: TaskConfig) -> Task:
    """Return the task of a name: a registered one, or one that the configuration defines by its label columns.

    Raises:
        ConfigError: if a binary task names several labels.
    """
    if config.file is not None:
        return Task(name, (name,), at="row")
    if config.labels:
        if config.kind == "binary" and len(config.labels) != 1:
            raise ConfigError(f"tasks.{name} is binary but names {len(config.labels)} labels")
        return Task(name, config.labels, config.hours)
    if name in TASKS.names():
        task: Task = TASKS.load(name)
        return task
    return Task(name, (name,), config.hours)


def load_for_mimic(name: str) -> Task:
    """Return a registered task that makes its labels from MIMIC's tables.

    Raises:
        ConfigError: if there is none of this name, or its labels are columns of the user's own files.
    """
    if name not in TASKS.names():
        raise ConfigError(f"tasks.{name} is not a task with labels from MIMIC's tables{near(name, TASKS.names())}")
    task: Task = TASKS.load(name)
    if not task.on_mimic:
        raise ConfigError(
            f"tasks.{name} has labels in the user's own files only: its declaration has no make_labels for MIMIC"
        )
    return task
