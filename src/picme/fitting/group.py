"""Several processes that train one network together, each on a device of its own with a part of every batch.

Every process holds the whole network and gives its part of a batch to the objective, which gathers the embeddings of
all (`picme.objectives.gather`), so that each computes the loss of the whole batch. The mean of the processes' gradients
is then that of one process with the whole batch. Outside a group, every function here does what one process needs.

The gradients are averaged here and not by torch's DistributedDataParallel: its hooks know neither micro-batches that
are encoded twice nor batches that run over some of the modalities, and a contrastive batch has one backward pass, with
little to overlap where few weights of a large network are trained.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import distributed

from picme.engine.local import limit_threads, start_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# The longest that a process waits for the others: the first reads its data while the last may still be starting.
PATIENCE = timedelta(hours=2)


def size() -> int:
    """Return how many processes train together; 1 outside a group."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Return the number of this process in its group; 0 outside a group."""
    return distributed.get_rank() if size() > 1 else 0


def leads() -> bool:
    """Return whether this process is the one that writes."""
    return rank() == 0


def part(rows: np.ndarray) -> np.ndarray:
    """Return this process's part of rows (row,), in their order; parts differ by one row at most, some may be empty."""
    return np.array_split(rows, size())[rank()]


def joined(own: np.ndarray, axis: int) -> np.ndarray:
    """Return the arrays of all processes, one after the other along an axis; ones without a row there are left out."""
    if size() == 1:
        return own
    parts: list[np.ndarray] = [own] * size()
    distributed.all_gather_object(parts, own)
    return np.concatenate([each for each in parts if each.shape[axis]] or [own], axis=axis)


def agreed(value: Any) -> Any:
    """Return the value of the process that leads, which all go on with: rounding must not part them."""
    if size() == 1:
        return value
    box = [value]
    distributed.broadcast_object_list(box, src=0)
    return box[0]


def average_gradients(weights: Iterable[torch.nn.Parameter]) -> None:
    """Replace the gradients by their mean over the processes, in one message; all have one for the same weights."""
    gradients = [one.grad for one in weights if one.grad is not None]
    if size() == 1 or not gradients:
        return
    flat = torch.cat([one.flatten() for one in gradients])
    distributed.all_reduce(flat)
    flat /= size()
    for one, mean in zip(gradients, flat.split([one.numel() for one in gradients]), strict=True):
        one.copy_(mean.view_as(one))


def together(job: Callable[..., Any], devices: Sequence[str], *arguments: Any) -> Any:
    """Run a function in one process for each device, all in one group.

    Args:
        job: a function of a module, called with a device and the arguments.
        devices: `cpu`, several times, or CUDA devices.
        *arguments: what can be sent to another process.

    Returns:
        What the function gives in the process that leads.

    Raises:
        Exception: the first that is raised in any process; the others are ended.
    """
    threads = max(1, torch.get_num_threads() // len(devices))
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        pool = ProcessPoolExecutor(len(devices), context, start_worker, (threads, os.getpid()))
        try:
            meeting = f"file://{Path(folder) / 'meeting'}"
            futures = [
                pool.submit(_member, job, number, tuple(devices), meeting, threads, arguments)
                for number in range(len(devices))
            ]
            for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                future.result()
            return futures[0].result()
        finally:
            # After a failure the others wait for the one that failed, and would for hours.
            for process in (getattr(pool, "_processes", None) or {}).values():
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)


def _member(
    job: Callable[..., Any], number: int, devices: tuple[str, ...], meeting: str, threads: int, arguments: Any
) -> Any:
    """Join the group and do the job; what the other processes return is not sent."""
    limit_threads(threads)
    device = torch.device(devices[number])
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=meeting, rank=number, world_size=len(devices), timeout=PATIENCE,
    )  # fmt: skip
    result = job(devices[number], *arguments)
    distributed.barrier()
    distributed.destroy_process_group()
    return result if number == 0 else None
