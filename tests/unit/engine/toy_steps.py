"""Steps that know nothing of medicine, for tests of the engine; workers import them from here."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any, ClassVar

from picme.engine.step import ALL_CORES, Context, Gpu, Step
from picme.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path


class Toy(Step):
    """Writes when it ran; may wait for the start of another step, or fail."""

    kind: ClassVar[str] = "toy"
    stage: ClassVar[str] = "first"

    label: str
    reads: tuple[Step, ...] = ()
    heavy: float = 1.0
    lasts: float = 0.0
    after: str = ""
    """The label of a step that has to have started before this one ends."""
    fails: str = ""

    @property
    def name(self) -> str:
        return self.label

    @property
    def weight(self) -> float:
        return self.heavy

    def run(self, folder: Path, context: Context) -> dict[str, Any]:
        for one in self.reads:
            assert context.store.done(one), "a step starts after what it reads"
        start = time.monotonic()
        marks = context.store.run / "started"
        marks.mkdir(exist_ok=True)
        (marks / self.label).touch()
        while self.after and not (marks / self.after).exists():
            if time.monotonic() - start > 120:
                raise DataError(f"{self.after} has not started beside {self.label}")
            time.sleep(0.01)
        time.sleep(self.lasts)
        if self.fails == "foreign":
            raise ValueError("patient John")
        if self.fails:
            raise DataError(self.fails)
        (folder / "whole").write_text(self.label, encoding="utf-8")
        return {"started": start, "ended": time.monotonic(), "process": os.getpid()}


class Later(Toy):
    """Of the stage after."""

    kind: ClassVar[str] = "later"
    stage: ClassVar[str] = "second"


class OnGpu(Toy):
    """Takes a whole GPU."""

    kind: ClassVar[str] = "gpu"

    @property
    def gpu(self) -> Gpu:
        return "whole"


class OnSharedGpu(Toy):
    """Shares a GPU."""

    kind: ClassVar[str] = "shared"

    @property
    def gpu(self) -> Gpu:
        return "shared"

    def run(self, folder: Path, context: Context) -> dict[str, Any]:
        return super().run(folder, context) | {"device": context.device}


class Wide(Toy):
    """Takes the whole machine."""

    kind: ClassVar[str] = "wide"
    cores: ClassVar[int] = ALL_CORES


class Threads(Toy):
    """Says how many threads it was given."""

    kind: ClassVar[str] = "threads"

    def run(self, folder: Path, context: Context) -> dict[str, Any]:
        import torch

        told = {"torch": torch.get_num_threads(), "environment": os.environ["OMP_NUM_THREADS"]}
        return super().run(folder, context) | told


class Killed(Toy):
    """Ends its process, as the kernel does for lack of memory."""

    kind: ClassVar[str] = "killed"

    def run(self, folder: Path, context: Context) -> dict[str, Any]:
        (folder / "begun").touch()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


class Dies(Killed):
    """Ends its process some times before it finishes."""

    kind: ClassVar[str] = "dies"

    times: int

    def run(self, folder: Path, context: Context) -> dict[str, Any]:
        tries = len(list(folder.glob("try*"))) + 1
        (folder / f"try{tries}").touch()
        if tries <= self.times:
            return Killed.run(self, folder, context)
        return Toy.run(self, folder, context) | {"tries": tries}


class Device(OnGpu):
    """Says which device it was given."""

    kind: ClassVar[str] = "device"

    def run(self, folder: Path, context: Context) -> dict[str, Any]:
        return super().run(folder, context) | {"device": context.device}


class Threaded(Threads):
    """Is faster with several threads."""

    kind: ClassVar[str] = "threaded"

    @property
    def threaded(self) -> bool:
        return True
