"""Recall and accuracy of the objectives on data whose answer is known; docs/experiments.md shows the output.

    python benchmarks/experiments.py [--quick]

`views`: each of three modalities is a noisy, non-linear view of one latent vector. Every objective should find a stay's
other modalities far above chance, while the literal nearest neighbours among all embeddings stay those of the own
modality. `triples`: x and y are independent random signs and z is their product, so that two of the three carry no
information about the third, and only all three together do. `noise`: the views once more, but of half of the stays, in
training and test, the third modality is noise. The first is looked for by the second and third. New stays are drawn in
every step.

`ratio` is Symile's accuracy on the triples over the best accuracy of the objectives that know neither products nor
fused pairs.
"""

from __future__ import annotations

import argparse
import json
import time
from statistics import mean, stdev
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from picme.align import neighbour, ovo, retrieval, same_modality_share
from picme.objectives import GRAM, AllPairs, ConFu, GatedSymile, OneVersusOthers, ReleasedOvO, SigLIP, Symile
from picme.objectives.similarity import others
from picme.pretrain.matching import matching_recall

if TYPE_CHECKING:
    from collections.abc import Callable

    from picme.objectives import Objective

    Draw = Callable[[int], Tensor]

EMBEDDING, HIDDEN, BATCH, RATE, SLOWER = 16, 48, 48, 1e-2, 2e-3


def objectives(variants: bool = False) -> dict[str, Objective]:
    """Return the objectives for three modalities, by the names that configurations give them."""
    torch.manual_seed(0)
    found: dict[str, Objective] = {
        "all_pairs": AllPairs(3),
        "ovo": OneVersusOthers(3, weighted=False),
        "ovo, weighted": OneVersusOthers(3),
        "released_ovo": ReleasedOvO(3),
        "siglip": SigLIP(3, bias=-3.0),
        "gram": GRAM(3),
        "symile": Symile(3),
        "gated_symile": GatedSymile(3, EMBEDDING),
        "confu": ConFu(3, EMBEDDING),
    }
    further: dict[str, Objective] = {
        "symile, sampled negatives": Symile(3, negatives="sampled"),
        "confu, slower": ConFu(3, EMBEDDING),
        "confu, slower, fused 0.9": ConFu(3, EMBEDDING, fused=0.9),
    }
    return found | further if variants else found


def trained(
    objective: Objective,
    draw: Draw,
    inputs: int,
    steps: int,
    linear: bool = False,
    seed: int = 0,
    present: Tensor | None = None,
    rate: float = RATE,
) -> nn.ModuleList:
    """Train small encoders, on a fresh batch in every step, with the same presence each time."""
    torch.manual_seed(seed)
    encoders = nn.ModuleList(
        nn.Linear(inputs, EMBEDDING)
        if linear
        else nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, EMBEDDING))
        for _ in range(3)
    )
    optimizer = torch.optim.Adam([*encoders.parameters(), *objective.parameters()], rate)
    for _ in range(steps):
        loss, _ = objective(encode(encoders, draw(BATCH)), present)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return encoders


def encode(encoders: nn.ModuleList, values: Tensor) -> Tensor:
    """Encode (modality, stay, input) to (modality, stay, EMBEDDING)."""
    return torch.stack([encoder(part) for encoder, part in zip(encoders, values, strict=True)])


def views(seed: int = 3, noise: bool = False) -> Draw:
    """Return a function that draws stays (modality, stay, 12) as noisy views of one latent vector of 6 numbers.

    With `noise` the third modality of every second stay, from the first on, is nothing but noise.
    """
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(3, 6, 12, generator=generator) * 0.7

    def draw(count: int) -> Tensor:
        latent = torch.randn(count, 6, generator=generator)
        values = torch.tanh(latent @ mixing) + 0.3 * torch.randn(3, count, 12, generator=generator)
        if noise:
            values[2, ::2] = torch.randn(len(values[2, ::2]), 12, generator=generator)
        return values

    return draw


def of_views(objective: Objective, steps: int, stays: int) -> dict[str, float]:
    """Compute recalls and the modality gap on stays that were not trained on.

    The recalls are recall@5 by cosine from one modality and from the mean of the others, and by the objective's own
    score.
    """
    draw = views()
    encoders = trained(objective, draw, 12, steps)
    with torch.no_grad():
        values = encode(encoders, draw(stays))
    everyone = torch.ones(stays, 3, dtype=torch.bool).numpy()
    found = {
        "retrieval": retrieval(values),
        "mean_of_others": ovo(values),
        "own_score": matching_recall(objective, values.numpy(), everyone),
        "neighbour": neighbour(values),
        "cross_neighbour": neighbour(values, cross=True),
        "same_modality_share": same_modality_share(values),
    }
    return {name: round(value, 4) for name, value in found.items()}


