"""Where results of work are kept: one folder per key, complete or not there at all.

A key is a hash of all that determines an artifact: the stage's configuration, the keys of what it reads, the
fingerprints of raw files. The folder is written under another name and renamed when it is complete, so nothing
half-written is ever read; an interrupted folder keeps the state from which its job resumes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from picme.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

# Part of every key: raised when the meaning of stored artifacts changes.
FORMAT = 1


def key_of(*parts: Any) -> str:
    """A key from plain values: 16 hexadecimal digits, equal for equal values whatever the order of dict keys."""
    text = json.dumps([FORMAT, *parts], sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """What tells one version of raw files from another without reading them whole: path, size, mtime, first bytes.

    A folder counts with every file below it, but only their number, sizes and times.
    """
    found = []
    for path in sorted(paths):
        if path.is_dir():
            digest, count, total = hashlib.sha256(), 0, 0
            for file in sorted(item for item in path.rglob("*") if item.is_file()):
                stat = file.stat()
                digest.update(f"{file.relative_to(path)}|{stat.st_size}|{stat.st_mtime_ns}\n".encode())
                count, total = count + 1, total + stat.st_size
            found.append({"path": str(path), "files": count, "size": total, "tree": digest.hexdigest()[:16]})
        elif path.is_file():
            stat = path.stat()
            with path.open("rb") as handle:
                header = hashlib.sha256(handle.read(4096)).hexdigest()[:16]
            found.append({"path": str(path), "size": stat.st_size, "mtime": stat.st_mtime_ns, "header": header})
    return found


class Store:
    """The artifacts of a run folder: `store/<stage>/<key>/`, `manifest.json` written last."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.root = run / "store"

    def path(self, stage: str, key: str) -> Path:
        """Folder of a finished artifact."""
        return self.root.joinpath(stage, key)

    def done(self, stage: str, key: str) -> bool:
        """Whether an artifact is complete."""
        return self.root.joinpath(stage, key, "manifest.json").is_file()

    def started(self, stage: str, key: str) -> bool:
        """Whether an interrupted attempt left something to resume from."""
        return self.root.joinpath(stage, f".{key}.partial").is_dir()

    def manifest(self, stage: str, key: str) -> dict[str, Any]:
        """What was written with the artifact: its description and how long it took.

        Raises:
            DataError: if the artifact is not finished.
        """
        file = self.path(stage, key) / "manifest.json"
        if not file.is_file():
            raise DataError(f"{stage} {key} is not finished in {self.run}; run the stage first")
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return manifest

    @contextmanager
    def create(self, stage: str, key: str, about: dict[str, Any]) -> Iterator[Path]:
        """A folder to write an artifact in; complete when the block ends without an exception.

        The folder may hold what an interrupted attempt left. `about` goes into the manifest; the block may add to it.
        """
        partial = self.root / stage / f".{key}.partial"
        partial.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        yield partial
        seconds = time.perf_counter() - start + float(about.pop("earlier_seconds", 0.0))
        write_json(partial / "manifest.json", {"stage": stage, "key": key, "seconds": round(seconds, 3), **about})
        final = self.path(stage, key)
        if final.exists():  # a damaged artifact without manifest
            shutil.rmtree(final)
        partial.rename(final)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps two processes from writing one run folder.

        Raises:
            DataError: if another process holds it.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.run / ".lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise DataError(
                    f"another picme process is working in {self.run}; wait for it or choose another --out"
                ) from None
            yield


def write_json(path: Path, value: Any) -> None:
    """Writes JSON so that a reader sees the old file or the new one, never half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=1, default=str), encoding="utf-8")
    temporary.replace(path)
