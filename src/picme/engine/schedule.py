"""The schedule: every step starts as soon as what it reads is there, and the graph grows as results come in."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TYPE_CHECKING

from picme.engine.local import explain
from picme.errors import PicmeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from picme.engine.graph import Graph
    from picme.engine.local import Executor
    from picme.engine.progress import Progress
    from picme.engine.step import Step
    from picme.engine.store import Store


@dataclass(frozen=True)
class Failure:
    """A step that did not finish, and the sentence that says why."""

    step: Step
    reason: str


class Schedule:
    """One pass through a graph: each step is started once what it reads is there, and its end is noted.

    Args:
        graph: the steps, and the parts that are still to grow.
        store: what is finished in it is not done again.
        executor: runs the steps.
        progress: is told of every start and end.
        stages: the stages in their order; steps of others are left out. Ready steps of an earlier stage start first.
    """

    def __init__(
        self, graph: Graph, store: Store, executor: Executor, progress: Progress, stages: Sequence[str]
    ) -> None:
        self.graph, self.store, self.executor, self.progress = graph, store, executor, progress
        self.order = {stage: number for number, stage in enumerate(stages)}
        self.failures: list[Failure] = []
        self._done: set[str] = set()
        self._lost: set[str] = set()  # failed, or dependent on one that did
        self._seen: set[str] = set()
        self._waiting: dict[str, set[str]] = {}
        self._readers: dict[str, list[str]] = {}
        self._ready: list[Step] = []
        self._running: dict[Future[None], Step] = {}

    def run(self) -> list[Failure]:
        """Run every step that is not finished; one that fails keeps only those that read it from running.

        Returns:
            The failures.

        Raises:
            PicmeError: if a worker process died.
        """
        self._take_up()
        while self._ready or self._running:
            self._start()
            if self._running:
                for future in wait(self._running, return_when=FIRST_COMPLETED).done:
                    self._end(future)
            self._take_up()
        return self.failures

    def _start(self) -> None:
        """Start ready steps as long as there is room for one."""
        while self._ready and (chosen := self.executor.choose(self._ready)) is not None:
            place, gpus = chosen
            step = self._ready.pop(place)
            self.progress.start(step)
            future = self.executor.submit(step, gpus)
            self._running[future] = step
            if future.done():  # it ran in this process: what it leads to may come before the others
                break

    def _end(self, future: Future[None]) -> None:
        step, error = self._running.pop(future), future.exception()
        if error is None:
            self.store.trust(step)
            self.progress.end(step, self.store.manifest(step))
            self._finish(step)
            return
        self.progress.end(step, None)
        if isinstance(error, BrokenProcessPool):
            raise PicmeError(
                f"a worker process died during {step.title}, most often for lack of memory; "
                "run the same command again to resume, with a smaller execution.workers"
            ) from error
        failure = Failure(step, explain(error, self.store.run))
        self.failures.append(failure)
        self.progress.say(f"{step.title} failed: {failure.reason}")
        self._lose(step.key)

    def _finish(self, step: Step) -> None:
        self._done.add(step.key)
        for key in self._readers.pop(step.key, ()):
            waiting = self._waiting.get(key)
            if waiting is not None:
                waiting.discard(step.key)
                if not waiting:
                    del self._waiting[key]
                    self._ready.append(self.graph.steps[key])

    def _lose(self, key: str) -> None:
        """Leave out a step and all that read it."""
        self._lost.add(key)
        self._waiting.pop(key, None)
        for reader in self._readers.pop(key, ()):
            if reader not in self._lost:
                self._lose(reader)

    def _take_up(self) -> None:
        """Grow the graph, and sort its new steps into finished, ready and waiting ones."""
        self._sort()
        while self.graph.grow(lambda step: step.key in self._done | self._lost, lambda step: step.key in self._done):
            self._sort()
        self._ready.sort(key=lambda step: (self.order[step.stage], -step.weight))

    def _usable(self, step: Step) -> bool:
        """Return whether a step is finished and its artifact as it was written; a damaged one is removed."""
        if not self.store.done(step):
            return False
        if said := self.store.damage(step):
            self.progress.say(f"{said}; it is made again")
            self.store.discard(step)
        return said is None

    def _sort(self) -> None:
        new = [step for key, step in self.graph.steps.items() if key not in self._seen and step.stage in self.order]
        for step in new:
            self._seen.add(step.key)
            if self._usable(step):
                self._done.add(step.key)
                continue
            inputs = {one.key for one in step.inputs}
            if inputs & self._lost:
                self._lost.add(step.key)
                continue
            missing = inputs - self._done
            for key in missing:
                self._readers.setdefault(key, []).append(step.key)
            if missing:
                self._waiting[step.key] = missing
            else:
                self._ready.append(step)
        if new:
            self.progress.plan(
                [step for step in new if step.key not in self._done], reused=sum(step.key in self._done for step in new)
            )
