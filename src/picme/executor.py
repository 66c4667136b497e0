"""Where independent jobs run: in this process, or in worker processes side by side.

A job is a plain function named `module:function` with picklable arguments; no live object crosses the border, so a
cluster can stand behind the same interface.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from picme.errors import PicmeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class Job:
    """One unit of work that leaves one artifact.

    Attributes:
        stage, key: where the artifact is kept.
        name: for people.
        function: `module:function`.
        arguments: its keyword arguments, picklable.
        weight: expected cost relative to other jobs of the stage; heavy ones start first.
    """

    stage: str
    key: str
    name: str
    function: str
    arguments: dict[str, Any] = field(default_factory=dict)
    weight: float = 1.0


@dataclass(frozen=True)
class Failure:
    """A job that did not finish, and the sentence that says why."""

    job: Job
    reason: str


class Executor:
    """Runs jobs; worker processes are started when first needed and kept until `close`.

    Args:
        workers: jobs side by side; with 1 they run in this process.
        threads: threads of numerical libraries in each worker.
    """

    def __init__(self, workers: int, threads: int) -> None:
        self.workers = max(1, workers)
        self.threads = threads
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close(cancel=exception[0] is not None)

    def run(self, jobs: Sequence[Job], finished: Callable[[Job], None] | None = None) -> list[Failure]:
        """Runs all jobs, heavy ones first; a failing one does not keep the others from finishing.

        Returns:
            The failures. `finished` is called in this process after each job that succeeded.
        """
        ordered = sorted(jobs, key=lambda job: -job.weight)
        if self.workers == 1 or len(ordered) == 1:
            return self._here(ordered, finished)
        pool = self._started()
        waiting: dict[Future[None], Job] = {pool.submit(call, job.function, job.arguments): job for job in ordered}
        failures = []
        while waiting:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                job = waiting.pop(future)
                error = future.exception()
                if error is None:
                    if finished:
                        finished(job)
                elif isinstance(error, BrokenProcessPool):
                    raise PicmeError(
                        f"a worker process died during {job.name}, most often for lack of memory; "
                        "run the same command again to resume, with a smaller execution.workers"
                    ) from error
                else:
                    failures.append(Failure(job, explain(error)))
        return failures

    def _here(self, jobs: Sequence[Job], finished: Callable[[Job], None] | None) -> list[Failure]:
        limit_threads(self.threads * self.workers)
        failures = []
        for job in jobs:
            try:
                call(job.function, job.arguments)
            except Exception as error:
                failures.append(Failure(job, explain(error)))
            else:
                if finished:
                    finished(job)
        return failures

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.workers, multiprocessing.get_context("spawn"), _start_worker, (self.threads, os.getpid())
            )
        return self._pool

    def close(self, cancel: bool = False) -> None:
        """Ends the worker processes, at once if `cancel`."""
        if self._pool is not None:
            if cancel:
                for process in list((getattr(self._pool, "_processes", None) or {}).values()):
                    process.kill()
            self._pool.shutdown(wait=not cancel, cancel_futures=True)
            self._pool = None


def call(function: str, arguments: dict[str, Any]) -> None:
    """Imports `module:function` and calls it."""
    module, _, name = function.partition(":")
    getattr(import_module(module), name)(**arguments)


def explain(error: BaseException) -> str:
    """One sentence for an error; picme's own speak for themselves, others are named by type and place.

    The message of a foreign error is left out: it may quote data.
    """
    if isinstance(error, PicmeError):
        return str(error)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {trace.tb_frame.f_code.co_name}:{trace.tb_lineno}" if trace is not None else ""
    if os.environ.get("PICME_DEBUG"):
        traceback.print_exception(error)  # a worker's traceback travels along as the cause
    return f"{type(error).__name__}{place} (run with --debug for the traceback)"


def limit_threads(threads: int) -> None:
    """Sets the thread count of every numerical library already loaded or to be loaded.

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
    """A worker must not outlive a killed parent: it would go on writing where a resumed run writes."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
