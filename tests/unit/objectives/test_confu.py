"""ConFu: which terms there are, which stays take part, and what fusing adds."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch.nn import functional

from picme.objectives import AllPairs, ConFu


def batch(modalities=3, stays=9, dim=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(modalities, stays, dim, dtype=torch.float64, generator=generator)


def confu(modalities=3, **options):
    torch.manual_seed(1)
    return ConFu(modalities, 6, 5, temperature=0.2, **options).double()


@pytest.mark.parametrize(("modalities", "fused"), [(2, 0), (3, 3), (4, 12), (5, 30)])
def test_every_fused_pair_meets_every_modality_outside_it(modalities, fused):
    objective = confu(modalities)
    found = {(objective.pairs[left - modalities], right) for left, right in objective.terms if left >= modalities}
    assert found == {(p, m) for p in combinations(range(modalities), 2) for m in range(modalities) if m not in p}
    assert len(found) == fused
    weights = objective(batch(modalities))[1]["weights"]
    assert weights.sum() == pytest.approx(1)
    assert weights[len(objective.pairs) :].sum() == pytest.approx(0.5 if fused else 0)


def test_without_fused_pairs_it_is_all_pairs():
    x, present = batch(4), torch.rand(9, 4, generator=torch.Generator().manual_seed(3)) < 0.7
    expected = AllPairs(4, temperature=0.2).double()(x, present)[0]
    assert confu(4, fused=0.0)(x, present)[0].item() == pytest.approx(expected.item(), abs=1e-12)
    # Also where no stay has three modalities, whatever the weight of the fused pairs.
    present = torch.zeros(9, 4, dtype=torch.bool)
    present[torch.arange(9), torch.arange(9) % 2] = present[:, 2] = True
    expected = AllPairs(4, temperature=0.2).double()(x, present)[0]
    assert expected > 0
    assert confu(4, fused=0.9)(x, present)[0].item() == pytest.approx(expected.item(), abs=1e-12)


def test_a_fused_pair_takes_only_stays_with_both_and_the_third():
    x, present = batch(), torch.ones(9, 3, dtype=torch.bool)
    present[:2, 0] = present[2:5, 1] = False
    counts = confu()(x, present)[1]["counts"].tolist()
    assert counts == [4, 7, 6, 4, 4, 4]


@pytest.mark.parametrize("target", [0, 1, 2])
def test_three_modalities_are_matched_by_the_fused_pair(target):
    objective, x = confu(), batch()
    for bias in (objective.first_bias, objective.second_bias):
        bias.data.normal_()
    place = {0: 2, 1: 1, 2: 0}[target]
    i, j = objective.pairs[place]
    unit = functional.normalize(x, dim=2)
    inner = unit[i] @ objective.first[place, 0] + unit[j] @ objective.first[place, 1]
    inner = inner * 6**0.5 + objective.first_bias[place]
    query = functional.normalize(inner.relu() @ objective.second[place] + objective.second_bias[place], dim=1)
    hidden = x.clone()
    hidden[target] = torch.nan  # the candidates' modality must not be used
    found = objective.match_scores(hidden, x[target], target)
    assert torch.allclose(found, query @ unit[target].T)


def test_more_modalities_are_matched_by_the_mean_over_fused_pairs():
    objective, x = confu(4), batch(4)
    fused = objective._fuse(functional.normalize(x, dim=2), range(6))
    mean = torch.stack([fused[objective.pairs.index(pair)] for pair in ((0, 1), (0, 3), (1, 3))]).mean(0)
    assert torch.allclose(objective.match_scores(x, x[2], 2), mean @ functional.normalize(x[2], dim=1).T)


def test_every_parameter_is_trained_together_with_the_encoders():
    objective = confu(4)
    objective(batch(4))[0].backward()
    for name, parameter in objective.named_parameters():
        assert parameter.grad.flatten(1 if parameter.ndim else 0).abs().max(-1).values.min() > 0, name
    assert objective.weight_parameters() == []


@pytest.mark.parametrize(("make", "learns"), [(ConFu, True), (AllPairs, False)])
def test_a_fused_pair_learns_exclusive_or(make, learns):
    generator = torch.Generator().manual_seed(5)
    torch.manual_seed(0)
    encoders = torch.nn.ModuleList(torch.nn.Linear(2, 8) for _ in range(3))
    objective = make(3, **({"embed_dim": 8, "hidden": 32} if learns else {}))
    optimizer = torch.optim.Adam([*encoders.parameters(), *objective.parameters()], 1e-2)

    def encoded(count):
        x, y = torch.randint(0, 2, (2, count, 2), generator=generator) * 2.0 - 1
        signs = torch.stack([x, y, x * y])
        return torch.stack([encoder(part) for encoder, part in zip(encoders, signs, strict=True)]), x * y

    for _ in range(250):
        optimizer.zero_grad()
        objective(encoded(32)[0])[0].backward()
        optimizer.step()
    with torch.no_grad():
        x, product = encoded(400)
        codes = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
        own = objective.match_scores(x, encoders[2](codes), 2)
        if own is None:
            own = functional.normalize(x[0] + x[1], dim=1) @ functional.normalize(encoders[2](codes), dim=1).T
    accuracy = float((codes[own.argmax(1)] == product).all(1).float().mean())
    assert accuracy > 0.95 if learns else accuracy < 0.5
