"""Tasks: what is predicted, when, and from which labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from picme.errors import ConfigError
from picme.registry import Registry

if TYPE_CHECKING:
    from picme.config.study import TaskConfig

TASKS = Registry(
    "tasks",
    {
        "mortality": "picme.tasks.mortality:TASK",
        "phenotyping": "picme.tasks.phenotyping:TASK",
    },
)


@dataclass(frozen=True)
class Task:
    """A task of a study.

    Attributes:
        name: as configured.
        labels: label columns of the cohort.
        hours: prediction time after ICU admission; None for the end of the stay.
        types: for each label its type (acute, chronic, mixed), where labels have one.
    """

    name: str
    labels: tuple[str, ...]
    hours: float | None = None
    types: tuple[tuple[str, str], ...] = ()

    @property
    def multilabel(self) -> bool:
        """Whether there is more than one label."""
        return len(self.labels) > 1

    @property
    def headline(self) -> str:
        """The label whose score stands for the task: the only one, or the macro mean."""
        return "macro" if self.multilabel else self.labels[0]


def build(name: str, config: TaskConfig) -> Task:
    """The task of a name: a registered one, or one defined by its label columns alone (its own name if none is given).

    Raises:
        ConfigError: if a binary task names several labels.
    """
    if config.labels:
        if config.kind == "binary" and len(config.labels) != 1:
            raise ConfigError(f"tasks.{name} is binary but names {len(config.labels)} labels")
        return Task(name, config.labels, config.hours)
    if name in TASKS.names():
        task: Task = TASKS.load(name)
        return task
    return Task(name, (name,), config.hours)
