"""What starts next, and on which GPU, on machines that are made up."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_steps import OnGpu, OnSharedGpu, Toy, Wide

from picme.engine.places import Demand, demand_of, least_loaded, next_start, side_by_side

CPU, WHOLE, QUARTER, PAIR = Demand(1, 0.0), Demand(1, 1.0), Demand(1, 0.25), Demand(1, 2.0)


class WideOnGpu(Wide):
    """Takes all cores, and a whole GPU."""

    kind = "wide gpu"
    gpu = "whole"


class Spread(OnGpu):
    """Can be shared by several devices."""

    kind = "spread"

    @property
    def spread(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("step", "gpus", "demand"),
    [
        (Toy, 0, Demand(1, 0.0)),
        (Toy, 4, Demand(1, 0.0)),
        (OnGpu, 0, Demand(1, 0.0)),
        (OnGpu, 4, Demand(1, 1.0)),
        (OnSharedGpu, 4, Demand(1, 0.25)),
        (Wide, 4, Demand(16, 0.0)),
        (WideOnGpu, 0, Demand(16, 0.0)),
        (WideOnGpu, 1, Demand(16, 1.0)),
        (WideOnGpu, 4, Demand(4, 1.0)),
        (WideOnGpu, 32, Demand(1, 1.0)),
    ],
)
def test_a_step_takes_of_a_machine_what_it_has(step: Any, gpus: int, demand: Demand) -> None:
    assert demand_of(step(label="x"), cores=16, gpus=gpus, per_gpu=4) == demand


@given(
    st.sampled_from([(16, 0), (16, 1), (16, 4), (3, 4), (1, 2)]),
    st.sampled_from([Toy, OnGpu, OnSharedGpu, Wide, WideOnGpu, Spread]),
    st.integers(1, 3),
)
def test_as_many_run_side_by_side_as_start_together(machine: tuple[int, int], kind: Any, per_fit: int) -> None:
    cores, gpus = machine
    demand = demand_of(kind(label="x"), cores, gpus, per_gpu=4, per_fit=per_fit if per_fit <= gpus or not gpus else 1)
    free, loads, started = cores, dict.fromkeys(map(str, range(gpus)), 0.0), 0
    while (found := next_start([demand], free, loads)) is not None:
        started, free = started + 1, free - demand.cores
        for gpu in found[1]:
            loads[gpu] += demand.gpu / len(found[1])
    assert side_by_side(demand, cores, gpus) == started


@pytest.mark.parametrize(
    ("cores", "gpus", "demand"),
    [(16, 0, Demand(3, 0.0)), (16, 4, Demand(3, 3.0)), (2, 4, Demand(2, 3.0)), (1, 0, Demand(1, 0.0))],
)
def test_a_training_on_several_devices_takes_a_core_and_a_gpu_for_each(cores: int, gpus: int, demand: Demand) -> None:
    assert demand_of(Spread(label="x"), cores, gpus, per_gpu=4, per_fit=3) == demand
    assert demand_of(OnGpu(label="x"), cores, gpus, per_gpu=4, per_fit=3).gpu <= 1, "it cannot be shared"


def test_several_gpus_are_given_together_and_kept_free_for_who_waits_for_them() -> None:
    loads = {"cuda:0": 0.25, "cuda:1": 0.0, "cuda:2": 0.0}
    assert next_start([PAIR], 4, loads) == (0, ("cuda:1", "cuda:2"))
    assert next_start([PAIR, QUARTER], 4, loads | {"cuda:1": 0.5, "cuda:2": 0.75}) == (1, ("cuda:2",))
    assert next_start([PAIR, QUARTER], 4, {"cuda:0": 0.0, "cuda:1": 0.5}) is None


def test_the_least_loaded_gpu_with_room_is_chosen() -> None:
    loads = {"cuda:0": 0.5, "cuda:1": 0.25, "cuda:2": 1.0}
    assert least_loaded(loads, 0.25) == "cuda:1"
    assert least_loaded(loads, 0.75) == "cuda:1"
    assert least_loaded(loads, 0.8) is None
    assert least_loaded({"cuda:0": 0.0, "cuda:1": 0.0}, 1.0) == "cuda:0", "the first of equals"
    assert least_loaded({}, 0.25) is None
    assert least_loaded({"cuda:0": 3 * (1 / 3)}, 1 / 3) is None
    assert least_loaded({"cuda:0": 9 * 0.1}, 0.1) == "cuda:0", "rounding takes no room"


def test_who_waits_for_cores_is_not_overtaken() -> None:
    assert next_start([Demand(2, 0.0), CPU], 1, {}) is None
    assert next_start([Demand(2, 0.0), CPU], 2, {}) == (0, ())


def test_who_waits_for_a_gpu_is_overtaken_by_what_needs_none() -> None:
    assert next_start([WHOLE, WHOLE, CPU], 4, {"cuda:0": 1.0}) == (2, ())


def test_a_gpu_is_kept_free_for_who_waits_for_a_whole_one_and_the_others_are_not() -> None:
    loads = {"cuda:0": 0.25, "cuda:1": 0.5}
    assert next_start([WHOLE, QUARTER], 4, loads) == (1, ("cuda:1",))
    assert next_start([WHOLE, WHOLE, QUARTER], 4, loads) is None
    assert next_start([WHOLE, QUARTER], 4, {"cuda:0": 0.25}) is None


@given(
    st.lists(st.sampled_from([CPU, WHOLE, QUARTER, PAIR]), max_size=30),
    st.integers(1, 12),
    st.integers(2, 4),
    st.integers(0, 1000),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_comes_no_gpu_is_overloaded_none_idles_and_all_steps_run(
    waiting: list[Demand], cores: int, gpus: int, seed: int
) -> None:
    ends = random.Random(seed)
    names = [f"cuda:{number}" for number in range(gpus)]
    running: list[tuple[Demand, tuple[str, ...]]] = []
    left, ran = list(waiting), 0
    while left or running:
        loads = {name: sum(demand.gpu / len(on) for demand, on in running if name in on) for name in names}
        free = cores - len(running)
        chosen = next_start(left, free, loads)
        if chosen is not None:
            place, given_ = chosen
            demand = left.pop(place)
            assert len(given_) == math.ceil(demand.gpu)
            assert all(loads[gpu] + demand.gpu / len(given_) <= 1 for gpu in given_)
            running.append((demand, given_))
            continue
        if free and left:
            assert all(demand.gpu for demand in left), "what needs no GPU never waits while a core is free"
            assert all(loads.values()) or PAIR in left, "no GPU idles while a step waits for one"
        running.pop(ends.randrange(len(running)))
        ran += 1
    assert ran == len(waiting)
