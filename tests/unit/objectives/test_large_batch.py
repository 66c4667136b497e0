"""The memory of a large batch grows with its length, not its square."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch

from picme.objectives import GRAM, AllPairs, ConFu, GatedSymile, OneVersusOthers, SigLIP, Symile

RESET = Path("/proc/self/clear_refs")


def status(field):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


@pytest.mark.skipif(not RESET.exists(), reason="reads the peak of memory from Linux's /proc")
@pytest.mark.parametrize(
    ("objective", "stays"),
    [
        (OneVersusOthers(5), 4096),
        (SigLIP(3), 4096),
        (GRAM(3, anchor=0), 4096),
        (Symile(3, negatives="sampled"), 4096),
        (GatedSymile(3, 16, 16), 4096),
        (ConFu(3, 16, 16), 4096),
        pytest.param(AllPairs(3), 16384, marks=pytest.mark.slow),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, torch.nn.Module) else str(value),
)
def test_peak_of_loss_and_gradient(objective, stays):
    embeddings = torch.randn(objective.n_modalities, stays, 16, requires_grad=True)
    present = torch.rand(stays, objective.n_modalities) < 0.98
    gc.collect()
    RESET.write_text("5")
    before = status("VmRSS")
    objective(embeddings, present)[0].backward()
    peak = status("VmHWM") - before
    # One similarity matrix alone takes 64 MiB for 4,096 stays and 1 GiB for 16,384.
    assert peak < 160
    assert torch.isfinite(embeddings.grad).all()
