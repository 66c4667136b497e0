"""Main memory that this process may use, and the refusal of work that does not fit it before it starts."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

from picme.errors import DataError

GB = 1 << 30
_CGROUPS = Path("/sys/fs/cgroup")
# The files of a cgroup's limit and use, in version 2 and in version 1.
_FILES = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))


def memory_limit() -> int | None:
    """Return the bytes of main memory of the machine, or of the process's cgroups or `ulimit -v` if that is less.

    None is returned where nothing can be learnt of it.
    """
    found = [_machine("MemTotal"), *(limit for limit, _ in _cgroups())]
    allowed = resource.getrlimit(resource.RLIMIT_AS)[0]
    found += [] if allowed == resource.RLIM_INFINITY else [allowed]
    return min((one for one in found if one is not None), default=None)


def memory_free() -> int | None:
    """Return the bytes of main memory that nothing uses now, in the machine or a cgroup of the process if that is less.

    None is returned where nothing can be learnt of it. What the system keeps of files counts as free.
    """
    found = [_machine("MemAvailable"), *(max(0, limit - used) for limit, used in _cgroups())]
    return min((one for one in found if one is not None), default=None)


def _machine(name: str) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/meminfo").read_text(encoding="utf-8").split(f"{name}:")[1].split()[0]) * 1024
    return None


def _cgroups() -> list[tuple[int, int]]:
    """List limit and use of the process's cgroup, such as a cluster's job, and of those around it that have a limit."""
    of = ""
    with suppress(OSError):
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
        groups = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in lines}
        of = groups.get("memory", groups.get("", "")).strip("/")
    found = []
    for root, (limit, use) in zip((_CGROUPS, _CGROUPS / "memory"), _FILES, strict=True):
        for folder in (root / of, *(root / path for path in Path(of).parents)):
            with suppress(OSError, ValueError):  # `max` is no number
                most, used = (int((folder / name).read_text(encoding="utf-8")) for name in (limit, use))
                found.append((most, used - _file_copies(folder)))
    return found


def _file_copies(folder: Path) -> int:
    """Return the bytes of a cgroup's use that are copies of files, which give way to whatever needs memory."""
    with suppress(OSError, ValueError):
        words = (folder / "memory.stat").read_text(encoding="utf-8").split()
        told = dict(zip(words[::2], map(int, words[1::2]), strict=False))
        return told.get("total_inactive_file", told.get("inactive_file", 0))
    return 0


def check_memory(needed: float, what: str, instead: str) -> None:
    """Check that an estimate of the memory needed is within what there is, and from one GB on within what is free.

    Args:
        needed: bytes that are still to be taken.
        what: what needs them, such as a file.
        instead: what the user can do.

    Raises:
        DataError: if it is not.
    """
    limit, free = memory_limit(), memory_free()
    there = None
    if limit is not None and needed > limit:
        there = f"there are {limit / GB:.1f} GB"
    elif free is not None and needed > max(free, GB):
        there, instead = f"{free / GB:.1f} GB are free", f"{instead}, or let less run beside it"
    if there:
        raise DataError(f"{what} needs about {needed / GB:.1f} GB of memory, of which {there}; {instead}")
