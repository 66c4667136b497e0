"""The store: one folder for each artifact, complete or not there at all.

An artifact is written in a folder of its attempt and renamed when it is complete, so nothing half-written is ever read.
Its manifest holds a checksum of each file and of itself, so that a file which has changed since is seen. All of it is
for its owner alone: folders 0700, files 0600.
An attempt's folder belongs to one process at a time: a second attempt at the same step, while the first is alive, gets
a folder of its own, and whichever ends first leaves the artifact. What an interrupted attempt left is taken over by
renaming it, which only one can do. Whether a process of another host is alive cannot be seen; the lock of the run
shows that none works here.

No lock of the file system keeps two attempts apart, only that of two which rename a folder to one name one succeeds,
and that a file is seen as its writer closed it by who opens it afterwards. NFS from version 3 on holds both.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import os
import shutil
import time
from contextlib import ExitStack, contextmanager, suppress
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

from isal.isal_zlib import crc32

from picme.engine.held import held, host_name, process_name, runs
from picme.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from picme.engine.step import Step

_ATTEMPTS = itertools.count()
_BLOCK = 1 << 22


def fingerprint(
    paths: Iterable[Path], among: Mapping[Path, Iterable[Path]] | None = None, content: bool = False
) -> list[dict[str, Any]]:
    """Return what tells one version of files from another: path, size, first bytes, and time or all that they hold.

    A folder counts with every file below it, but only their number, sizes, and times or contents.

    Args:
        paths: files and folders.
        among: folder → the files in or below it that count, where not all do.
        content: read the files whole in place of their times, so that a new time alone is no change.
    """
    found = [_tree(folder, set(files), content) for folder, files in sorted((among or {}).items())]
    for path in sorted(paths):
        if path.is_dir():
            found.append(_tree(path, (item for item in path.rglob("*") if item.is_file()), content))
        elif path.is_file():
            stat = path.stat()
            with path.open("rb") as handle:
                header = hashlib.sha256(handle.read(4096)).hexdigest()[:16]
            version = {"content": _digest(path)} if content else {"mtime": stat.st_mtime_ns}
            found.append({"path": str(path), "size": stat.st_size, **version, "header": header})
    return found


def _tree(folder: Path, files: Iterable[Path], content: bool) -> dict[str, Any]:
    digest, count, total = hashlib.sha256(), 0, 0
    for file in sorted(files):
        stat = file.stat()
        version = _digest(file) if content else str(stat.st_mtime_ns)
        digest.update(f"{os.path.relpath(file, folder)}|{stat.st_size}|{version}\n".encode())
        count, total = count + 1, total + stat.st_size
    return {"path": str(folder), "files": count, "size": total, "tree": digest.hexdigest()[:16]}


def _digest(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def inside(folder: Path, *names: str) -> Path:
    """Return a path below a folder, for names that a configuration or another package gives.

    Raises:
        DataError: if a name would lead out of the folder, by `..`, as an absolute path or through a link.
    """
    path = folder.joinpath(*names)
    whole = not any(not name or "\0" in name or "/" in name or os.sep in name for name in names)
    if not whole or ".." in names or not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"nothing is written outside {folder}, where a name such as {names[-1][:60]!r} would lead")
    return path


@contextmanager
def private() -> Iterator[None]:
    """Make what the block writes readable to its owner alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


