"""Contrastive objectives: time and peak memory of loss and gradient.

    python benchmarks/objectives.py [--quick] [--threads N]

For two modalities picme's InfoNCE against open_clip's ClipLoss at batch 4,096 × 256 (this is `ratio`, both with the
normalisation of the embeddings); and each objective against the plain double loop over modalities, as one writes it
from the formula, at a batch the loop can bear. Values and gradients of the two are compared. In full also the largest
batch, 16,384 × 5 × 256, where only the blocks fit. Memory is the process's peak beyond what it held before (Linux).
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import torch
from open_clip.loss import ClipLoss
from torch import Tensor
from torch.nn import functional

from picme.objectives import GRAM, AllPairs, InfoNCE, Objective, OneVersusOthers, ReleasedOvO, SigLIP, Symile

TAU = 0.07
Loss = Callable[[Tensor], Tensor]


def cross_entropy(logits: Tensor) -> Tensor:
    return functional.cross_entropy(logits, torch.arange(len(logits)))


def unit(x: Tensor) -> Tensor:
    return functional.normalize(x, dim=-1)


def plain_infonce(x: Tensor) -> Tensor:
    a, b = unit(x)
    return (cross_entropy(a @ b.T / TAU) + cross_entropy(b @ a.T / TAU)) / 2


def plain_all_pairs(x: Tensor) -> Tensor:
    pairs = list(combinations(range(len(x)), 2))
    return sum(plain_infonce(x[[i, j]]) for i, j in pairs) / len(pairs)


def plain_ovo(x: Tensor) -> Tensor:
    total = torch.zeros(())
    for i in range(len(x)):
        other = torch.stack([x[j] for j in range(len(x)) if j != i]).mean(0)
        total = total + cross_entropy(unit(x[i]) @ unit(other).T / TAU) / len(x)
    return total


def plain_released_ovo(x: Tensor) -> Tensor:
    total = torch.zeros(())
    for i in range(len(x)):
        for j in range(len(x)):
            if i != j:
                total = total + cross_entropy(unit(x[i]) @ unit(x[j]).T / TAU) / len(x)
    return total


def plain_siglip(x: Tensor) -> Tensor:
    total = torch.zeros(())
    pairs = list(combinations(range(len(x)), 2))
    for i, j in pairs:
        logits = unit(x[i]) @ unit(x[j]).T / 0.1 - 10
        signs = 2 * torch.eye(len(logits)) - 1
        total = total - functional.logsigmoid(signs * logits).sum() / len(logits) / len(pairs)
    return total


def plain_gram(x: Tensor) -> Tensor:
    """Compute the loss from the Gram matrix of every pair of stays and its determinant."""
    vectors, total = unit(x), torch.zeros(())
    count, stays, _ = vectors.shape
    for anchor in range(count):
        rest = vectors[[i for i in range(count) if i != anchor]]
        gram = torch.empty(stays, stays, count, count)
        cross = rest @ vectors[anchor].T
        inner = torch.einsum("pnd,qnd->npq", rest, rest)
        gram = torch.cat(
            [
                torch.cat([torch.ones(stays, stays, 1, 1), cross.permute(1, 2, 0)[:, :, None]], 3),
                torch.cat([cross.permute(1, 2, 0)[..., None], inner[:, None].expand(-1, stays, -1, -1)], 3),
            ],
            2,
        )
        logits = -torch.linalg.det(gram).abs().sqrt() / TAU
        total = total + (cross_entropy(logits) + cross_entropy(logits.T)) / 2 / count
    return total


def plain_symile(x: Tensor) -> Tensor:
    """Compute the loss from all products of the other two modalities' stays, once for each modality."""
    vectors, total = unit(x), torch.zeros(())
    scale = x.shape[2] ** 0.5 / TAU
    for i in range(3):
        j, k = (other for other in range(3) if other != i)
        products = torch.cat([vectors[j] * vectors[k].roll(shift, 0) for shift in range(x.shape[1])])
        total = total + cross_entropy(vectors[i] @ products.T * scale) / 3
    return total


def clip(x: Tensor) -> Tensor:
    """Compute open_clip's loss of two modalities, with the embeddings normalised as its models do."""
    value: Tensor = ClipLoss()(unit(x[0]), unit(x[1]), torch.tensor(1 / TAU, requires_grad=True))
    return value


