"""All 26 combinations, as picme schedules them, against the five-modality combination alone on one core.

    python benchmarks/study.py [--quick]

The sizes of the 26 combinations add up to 75 modalities, 15 times the five-modality one, which is what pretraining each
on its own would cost. Locked encoders run once, small models share the cores, and memory-mapped data is shared, so the
whole study costs less. Both sides train the same number of epochs on the same synthetic hospital; the locked encoders'
output is there before either starts. `ratio` is 15 × the five-modality time on one core / the time of all 26.

`shared_times_five` is the time of one shared pretraining (`pretrain.mode: shared`) and the alignment of all 26
combinations by it / the time of the five-modality pretraining, both on one core.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

# What the first measurement would otherwise wait for: torch and the libraries of the stages.
import picme.align.measure
import picme.pretrain.restrict  # noqa: F401
from picme.config.loading import load
from picme.design.graph import STAGES
from picme.engine.graph import Graph
from picme.engine.local import LocalExecutor
from picme.engine.progress import Progress
from picme.engine.schedule import Schedule
from picme.engine.step import Context
from picme.pipeline import Run, workers
from picme.pipeline import run as run_pipeline

if TYPE_CHECKING:
    from picme.config.study import Config


def timed(
    config: Config, folder: Path, count: int, threads: int, only: int | None, align: bool = False
) -> tuple[float, int]:
    """Return the seconds of the pretraining jobs of a study whose cohort is prepared, and the number of combinations.

    `only` keeps one size; `align` measures the alignments too.
    """
    study, graph = Run(config, folder), Graph()
    chosen = [one for one in study.design.combinations if only is None or len(one) == only]
    graph.add(*map(study.design.align if align else study.design.pretrain, chosen))
    with LocalExecutor(Context(study.store), count, threads) as executor:
        start = time.perf_counter()
        failures = Schedule(graph, study.store, executor, Progress(quiet=True, workers=count), STAGES).run()
        seconds = time.perf_counter() - start
    if failures:
        raise SystemExit(failures[0].reason)
    return seconds, len(chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer stays and epochs; under 45 s")
    arguments = parser.parse_args()
    stays, epochs = (150, 4) if arguments.quick else (600, 20)
    settings = {
        "source.stays": stays, "pretrain.epochs": epochs, "pretrain.patience": epochs,
        "modalities.image.size": 64 if arguments.quick else 224, "execution.threads": 1,
        "modalities.discharge.encoder.max_length": 32 if arguments.quick else 256,
        "modalities.radiology.encoder.max_length": 32 if arguments.quick else 256, "align.tsne": "off",
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        config = load("demo", settings)
        folder = Path(scratch) / "run"
        run_pipeline(config, folder, until="encode", quiet=True)
        side = workers(config)
        # Another learning rate has other keys, so nothing of the first measurement is reused.
        alone, _ = timed(load("demo", {**settings, "pretrain.learning_rate": 0.003}), folder, 1, 1, only=5)
        seconds, jobs = timed(config, folder, side, 1, only=None)
        one_for_all = load("demo", {**settings, "pretrain.mode": "shared"})
        shared, _ = timed(one_for_all, folder, 1, 1, only=None, align=True)
    print(
        f"{stays} stays, {epochs} epochs: five modalities on one core {alone:.1f} s; "
        f"all {jobs} on {side} cores {seconds:.1f} s,"
    )
    print(f"{seconds / alone:.1f} times as long, where the sum of their sizes is 15 times.")
    print(
        f"One shared pretraining and the alignment of all {jobs}: {shared:.1f} s, {shared / alone:.2f} times as long."
    )
    print(
        json.dumps(
            {
                "benchmark": "study", "ratio": 15 * alone / seconds,
                "reference": "15 × the five-modality pretraining on one core",
                "five_seconds": alone, "all_seconds": seconds, "times_five": seconds / alone, "combinations": jobs,
                "shared_seconds": shared, "shared_times_five": shared / alone,
                "workers": side, "stays": stays, "epochs": epochs,
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