class Store:
    """The artifacts of a folder: `store/<kind>/<key>/`, with `manifest.json` written last.

    Args:
        run: the run folder.
        shared: true if steps of other machines write into it: what is written is then brought to the disk before it is
            renamed, and what is not found is asked for once more, past what this machine remembers of the folder.
    """

    def __init__(self, run: Path, shared: bool = False) -> None:
        self.run, self.shared = run, shared
        self.root = run / "store"
        self._whole: set[str] = set()  # keys of the artifacts that were found as they were written

    def path(self, step: Step) -> Path:
        """Return the folder of a finished artifact."""
        return self.root / step.kind / step.key

    def done(self, step: Step) -> bool:
        """Return whether an artifact is complete."""
        file = self.path(step) / "manifest.json"
        if self.shared and not file.is_file():
            for folder in (self.root, self.root / step.kind, file.parent):
                with suppress(OSError):  # to open a folder asks a network disk anew
                    os.close(os.open(folder, os.O_RDONLY))
        return file.is_file()

    def attempted(self, kind: str) -> set[str]:
        """Return the keys of a kind's artifacts of which there is an attempt that is not complete."""
        return {file.name.split(".")[1] for file in _partial(self.root / kind)}

    def manifest(self, step: Step) -> dict[str, Any]:
        """Return what was written with an artifact: its description and how long it took.

        Raises:
            DataError: if the artifact is not finished.
        """
        file = self.path(step) / "manifest.json"
        if not file.is_file():
            raise DataError(f"{step.title} is not finished in {self.run}; run its stage first")
        try:
            manifest: dict[str, Any] = json.loads(file.read_bytes())
            return {**manifest, "seconds": float(manifest["seconds"])}
        except (ValueError, TypeError, KeyError):
            raise DataError(_damaged(step, file)) from None

    def damage(self, step: Step, below: str = "") -> str | None:
        """Return one sentence if a finished artifact is not as its manifest's checksums say; each is read once.

        Args:
            step: whose artifact it is.
            below: the folder within the artifact that counts; all of it if not given.
        """
        if step.key in self._whole:
            return None
        folder = self.path(step)
        try:
            written = self.manifest(step)
        except DataError as error:
            return str(error)
        said = written.pop("checksum", None)
        if said is not None:  # earlier versions wrote none
            if said != _checksum_of(written):
                return _damaged(step, folder / "manifest.json")
            found = {os.path.relpath(file, folder) for file in _files(folder)}
            later = {name for name in found - {*written["files"]} if any(fnmatch(name, one) for one in step.grows)}
            for name in sorted(one for one in {*found, *written["files"]} - later if one.startswith(below)):
                if name not in found or _checksum(folder / name) != written["files"].get(name):
                    return _damaged(step, folder / name)
        if not below:
            self._whole.add(step.key)
        return None

    def whole(self, step: Step, below: str = "") -> Path:
        """Return the folder of a finished artifact that is as it was written.

        Raises:
            DataError: if it is not finished, or has changed since.
        """
        self.manifest(step)
        if said := self.damage(step, below):
            raise DataError(f"{said}; `picme run` with the same --out makes it again")
        return self.path(step)

    def trust(self, step: Step) -> None:
        """Note that an artifact has just been written, so that it is not read once more."""
        self._whole.add(step.key)

    def discard(self, step: Step) -> None:
        """Remove an artifact, so that the step is done again."""
        shutil.rmtree(self.path(step))

    def manifests(self, kind: str) -> Iterator[dict[str, Any]]:
        """Yield the manifests of all finished artifacts of a kind, of other configurations too."""
        for file in sorted((self.root / kind).glob("[!.]*/manifest.json")):
            with suppress(OSError, ValueError):
                manifest = json.loads(file.read_text(encoding="utf-8"))
                if isinstance(manifest, dict):
                    yield manifest

    @contextmanager
    def attempt(self, step: Step) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Give a folder to write an artifact in, which is complete when the block ends without an exception.

        The folder may hold what an interrupted attempt left. The dictionary goes into the manifest; its entry
        `earlier_seconds` is added to the time taken.
        """
        folder = self._claim(step)
        about: dict[str, Any] = {}
        start = time.perf_counter()
        try:
            with private():
                yield folder, about
                seconds = time.perf_counter() - start + float(about.pop("earlier_seconds", 0.0))
                described = {"kind": step.kind, "key": step.key, "name": step.name, "version": step.version}
                described |= {"seconds": round(seconds, 3), **about, "fields": step.fields}
                described["files"] = {os.path.relpath(file, folder): _checksum(file) for file in _files(folder)}
                if self.shared:
                    for file in _files(folder):
                        with file.open("rb") as handle:
                            os.fsync(handle.fileno())
                described = json.loads(json.dumps(described, default=str))
                write_json(folder / "manifest.json", {**described, "checksum": _checksum_of(described)})
        except BaseException:
            _leave(folder)
            raise
        self._publish(step, folder)
        self.trust(step)

    def _publish(self, step: Step, folder: Path) -> None:
        """Put a complete artifact in its place; where another attempt was first, its artifact stays."""
        try:
            folder.rename(self.path(step))
        except OSError:
            # Over a network a rename that was done may be told as one that failed; then its folder is gone.
            if self.done(step):
                shutil.rmtree(folder, ignore_errors=True)
            else:  # a damaged artifact without manifest
                shutil.rmtree(self.path(step))
                folder.rename(self.path(step))
        for left in self._attempts(step):
            if not _alive(left):
                shutil.rmtree(left, ignore_errors=True)

    def _claim(self, step: Step) -> Path:
        """Make the folder of a new attempt, or take over that of one that is over."""
        with private():
            (self.root / step.kind).mkdir(parents=True, exist_ok=True)
        mine = self.root / step.kind / f".{step.key}.{_owner()}.partial"
        for left in self._attempts(step):
            if not _alive(left):
                with suppress(OSError):  # another attempt was faster
                    left.rename(mine)
                    return mine
        mine.mkdir(mode=0o700)
        return mine

    def _attempts(self, step: Step) -> list[Path]:
        return [file for file in _partial(self.root / step.kind) if file.name.startswith(f".{step.key}.")]

    @contextmanager
    def lock(self) -> Iterator[list[tuple[str, str]]]:
        """Keep two processes from writing one run folder.

        What killed processes left in it, those of other hosts too, is nobody's once the lock is held.

        Yields:
            Kind and key of the steps that processes were in when they were killed, which is told once.

        Raises:
            DataError: if another process holds it, on this machine or on another that sees the folder.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.run / ".lock").open("w") as handle, ExitStack() as stack:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataError(
                    f"another picme process is working in {self.run}; wait for it or choose another --out"
                ) from None
            except OSError:
                pass  # a file system without locks: the holder's file alone says it
            stack.enter_context(held(self.run))
            killed = [left for left in sorted(self.root.glob("*/.*.partial")) if self._over(left)]
            for left in killed:
                _leave(left)
            try:
                yield [(left.parent.name, left.name.split(".")[1]) for left in killed]
            finally:
                for left in self.root.glob("*/.*.partial"):
                    if self._over(left):  # of a worker whose end has been told
                        _leave(left)

    def _over(self, left: Path) -> bool:
        """Return whether an attempt's process ended without leaving it, by what the holder of the lock can see."""
        owner = _owner_of(left)
        return bool(owner) and not (owner[0] == host_name() and _alive(left))

    def clean(self) -> None:
        """Remove what attempts left that are over; a study that is finished resumes none of them."""
        for left in self.root.glob("*/.*.partial"):
            if not _owner_of(left) or self._over(left):
                shutil.rmtree(left, ignore_errors=True)


