"""Two processes with parts of a batch give the gradient of one process with all of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import distributed, nn
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from picme.objectives import (
    GRAM,
    AllPairs,
    ConFu,
    GatedSymile,
    InfoNCE,
    OneVersusOthers,
    ReleasedOvO,
    SigLIP,
    Symile,
)

STAYS = 12
# Stays of the first process, and whether presence is given.
SPLITS = [(6, False), (4, True)]


class Model(nn.Module):
    """An encoder and an objective in one module, so that DistributedDataParallel averages both."""

    def __init__(self, objective):
        super().__init__()
        self.encoder = nn.Linear(6, 4)
        self.objective = objective

    def forward(self, values, present):
        return self.objective(self.encoder(values), present)[0]


def models():
    torch.manual_seed(0)
    yield "infonce", 2, Model(InfoNCE())
    yield "all_pairs", 3, Model(AllPairs(3, weighted=True))
    yield "ovo", 3, Model(OneVersusOthers(3))
    yield "released_ovo", 3, Model(ReleasedOvO(3))
    yield "siglip", 3, Model(SigLIP(3))
    yield "gram", 3, Model(GRAM(3))
    yield "symile", 3, Model(Symile(3, negatives="sampled"))
    yield "gated_symile", 3, Model(GatedSymile(3, embed_dim=4, hidden=5))
    yield "confu", 3, Model(ConFu(3, embed_dim=4, hidden=5))


def data(modalities):
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(modalities, STAYS, 6, generator=generator)
    present = torch.rand(STAYS, modalities, generator=generator) < 0.8
    # Only one stay of the second part has the last modality: it counts because the first part has more.
    present[6:, -1] = torch.arange(6) == 0
    return values, present


def gradients(model):
    return [parameter.grad for parameter in model.parameters()]


def part_of_the_batch(rank, folder):
    torch.set_num_threads(1)
    # A file to meet at: a port found free may be taken again by the time both processes are up.
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    for cut, masked in SPLITS:
        for name, modalities, model in models():
            values, present = data(modalities)
            own = slice(0, cut) if rank == 0 else slice(cut, STAYS)
            wrapped = DistributedDataParallel(model)
            loss = wrapped(values[:, own], present[own] if masked else None)
            loss.backward()
            torch.save((loss.item(), gradients(model)), Path(folder) / f"{cut}-{name}-{rank}.pt")
    # Whoever is first waits: a process whose peer has gone while it still talks to it aborts.
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    spawn(part_of_the_batch, (str(folder),), nprocs=2)
    return folder


@pytest.mark.parametrize(("cut", "masked"), SPLITS)
def test_gradients_of_two_processes_equal_one(parts, cut, masked):
    for name, modalities, model in models():
        values, present = data(modalities)
        loss = model(values, present if masked else None)
        loss.backward()
        expected = gradients(model)
        assert max(float(gradient.abs().max()) for gradient in expected) > 1e-3
        for rank in (0, 1):
            value, found = torch.load(parts / f"{cut}-{name}-{rank}.pt", weights_only=True)
            assert value == pytest.approx(loss.item(), abs=1e-6), name
            for mine, whole in zip(found, expected, strict=True):
                assert torch.allclose(mine, whole, atol=1e-6), name
