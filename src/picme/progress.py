"""Progress on stderr: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

    from picme.executor import Job

# Plain lines come at most this often.
EVERY_SECONDS = 10.0


class Progress:
    """Counts the finished jobs of a stage, weighted by what they are expected to cost.

    Args:
        stage: its name.
        quiet: says nothing.
        place: which of how many stages it is, such as `(2, 7)`.
    """

    def __init__(self, stage: str, quiet: bool, place: tuple[int, int] = (1, 1)) -> None:
        self.stage, self.quiet = stage, quiet
        self._place = "" if place[1] == 1 else f"[{place[0]}/{place[1]}] "
        self._bar: Any = None
        self._task: Any = None
        self._total = self._done = 0
        self._start = self._spoken = time.monotonic()
        self._weight = self._finished = 0.0
        self._what = ""

    def __enter__(self) -> Self:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=False)
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, jobs: Sequence[Job], reused: int) -> None:
        """A phase of the stage starts."""
        self._total, self._done = len(jobs), 0
        self._weight, self._finished = sum(job.weight for job in jobs), 0.0
        self._start = self._spoken = time.monotonic()
        kinds = list(dict.fromkeys(job.stage for job in jobs))
        self._what = self._place + (self.stage if kinds == [self.stage] else f"{self.stage}: {', '.join(kinds)}")
        if self._bar is not None:
            self._task = self._bar.add_task(self._what, total=self._total)
        else:
            done_before = f", {reused} reused" if reused else ""
            self.say(f"{self._what}: {self._total} job{'s' if self._total > 1 else ''}{done_before}")

    def advance(self, job: Job) -> None:
        """A job has succeeded."""
        self._done += 1
        self._finished += job.weight
        if self._bar is not None:
            self._bar.advance(self._task)
            return
        now = time.monotonic()
        if now - self._spoken >= EVERY_SECONDS or self._done == self._total:
            self._spoken = now
            spent = now - self._start
            left = spent / self._finished * (self._weight - self._finished) if self._finished else 0.0
            ending = f", about {_duration(left)} left" if self._done < self._total else f" in {_duration(spent)}"
            self.say(f"{self._what}: {self._done}/{self._total}{ending}")

    def say(self, line: str) -> None:
        """A line that stays."""
        if self.quiet:
            return
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False)
        else:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
