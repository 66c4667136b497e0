"""Faults of the machine, such as a full disk, as one sentence with the place and what to do about it."""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from picme.errors import PicmeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np

_AGAIN = "and run the same command again, which goes on from here"
_ELSEWHERE = "choose another --out"
_SAID = {
    errno.ENOSPC: f"no space is left on the disk of {{}}; make room {_AGAIN}",
    errno.EDQUOT: f"the quota of the disk of {{}} is used up; make room {_AGAIN}",
    errno.EFBIG: f"a file in {{}} would be larger than its disk or `ulimit -f` allows; raise the limit {_AGAIN}",
    errno.EROFS: f"{{}} is on a disk that can only be read; {_ELSEWHERE}",
    errno.EACCES: f"{{}} may not be read or written by this user; change its rights, or {_ELSEWHERE}",
    errno.EPERM: f"{{}} may not be changed by this user; change its rights, or {_ELSEWHERE}",
    errno.ENAMETOOLONG: f"a name in {{}} is too long for its disk; {_ELSEWHERE}",
    errno.ELOOP: f"{{}} is a link that leads to itself; {_ELSEWHERE}",
    errno.ENOTDIR: f"{{}} lies under a file, where a folder was expected; {_ELSEWHERE}",
    errno.EEXIST: f"{{}} is a file, where a folder was expected; {_ELSEWHERE}",
    errno.EISDIR: f"{{}} is a folder, where a file was expected; {_ELSEWHERE}",
    errno.EMFILE: f"too many files are open for {{}}; raise `ulimit -n` {_AGAIN}",
    errno.ENOMEM: f"the memory does not suffice for {{}}; take more of it, or fewer execution.workers, {_AGAIN}",
    errno.EIO: f"the disk of {{}} has failed to read or write; see to it {_AGAIN}",
    errno.ESTALE: f"the network disk of {{}} was lost; see to it {_AGAIN}",
}
_LITTLE = 1 << 20


def fault(error: BaseException, where: Path, given: Iterable[str] | None = None) -> str | None:
    """Return the sentence for an error that the machine is to blame for, else None.

    Libraries say what the system said in their own errors' messages or not at all; then the disk itself is asked.

    Args:
        error: any exception.
        where: the folder that was worked in. A file in it is named; others, whose names may be private, are not.
        given: words of the command line, where there is no run folder to work in: the file is named if it is one or on
            the way to one, and else the one that leads to it.
    """
    number = _number(error)
    if number is None and isinstance(error, OSError | RuntimeError) and _writes(error):
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        with suppress(OSError):
            if shutil.disk_usage(where).free < _LITTLE:
                number = errno.ENOSPC
        if number is None and limit != resource.RLIM_INFINITY:
            number = errno.EFBIG
    if number not in _SAID:
        return None
    named = getattr(error, "filename", None)
    path = where
    if isinstance(named, str | bytes):
        found = Path(named if isinstance(named, str) else named.decode(errors="replace"))
        if given is not None:
            known = {Path(word.rpartition("=")[2]).absolute() for word in given}
            ways = {folder for one in known for folder in (one, *one.parents)}
            found = found.absolute()
            found = found if found in ways else next((one for one in found.parents if one in known), where)
        path = found if found.is_absolute() and (given is not None or where in (found, *found.parents)) else where
    text = str(path)
    return _SAID[number].format(text if len(text) <= 200 else f"{text[:197]}…")


def _number(error: BaseException) -> int | None:
    """Return the number of the system's error that an exception stands for."""
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = re.search(r"\(os error (\d+)\)|\[Errno (\d+)\]", str(error))
    if found:
        return int(found[1] or found[2])
    said = str(error)
    if type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in said:
        return errno.ENOMEM
    return errno.ELOOP if said.startswith("Symlink loop") else None


def _writes(error: BaseException) -> bool:
    """Return whether an error without a number is that of a write that fell short, in NumPy's or PyTorch's words."""
    said = str(error)
    return bool(re.search(r"\d+ requested and \d+ written|unexpected pos|file write failed|PytorchStreamWriter", said))


def mapped(path: Path, dtype: Any, shape: tuple[int, ...]) -> np.memmap:
    """Return a new array of zeros that is mapped to a `.npy` file, whose room on the disk is taken beforehand.

    Raises:
        OSError: if there is no room; found only while the array is filled, that would kill the process.
    """
    import numpy as np

    array: np.memmap = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    try:
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as handle:
                os.posix_fallocate(handle.fileno(), 0, path.stat().st_size)
    except OSError:
        path.unlink()
        raise
    return array


@contextmanager
def naming_faults(where: Path) -> Iterator[None]:
    """Turn faults of the machine in the block into picme's own errors.

    Raises:
        PicmeError: with the sentence of `fault`.
    """
    try:
        yield
    except PicmeError:
        raise
    except Exception as error:
        if said := fault(error, where):
            raise PicmeError(said) from error
        raise
