"""The device of a training, and the memory it took."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from picme.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Sequence

SMALL_STEP_BYTES = 4 << 30
"""Memory of a GPU for each small step that shares it: half a gigabyte for CUDA itself, weights and a batch's arrays."""


def resolve_device(name: str) -> torch.device:
    """Return the device of a name, such as `cuda:1`; `auto` is the best there is.

    Raises:
        TrainingError: if the named device is not available.
    """
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if count[kind])
    kind, _, index = name.partition(":")
    if int(index or 0) >= count[kind]:
        has = f" (it has {count[kind]} of this kind)" if index else ""
        raise TrainingError(f"execution.device is {name!r}, which this machine does not have{has}")
    return torch.device(name)


def gpus_of(name: str) -> tuple[str, ...]:
    """Return the GPUs that a configured device stands for: `auto` and `cuda` are all CUDA devices, `cuda:1` is one.

    Raises:
        TrainingError: if the named device is not available.
    """
    device = resolve_device(name)
    if device.type == "cuda" and device.index is None:
        return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
    return () if device.type == "cpu" else (str(device),)


def jobs_per_gpu(gpus: Sequence[str]) -> int:
    """Return how many small steps share a GPU by default: by the memory of the smallest."""
    memory = [torch.cuda.get_device_properties(gpu).total_memory for gpu in gpus if gpu.startswith("cuda")]
    return max(1, min(memory, default=0) // SMALL_STEP_BYTES)


def peak_memory_mb(device: torch.device) -> float:
    """Return the peak memory of this process (CPU) or of the device (CUDA) in megabytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
