"""Steps on a Ray cluster of one machine, and every reason not to start."""

from __future__ import annotations

import os
import signal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import ray
from toy_steps import Device, Dies, Later, OnGpu, Threads, Toy, Wide

from picme import __version__
from picme.engine import cluster
from picme.engine.cluster import RETRIES
from picme.engine.graph import Graph
from picme.engine.progress import Progress
from picme.engine.ray import RayExecutor
from picme.engine.schedule import Failure, Schedule
from picme.engine.step import Context
from picme.engine.store import Store
from picme.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from picme.engine.step import Step

    Passed = Callable[..., list[Failure]]

pytestmark = pytest.mark.slow  # Ray and each of its workers take seconds to start


@pytest.fixture(scope="module")
def on_ray() -> Iterator[None]:
    """Ray on this machine with two cores and what it takes for a GPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)  # its processes import toy_steps
        ray.init(address="local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "run", shared=True)


def executor(store: Store, device: str = "cpu", workers: int | None = None, **more: Any) -> RayExecutor:
    store.root.mkdir(parents=True, exist_ok=True)
    given = {
        "address": "auto",
        "cores": 2,
        "threads": 1,
        "memory": None,
        "per_gpu": None,
        "per_fit": 1,
        "version": __version__,
    } | more
    return RayExecutor(Context(store, device), workers=workers, **given)


@pytest.fixture
def passed(on_ray: None, store: Store) -> Passed:
    def passed(*steps: Step, **more: Any) -> list[Failure]:
        graph = Graph()
        graph.add(*steps)
        with executor(store, **more) as mine:
            progress = Progress(quiet=True, workers=mine.workers)
            return Schedule(graph, store, mine, progress, ("first", "second")).run()

    return passed


def test_steps_run_in_processes_of_the_cluster_with_the_threads_they_were_given(store: Store, passed: Passed) -> None:
    first = Threads(label="first")
    later = Later(label="later", reads=(first,))
    assert passed(first, later) == []
    told = store.manifest(first)
    assert (told["torch"], told["environment"]) == (1, "1")
    assert os.getpid() not in (told["process"], store.manifest(later)["process"])
    assert not list(store.run.glob(".seen.*")), "the proof of the nodes leaves nothing"


def test_steps_run_side_by_side_and_a_wide_one_alone(store: Store, passed: Passed) -> None:
    one, other = Toy(label="one", after="other"), Toy(label="other", after="one")
    wide = Wide(label="wide")
    assert passed(one, other, wide) == []
    told = store.manifest(wide)
    for step in (one, other):
        assert told["started"] >= store.manifest(step)["ended"] or told["ended"] <= store.manifest(step)["started"]


def test_workers_limit_the_steps_side_by_side(store: Store, passed: Passed) -> None:
    steps = [Toy(label=str(number), lasts=0.2) for number in range(3)]
    assert passed(*steps, workers=1) == []
    told = sorted((store.manifest(step) for step in steps), key=lambda one: one["started"])
    assert all(later["started"] >= earlier["ended"] for earlier, later in pairwise(told))


@pytest.mark.parametrize(("device", "seen"), [("auto", "cuda"), ("cuda", "cuda"), ("cpu", "cpu")])
def test_a_step_that_can_use_a_gpu_is_given_one_where_there_is_one(
    store: Store, passed: Passed, device: str, seen: str
) -> None:
    assert passed(Device(label="gpu"), device=device) == []
    assert store.manifest(Device(label="gpu"))["device"] == seen


def test_steps_that_take_a_whole_gpu_take_turns(store: Store, passed: Passed) -> None:
    steps = [OnGpu(label=str(number), lasts=0.2) for number in range(2)]
    assert passed(*steps, device="auto") == []
    one, other = sorted((store.manifest(step) for step in steps), key=lambda told: told["started"])
    assert other["started"] >= one["ended"]


def test_a_failing_step_says_why_in_one_sentence_without_data(passed: Passed) -> None:
    failures = passed(Toy(label="own", fails="column 'x' is missing"), Toy(label="foreign", fails="foreign"))
    reasons = {failure.step.name: failure.reason for failure in failures}
    assert reasons["own"] == "column 'x' is missing"
    assert reasons["foreign"].startswith("ValueError at run")
    assert "John" not in reasons["foreign"]


def test_a_step_whose_worker_is_killed_is_tried_again_and_goes_on(store: Store, passed: Passed) -> None:
    step = Dies(label="twice", times=2)
    assert passed(step) == []
    assert store.manifest(step)["tries"] == 3
    assert not list(store.root.glob("*/.*.partial"))


def test_a_step_that_kills_every_worker_fails_alone(store: Store, passed: Passed) -> None:
    other = Toy(label="other")
    (failure,) = passed(Dies(label="always", times=99), other)
    assert f"died {RETRIES + 1} times" in failure.reason
    assert store.done(other)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_what_runs_at_once_and_the_next_run_goes_on(store: Store, passed: Passed) -> None:
    step = Toy(label="long", after="never")
    graph = Graph()
    graph.add(step)

    with pytest.raises(KeyboardInterrupt), executor(store) as mine:
        graph.add(Toy(label="second"))
        Schedule(graph, store, mine, _interrupting(store), ("first",)).run()
    (store.run / "started" / "never").touch()
    assert passed(step) == []


def _interrupting(store: Store) -> Progress:
    """Progress that is interrupted once the long step runs."""

    class Interrupting(Progress):
        started = 0

        def start(self, step: Step) -> None:
            super().start(step)
            self.started += 1
            if self.started == 2:
                while not (store.run / "started" / "long").exists():
                    pass
                signal.raise_signal(signal.SIGINT)

    return Interrupting(quiet=True, workers=2)


# ---- reasons not to start


def test_a_node_that_does_not_see_the_run_folder_is_named(
    on_ray: None, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_remote", lambda function: ray.remote(_blind))
    with pytest.raises(DataError, match=r"^node .+ of the Ray cluster does not see the run folder .*run; choose"):
        executor(store)


def _blind(file: str, *arguments: Any) -> str:
    """What a node answers on which the folder does not exist."""
    return cluster._prove(str(Path("/nowhere") / Path(file).name), *arguments).replace("/nowhere", "/a/run")


def test_a_node_that_has_another_folder_of_that_name_is_named(
    on_ray: None, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "SEEN_SECONDS", 0.5)

    def elsewhere(file: str, *arguments: Any) -> str:
        """Read here, write there, as with a copy of the folder."""
        there = Path(file).parent.parent / Path(file).name
        there.write_text(Path(file).read_text(encoding="utf-8"), encoding="utf-8")
        return cluster._prove(str(there), *arguments)

    monkeypatch.setattr(cluster, "_remote", lambda function: ray.remote(elsewhere))
    with pytest.raises(DataError, match="writes into another folder of the name"):
        executor(store)


def test_a_worker_that_crashes_proves_at_another_attempt(
    on_ray: None, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed = tmp_path / "crashed"

    def crashing(*arguments: Any) -> str:
        if not crashed.exists():
            crashed.touch()
            os._exit(1)
        return cluster._prove(*arguments)

    monkeypatch.setattr(cluster, "_remote", lambda function: ray.remote(crashing))
    executor(store).close()
    assert crashed.exists()


def test_a_node_that_has_left_has_nothing_to_prove(on_ray: None, store: Store) -> None:
    store.root.mkdir(parents=True)
    gone = cluster.Node("a" * 56, "gone", 1, 0.0, 1e9)
    cluster.prove([*cluster.living(), gone], store.run, __version__)


def test_a_node_with_another_version_is_named(on_ray: None, store: Store) -> None:
    with pytest.raises(DataError, match=r"node .+ has picme .+, and this machine 9\.9"):
        executor(store, version="9.9")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"memory": 1e15}, "execution.memory asks for 931322.6 GB"),
        ({"device": "cuda:1"}, "execution.device is 'cuda:1', but Ray chooses"),
    ],
)
def test_what_no_node_has_is_said_before_anything_starts(
    on_ray: None, store: Store, more: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        executor(store, **more)


def test_more_gpus_than_there_are_is_one_sentence(on_ray: None, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [cluster.Node("key", "one", 2, 0.0, 1e9)]
    monkeypatch.setattr("picme.engine.ray.living", lambda: nodes)
    with pytest.raises(ConfigError, match="is 'cuda', but no node of the Ray cluster has a GPU"):
        executor(store, device="cuda")
