"""The objective over subsets of the modalities against the formulas of the subset alone."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import objective_formulas as formulas
import pytest
import torch

from picme.config.objectives import (
    AllPairsConfig,
    ConFuConfig,
    GatedSymileConfig,
    GRAMConfig,
    InfoNCEConfig,
    OneVersusOthersConfig,
    ReleasedOvOConfig,
    SigLIPConfig,
    SymileConfig,
)
from picme.objectives import InfoNCE
from picme.objectives.subsets import SubsetObjective

LOGITS = torch.tensor([0.3, -0.4, 0.1, 0.8, -0.2])
TAU = 0.2


def batch(modalities: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(modalities, 9, 6, dtype=torch.float64, generator=generator)
    return x, torch.rand(9, modalities, generator=generator) < 0.75


def shared(
    config: type = OneVersusOthersConfig, modalities: int = 5, embed_dim: int = 256, **options: object
) -> SubsetObjective:
    pair = InfoNCEConfig(temperature=TAU)
    torch.manual_seed(0)
    objective = SubsetObjective(config(temperature=TAU, **options), pair, modalities, embed_dim)
    logits = getattr(objective.whole, "weight_logits", None)
    if logits is not None:
        logits.data.copy_(torch.linspace(-0.5, 0.7, len(logits)) if len(logits) > 5 else LOGITS[: len(logits)])
    return objective


@pytest.mark.parametrize("size", [3, 4, 5])
def test_lambda_of_a_subset_is_the_softmax_of_its_members_logits(size: int) -> None:
    objective, (x, present) = shared(kl=0.7), batch()
    for members in combinations(range(5), size):
        kept = list(members)
        loss, info = objective(x[kept], present[:, kept], members)
        expected = formulas.ovo(x[kept].numpy(), present[:, kept].numpy(), TAU, LOGITS[kept].double().numpy(), 0.7)
        assert loss.item() == pytest.approx(expected, rel=1e-6)
        torch.testing.assert_close(info["weights"].float(), LOGITS[kept].softmax(0))


def test_only_the_members_logits_are_trained() -> None:
    objective, (x, present) = shared(), batch()
    objective(x[[0, 2, 4]], present[:, [0, 2, 4]], (0, 2, 4))[0].backward()
    gradient = objective.whole.weight_logits.grad
    assert (gradient[[1, 3]] == 0).all()
    assert (gradient[[0, 2, 4]] != 0).all()
    assert [id(one) for one in objective.weight_parameters()] == [id(objective.whole.weight_logits)]


def test_a_subset_of_two_is_infonce() -> None:
    objective, (x, present) = shared(), batch()
    for pair in combinations(range(5), 2):
        kept = list(pair)
        loss, _ = objective(x[kept], present[:, kept], pair)
        assert loss.item() == pytest.approx(formulas.infonce(x[kept].numpy(), present[:, kept].numpy(), TAU), rel=1e-6)


@pytest.mark.parametrize("config", [ReleasedOvOConfig, AllPairsConfig, SigLIPConfig, GRAMConfig, SymileConfig])
def test_every_objective_is_that_of_the_subset_alone(config: type) -> None:
    options = {"weighted": True, "kl": 0.0} if config is AllPairsConfig else {}
    objective, (x, _) = shared(config, **options), batch()
    everything = torch.ones(9, 3, dtype=torch.bool)
    members = (1, 2, 4)
    values, kept = x[list(members)], LOGITS[list(members)].double().numpy()
    numbers = (values.numpy(), everything.numpy(), TAU)
    loss, _ = objective(values, everything, members)
    if config is AllPairsConfig:
        every = list(combinations(range(5), 2))
        weights = torch.linspace(-0.5, 0.7, 10)[[every.index(pair) for pair in combinations(members, 2)]].softmax(0)
        pairs = [values[list(pair)].numpy() for pair in combinations(range(3), 2)]
        terms = [formulas.infonce(pair, everything[:, :2].numpy(), TAU) for pair in pairs]
        expected = float(np.dot(weights.numpy(), terms))
    else:
        expected = {
            ReleasedOvOConfig: lambda: formulas.released_ovo(*numbers, kept),
            SigLIPConfig: lambda: formulas.siglip(*numbers, -10.0),
            GRAMConfig: lambda: formulas.gram(*numbers, range(3)),
            SymileConfig: lambda: formulas.symile(*numbers),
        }[config]()
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("config", [GatedSymileConfig, ConFuConfig])
@pytest.mark.parametrize("members", [(0, 2, 3), (1, 2, 3, 4), (0, 1, 2, 3, 4)])
def test_parameters_of_modalities_are_those_of_the_members(config: type, members: tuple[int, ...]) -> None:
    objective, (x, present) = shared(config, embed_dim=6, hidden=16), batch()
    kept = list(members)
    loss, _ = objective(x[kept], present[:, kept], members)
    whole = {name: value.detach().double().numpy() for name, value in objective.whole.named_parameters()}
    if config is GatedSymileConfig:
        own = {
            name: value[kept] if len(value.shape or ()) and len(value) == 5 else value for name, value in whole.items()
        }
        expected = formulas.gated_symile(x[kept].numpy(), present[:, kept].numpy(), TAU, own)
    else:
        every = list(combinations(range(5), 2))
        own = {n: v[[every.index(pair) for pair in combinations(kept, 2)]] for n, v in whole.items() if v.ndim}
        expected = formulas.confu(x[kept].numpy(), present[:, kept].numpy(), TAU, 0.5, own)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert not any(p.grad is None for p in objective.whole.parameters())


@pytest.mark.parametrize(
    ("pair", "same"),
    [
        (InfoNCEConfig(temperature=TAU), True),
        (InfoNCEConfig(temperature=0.3), False),
        (InfoNCEConfig(temperature=TAU, train_temperature=False), False),
        (SigLIPConfig(), False),
    ],
)
def test_pairs_share_the_temperature_where_it_is_configured_so(pair: InfoNCEConfig, same: bool) -> None:
    objective = SubsetObjective(OneVersusOthersConfig(temperature=TAU), pair, 4)
    x, _ = batch(2)
    trained = torch.optim.SGD([p for p in objective.parameters() if p.requires_grad], lr=1.0)
    parts = (objective.whole, objective.pair)
    before = [part.log_temperature.item() for part in parts]
    objective(x.requires_grad_(), None, (0, 3))[0].backward()
    trained.step()
    moved = [part.log_temperature.item() != value for part, value in zip(parts, before, strict=True)]
    assert moved == [same, pair.train_temperature]


def test_a_subset_of_more_trains_the_one_temperature() -> None:
    objective, (x, present) = shared(), batch()
    gradients = []
    for members in ((0, 1, 2), (0, 1, 2, 3), (0, 1, 2, 3, 4)):
        objective.zero_grad()
        objective(x[list(members)], present[:, list(members)], members)[0].backward()
        gradients.append(float(objective.whole.log_temperature.grad))
    assert all(gradients)
    names = {name for name, _ in objective.named_parameters()}
    assert names == {"whole.log_temperature", "whole.weight_logits"}


def test_sampled_negatives_of_every_size_count_the_same_steps() -> None:
    objective, (x, _) = shared(SymileConfig, negatives="sampled"), batch()
    before = objective(x[:3], None, (0, 1, 2))[0].item()
    assert int(objective.whole.step) == 1
    assert objective(x[:3], None, (0, 1, 2))[0].item() != before, "other shuffles"
    with torch.no_grad():
        objective.eval()(x[:3], None, (0, 1, 2))
    assert int(objective.whole.step) == 2


def test_two_modalities_are_plain_infonce() -> None:
    objective, (x, present) = shared(modalities=2), batch(2)
    plain = InfoNCE(temperature=TAU)
    assert objective(x, present, (0, 1))[0] == objective(x, present)[0] == plain(x, present)[0]
    assert len(list(objective.parameters())) == 1


def test_the_order_of_the_modalities_changes_nothing() -> None:
    (x, present), order = batch(), [3, 0, 4, 2, 1]
    one, other = shared(), shared()
    other.whole.weight_logits.data.copy_(LOGITS[order])
    for members in ((0, 2), (0, 2, 3), (0, 1, 2, 4)):
        places = sorted(order.index(member) for member in members)
        mine, _ = one(x[list(members)], present[:, list(members)], members)
        theirs, _ = other(x[order][places], present[:, order][:, places], places)
        assert mine.item() == pytest.approx(theirs.item(), rel=1e-9)


@pytest.mark.parametrize("members", [(0, 2), (0, 2, 3), (0, 1, 2, 3, 4)])
def test_what_an_absent_modality_holds_does_not_matter(members: tuple[int, ...]) -> None:
    objective, (x, present) = shared(), batch()
    kept = list(members)
    filled = torch.where(present.T[:, :, None], x, torch.nan)
    assert objective(x[kept], present[:, kept], members)[0] == objective(filled[kept], present[:, kept], members)[0]