def _damaged(step: Step, file: Path) -> str:
    return f"{step.title} is damaged: {file} is not as it was written"


def _files(folder: Path) -> list[Path]:
    """List the files below a folder.

    Raises:
        DataError: if a link is among them: an artifact holds all that belongs to it.
    """
    found = sorted(folder.rglob("*"))
    if links := [path for path in found if path.is_symlink()]:
        raise DataError(f"{links[0]} is a link, which no artifact holds")
    return [path for path in found if path.is_file() and path != folder / "manifest.json"]


def _checksum(file: Path) -> str:
    """Return CRC-32 of a file: it finds any damage of one place, at the speed of the disk."""
    value = 0
    with file.open("rb", buffering=0) as handle:
        while block := handle.read(_BLOCK):
            value = crc32(block, value)
    return f"{value:08x}"


def _checksum_of(manifest: Mapping[str, Any]) -> str:
    return f"{crc32(json.dumps(manifest, sort_keys=True).encode()):08x}"


def _partial(folder: Path) -> list[Path]:
    """Return the folders of attempts within the folder of a kind."""
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir() if file.name.startswith(".") and file.name.endswith(".partial"))


def left_by(folder: Path) -> Path:
    """Return where the folder of an attempt is once the attempt has failed; other folders stay where they are."""
    parts = folder.name.split(".")
    return folder.with_name(f".{parts[1]}.partial") if parts[0] == "" and parts[-1] == "partial" else folder


def _leave(folder: Path) -> None:
    """Make the folder of an attempt that is over nobody's, so that the next attempt goes on from it."""
    try:
        folder.rename(left_by(folder))
    except OSError:  # another attempt has left there what one can go on from
        shutil.rmtree(folder, ignore_errors=True)


def _owner() -> str:
    """Return the name of this attempt: host, process, when the process started, and a number."""
    return f"{process_name()}-{next(_ATTEMPTS)}"


def _owner_of(folder: Path) -> list[str]:
    """Return the parts of the name of the attempt that a folder belongs to; empty where it is nobody's."""
    return [part for name in folder.name.removesuffix(".partial").split(".")[2:] for part in name.split("-")]


def _alive(folder: Path) -> bool:
    """Return whether the attempt that a folder belongs to is still running; on another host it is taken to be."""
    owner = _owner_of(folder)
    return bool(owner) and (owner[0] != host_name() or runs("-".join(owner)))


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=1, default=str), encoding="utf-8")
    temporary.replace(path)
