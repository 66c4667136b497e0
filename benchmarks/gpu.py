"""What a GPU brings: encoding, LoRA pretraining, objectives and the 26 combinations, each against one CPU core.

    python benchmarks/gpu.py [--device D] [--quick]

Encoding: texts of 256 tokens through a locked BERT-base, images of 224 pixels through a ResNet-50 (random weights cost
the same). LoRA: two texts of 128 tokens for each stay, adapters in both BERT-base, InfoNCE at batch 64; the share of
time that the device waits for data is 1 − (time with batches that lie on the device already / time), with batches built
ahead as picme does and, for comparison, in turn. Objectives: loss and gradient at 16,384 stays × 5 × 256. Study: all 26
pretrainings of the demo's combinations with locked encoders whose output is there; small models, for which a GPU is not
made. Times are medians after a warm-up. The core is measured on a sample, an objective at 256 stays since its work
grows with the square.

`ratio` is stays a second of LoRA pretraining on the device / on one core, each in the number format that `auto` takes.
`--quick` has small networks and data, and shows that it runs, not what it brings.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from picme.config.loading import load, validate
from picme.config.objectives import CONFIGS
from picme.fitting.ahead import Ahead
from picme.fitting.device import resolve_device
from picme.fitting.lightning_loop import fit_lightning
from picme.modalities import open_modality
from picme.objectives import build as build_objective
from picme.pipeline import run as run_pipeline
from picme.pretrain.features import open_encoded
from picme.pretrain.model import ModalityEncoders
from picme.pretrain.trunk_cache import cache_features

if TYPE_CHECKING:
    from collections.abc import Callable

    from picme.pipeline import Run

PAIR = ("note", "report")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CPU = torch.device("cpu")
SIZES: dict[str, Any] = {
    "stays": 1536, "bert": {}, "image": "resnet50", "side": 224, "tokens": 256, "lora_tokens": 128, "batch": 64,
    "core_batch": 4, "core_items": 16, "epochs": 4, "objective": 16_384, "core_objective": 256, "study": (200, 3),
}  # fmt: skip
QUICK: dict[str, Any] = {
    "stays": 64,
    "bert": {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 128},
    "image": "resnet18", "side": 64, "tokens": 48, "lora_tokens": 32, "batch": 16, "core_batch": 8, "core_items": 16,
    "epochs": 2, "objective": 256, "core_objective": 64, "study": (100, 1),
}  # fmt: skip


class Enough(Exception):
    """Raised once a sample is large enough."""


def say(text: str) -> None:
    print(text, flush=True)


def write_data(folder: Path, sizes: dict[str, Any]) -> str:
    """Write notes, reports and images of random content, and a text model of random weights; return its folder."""
    generator = np.random.default_rng(0)
    words = [f"word{place}" for place in range(2000)]
    stays = sizes["stays"]
    (folder / "images").mkdir()
    for stay in range(stays):
        coarse = generator.integers(0, 255, (32, 32), dtype=np.uint8)
        Image.fromarray(coarse).resize((sizes["side"] + 32,) * 2).save(folder / "images" / f"{stay}.jpg")
    texts = {name: [" ".join(generator.choice(words, sizes["tokens"])) for _ in range(stays)] for name in PAIR}
    frame = {"id": range(stays), "label": [stay % 2 for stay in range(stays)], **texts}
    pl.DataFrame({**frame, "image": [f"{stay}.jpg" for stay in range(stays)]}).write_csv(folder / "stays.csv")
    vocabulary = {word: place for place, word in enumerate([*SPECIAL, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    torch.manual_seed(0)
    BertModel(BertConfig(**sizes["bert"])).save_pretrained(folder / "bert")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(
        folder / "bert"
    )
    return str(folder / "bert")


def prepared(folder: Path, model: str, sizes: dict[str, Any], mode: str, tokens: int) -> Run:
    """Prepare the stays, with text encoders of one mode."""
    text = {"name": "transformer", "model": model, "mode": mode, "pooling": "mean", "max_length": tokens}
    image = {"name": "image", "model": sizes["image"], "weights": None}
    tree = {
        "source": {"kind": "table", "path": str(folder / "stays.csv"), "id": "id"},
        "modalities": {
            **{name: {"kind": "text", "column": name, "encoder": text} for name in PAIR},
            "image": {
                "kind": "image", "column": "image", "folder": str(folder / "images"), "size": sizes["side"],
                "encoder": image,
            },
        },
        "tasks": {"label": {}},
        "splits": {"train": 0.8, "val": 0.1},
    }  # fmt: skip
    return run_pipeline(validate(tree), folder / "run", "prepare", quiet=True)


def items_per_second(run: Run, name: str, device: torch.device, out: Path, most: int | None, **how: Any) -> float:
    """Return how many items a second run through a locked trunk once the first batches have warmed up."""
    step = run.design.features(name)
    place = run.store.path(run.design.prepare)
    opened: Any = open_modality(
        step.prepare.kind_of(name)[0], place / "views" / "pretrain" / name, place / "pool" / name, step.encoder
    )
    seen: list[tuple[float, int]] = []

    def progress(done: int, _: int) -> None:
        seen.append((time.perf_counter(), done))
        if most is not None and done >= most:
            raise Enough

    with suppress(Enough):
        cache_features(
            opened, step.encoder, opened.spec(), out, device=str(device), precision="auto", progress=progress, **how
        )
    (first, warm), (last, done) = seen[len(seen) // 4], seen[-1]
    return (done - warm) / (last - first)


def encoding(run: Run, device: torch.device, folder: Path, sizes: dict[str, Any]) -> dict[str, float]:
    """Return texts and images a second on the device, with one batch at a time there, and on one core."""
    found: dict[str, float] = {}
    for name, what in (("note", "texts"), ("image", "images")):
        found[what] = items_per_second(run, name, device, folder / f"{name}-device", None)
        if device.type == "cuda":
            found[f"{what}_one_by_one"] = items_per_second(run, name, device, folder / f"{name}-one", None, threads=1)
        most = sizes["core_items"] * (1 if name == "note" else 4)
        found[f"{what}_core"] = items_per_second(run, name, CPU, folder / f"{name}-core", most, threads=1, batch_size=4)
        say(f"{what} a second: {found[what]:,.1f} on {device}, {found[f'{what}_core']:,.2f} on one core")
    return found


def stays_per_second(run: Run, device: torch.device, batch: int, most: int, epochs: int, way: str) -> float:
    """Return how many stays a second LoRA pretraining takes, by the median epoch after the first.

    Args:
        run: with the stays.
        device: where it is trained.
        batch: stays in a batch.
        most: stays of an epoch.
        epochs: how many, the first of them a warm-up.
        way: how batches come: built `ahead`, in `turn`, or `ready` on the device.
    """
    pretraining = run.design.pretraining(PAIR)
    view = open_encoded(pretraining.prepare, "pretrain", pretraining.encodings, run.store)
    rows = view.usable(PAIR, "train", at_least=2)[:most]
    model = ModalityEncoders(pretraining.encodings, view, 0).to(device)
    objective = build_objective(pretraining.objective, 2).to(device)
    joint = torch.nn.ModuleDict({"encoders": model, "objective": objective})
    optimizer = torch.optim.AdamW([p for p in joint.parameters() if p.requires_grad], lr=1e-4)

    def built(part: np.ndarray) -> tuple[Any, torch.Tensor]:
        return view.batch(PAIR, part, device), torch.ones(len(part), 2, dtype=torch.bool, device=device)

    def plans(epoch: int) -> list[np.ndarray]:
        return view.training_batches(PAIR, rows, batch, 0, epoch)

    ready = [built(part) for part in plans(0)] if way == "ready" else []
    ways: dict[str, Callable[[int], Any]] = {
        "ahead": lambda epoch: Ahead(plans(epoch), built, device),
        "turn": lambda epoch: Ahead(plans(epoch), built, CPU),
        "ready": lambda _: ready,
    }
    fitted = fit_lightning(
        joint, optimizer, ways[way], lambda one: objective(model(*one), one[1])[0], lambda _: {"score": 0.0},
        epochs=epochs, patience=epochs, seed=0,
    )  # fmt: skip
    return len(rows) / statistics.median(row["seconds"] for row in fitted.history[1:])


def pretraining_figures(run: Run, device: torch.device, sizes: dict[str, Any]) -> dict[str, float]:
    """Return stays a second of LoRA pretraining, and the share of time that the device waits for data."""
    speeds = {
        way: stays_per_second(run, device, sizes["batch"], sizes["stays"], sizes["epochs"], way)
        for way in ("ahead", "turn", "ready")
    }
    core = stays_per_second(run, CPU, sizes["core_batch"], 2 * sizes["core_batch"], 2, "turn")
    found = {
        "stays_a_second": speeds["ahead"], "stays_a_second_core": core,
        "waits_for_data": max(0.0, 1 - speeds["ahead"] / speeds["ready"]),
        "waits_for_data_in_turn": max(0.0, 1 - speeds["turn"] / speeds["ready"]),
    }  # fmt: skip
    if device.type == "cuda":
        found["peak_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
    say(
        f"LoRA: {speeds['ahead']:,.1f} stays a second on {device}, {core:,.2f} on one core; the device waits "
        f"{found['waits_for_data']:.1%} of the time for data ({found['waits_for_data_in_turn']:.1%} if built in turn)"
    )
    return found


def loss_and_gradient(name: str, stays: int, device: torch.device, repeats: int) -> float:
    """Return the median seconds of an objective's loss and gradient for 5 modalities (2 for InfoNCE)."""
    modalities = 2 if name == "infonce" else 5
    torch.manual_seed(0)
    objective = build_objective(CONFIGS[name](), modalities, 256).to(device)
    values = torch.randn(modalities, stays, 256, device=device, requires_grad=True)
    times = []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        objective(values)[0].backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
        if times[0] > 5:
            break
    return statistics.median(times[1:] or times)


