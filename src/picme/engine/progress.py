"""Progress of a whole study on stderr: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

    from picme.engine.step import Step

# Plain lines come at most this often.
EVERY_SECONDS = 10.0


class Progress:
    """Counts the finished steps of a study, and tells how long the rest will take by what each kind has taken so far.

    Args:
        quiet: says nothing.
        workers: steps side by side, for the time left.
    """

    def __init__(self, quiet: bool, workers: int) -> None:
        self.quiet, self.workers = quiet, max(1, workers)
        self.seconds: dict[str, float] = {}
        """For each stage, the time in which at least one of its steps was running."""
        self._bar: Any = None
        self._task: Any = None
        self._steps: dict[str, list[int]] = {}  # stage: ended, known
        self._left: dict[str, float] = {}  # kind: weight not yet done
        self._rate: dict[str, tuple[float, float]] = {}  # kind: seconds, weight
        self._running: dict[str, int] = {}
        self._start = self._spoken = self._changed = time.monotonic()

    def __enter__(self) -> Self:
        self._bar = None if self.quiet else _bar()
        if self._bar is not None:
            self._task = self._bar.add_task("study", total=None)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def plan(self, steps: Sequence[Step], reused: int) -> None:
        """Add steps that are to be done, beside some that were found finished."""
        new = [step.stage for step in steps if step.stage not in self._steps]
        for step in steps:
            self._steps.setdefault(step.stage, [0, 0])[1] += 1
            self._left[step.kind] = self._left.get(step.kind, 0.0) + step.weight
        if new and self._bar is None:
            stages = ", ".join(dict.fromkeys(new))
            before = f", {reused} reused" if reused else ""
            self.say(f"{stages}: {len(steps)} step{'s' * (len(steps) > 1)} to do{before}")
        self._show()

    def start(self, step: Step) -> None:
        """Note that a step has started."""
        self._count_time()
        self._running[step.stage] = self._running.get(step.stage, 0) + 1

    def end(self, step: Step, manifest: dict[str, Any] | None) -> None:
        """Note that a step has ended; a failed one has no manifest."""
        self._count_time()
        self._running[step.stage] -= 1
        self._left[step.kind] -= step.weight
        counts = self._steps[step.stage]
        counts[0] += 1
        if manifest is not None:
            seconds, weight = self._rate.get(step.kind, (0.0, 0.0))
            self._rate[step.kind] = (seconds + manifest["seconds"], weight + step.weight)
            if manifest.get("warning"):
                self.say(manifest["warning"])
        now = time.monotonic()
        if self._bar is None and (now - self._spoken >= EVERY_SECONDS or counts[0] == counts[1]):
            self._spoken = now
            self.say(f"{step.stage} {counts[0]}/{counts[1]}, study {self._words()}")
        self._show()

    def _words(self) -> str:
        """Return how far the study is: steps that have ended, and the time left or taken."""
        ended, known = (sum(counts[place] for counts in self._steps.values()) for place in (0, 1))
        if ended == known:
            return f"{ended}/{known} in {duration(time.monotonic() - self._start)}"
        measured = {kind: seconds / weight for kind, (seconds, weight) in self._rate.items() if weight}
        left = sum(weight * measured.get(kind, 0.0) for kind, weight in self._left.items()) / self.workers
        unknown = any(weight > 1e-9 and kind not in measured for kind, weight in self._left.items())
        # Nothing is known of the kinds of which none has ended, nor of what a result has yet to decide.
        if unknown and round(left) == 0:
            return f"{ended}/{known}"
        return f"{ended}/{known}, {'more than' if unknown else 'about'} {duration(left)} left"

    def _show(self) -> None:
        if self._bar is not None:
            ended, known = (sum(counts[place] for counts in self._steps.values()) for place in (0, 1))
            running = ", ".join(stage for stage, number in self._running.items() if number) or "study"
            self._bar.update(self._task, completed=ended, total=known, description=f"{running}: {self._words()}")

    def _count_time(self) -> None:
        """Add the time since the last start or end to every stage that was running."""
        now = time.monotonic()
        for stage, number in self._running.items():
            if number:
                self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._changed
        self._changed = now

    def say(self, line: str) -> None:
        """Write a line that stays."""
        if self.quiet:
            return
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False)
        else:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()


class Parts:
    """Progress of work whose parts are counted beforehand: a bar on a terminal, plain lines elsewhere.

    Args:
        quiet: says nothing.
        what: the work, such as `predict`.
    """

    def __init__(self, quiet: bool, what: str) -> None:
        self.quiet, self.what = quiet, what
        self.total, self._begun, self._spoken = 0, 0, time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Self:
        self._bar = None if self.quiet else _bar()
        if self._bar is not None:
            self._bar.add_task(self.what, total=None)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def add(self, count: int) -> None:
        """Add parts that are to be done."""
        self.total += count

    def begin(self, name: str) -> None:
        """Note that a part begins, and with it the one before has ended."""
        self._begun += 1
        if self._bar is not None:
            self._bar.update(
                self._bar.task_ids[0], completed=self._begun, total=self.total, description=f"{self.what}: {name}"
            )
        elif not self.quiet and (self._begun == 1 or time.monotonic() - self._spoken >= EVERY_SECONDS):
            self._spoken = time.monotonic()
            sys.stderr.write(f"{self.what} {self._begun}/{self.total}: {name}\n")
            sys.stderr.flush()


def _bar() -> Any:
    """Return a bar of rich that has started; None where stderr is no terminal."""
    if not sys.stderr.isatty():
        return None
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    bar = Bar(*columns, console=Console(stderr=True), transient=False)
    bar.start()
    return bar


def duration(seconds: float) -> str:
    """Return a time in words: `12 s`, `3 min 5 s`, `2 h 10 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
