"""Main memory that this process may use, and the refusal of work that does not fit it before it starts."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

from picme.errors import DataError

GB = 1 << 30
_CGROUP = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_limit() -> int | None:
    """Return the bytes of main memory of the machine, or of the process's cgroup or `ulimit -v` if that is less.

    None is returned where nothing can be learnt of it.
    """
    found = []
    with suppress(OSError, ValueError, IndexError):
        found.append(int(Path("/proc/meminfo").read_text(encoding="utf-8").split("MemTotal:")[1].split()[0]) * 1024)
    for file in _CGROUP:
        with suppress(OSError, ValueError):  # `max` is no number
            found.append(int(Path(file).read_text(encoding="utf-8")))
    allowed = resource.getrlimit(resource.RLIMIT_AS)[0]
    return min([*found, *([] if allowed == resource.RLIM_INFINITY else [allowed])], default=None)


def check_memory(needed: float, what: str, instead: str) -> None:
    """Check that an estimate of the memory needed is within what there is.

    Args:
        needed: bytes.
        what: what needs them, such as a file.
        instead: what the user can do.

    Raises:
        DataError: if it is not.
    """
    limit = memory_limit()
    if limit is not None and needed > limit:
        raise DataError(
            f"{what} needs about {needed / GB:.1f} GB of memory, of which there are {limit / GB:.1f} GB; {instead}"
        )
