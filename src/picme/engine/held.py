"""Lock on a run folder: one process works in it, also where several machines see it, as on a network disk.

Whoever wants the folder first puts a file of its own name there and then looks for files of others, so that of two at
least one sees the other and gives way. The holder's file is renewed every `BEAT` seconds. Whether a process of this
machine has ended can be seen; one of another machine has when its file has not been renewed for `SILENT` seconds by the
clock of the disk. It is only assumed that a machine which lists the folder sees what was put there before, as it does
on NFS; no lock of the file system is used.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import signal
import socket
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from picme.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

BEAT = 10.0
# Longer than a network disk keeps a file's time in its cache, which is a minute.
SILENT = 120.0
_HELD = "held"
_NUMBERS = itertools.count()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder while the block runs.

    Raises:
        DataError: if another process holds it, or has taken it over since this one was stopped for a while.
    """
    mine, over, lost = folder / f".holder.{process_name()}-{next(_NUMBERS)}", threading.Event(), threading.Event()
    _take(mine)
    thread = threading.Thread(target=_beat, args=(mine, over, lost), daemon=True)
    thread.start()
    try:
        yield
    except KeyboardInterrupt:
        if lost.is_set():
            raise DataError(f"another picme process has taken over {folder}, as this one was silent too long") from None
        raise
    finally:
        over.set()
        thread.join()
        mine.unlink(missing_ok=True)


def _take(mine: Path) -> None:
    """Put the file of a process into the folder that it is to hold, unless another holds it."""
    folder, said = mine.parent, ""
    for _ in range(20):
        mine.write_text("", encoding="utf-8")
        ended, said, holder = [], "", False
        for file in folder.glob(".holder.*"):
            with suppress(FileNotFoundError):  # given back meanwhile
                if file != mine and (why := _why_not(file, mine)):
                    said, holder = why, holder or file.read_text(encoding="utf-8") == _HELD
                elif file != mine:
                    ended.append(file)
        if not said:
            for file in ended:
                file.unlink(missing_ok=True)
            mine.write_text(_HELD, encoding="utf-8")
            return
        mine.unlink()
        if holder:
            break
        time.sleep(random.uniform(0.01, 0.3))  # the other wants it, too, and gives way as well
    raise DataError(said)


def _why_not(file: Path, mine: Path) -> str:
    """Return why a folder cannot be taken from the process of a file; empty where that has ended."""
    name, folder = file.name.removeprefix(".holder."), file.parent
    host = name.partition("-")[0]
    if host == host_name():
        said = f"another picme process is working in {folder}; wait for it or choose another --out"
        return said if runs(name) else ""
    with file.open(encoding="utf-8") as handle:  # to open it asks a network disk anew
        silent = mine.stat().st_mtime - os.fstat(handle.fileno()).st_mtime
    if silent > SILENT:
        return ""
    return (
        f"another picme process, on {host}, is working in {folder}; wait for it or choose another --out; if it was "
        f"killed, start again there, or here in {SILENT - silent:.0f} s"
    )


def _beat(mine: Path, over: threading.Event, lost: threading.Event) -> None:
    """Renew a holder's file, and interrupt the process where it has been taken away."""
    while not over.wait(BEAT):
        try:
            os.utime(mine)
        except FileNotFoundError:
            lost.set()
            # What a script starts in the background ignores an interrupt, so it is terminated.
            ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGTERM if ignored else signal.SIGINT)
            return
        except OSError:  # a disk that is away for a while
            continue


def host_name() -> str:
    """Return the name of this machine, of letters, digits and underscores."""
    return re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname())


def process_name() -> str:
    """Return a name of this process that no other has: machine, number, and when it started."""
    return f"{host_name()}-{os.getpid()}-{started(os.getpid())}"


def runs(name: str) -> bool:
    """Return whether the process of this machine that has such a name still runs."""
    _, process, begun = name.split("-")[:3]
    return started(int(process)) == begun


def started(process: int) -> str:
    """Return when a process started, in the kernel's ticks; empty where it has ended."""
    try:
        after_name = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return "" if after_name[0] == "Z" else after_name[19]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return ""
    except OSError:
        return ""
    try:  # no /proc, as on macOS: the number of the process alone has to do
        os.kill(process, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "0"
