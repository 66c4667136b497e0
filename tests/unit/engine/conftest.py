"""A store, and a passage through a graph of toy steps."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from picme.engine.graph import Graph
from picme.engine.local import LocalExecutor
from picme.engine.progress import Progress
from picme.engine.schedule import Failure, Schedule
from picme.engine.step import Context
from picme.engine.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from picme.engine.step import Step


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Lets this process be interrupted, also where a script has started the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "run")


@pytest.fixture
def pass_through(store: Store) -> Callable[..., list[Failure]]:
    """Runs steps, or a graph, on this machine; gives the failures."""

    def passed(
        *steps: Step, graph: Graph | None = None, workers: int = 1, gpus: tuple[str, ...] = (), per_gpu: int = 1,
        quiet: bool = True,
    ) -> list[Failure]:  # fmt: skip
        graph = graph or Graph()
        graph.add(*steps)
        progress = Progress(quiet=quiet, workers=workers)
        mine = Store(store.run)  # each run opens its own
        mine.root.mkdir(parents=True, exist_ok=True)
        with LocalExecutor(Context(mine), workers, 1, gpus, per_gpu) as executor:
            return Schedule(graph, mine, executor, progress, ("first", "second")).run()

    return passed
