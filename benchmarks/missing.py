"""Predictions of all 31 subsets by one training for any subset, against the training of one five-modality model.

    python benchmarks/missing.py [--quick]

Dedicated models for every combination of five modalities and every single one are 31 trainings, on 80 modalities in
all, 16 times the five-modality one. `any_subset` is one training over all five with modalities withheld at random,
after which each subset takes its predictions from it. Both sides train the same number of epochs on the same synthetic
hospital, on one core; the locked encoders' output is there before either starts. `ratio` is 31 × the time of
`supervised` on five modalities / the time of one `any_subset` training with the predictions of all 31 subsets, and
`times_five` is the latter over the former.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

# What the first measurement would otherwise wait for: torch and the libraries of the stage.
import picme.finetune.any_subset
import picme.finetune.derived  # noqa: F401
from picme.config.combinations import Combination, combinations
from picme.config.loading import load
from picme.design.graph import STAGES
from picme.engine.graph import Graph
from picme.engine.local import LocalExecutor
from picme.engine.progress import Progress
from picme.engine.schedule import Schedule
from picme.engine.step import Context
from picme.pipeline import Run
from picme.pipeline import run as run_pipeline


def timed(study: Run, chosen: list[Combination], strategy: str) -> float:
    """Return the seconds of a strategy's fine-tunings of some combinations, on one core."""
    graph = Graph()
    graph.add(*(study.design.finetune("mortality", one, strategy, 0) for one in chosen))
    with LocalExecutor(Context(study.store), 1, 1) as executor:
        start = time.perf_counter()
        failures = Schedule(graph, study.store, executor, Progress(quiet=True, workers=1), STAGES).run()
        seconds = time.perf_counter() - start
    if failures:
        raise SystemExit(failures[0].reason)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer stays and epochs; under 45 s")
    arguments = parser.parse_args()
    stays, epochs = (150, 4) if arguments.quick else (600, 20)
    config = load(
        "demo",
        {
            "source.stays": stays, "finetune.epochs": epochs, "finetune.patience": epochs, "execution.threads": 1,
            "modalities.image.size": 64 if arguments.quick else 224,
            "modalities.discharge.encoder.max_length": 32 if arguments.quick else 256,
            "modalities.radiology.encoder.max_length": 32 if arguments.quick else 256,
        },
    )  # fmt: skip
    names = tuple(config.modalities)
    with tempfile.TemporaryDirectory() as scratch:
        study = run_pipeline(config, Path(scratch) / "run", until="encode", quiet=True)
        # Shared by both, so that neither waits for it: one training of its own opens every file once.
        timed(study, [names], "supervised_sum")
        dedicated = timed(study, [names], "supervised")
        subsets = combinations(list(names), list(range(1, len(names) + 1)))
        one = timed(study, subsets, "any_subset")
    print(f"{stays} stays, {epochs} epochs, one core: five modalities by `supervised` {dedicated:.1f} s;")
    print(f"`any_subset` with the predictions of all {len(subsets)} subsets {one:.1f} s, {one / dedicated:.2f} times.")
    print(
        json.dumps(
            {
                "benchmark": "missing", "ratio": len(subsets) * dedicated / one,
                "reference": "31 × the five-modality `supervised` training",
                "five_seconds": dedicated, "any_subset_seconds": one, "times_five": one / dedicated,
                "subsets": len(subsets), "stays": stays, "epochs": epochs,
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
