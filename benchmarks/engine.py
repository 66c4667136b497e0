"""What each engine adds to the work itself: empty steps, and a small study by both.

    python benchmarks/engine.py [--steps N] [--repeats R] [--quick] [--demo]

A step writes one small file; the engine claims it, writes its manifest, renames it and starts what reads it. Each
engine runs `--steps` of them on all cores of this machine, after a warm-up in which its processes start, `--repeats`
times in turn. Steps a second are given as the median with least and most.

`--demo` runs a small demo study by each engine, from raw tables to report, in a new folder and a new process, as a user
would. `ratio` is Ray's time / the local engine's, with the start of Ray and its processes. It needs `picme[ray]`.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from picme import __version__
from picme.config.loading import load
from picme.engine.graph import Graph
from picme.engine.local import LocalExecutor
from picme.engine.progress import Progress
from picme.engine.ray import RayExecutor
from picme.engine.schedule import Schedule
from picme.engine.step import Context, Step
from picme.engine.store import Store
from picme.pipeline import workers

if TYPE_CHECKING:
    from collections.abc import Callable

DEMO = {
    "source.stays": 150, "pretrain.epochs": 3, "finetune.epochs": 3, "study.seeds": 2, "study.combination_sizes": [2],
    "evaluate.resamples": 200, "evaluate.interval_resamples": 100,
    "finetune.combinations": ["radiology+demographics"], "finetune.strategies": ["contrastive", "supervised", "random"],
    "modalities.discharge.encoder.max_length": 64, "modalities.radiology.encoder.max_length": 64,
    "modalities.image.size": 96,
}  # fmt: skip


class Empty(Step):
    """Does nothing but what every step does."""

    kind: ClassVar[str] = "empty"
    stage: ClassVar[str] = "empty"

    number: int

    def run(self, folder: Path, context: Context) -> dict[str, Any]:
        (folder / "number").write_text(str(self.number), encoding="utf-8")
        return {}


def passed(executor: LocalExecutor | RayExecutor, folder: Path, steps: int) -> float:
    """Return the seconds that so many steps take in a new run folder."""
    store = Store(folder, shared=isinstance(executor, RayExecutor))
    store.root.mkdir(parents=True)
    executor.context = Context(store, "cpu")
    graph = Graph()
    graph.add(*(Empty(number=number) for number in range(steps)))
    schedule = Schedule(graph, store, executor, Progress(quiet=True, workers=executor.workers), ("empty",))
    start = time.perf_counter()
    if failures := schedule.run():
        raise SystemExit(failures[0].reason)
    return time.perf_counter() - start


def steps_a_second(scratch: Path, steps: int, repeats: int, cores: int) -> dict[str, list[float]]:
    """Return the steps a second of each engine in every repeat, the engines in turn."""
    engines: dict[str, Callable[[Context], LocalExecutor | RayExecutor]] = {
        "local": lambda context: LocalExecutor(context, cores, 1),
        "ray": lambda context: RayExecutor(context, "local", None, cores, 1, None, None, 1, __version__),
    }
    scratch.mkdir(exist_ok=True)
    opened = {name: open_(Context(Store(scratch), "cpu")) for name, open_ in engines.items()}
    for name, executor in opened.items():
        passed(executor, scratch / f"{name} warm-up", 20 * cores)
    found: dict[str, list[float]] = {name: [] for name in engines}
    for repeat in range(repeats):
        for name, executor in opened.items():
            found[name].append(steps / passed(executor, scratch / f"{name} {repeat}", steps))
    for executor in opened.values():
        executor.close()
    return found


def demo(scratch: Path, engine: str, number: int) -> float:
    """Return the seconds of a small demo by an engine, in a process of its own."""
    settings = {**DEMO, "execution.engine": engine, "execution.address": "local"}
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value).strip(chr(34))}")]
    called = [sys.executable, "-c", "from picme.cli import main; main()", "demo", "--quiet"]
    start = time.perf_counter()
    subprocess.run([*called, "--out", str(scratch / f"{engine}{number}"), *words], check=True, capture_output=True)
    return time.perf_counter() - start


def told(values: list[float]) -> str:
    """Median with least and most."""
    return f"{statistics.median(values):.1f} ({min(values):.1f}–{max(values):.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="200 steps, one repeat")
    parser.add_argument("--demo", action="store_true", help="a small demo by both engines, too; minutes")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    steps, repeats = (200, 1) if arguments.quick else (arguments.steps, arguments.repeats)
    cores = workers(load("demo"))
    with tempfile.TemporaryDirectory() as scratch:
        speeds = steps_a_second(Path(scratch), steps, repeats, cores)
        for name, values in speeds.items():
            print(f"{name}: {told(values)} empty steps a second of {steps} on {cores} cores, {repeats} repeats")
        record: dict[str, Any] = {
            "benchmark": "engine", "ratio": statistics.median(speeds["ray"]) / statistics.median(speeds["local"]),
            "reference": "steps a second of the local engine", "steps": steps, "cores": cores,
            **{f"{name}_steps_a_second": values for name, values in speeds.items()},
        }  # fmt: skip
        if arguments.demo:
            seconds: dict[str, list[float]] = {"local": [], "ray": []}
            for number in range(repeats):
                for name, values in seconds.items():
                    values.append(demo(Path(scratch), name, number))
            ratio = statistics.median(seconds["ray"]) / statistics.median(seconds["local"])
            for name, values in seconds.items():
                print(f"{name}: {told(values)} s for a small demo")
            print(f"Ray takes {ratio:.2f} times as long.")
            record |= {f"{name}_demo_seconds": values for name, values in seconds.items()} | {"demo_ratio": ratio}
    print(json.dumps(record))


if __name__ == "__main__":
    main()