def of_noise(name: str, steps: int, stays: int, seeds: int) -> dict[str, float]:
    """Compute recall@5 of the first modality by the other two, where the third is intact and where it is noise.

    The score is the objective's own, or the cosine with the mean of the others. `told` trains with the noise marked
    as absent, and looks for the first modality without it. Each is the mean over seeds, and `spread` the greatest
    standard deviation among them.
    """
    found: dict[str, list[float]] = {"intact": [], "noise": [], "told, intact": [], "told, absent": []}
    noisy = torch.arange(stays) % 2 == 0
    for seed in range(seeds):
        for told in (False, True):
            objective, draw = objectives()[name], views(3 + seed, noise=True)
            present = torch.ones(BATCH, 3, dtype=torch.bool)
            present[::2, 2] = not told
            encoders = trained(objective, draw, 12, steps, seed=seed, present=present)
            with torch.no_grad():
                values = encode(encoders, draw(stays))
                values[2, noisy] *= not told
                every = scores(objective, values)
                rank = (every >= every.diagonal()[:, None]).sum(1)
            kinds = ("told, intact", "told, absent") if told else ("intact", "noise")
            for kind, which in zip(kinds, (~noisy, noisy), strict=True):
                found[kind].append(float((rank[which] <= 5).float().mean()))
    means = {kind: round(mean(each), 4) for kind, each in found.items()}
    return means | {"spread": round(max(stdev(each) for each in found.values()) if seeds > 1 else 0.0, 4)}


def scores(objective: Objective, values: Tensor) -> Tensor:
    """Return how well each stay (row) matches each first modality (column).

    It is the objective's own score where it has one and takes stays that lack the third modality, otherwise the
    cosine with the mean of the others that are there.
    """
    plain = functional.normalize(others(values)[0], dim=1) @ functional.normalize(values[0], dim=1).T
    own = objective.match_scores(values, values[0], target=0)
    if own is None:
        return plain
    absent = (values[2] == 0).all(1)
    return own if isinstance(objective, GatedSymile) else torch.where(absent[:, None], plain, own)


def triples(bits: int) -> Draw:
    """Return a function that draws stays (modality, stay, bit) of signs: two random ones and their product."""
    generator = torch.Generator().manual_seed(5)

    def draw(count: int) -> Tensor:
        x, y = torch.randint(0, 2, (2, count, bits), generator=generator) * 2.0 - 1
        return torch.stack([x, y, x * y])

    return draw


@torch.no_grad()
def accuracy(objective: Objective, encoders: nn.ModuleList, draw: Draw, bits: int, stays: int) -> float:
    """Compute how often z is the best of all 2^bits candidates.

    Candidates are scored by cosine with the best of x, y, x + y and x·y, or by the objective's own score.
    """
    codes = (torch.arange(2**bits)[:, None] >> torch.arange(bits) & 1) * 2.0 - 1
    x, y, z = draw(stays)
    right = ((z > 0) * 2 ** torch.arange(bits)).sum(1)
    first, second = (functional.normalize(encoders[i](part), dim=-1) for i, part in enumerate((x, y)))
    candidates = functional.normalize(encoders[2](codes), dim=-1)
    queries = (first * second, first + second, first, second)
    every = [query @ candidates.T for query in queries]
    own = objective.match_scores(torch.stack([first, second, second]), candidates, target=2)
    every += [] if own is None else [own]
    return max(float((score.argmax(1) == right).float().mean()) for score in every)


def show(title: str, rows: dict[str, dict[str, float]]) -> None:
    """Print a table as plain text."""
    columns = list(next(iter(rows.values())))
    print(f"\n{title}\n{'':28}" + "".join(f"{name:>21}" for name in columns))
    for name, values in rows.items():
        print(f"{name:28}" + "".join(f"{values[column]:21.3f}" for column in columns))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="150 steps, triples of 5 bits, no linear encoders")
    arguments = parser.parse_args()
    steps, bits, stays, seeds = (150, 5, 1000, 1) if arguments.quick else (600, 6, 4000, 3)
    torch.set_num_threads(1)
    start = time.perf_counter()
    found = {"untrained": of_views(AllPairs(3), 0, 400)}
    found |= {name: of_views(objective, steps, 400) for name, objective in objectives().items()}
    show(f"noisy views of one latent vector, 400 stays; chance of recall@5 is {5 / 400:.4f}", found)
    exclusive: dict[str, dict[str, float]] = {}
    for linear in (False,) if arguments.quick else (False, True):
        for name, objective in objectives(variants=True).items():
            rate = SLOWER if "slower" in name else RATE
            encoders = trained(objective, triples(bits), bits, 2 * steps, linear, rate=rate)
            key = "linear encoders" if linear else "two layers"
            exclusive.setdefault(name, {})[key] = round(accuracy(objective, encoders, triples(bits), bits, stays), 4)
    show(f"exclusive or of {bits} bits: share of {stays} stays whose z is found; chance is {2**-bits:.4f}", exclusive)
    noise = {name: of_noise(name, steps // 2, 400, seeds) for name in objectives()}
    show("views, but the third modality of half of the stays is noise: recall@5 of the first", noise)
    pairwise = ("symile" not in name and "confu" not in name for name in exclusive)
    best = max(max(values.values()) for values, counts in zip(exclusive.values(), pairwise, strict=True) if counts)
    answer = {
        "ratio": round(exclusive["symile"]["two layers"] / best, 2),
        "reference": "the best accuracy on exclusive-or triples without products and fused pairs",
        "views": found,
        "views_chance": 5 / 400,
        "triples": exclusive,
        "triples_chance": 2**-bits,
        "noise": noise,
        "steps": steps,
        "seconds": round(time.perf_counter() - start, 1),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
