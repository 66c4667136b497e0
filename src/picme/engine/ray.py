"""The Ray executor: steps as tasks of a Ray cluster, whose nodes share nothing but the run folder."""

from __future__ import annotations

import os
import re
import sys
import time
import traceback
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

# Before Ray, since it sets what Ray reads when it is imported.
from picme.engine.cluster import RETRIES, join, living, prove  # isort: skip
import ray

from picme.engine.local import explain, perform
from picme.engine.memory import GB
from picme.engine.places import demand_of
from picme.engine.step import Context
from picme.engine.store import Store
from picme.errors import ConfigError, PicmeError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from picme.engine.cluster import Node
    from picme.engine.places import Demand
    from picme.engine.step import Step

PER_GPU = 4
"""Number of steps that share a GPU of the cluster, whose memory is not known here."""
_LOOKED_SECONDS = 2.0


class RayExecutor:
    """Runs steps on a Ray cluster. To a node go a step's description, the run folder's path and a few names.

    Ray chooses the node, and tries a step again elsewhere when its worker or node dies. What a step makes lies in the
    run folder, so nothing is lost with this process: the same command goes on from what is finished.

    Args:
        context: where the steps run.
        address: see `picme.engine.cluster.join`.
        workers: steps of one core side by side at most; None for as many as the cluster has cores.
        cores: what Ray gets of this machine if it is started here.
        threads: threads of numerical libraries for each core that a step takes.
        memory: bytes of main memory that Ray sets aside for each step; None leaves it to Ray's watch over the nodes.
        per_gpu: how many steps share a GPU, of those that do; `PER_GPU` if None.
        per_fit: how many devices of one node train one large network together.
        version: the version of picme, which every node has to have.

    Raises:
        ConfigError: if the cluster cannot be joined, or lacks what the configuration asks for.
        DataError: if a node does not see the run folder.
    """

    def __init__(
        self, context: Context, address: str, workers: int | None, cores: int, threads: int, memory: float | None,
        per_gpu: int | None, per_fit: int, version: str,
    ) -> None:  # fmt: skip
        self.context, self.threads, self.memory = context, threads, memory
        self.per_gpu = PER_GPU if per_gpu is None else per_gpu
        self.per_fit = per_fit
        self._most = workers
        self._running: dict[Future[None], tuple[Demand, Any]] = {}
        self._nodes: list[Node] = []
        self._looked = -_LOOKED_SECONDS
        self._joined = join(address, cores)
        try:
            self._use_gpus = self._check()
            prove(self._nodes, context.store.run, version)
        except BaseException:
            self.close(cancel=True)
            raise

    def _check(self) -> bool:
        """Hold what is asked for against the nodes; return whether steps are to use GPUs."""
        nodes, device = self._alive(), self.context.device
        if not nodes:
            raise ConfigError("the Ray cluster has no node with a core for steps")
        most = max(node.memory for node in nodes)
        if self.memory is not None and self.memory > most:
            raise ConfigError(
                f"execution.memory asks for {self.memory / GB:.1f} GB for each step, the largest node of the Ray "
                f"cluster has {most / GB:.1f} GB for them"
            )
        if device not in ("auto", "cpu", "cuda"):
            raise ConfigError(
                f"execution.device is {device!r}, but Ray chooses among a node's devices; give auto, cuda or cpu"
            )
        gpus = max(node.gpus for node in nodes)
        if device == "cuda" and gpus < 1:
            raise ConfigError("execution.device is 'cuda', but no node of the Ray cluster has a GPU")
        if device != "cpu" and 1 <= gpus < self.per_fit:
            raise ConfigError(
                f"execution.devices_per_fit asks for {self.per_fit} GPUs, no node of the Ray cluster has more than "
                f"{gpus:g}"
            )
        return device != "cpu" and gpus >= 1

    @property
    def workers(self) -> int:
        """Steps of one core side by side."""
        cores = sum(node.cores for node in self._alive())
        return max(1, cores if self._most is None else min(self._most, cores))

    @property
    def about(self) -> str:
        """A few words for people on the cores and GPUs of the cluster."""
        nodes, gpus = len(self._alive()), sum(node.gpus for node in self._alive())
        return f"Ray: {nodes} node{'s' * (nodes > 1)}, {self.workers} cores, {gpus:g} GPUs"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(cancel=kind is not None)

    def choose(self, waiting: Sequence[Step]) -> tuple[int, tuple[str, ...]] | None:
        """Return which step to hand to Ray: one more than there is room for, so that a cluster can grow by need."""
        running = [demand for future, (demand, _) in self._running.items() if not future.done()]
        gpus = sum(node.gpus for node in self._alive())
        if sum(demand.cores for demand in running) >= self.workers:
            return None
        taken = sum(demand.gpu for demand in running) >= gpus
        return next(((place, ()) for place, step in enumerate(waiting) if not (taken and self._demand(step).gpu)), None)

    def submit(self, step: Step, gpus: tuple[str, ...] = ()) -> Future[None]:
        """Hand a step to Ray, which chooses node and GPU."""
        demand = self._demand(step)
        task: Any = ray.remote(_perform).options(
            num_cpus=demand.cores,
            num_gpus=demand.gpu,
            memory=self.memory,
            max_retries=RETRIES,
            retry_exceptions=False,
            name=step.title,
        )
        run, device = str(self.context.store.run), "cuda" if demand.gpu else "cpu"
        devices = self._devices(demand) if step.spread and self.per_fit > 1 else ()
        ref = task.remote(step, run, device, self.context.loggers, devices, self.threads * demand.cores)
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()
        ref.future().add_done_callback(lambda answer: _settle(future, answer))
        self._running = {one: other for one, other in self._running.items() if not one.done()}
        self._running[future] = (demand, ref)
        return future

    def close(self, cancel: bool = False) -> None:
        """Leave the cluster, or end it where it was started here; what still runs is ended at once if `cancel`."""
        if cancel:
            for future, (_, ref) in self._running.items():
                if not future.done():
                    ray.cancel(ref, force=True)
        if self._joined:
            ray.shutdown()
            self._joined = False

    def _devices(self, demand: Demand) -> tuple[str, ...]:
        """Return what the devices of one training are called on a node; Ray shows a task its own GPUs alone."""
        return tuple(f"cuda:{number}" if demand.gpu else "cpu" for number in range(self.per_fit))

    def _demand(self, step: Step) -> Demand:
        cores = min(self.workers, *(node.cores for node in self._alive()))
        gpus = max(int(node.gpus) for node in self._alive()) if self._use_gpus else 0
        return demand_of(step, cores, gpus, self.per_gpu, self.per_fit)

    def _alive(self) -> list[Node]:
        """Return the nodes that run steps, as they were a moment ago; the last ones known where there are none."""
        if time.monotonic() - self._looked >= _LOOKED_SECONDS:
            self._nodes, self._looked = living() or self._nodes, time.monotonic()
        return self._nodes


