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
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, Self

from threadpoolctl import threadpool_limits

from picme.engine.faults import fault
from picme.engine.places import demand_of, enough_for_a_fit, next_start
from picme.errors import PicmeError, place_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from picme.engine.places import Demand
    from picme.engine.step import Context, Step


class Executor(Protocol):
    """The interface of executors, which run steps. No live object crosses it, so a cluster can stand behind it."""

    @property
    def workers(self) -> int:
        """Steps of one core side by side."""

    @property
    def about(self) -> str:
        """A few words for people on what the executor runs on; empty if it is this machine."""

    def __enter__(self) -> Self:
        """Give the executor itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the executor, at once where an exception ends the block."""

    def choose(self, waiting: Sequence[Step]) -> tuple[int, tuple[str, ...]] | None:
        """Return which of the waiting steps can start now, by its place, and on which GPUs; None if none can."""

    def submit(self, step: Step, gpus: tuple[str, ...] = ()) -> Future[None]:
        """Start a step whose inputs are finished; the future ends when its artifact is in the store."""

    def close(self, cancel: bool = False) -> None:
        """Release what the executor holds, at once if `cancel`."""


class LocalExecutor:
    """Runs steps on this machine; worker processes are started when first needed and kept until `close`.

    A step that takes all cores runs in this process, others in a worker (with one worker, here as well). Every GPU has
    workers of its own, so that no process holds memory of two.

    Args:
        context: where the steps run.
        workers: steps of one core side by side.
        threads: threads of numerical libraries for each core that a step takes.
        gpus: the devices on which steps that use a GPU run; none if training uses no GPU.
        per_gpu: how many steps share a GPU, of those that do.
        per_fit: how many devices train one large network together.

    Raises:
        ConfigError: if one training is to have more GPUs than there are.
    """

    def __init__(
        self, context: Context, workers: int, threads: int, gpus: Sequence[str] = (), per_gpu: int = 1,
        per_fit: int = 1,
    ) -> None:  # fmt: skip
        enough_for_a_fit(gpus, per_fit)
        self.context, self.workers, self.threads = context, max(1, workers), threads
        self.gpus, self.per_gpu, self.per_fit = tuple(gpus), per_gpu, per_fit
        self.about = f"{len(self.gpus)} GPUs: {', '.join(self.gpus)}" if len(self.gpus) > 1 else ""
        self._running: dict[Future[None], tuple[Demand, tuple[str, ...]]] = {}
        self._pools: dict[str | None, ProcessPoolExecutor] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(cancel=kind is not None)

    def choose(self, waiting: Sequence[Step]) -> tuple[int, tuple[str, ...]] | None:
        """Return which of the waiting steps there is room for, and on which GPUs."""
        running = [place for future, place in self._running.items() if not future.done()]
        loads = {gpu: sum(demand.gpu / len(on) for demand, on in running if gpu in on) for gpu in self.gpus}
        free = self.workers - sum(demand.cores for demand, _ in running)
        return next_start(map(self._demand, waiting), free, loads)

    def submit(self, step: Step, gpus: tuple[str, ...] = ()) -> Future[None]:
        """Start a step; one that runs in this process has ended when this returns."""
        demand = self._demand(step)
        context = replace(self.context, device=gpus[0]) if gpus else self.context
        if step.spread and self.per_fit > 1:
            context = replace(context, devices=gpus or ("cpu",) * self.per_fit)
        if demand.cores == self.workers:
            future: Future[None] = Future()
            try:
                perform(step, context, self.threads * demand.cores)
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(None)
            return future
        future = self._started(gpus[0] if gpus else None).submit(perform, step, context, self.threads * demand.cores)
        self._running = {one: place for one, place in self._running.items() if not one.done()}
        self._running[future] = (demand, gpus)
        return future

    def _demand(self, step: Step) -> Demand:
        return demand_of(step, self.workers, len(self.gpus), self.per_gpu, self.per_fit)

    def _started(self, gpu: str | None) -> ProcessPoolExecutor:
        if gpu not in self._pools:
            self._pools[gpu] = ProcessPoolExecutor(
                self.workers if gpu is None else self.per_gpu,
                multiprocessing.get_context("spawn"),
                start_worker,
                (self.threads, os.getpid()),
            )
        return self._pools[gpu]

    def close(self, cancel: bool = False) -> None:
        """End the worker processes, at once if `cancel`."""
        pools, self._pools = [*self._pools.values()], {}
        if cancel:
            processes = [one for pool in pools for one in (getattr(pool, "_processes", None) or {}).values()]
            for process in processes:
                process.kill()
            for process in processes:
                process.join(timeout=5)
        for pool in pools:
            pool.shutdown(wait=not cancel, cancel_futures=True)


def perform(step: Step, context: Context, threads: int) -> None:
    """Make the artifact of a step, unless it is there already."""
    if context.store.done(step):
        return
    limit_threads(threads if step.threaded else 1)
    try:
        with context.store.attempt(step) as (folder, about):
            about |= step.run(folder, context)
    finally:
        _leave_gpu()


def _leave_gpu() -> None:
    """Give back the GPU's memory that torch keeps for what comes next, which others may need now."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


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
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
    wanted = dict.fromkeys(names, str(threads))
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.environ.update(wanted)
        threadpool_limits(threads)  # of BLAS and OpenMP, which read these variables no more once they are loaded
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def start_worker(threads: int, parent: int) -> None:
    """Begin a worker process: it leaves interrupts to its parent, and ends with it."""
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