def ours(objective: Objective) -> Loss:
    return lambda x: objective(x)[0]


def once(loss: Loss, x: Tensor) -> tuple[float, float, Tensor]:
    """Return the seconds that loss and gradient take, and their values."""
    leaf = x.clone().requires_grad_()
    start = time.perf_counter()
    value = loss(leaf)
    value.backward()
    seconds = time.perf_counter() - start
    assert leaf.grad is not None
    return seconds, value.item(), leaf.grad


def status(field: str) -> float:
    """Return a figure of the process's status in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    return float("nan")


def peak(loss: Loss, x: Tensor) -> float:
    """Return the peak memory in MiB during loss and gradient, beyond what was held before."""
    if not Path("/proc/self/clear_refs").exists():
        return float("nan")
    leaf = x.clone().requires_grad_()
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    loss(leaf).backward()
    return status("VmHWM") - before


def compare(name: str, mine: Loss, reference: Loss, x: Tensor, repeats: int) -> dict[str, float | str]:
    """Return the best times of interleaved repetitions of both, so that a busy machine slows them alike."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for place, loss in enumerate((mine, reference)):
            seconds, value, gradient = once(loss, x)
            times[place].append(seconds)
            if place == 0:
                first = value, gradient
    gap = abs(first[0] - value)
    slope = float((first[1] - gradient).norm() / gradient.norm())
    result: dict[str, float | str] = {
        "objective": name,
        "modalities": x.shape[0],
        "batch": x.shape[1],
        "dim": x.shape[2],
        "seconds": min(times[0]),
        "reference_seconds": min(times[1]),
        "ratio": min(times[1]) / min(times[0]),
        "peak_mib": peak(mine, x),
        "reference_peak_mib": peak(reference, x),
        "value_difference": gap,
        "gradient_difference": slope,
    }
    print(
        f"{name:<22}{x.shape[0]} × {x.shape[1]:>6,} × {x.shape[2]}   {result['seconds']:7.3f} s against "
        f"{result['reference_seconds']:7.3f} s: {result['ratio']:5.2f}×   {result['peak_mib']:6.0f} MiB against "
        f"{result['reference_peak_mib']:6.0f}   value ±{gap:.0e}, gradient ±{slope:.0e}",
        flush=True,
    )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller batches for the double loops; under 45 s")
    parser.add_argument("--threads", type=int, default=1, help="1 as picme's workers have, unless given")
    arguments = parser.parse_args()
    quick = arguments.quick
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    print(f"Loss and gradient, {arguments.threads} thread(s); picme against its reference")
    head = compare("InfoNCE / ClipLoss", ours(InfoNCE()), clip, torch.randn(2, 4096, 256), 3 if quick else 7)
    batch, few, repeats = (512, 48, 2) if quick else (4096, 128, 3)
    x = torch.randn(5, batch, 256)
    rows = [
        compare("InfoNCE", ours(InfoNCE()), plain_infonce, x[:2], repeats),
        compare("AllPairs", ours(AllPairs(5)), plain_all_pairs, x, repeats),
        compare("OneVersusOthers", ours(OneVersusOthers(5)), plain_ovo, x, repeats),
        compare("ReleasedOvO", ours(ReleasedOvO(5)), plain_released_ovo, x, repeats),
        compare("SigLIP", ours(SigLIP(5)), plain_siglip, x, repeats),
        compare("GRAM", ours(GRAM(5)), plain_gram, x[:, : 2 * few], repeats),
        compare("Symile", ours(Symile(3)), plain_symile, x[:3, :few], repeats),
    ]
    result = {
        "ratio": head["ratio"],
        "reference": "open_clip ClipLoss, loss and gradient of two modalities at batch 4,096",
        "threads": arguments.threads,
        "clip": head,
        "double_loop": rows,
    }
    if not quick:
        large = torch.randn(5, 16384, 256)
        objective = ours(OneVersusOthers(5))
        result["large"] = {"seconds": once(objective, large)[0], "peak_mib": peak(objective, large)}
        print(f"OneVersusOthers at 5 × 16,384 × 256: {result['large']}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
