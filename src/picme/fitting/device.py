"""The device of a training, and the memory it took."""

from __future__ import annotations

import torch

from picme.errors import TrainingError


def resolve_device(name: str) -> torch.device:
    """Return the device of a name; `auto` is the best there is.

    Raises:
        TrainingError: if the named device is not available.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    if not available[name]:
        raise TrainingError(f"execution.device is {name!r}, which this machine does not have")
    return torch.device(name)


def peak_memory_mb(device: torch.device) -> float:
    """Return the peak memory of this process (CPU) or of the device (CUDA) in megabytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
