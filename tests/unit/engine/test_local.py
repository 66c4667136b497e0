"""Steps in this process and in workers: failures are told in one sentence, threads are set, finished work is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from toy_steps import OnSharedGpu, Threaded, Threads, Toy

from picme.engine.local import LocalExecutor, explain, perform
from picme.engine.step import Context
from picme.errors import DataError
from picme.fitting.threads import torch_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from picme.engine.schedule import Failure
    from picme.engine.store import Store


@pytest.mark.parametrize("workers", [1, 2])
def test_a_foreign_error_does_not_quote_its_message(pass_through: Callable[..., list[Failure]], workers: int) -> None:
    (failure,) = pass_through(Toy(label="good"), Toy(label="leaking", fails="foreign"), workers=workers)
    assert "John" not in failure.reason
    assert failure.reason.startswith("ValueError at run" if workers == 1 else "ValueError")
    assert explain(DataError("as it is")) == "as it is"


def test_workers_have_the_threads_they_were_given(store: Store, pass_through: Callable[..., list[Failure]]) -> None:
    steps = [Threads(label=str(number)) for number in range(2)]
    assert pass_through(*steps, workers=2) == []
    for step in steps:
        told = store.manifest(step)
        assert (told["torch"], told["environment"]) == (1, "1")
        assert told["process"] != os.getpid()


def test_only_steps_that_gain_by_threads_have_several(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    small, large = Threads(label="small"), Threaded(label="large")
    with torch_threads(1):
        for step in (large, small):
            perform(step, Context(store, "cpu"), threads=2)
    assert (store.manifest(small)["torch"], store.manifest(large)["torch"]) == (1, 2)


def test_one_worker_is_this_process(store: Store, pass_through: Callable[..., list[Failure]]) -> None:
    step = Toy(label="here")
    assert pass_through(step) == []
    assert store.manifest(step)["process"] == os.getpid()


def test_what_is_finished_is_not_done_again(store: Store) -> None:
    step = Toy(label="once")
    for _ in range(2):
        perform(step, Context(store), 1)
    manifest = store.manifest(step)
    assert (manifest["kind"], manifest["key"], manifest["name"]) == ("toy", step.key, "once")
    (store.run / "started" / "once").unlink()
    perform(step, Context(store), 1)
    assert not (store.run / "started" / "once").exists()
    assert store.manifest(step) == manifest


def test_a_worker_that_is_not_needed_is_not_started(store: Store) -> None:
    with LocalExecutor(Context(store), 2, 1) as executor:
        assert executor.choose([Toy(label="x")]) == (0, ())
        assert executor._pools == {}


def test_every_gpu_has_processes_of_its_own(store: Store, pass_through: Callable[..., list[Failure]]) -> None:
    """No GPU is needed: the steps only say which device they were given, and are all under way at once."""
    steps = [OnSharedGpu(label="one", after="other"), OnSharedGpu(label="other", after="one")]
    beside = Toy(label="beside")
    assert pass_through(*steps, beside, workers=3, gpus=("cuda:0", "cuda:1"), per_gpu=2) == []
    told = [store.manifest(step) for step in steps]
    assert sorted(one["device"] for one in told) == ["cuda:0", "cuda:1"], "the least loaded first"
    pairs = {(one["process"], one["device"]) for one in told}
    assert len({process for process, _ in pairs}) == len(pairs), "no process has two of them"
    assert store.manifest(beside)["process"] not in dict(pairs)


def test_threads_are_limited_in_libraries_that_are_loaded_already() -> None:
    """In a process of its own, since it holds for the whole process."""
    code = """
import numpy, sklearn.linear_model
from threadpoolctl import threadpool_info
from picme.engine.local import limit_threads
for threads in (2, 1):
    limit_threads(threads)
    found = {pool["num_threads"] for pool in threadpool_info()}
    assert found == {threads}, found
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
