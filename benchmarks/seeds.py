"""Ten seeds of one fine-tuning: picme's scheduling against a plain loop, and frozen heads against running encoders.

    python benchmarks/seeds.py [--quick]

1. Ten seeds of a model with five LSTM views, end to end. Reference: one after the other in one process with torch's
   default threads. Ours: the same jobs in worker processes of one thread each. `ratio` is loop / ours.
2. Ten seeds of the head on frozen encoders. Reference: the published way, every encoder run at every step of every
   epoch of every seed, in fp32; timed over one epoch of one seed and counted for all. Ours: encoders run once, then
   ten heads on their output. `frozen_ratio` is reference / ours, over 20 epochs, encoding included.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl
import torch

from picme.config.loading import load, validate
from picme.design.graph import STAGES
from picme.design.study import Design
from picme.engine.graph import Graph
from picme.engine.local import LocalExecutor
from picme.engine.progress import Progress
from picme.engine.schedule import Schedule
from picme.engine.step import Context, Step
from picme.finetune.losses import masked_bce
from picme.modalities.view import ViewData
from picme.pipeline import Run, workers
from picme.pipeline import run as run_pipeline
from picme.pretrain.model import ModalityEncoders

if TYPE_CHECKING:
    from picme.config.study import Config
    from picme.finetune.step import Finetune

SEEDS = 10
VIEWS = ("one", "two", "three", "four", "five")


def five_series(folder: Path, stays: int) -> Config:
    """Write own data with five time-series modalities of 48 hours and 8 variables each."""
    rng = np.random.default_rng(0)
    label = rng.random(stays) < 0.2
    pl.DataFrame({"id": range(stays), "died": label.astype(int)}).write_csv(folder / "stays.csv")
    hours = np.tile(np.repeat(np.arange(48), 8), stays)
    for view in VIEWS:
        values = rng.normal(size=stays * 48 * 8).astype(np.float32) + np.repeat(label, 48 * 8)
        pl.DataFrame(
            {
                "id": np.repeat(np.arange(stays), 48 * 8),
                "hours": hours,
                "variable": np.tile([f"v{i}" for i in range(8)], stays * 48),
                "value": values,
            }
        ).write_parquet(folder / f"{view}.parquet")
    series = {"kind": "timeseries", "id": "id", "hours": "hours", "variable": "variable", "value": "value"}
    return validate(
        {
            "source": {"kind": "table", "path": str(folder / "stays.csv"), "id": "id"},
            "modalities": {
                view: {**series, "path": str(folder / f"{view}.parquet"), "encoder": {"name": "lstm", "hidden": 64}}
                for view in VIEWS
            },
            "tasks": {"death": {"labels": ["died"]}},
            "study": {"seeds": SEEDS, "embed_dim": 64},
            "finetune": {
                "combinations": ["+".join(VIEWS)], "strategies": ["supervised"], "singles": False,
                "epochs": 3, "patience": 3, "batch_size": 64,
            },
        }
    )  # fmt: skip


class Start(Step):
    """Nothing, so that a worker is there before the clock starts."""

    kind: ClassVar[str] = "start"
    stage: ClassVar[str] = "finetune"

    number: int

    def run(self, folder: Path, context: Context) -> dict[str, Any]:
        return {}


def finetunings(study: Run) -> list[Finetune]:
    return study.design.finetunings(study.design.named or [])


def timed(study: Run, executor: LocalExecutor) -> float:
    """Seconds of a study's fine-tunings; what they read is made as well, unless it is there."""
    graph = Graph()
    graph.add(*finetunings(study))
    start = time.perf_counter()
    failures = Schedule(graph, study.store, executor, Progress(True, executor.workers), STAGES).run()
    if failures:
        raise SystemExit(failures[0].reason)
    return time.perf_counter() - start