def objective_figures(device: torch.device, sizes: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return seconds of each objective on the device, and on one core scaled from a smaller batch."""
    factor, found = (sizes["objective"] / sizes["core_objective"]) ** 2, {}
    for name in CONFIGS:
        there = loss_and_gradient(name, sizes["objective"], device, 3)
        core = factor * loss_and_gradient(name, sizes["core_objective"], CPU, 1)
        found[name] = {"seconds": there, "core_seconds_scaled": core}
        say(f"{name} at {sizes['objective']:,}: {there:.4f} s on {device}, about {core:.1f} s on one core")
    return found


def study_figures(device: torch.device, folder: Path, model: str, sizes: dict[str, Any]) -> dict[str, float]:
    """Return the seconds of 26 pretrainings on the device, workers as picme chooses them, and on one core."""
    stays, epochs = sizes["study"]
    text = {"name": "transformer", "model": model, "mode": "locked", "pooling": "mean", "max_length": 32}
    settings = {
        "source.stays": stays, "pretrain.epochs": epochs, "pretrain.patience": epochs, "align.tsne": "off",
        "modalities.discharge.encoder": text, "modalities.radiology.encoder": text, "modalities.image.size": 64,
        "modalities.image.encoder": {"name": "image", "model": "resnet18", "weights": None},
        "execution.device": str(device),
    }  # fmt: skip
    out = folder / "study"
    run_pipeline(load("demo", settings), out, "encode", quiet=True)
    # Another learning rate has other keys, so that the core reuses nothing of the device's.
    core = {
        "pretrain.learning_rate": 0.003, "execution.device": "cpu", "execution.workers": 1, "execution.threads": 1
    }  # fmt: skip
    found = {}
    for name, changes in (("seconds", {}), ("core_seconds", core)):
        start = time.perf_counter()
        run_pipeline(load("demo", settings | changes), out, "pretrain", quiet=True)
        found[name] = time.perf_counter() - start
    say(f"26 combinations: {found['seconds']:.1f} s on {device}, {found['core_seconds']:.1f} s on one core")
    return found


def name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device} ({platform.processor()})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    parser.add_argument("--quick", action="store_true", help="small networks and data; under 45 s on a CPU")
    arguments = parser.parse_args()
    device, sizes = resolve_device(arguments.device), QUICK if arguments.quick else SIZES
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    start = time.perf_counter()
    say(f"{name_of(device)} against one core of this machine")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = write_data(folder, sizes)
        encoded = encoding(prepared(folder, model, sizes, "locked", sizes["tokens"]), device, folder, sizes)
        lora = pretraining_figures(prepared(folder, model, sizes, "lora", sizes["lora_tokens"]), device, sizes)
        objectives = objective_figures(device, sizes)
        study = study_figures(device, folder, model, sizes)
    result = {
        "benchmark": "gpu",
        "ratio": lora["stays_a_second"] / lora["stays_a_second_core"],
        "reference": "LoRA pretraining on one CPU core of the same machine, stays a second",
        "device": name_of(device),
        "lora": lora,
        "encoding": encoded,
        "objectives": objectives,
        "study": study,
        "quick": arguments.quick,
        "seconds": round(time.perf_counter() - start, 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
