"""The device of a training, and the memory it took."""

from __future__ import annotations

import torch

from picme.errors import TrainingError


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


def peak_memory_mb(device: torch.device) -> float:
    """Return the peak memory of this process (CPU) or of the device (CUDA) in megabytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