def _settle(future: Future[None], answer: Future[tuple[str, str] | None]) -> None:
    """Pass on how a task has ended: well, with a step's own error, or without a word as its processes died."""
    error = answer.exception()
    if error is not None:
        future.set_exception(PicmeError(_lost(error)))
        return
    said = answer.result()
    if said is None:
        future.set_result(None)
        return
    reason, trace = said
    sys.stderr.write(trace)
    future.set_exception(PicmeError(reason))


def _lost(error: BaseException) -> str:
    if isinstance(error, ray.exceptions.WorkerCrashedError | ray.exceptions.NodeDiedError):
        return (
            f"its worker process died {RETRIES + 1} times; run the same command again to resume, with a smaller "
            "execution.workers or a larger execution.memory if its memory did not suffice"
        )
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return (
            "Ray ended it as its node ran out of memory; run the same command again to resume, with a smaller "
            "execution.workers or a larger execution.memory"
        )
    if lacking := re.search(r"No module named '([\w.]+)'", str(error)):
        return f"a node of the Ray cluster has no module {lacking[1]!r}; install there what this machine has"
    return f"Ray could not run it: {explain(error)}"


def _perform(
    step: Step, run: str, device: str, loggers: tuple[str, ...], devices: tuple[str, ...], threads: int
) -> tuple[str, str] | None:
    """Run on a node: make a step's artifact.

    Returns:
        None, or why the step failed, with the traceback where one was asked for.
    """
    import torch

    folder = Path(run)
    try:
        torch.set_flush_denormal(True)
        store = Store(folder, shared=True)
        for one in step.inputs:
            if not store.done(one):
                raise PicmeError(f"node {ray.util.get_node_ip_address()} does not see {one.title} in {folder}")
        perform(step, Context(store, device, loggers, devices), threads)
    except Exception as error:
        debug = os.environ.get("PICME_DEBUG")
        return explain(error, folder), "".join(traceback.format_exception(error)) if debug else ""
    return None
