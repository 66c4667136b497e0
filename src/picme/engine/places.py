"""What a step takes of a machine or a cluster: cores, and GPUs or a share of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from picme.engine.step import ALL_CORES

if TYPE_CHECKING:
    from picme.engine.step import Step


@dataclass(frozen=True)
class Demand:
    """What a step takes while it runs.

    Attributes:
        cores: whole cores.
        gpus: GPUs, a share of one below 1; 0 where none is used.
    """

    cores: int
    gpus: float


def demand_of(step: Step, cores: int, gpus: bool) -> Demand:
    """Return what a step takes of a machine with so many cores.

    Args:
        step: any step.
        cores: of the machine; a step that takes all takes these, and none takes more.
        gpus: whether the steps that can use a GPU do so.
    """
    return Demand(cores if step.cores == ALL_CORES else min(step.cores, cores), step.gpus if gpus else 0.0)
