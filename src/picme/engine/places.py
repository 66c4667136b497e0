"""Places of steps on a machine: what each takes of it, which one starts next, and on which GPU."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from picme.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from picme.engine.step import Step

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Demand:
    """The cores and the share of a GPU that a step takes while it runs.

    Attributes:
        cores: whole cores.
        gpu: the share of one GPU, or the number of whole ones; 0 where none is used.
    """

    cores: int
    gpu: float


def demand_of(step: Step, cores: int, gpus: int, per_gpu: int, per_fit: int = 1) -> Demand:
    """Return what a step takes of a machine.

    Args:
        step: any step.
        cores: the cores of the machine; no step takes more. One that takes all of them and a GPU takes as many as
            there are for each GPU, so that no GPU waits for another's step.
        gpus: the GPUs of the machine; without any, steps that can use one take cores alone.
        per_gpu: how many steps share a GPU, of those that do.
        per_fit: how many devices share a step, of those that can be shared; each takes the step's cores.
    """
    devices = per_fit if step.spread else 1
    gpu = {"none": 0.0, "shared": 1 / per_gpu, "whole": float(devices)}[step.gpu] if gpus else 0.0
    all_cores = max(1, cores // gpus) if gpu else cores
    return Demand(min((step.cores or all_cores) * devices, cores), gpu)


def may_have_gpu() -> bool:
    """Return whether this machine may have a GPU, as far as device files tell it, without torch."""
    return sys.platform != "linux" or any(Path(f"/dev/{name}").exists() for name in ("nvidiactl", "dxg", "kfd"))


def enough_for_a_fit(gpus: Sequence[str], per_fit: int) -> None:
    """Check that one training can have as many GPUs as it is to have; on CPUs it can.

    Raises:
        ConfigError: if there are fewer.
    """
    if 0 < len(gpus) < per_fit:
        raise ConfigError(f"execution.devices_per_fit asks for {per_fit} GPUs, execution.device has {len(gpus)}")


def side_by_side(demand: Demand, cores: int, gpus: int) -> int:
    """Return how many steps that take the same run at once on a machine of so many cores and GPUs; at least one."""
    most = cores // demand.cores
    return max(1, min(most, int(gpus / demand.gpu + _ROUNDING)) if demand.gpu else most)


def least_loaded(loads: Mapping[str, float], share: float) -> str | None:
    """Return the GPU with the least load that has room for a share of it, None where none has.

    Args:
        loads: the shares of each GPU that are taken.
        share: at most 1.
    """
    room = [name for name, load in loads.items() if load + share <= 1 + _ROUNDING]
    return min(room, key=lambda name: loads[name], default=None)


def chosen_gpus(loads: Mapping[str, float], demand: float) -> tuple[str, ...]:
    """Return the GPUs that have room for a share of one, or as many free ones as are asked for; none if there are not.

    Args:
        loads: the shares of each GPU that are taken.
        demand: a share up to 1, or a number of GPUs.
    """
    if demand <= 1:
        gpu = least_loaded(loads, demand)
        return () if gpu is None else (gpu,)
    free = tuple(name for name, load in loads.items() if load < _ROUNDING)
    return free[: round(demand)] if len(free) >= round(demand) else ()


def next_start(waiting: Iterable[Demand], cores: int, loads: Mapping[str, float]) -> tuple[int, tuple[str, ...]] | None:
    """Return which of the waiting steps starts now, by its place, and on which GPUs; None if all have to wait.

    Steps start in their order. One that waits for cores is not overtaken. One that waits for whole GPUs has the least
    loaded ones kept free for it, so that small steps that go on coming do not keep it waiting for ever.

    Args:
        waiting: what the waiting steps take, in their order.
        cores: that are free.
        loads: the shares of each GPU that are taken.
    """
    open_ = dict(loads)
    for place, demand in enumerate(waiting):
        if demand.cores > cores:
            return None
        if not demand.gpu:
            return place, ()
        gpus = chosen_gpus(open_, demand.gpu)
        if gpus:
            return place, gpus
        if demand.gpu > 1 - _ROUNDING:
            for name in sorted(open_, key=lambda name: open_[name])[: round(demand.gpu)]:
                del open_[name]
    return None
