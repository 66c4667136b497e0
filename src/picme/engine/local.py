"""The local executor: steps in this process, or in worker processes of this machine side by side."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TYPE_CHECKING, Protocol, Self

from picme.engine.faults import fault
from picme.engine.step import ALL_CORES, Context, Step
from picme.errors import PicmeError, place_of

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class Executor(Protocol):
    """The interface of executors, which run steps. No live object crosses it, so a cluster can stand behind it."""

    @property
    def workers(self) -> int:
        """Steps of one core side by side."""

    @property
    def about(self) -> str:
        """What stands behind the executor, for people; empty if it is this machine."""

    def __enter__(self) -> Self:
        """Give the executor itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the executor, at once where an exception ends the block."""

    def fits(self, step: Step) -> bool:
        """Return whether the step can start now."""

    def submit(self, step: Step) -> Future[None]:
        """Start a step whose inputs are finished; the future ends when its artifact is in the store."""

    def close(self, cancel: bool = False) -> None:
        """Release what the executor holds, at once if `cancel`."""


class LocalExecutor:
    """Runs steps on this machine; worker processes are started when first needed and kept until `close`.

    A step that takes all cores runs in this process, others in a worker (with one worker, here as well).

    Args:
        context: where the steps run.
        workers: steps of one core side by side.
        threads: threads of numerical libraries for each core that a step takes.
        gpus: how many steps that take a whole GPU run side by side; None where training uses no GPU.
    """

    def __init__(self, context: Context, workers: int, threads: int, gpus: float | None = None) -> None:
        self.context, self.workers, self.threads, self.gpus = context, max(1, workers), threads, gpus
        self.about = ""
        self._running: dict[Future[None], Step] = {}
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(cancel=kind is not None)

    def fits(self, step: Step) -> bool:
        """Return whether enough of the machine is free for a step."""
        running = [other for future, other in self._running.items() if not future.done()]
        if self.gpus is not None and running and step.gpus + sum(other.gpus for other in running) > self.gpus:
            return False
        return self._cores(step) + sum(map(self._cores, running)) <= self.workers

    def submit(self, step: Step) -> Future[None]:
        """Start a step; one that runs in this process has ended when this returns."""
        cores = self._cores(step)
        if cores == self.workers:
            future: Future[None] = Future()
            try:
                perform(step, self.context, self.threads * cores)
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(None)
            return future
        future = self._started().submit(perform, step, self.context, self.threads * cores)
        self._running = {one: other for one, other in self._running.items() if not one.done()} | {future: step}
        return future

    def _cores(self, step: Step) -> int:
        return self.workers if step.cores == ALL_CORES else min(step.cores, self.workers)

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.workers, multiprocessing.get_context("spawn"), _start_worker, (self.threads, os.getpid())
            )
        return self._pool

    def close(self, cancel: bool = False) -> None:
        """End the worker processes, at once if `cancel`."""
        if self._pool is not None:
            if cancel:
                processes = list((getattr(self._pool, "_processes", None) or {}).values())
                for process in processes:
                    process.kill()
                for process in processes:
                    process.join(timeout=5)
            self._pool.shutdown(wait=not cancel, cancel_futures=True)
            self._pool = None


def perform(step: Step, context: Context, threads: int) -> None:
    """Make the artifact of a step, unless it is there already."""
    if context.store.done(step):
        return
    limit_threads(threads)
    with context.store.attempt(step) as (folder, about):
        about |= step.run(folder, context)


def explain(error: BaseException, where: Path | None = None) -> str:
    """Return one sentence for an error; picme's own speak for themselves, others are named by type and place.

    The message of a foreign error is left out: it may quote data.

    Args:
        error: what a step raised.
        where: the run folder, for faults of the machine such as a full disk.
    """
    if os.environ.get("PICME_DEBUG") and (error.__cause__ is not None or not isinstance(error, PicmeError)):
        traceback.print_exception(error)  # a worker's traceback travels along as the cause
    if isinstance(error, PicmeError):
        return str(error)
    if where is not None and (said := fault(error, where)):
        return said
    return f"{type(error).__name__}{place_of(error)} (run with --debug for the traceback)"


def limit_threads(threads: int) -> None:
    """Set the thread count of every numerical library that is loaded or will be.

    Two processes with default threads are many times slower than two with one thread each.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[name] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def _start_worker(threads: int, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    limit_threads(threads)
    _end_with(parent)
    import torch

    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)


def _end_with(parent: int) -> None:
    """End this process with its parent: a worker must not outlive it and write where a resumed run writes."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
