"""What each objective learns: noisy views of one latent vector, and triples of which only all three tell anything."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from picme.align import neighbour, retrieval, same_modality_share
from picme.objectives import GRAM, AllPairs, ConFu, GatedSymile, InfoNCE, OneVersusOthers, ReleasedOvO, SigLIP, Symile


def networks(count, inputs, seed=0):
    torch.manual_seed(seed)
    return nn.ModuleList(nn.Sequential(nn.Linear(inputs, 48), nn.ReLU(), nn.Linear(48, 16)) for _ in range(count))


def train(encoders, objective, draw, steps, batch):
    """Fresh stays every step, so that nothing can be learned by heart."""
    optimizer = torch.optim.Adam([*encoders.parameters(), *objective.parameters()], 1e-2)
    for _ in range(steps):
        loss, _ = objective(encode(encoders, draw(batch)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def encode(encoders, values):
    return torch.stack([encoder(part) for encoder, part in zip(encoders, values, strict=True)])


def views(modalities):
    """A drawer of stays whose modalities are noisy, non-linear views of one latent vector."""
    generator = torch.Generator().manual_seed(3)
    mixing = torch.randn(modalities, 6, 12, generator=generator) * 0.7

    def draw(count):
        latent = torch.randn(count, 6, generator=generator)
        return torch.tanh(latent @ mixing) + 0.3 * torch.randn(modalities, count, 12, generator=generator)

    return draw


def by_product(embeddings, k=5):
    """Recall@k of each modality from the product of the others, Symile's own similarity."""
    unit = functional.normalize(embeddings, dim=-1)
    found = []
    for i in range(len(unit)):
        scores = torch.stack([unit[j] for j in range(len(unit)) if j != i]).prod(0) @ unit[i].T
        found.append(((scores >= scores.diagonal()[:, None]).sum(1) <= k).float().mean())
    return float(torch.stack(found).mean())


@pytest.mark.parametrize(
    ("objective", "measure", "least"),
    [
        (InfoNCE(), retrieval, 0.3),
        (AllPairs(3), retrieval, 0.3),
        (OneVersusOthers(3), retrieval, 0.3),
        (ReleasedOvO(3), retrieval, 0.3),
        (SigLIP(3, bias=-3.0), retrieval, 0.3),
        (GRAM(3), retrieval, 0.1),
        (Symile(3), by_product, 0.1),
        (Symile(4), by_product, 0.1),
        (GatedSymile(3, 16), by_product, 0.1),
        (ConFu(3, 16), retrieval, 0.3),
    ],
    ids=lambda value: f"{type(value).__name__}{value.n_modalities}" if isinstance(value, nn.Module) else "",
)
def test_views_of_one_latent_vector_find_one_another(objective, measure, least):
    draw = views(objective.n_modalities)
    encoders = networks(objective.n_modalities, 12)
    test = draw(400)
    chance = 5 / 400
    with torch.no_grad():
        before = encode(encoders, test)
        # The modality gap: untrained, modalities lie apart, and literal neighbours are never of the same stay.
        assert neighbour(before) < 0.01
        assert same_modality_share(before) > 0.9
        assert measure(before) < 4 * chance
    train(encoders, objective, draw, 150, 48)
    with torch.no_grad():
        after = encode(encoders, test)
    assert measure(after) > least


def triples(bits):
    """x and y are random signs and z their product: any two of the three are independent."""
    generator = torch.Generator().manual_seed(5)

    def draw(count):
        x, y = torch.randint(0, 2, (2, count, bits), generator=generator) * 2.0 - 1
        return torch.stack([x, y, x * y])

    return draw


@pytest.mark.parametrize(
    ("objective", "learns"),
    [
        (Symile(3), True),
        (GatedSymile(3, 16), True),
        (AllPairs(3), False),
        (ReleasedOvO(3), False),
        (SigLIP(3, bias=-3.0), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_the_multilinear_product_learns_exclusive_or(objective, learns):
    bits = 5
    draw = triples(bits)
    encoders = networks(3, bits)
    train(encoders, objective, draw, 300, 32)
    codes = (torch.arange(2**bits)[:, None] >> torch.arange(bits) & 1) * 2.0 - 1
    x, y, z = draw(1000)
    right = ((z > 0) * 2 ** torch.arange(bits)).sum(1)
    with torch.no_grad():
        first, second = (functional.normalize(encoders[i](part), dim=-1) for i, part in enumerate((x, y)))
        candidates = functional.normalize(encoders[2](codes), dim=-1)
    chance = 1 / 2**bits
    for query in (first * second, first + second, first, second):
        accuracy = float(((query @ candidates.T).argmax(1) == right).float().mean())
        if learns:
            assert accuracy > 0.9
            break
        assert accuracy < 3 * chance