def scheduling(quick: bool) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as scratch:
        config = five_series(Path(scratch), 300 if quick else 1500)
        loop, ours = Path(scratch) / "loop", Path(scratch) / "ours"
        for folder in (loop, ours):
            run_pipeline(config, folder, until="encode", quiet=True)
        side = workers(config)
        mine, theirs = Run(config, ours), Run(config, loop)
        with LocalExecutor(Context(mine.store), side, 1) as executor:
            for future in [executor.submit(Start(number=number)) for number in range(2 * side)]:
                future.result()
            parallel = timed(mine, executor)
        threads = torch.get_num_threads()
        with LocalExecutor(Context(theirs.store), 1, threads) as executor:
            plain = timed(theirs, executor)
        difference = 0.0
        for step in finetunings(mine):
            a, b = (np.load(study.store.path(step) / "predictions.npz")["test"] for study in (mine, theirs))
            difference = max(difference, float(np.abs(a - b).max()))
    return {
        "loop_seconds": plain,
        "our_seconds": parallel,
        "workers": side,
        "threads": threads,
        "difference": difference,
    }


def frozen(quick: bool) -> dict[str, float]:
    stays, epochs = (60, 20) if quick else (300, 20)
    settings = {
        "source.stays": stays, "study.seeds": SEEDS, "finetune.epochs": epochs, "finetune.patience": epochs,
        "finetune.combinations": ["discharge+radiology+image+timeseries+demographics"], "finetune.singles": False,
        "finetune.strategies": ["random"], "tasks": {"mortality": {}}, "study.precision": "auto",
        "modalities.image.size": 96 if quick else 224,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        config, folder = load("demo", settings), Path(scratch) / "run"
        study = Run(config, folder)
        run_pipeline(config, folder, until="encode", quiet=True)
        encoding = sum(study.store.manifest(study.design.features(name))["seconds"] for name in study.design.locked)
        with LocalExecutor(Context(study.store), workers(config), 1) as executor:
            heads = timed(study, executor)
        names = list(config.modalities)
        torch.set_num_threads(workers(config))
        design = Design(load("demo", {**settings, "study.precision": "fp32"}))
        encodings = {name: design.encoding(name) for name in names}
        view = ViewData(study.prepared, "mortality", encodings, {})  # no cache: texts and images
        model = ModalityEncoders(list(encodings.values()), view, 0).eval()
        head = torch.nn.Linear(len(names) * config.study.embed_dim, 1)
        rows, present = view.usable(names, "train"), view.present(names)
        target = torch.from_numpy(view.labels(["mortality"]))
        for encoder in model.encoders.values():  # weights are loaded before the clock starts
            encoder(view.modalities[names[list(model.encoders.values()).index(encoder)]].batch(rows[:2]))
        start = time.perf_counter()
        for part in view.training_batches(names, rows, config.finetune.batch_size, 0, 0):
            with torch.no_grad():
                embedded = model(view.batch(names, part, torch.device("cpu")), torch.from_numpy(present[part]))
            masked_bce(head(embedded.transpose(0, 1).flatten(1)), target[part], None).backward()
        one_epoch = time.perf_counter() - start
    published = one_epoch * epochs * SEEDS
    return {
        "published_seconds": published,
        "encoding_seconds": encoding,
        "heads_seconds": heads,
        "ratio": published / (encoding + heads),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer stays; under 45 s")
    quick = parser.parse_args().quick
    first, second = scheduling(quick), frozen(quick)
    ratio = first["loop_seconds"] / first["our_seconds"]
    print(
        f"Ten seeds of five LSTM views: plain loop {first['loop_seconds']:.1f} s, "
        f"scheduled {first['our_seconds']:.1f} s: {ratio:.2f} times."
    )
    print(f"Predictions differ by at most {first['difference']:.1e}.")
    print(
        f"Ten frozen heads, 20 epochs: published way {second['published_seconds']:.0f} s (counted from one epoch), ",
        end="",
    )
    print(f"ours {second['encoding_seconds'] + second['heads_seconds']:.1f} s: {second['ratio']:.0f} times.")
    print(
        json.dumps(
            {
                "benchmark": "seeds",
                "ratio": ratio,
                "reference": "plain loop with torch's default threads",
                **first,
                "frozen_ratio": second["ratio"],
                "frozen": second,
            }
        )
    )


if __name__ == "__main__":
    main()
