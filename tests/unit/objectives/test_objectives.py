"""Every objective against its formula in numpy, and the properties they share."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import objective_formulas as formulas
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call

from picme.config.objectives import CONFIGS, AllPairsConfig, ObjectiveConfig, OneVersusOthersConfig
from picme.errors import ConfigError, TrainingError
from picme.objectives import (
    GRAM,
    OBJECTIVES,
    AllPairs,
    ConFu,
    GatedSymile,
    InfoNCE,
    OneVersusOthers,
    ReleasedOvO,
    SigLIP,
    Symile,
    build,
)

LOGITS = torch.tensor([0.3, -0.4, 0.1, 0.8, -0.2])


def batch(modalities=3, stays=7, dim=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(modalities, stays, dim, dtype=torch.float64, generator=generator)


def presence(modalities=3, stays=7, share=0.7, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(stays, modalities, generator=generator) < share


def with_logits(objective, logits=LOGITS):
    """Trained weights away from their start, so that a mistake in them shows."""
    with torch.no_grad():
        objective.weight_logits.copy_(logits[: len(objective.weight_logits)])
    return objective


def away_from_start(objective):
    """Parameters in double precision and away from their start, where some are zero or nearly without effect."""
    generator = torch.Generator().manual_seed(2)
    for name, parameter in objective.double().named_parameters():
        if name != "log_temperature":
            parameter.data = torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
    return objective


def arrays(objective):
    return {name: parameter.detach().double().numpy() for name, parameter in objective.named_parameters()}


def cases():
    """Name, objective in double precision, and its formula (embeddings, presence) -> value."""
    tau = 0.2
    logits = LOGITS.double().numpy()
    yield "infonce", InfoNCE(temperature=tau), lambda x, p: formulas.infonce(x, p, tau)
    yield "all_pairs", AllPairs(3, temperature=tau), lambda x, p: formulas.all_pairs(x, p, tau)
    yield "ovo", OneVersusOthers(4, weighted=False, temperature=tau), lambda x, p: formulas.ovo(x, p, tau)
    yield (
        "ovo weighted",
        with_logits(OneVersusOthers(5, kl=0.7, temperature=tau)),
        lambda x, p: formulas.ovo(x, p, tau, logits, 0.7),
    )
    yield (
        "released_ovo",
        with_logits(ReleasedOvO(3, temperature=tau)),
        lambda x, p: formulas.released_ovo(x, p, tau, logits[:3]),
    )
    yield "siglip", SigLIP(3, bias=-2.0, temperature=tau), lambda x, p: formulas.siglip(x, p, tau, -2.0)
    yield "gram", GRAM(3, temperature=tau), lambda x, p: formulas.gram(x, p, tau, range(3))
    yield "gram anchored", GRAM(4, anchor=1, temperature=tau), lambda x, p: formulas.gram(x, p, tau, [1])
    yield "symile", Symile(3, temperature=tau), lambda x, p: formulas.symile(x, p, tau)
    for k in (3, 4):
        gated = away_from_start(GatedSymile(k, 6, 5, temperature=tau))
        yield f"gated_symile {k}", gated, lambda x, p, one=gated: formulas.gated_symile(x, p, tau, arrays(one))
        fusing = away_from_start(ConFu(k, 6, 5, fused=0.3, temperature=tau))
        yield f"confu {k}", fusing, lambda x, p, one=fusing: formulas.confu(x, p, tau, 0.3, arrays(one))


CASES = [pytest.param(objective.double(), formula, id=name) for name, objective, formula in cases()]


@pytest.mark.parametrize(("objective", "formula"), CASES)
@pytest.mark.parametrize("share", [None, 0.85, 0.5])
@pytest.mark.parametrize("chunk", [None, 3])
def test_value_equals_the_formula(objective, formula, share, chunk):
    k = objective.n_modalities
    x = batch(k)
    present = None if share is None else presence(k, share=share)
    objective.chunk = chunk
    mask = formulas.everything(x) if present is None else present.numpy()
    loss, info = objective(x, present)
    assert loss.item() == pytest.approx(formula(x.numpy(), mask), abs=1e-6)
    single, _ = objective.float()(x.float(), present)
    assert single.item() == pytest.approx(formula(x.float().double().numpy(), mask), abs=2e-6)
    objective.double()
    assert set(info) >= {"terms", "weights", "counts", "temperature"}
    assert not any(value.requires_grad for value in info.values())


@pytest.mark.parametrize(("objective", "formula"), CASES)
@pytest.mark.parametrize(("share", "chunk"), [(None, None), (0.8, None), (0.8, 2)])
def test_gradient_equals_finite_differences(objective, formula, share, chunk):
    k = objective.n_modalities
    x = batch(k, stays=5, seed=3).requires_grad_()
    present = None if share is None else presence(k, stays=5, share=share)
    objective.chunk = chunk
    parameters = tuple(objective.parameters())
    many = len(parameters) > 3  # then in a random direction, instead of in that of every number
    assert torch.autograd.gradcheck(lambda x, *_: objective(x, present)[0], (x, *parameters), atol=1e-6, fast_mode=many)


@pytest.mark.parametrize(("objective", "formula"), CASES)
def test_what_stands_in_an_absent_embedding_has_no_influence(objective, formula):
    k = objective.n_modalities
    present = presence(k, stays=9, share=0.75)
    clean = batch(k, stays=9)
    dirty = torch.where(present.T[:, :, None], clean, torch.nan).requires_grad_()
    zeros = torch.where(present.T[:, :, None], clean, 0.0)
    loss, _ = objective(dirty, present)
    assert loss.item() == pytest.approx(objective(zeros, present)[0].item(), abs=1e-12)
    assert loss != 0
    (gradient,) = torch.autograd.grad(loss, dirty)
    assert torch.isfinite(gradient).all()
    assert (gradient[~present.T] == 0).all()


@pytest.mark.parametrize(("objective", "formula"), CASES)
def test_no_valid_term_gives_zero_in_the_graph(objective, formula):
    k = objective.n_modalities
    x = batch(k, stays=4).requires_grad_()
    nobody = torch.zeros(4, k, dtype=torch.bool)
    one_each = torch.eye(k, dtype=torch.bool)[torch.arange(4) % k]
    one_stay = torch.arange(4)[:, None].expand(4, k) == 0
    for present in (nobody, one_each, one_stay):
        loss, _ = objective(x, present)
        assert loss.item() == 0
        (gradient,) = torch.autograd.grad(loss, x)
        assert (gradient == 0).all()
    alone, _ = objective(x[:, :1])
    assert alone.item() == 0
    assert torch.isfinite(torch.autograd.grad(alone, x)[0]).all()


SYMMETRIC = [case for case in CASES if case.id != "gram anchored"]


@settings(max_examples=12, deadline=None)
@given(st.data())
@pytest.mark.parametrize(("objective", "formula"), SYMMETRIC)
def test_order_of_stays_and_modalities_does_not_matter(objective, formula, data):
    k = objective.n_modalities
    objective.chunk = None
    stays = data.draw(st.integers(2, 8))
    x, present = batch(k, stays, seed=stays), presence(k, stays, share=0.8, seed=stays)
    order = data.draw(st.permutations(range(stays)))
    before, info = objective(x, present)
    after, same = objective(x[:, order], present[order])
    assert after.item() == pytest.approx(before.item(), abs=1e-9)
    assert torch.allclose(same["terms"], info["terms"])
    turn = list(data.draw(st.permutations(range(k))))
    turned, moved = functional_call(objective, objective.restricted(turn), (x[turn], present[:, turn]))
    assert turned.item() == pytest.approx(before.item(), abs=1e-9)
    if len(info["terms"]) == k and not isinstance(objective, AllPairs | SigLIP | ConFu):
        assert torch.allclose(moved["terms"], info["terms"][turn])


@pytest.mark.parametrize("share", [None, 0.6])
@pytest.mark.parametrize("chunk", [None, 4])
def test_two_modalities_are_infonce(share, chunk):
    x = batch(2, 11)
    present = None if share is None else presence(2, 11, share=share)
    expected, info = InfoNCE(chunk=chunk).double()(x, present)
    assert expected != 0
    for objective in (
        OneVersusOthers(2, weighted=False, chunk=chunk),
        OneVersusOthers(2, weighted=True, chunk=chunk),
        AllPairs(2, chunk=chunk),
        ReleasedOvO(2, chunk=chunk),
        Symile(2, negatives="all", chunk=chunk),
        GatedSymile(2, chunk=chunk),
        ConFu(2, chunk=chunk),
    ):
        loss, _ = objective.double()(x, present)
        assert loss.item() == pytest.approx(expected.item(), abs=1e-10), type(objective).__name__
    # The K-term form of OvO, which two modalities do not go through.
    terms, counts = OneVersusOthers(2).double()._terms(x, present)
    assert torch.allclose(terms, info["terms"])
    assert torch.equal(counts.long(), info["counts"].long())


def test_released_ovo_with_uniform_weights_is_a_multiple_of_all_pairs():
    x = batch(4)
    pairs, _ = AllPairs(4).double()(x)
    released, _ = ReleasedOvO(4).double()(x)
    assert released.item() == pytest.approx(3 * pairs.item(), abs=1e-10)


@pytest.mark.parametrize("make", [AllPairs, OneVersusOthers, ReleasedOvO, SigLIP])
def test_a_modality_absent_everywhere_changes_nothing(make):
    x, present = batch(4, 10), presence(4, 10, share=0.8)
    present[:, 2] = False
    rest = [0, 1, 3]
    whole, part = make(4).double(), make(3).double()
    loss, _ = whole(x, present)
    expected, _ = part(x[rest], present[:, rest])
    assert loss.item() == pytest.approx(expected.item(), abs=1e-12)
    loss.backward()
    for parameter in whole.weight_parameters():
        assert parameter.grad[2] == 0


def test_weights_are_renormalised_over_the_modalities_with_two_valid_stays():
    objective = with_logits(OneVersusOthers(5, kl=0.5)).double()
    x, present = batch(5, 6), torch.ones(6, 5, dtype=torch.bool)
    present[1:, 3] = False  # one valid stay
    present[:, 4] = False  # none
    _, info = objective(x, present)
    expected = LOGITS[:3].double().softmax(0)
    assert torch.allclose(info["weights"], torch.cat([expected, torch.zeros(2, dtype=torch.float64)]))
    assert info["counts"].tolist() == [6, 6, 6, 1, 0]
    assert info["terms"][3:].tolist() == [0, 0]
    assert objective.weights().sum() == pytest.approx(1)


def test_weights_and_their_parameters():
    weighted, plain = OneVersusOthers(5), OneVersusOthers(5, weighted=False)
    assert torch.allclose(weighted.weights(), torch.full((5,), 0.2))
    assert torch.allclose(plain.weights(), torch.full((5,), 0.2))
    assert [p is weighted.weight_logits for p in weighted.weight_parameters()] == [True]
    assert plain.weight_parameters() == []
    assert sorted(name for name, _ in weighted.named_parameters()) == ["log_temperature", "weight_logits"]
    pairs = with_logits(AllPairs(3, weighted=True))
    _, info = pairs(batch(3, 4, seed=1).float())
    assert info["weights"].tolist() == pytest.approx(LOGITS[:3].softmax(0).tolist())
    assert pairs.weights().tolist() == pytest.approx([1 / 3] * 3)


def test_penalty_keeps_weights_from_collapsing_on_the_easiest_modality():
    # Fixed terms stand for encoders that differ in how easily they align: weights settle at softmax(−term / β).
    x = batch(3, 8)
    x[1] = x[0] + 0.1 * x[1]
    for beta, settled in ((1.0, True), (0.0, False)):
        objective = OneVersusOthers(3, kl=beta, temperature=0.5, train_temperature=False).double()
        optimizer = torch.optim.Adam(objective.weight_parameters(), 0.1)
        for _ in range(300):
            optimizer.zero_grad()
            loss, info = objective(x)
            loss.backward()
            optimizer.step()
        if settled:
            assert torch.allclose(objective.weights(), (-info["terms"]).softmax(0), atol=1e-3)
        else:
            assert objective.weights().max() > 0.95


def test_temperature_is_trained_and_kept_in_its_range():
    objective = InfoNCE(temperature=0.05, temperature_range=(0.04, 0.06))
    assert objective.log_temperature.exp().item() == pytest.approx(0.05)
    x = batch(2).float()
    objective.log_temperature.data.fill_(3.0)
    low, info = objective(x)
    assert float(info["temperature"]) == pytest.approx(0.06)
    low.backward()
    assert objective.log_temperature.grad != 0
    assert not InfoNCE(train_temperature=False).log_temperature.requires_grad


@pytest.mark.parametrize("share", [None, 0.8])
@pytest.mark.parametrize("modalities", [2, 3])
def test_lowest_temperature_stays_exact_in_single_precision(modalities, share):
    # exp(±100) overflows single precision, and a row of opposite vectors underflows it.
    x = batch(modalities, 40, 16).float()
    x[1:] = -x[0] + 0.05 * x[1:]
    present = None if share is None else presence(modalities, 40, share)
    objective = OneVersusOthers(modalities, weighted=False, temperature=0.01)
    gradients = []
    for exact in (False, True):
        leaf = x.clone().to(torch.float64 if exact else torch.float32).requires_grad_()
        loss, _ = objective.double()(leaf, present) if exact else objective(leaf, present)
        mask = np.ones((40, modalities), bool) if present is None else present.numpy()
        assert loss.item() == pytest.approx(formulas.ovo(x.double().numpy(), mask, 0.01), rel=1e-5)
        loss.backward()
        gradients.append(leaf.grad.double())
    assert (gradients[0] - gradients[1]).norm() < 1e-4 * gradients[1].norm()


@pytest.mark.parametrize(("objective", "formula"), CASES)
@pytest.mark.parametrize("chunk", [None, 3])
def test_double_precision_embeddings_need_no_double_parameters(objective, formula, chunk):
    x = batch(objective.n_modalities).requires_grad_()
    objective.chunk = chunk
    objective.float()
    loss, _ = objective(x)
    loss.backward()
    exact = formula(x.detach().numpy(), formulas.everything(x))
    objective.double()
    assert loss.item() == pytest.approx(exact, abs=1e-6)
    assert x.grad.dtype == torch.float64


@pytest.mark.parametrize(("objective", "formula"), CASES)
def test_half_precision_embeddings_are_compared_in_single(objective, formula):
    x = batch(objective.n_modalities).bfloat16()
    objective.float()
    exact, _ = objective(x.float())
    with torch.autocast("cpu", torch.bfloat16):
        half, _ = objective(x)
        single, _ = objective(x.float())
    objective.double()
    assert half.item() == single.item() == exact.item()


def test_large_batches_in_blocks_equal_one_go():
    x = batch(3, 300, 32).float()
    present = presence(3, 300, share=0.9)
    for make in (AllPairs, OneVersusOthers, ReleasedOvO, GRAM, SigLIP, GatedSymile, ConFu):
        values, gradients = [], []
        for chunk in (300, 37):
            leaf = x.clone().requires_grad_()
            torch.manual_seed(0)
            objective = make(3, chunk=chunk, **({"embed_dim": 32} if make.takes_embed_dim else {}))
            loss, _ = objective(leaf, present)
            loss.backward()
            values.append(loss.item())
            gradients.append(torch.cat([leaf.grad.flatten(), objective.log_temperature.grad[None]]))
        assert values[0] == pytest.approx(values[1], abs=1e-5)
        assert torch.allclose(*gradients, atol=1e-5)


def test_blocks_are_recomputed_where_they_are_too_large_to_keep(monkeypatch):
    from picme.objectives import chunked

    x, present = batch(3, 60, 8), presence(3, 60, share=0.9)
    gradients = []
    for kept in (chunked.KEPT, 0):
        monkeypatch.setattr(chunked, "KEPT", kept)
        leaf = x.clone().requires_grad_()
        AllPairs(3, chunk=16).double()(leaf, present)[0].backward()
        gradients.append(leaf.grad)
    assert torch.allclose(*gradients, atol=1e-12)


def test_build_makes_what_the_configuration_says():
    assert set(CONFIGS) == set(OBJECTIVES.builtin)
    for name, config in CONFIGS.items():
        n_modalities = 2 if name == "infonce" else 3
        objective = build(config(), n_modalities, 8)
        x = torch.randn(n_modalities, 6, 8)
        assert objective(x)[0].item() > 0
        assert objective.log_temperature.exp().item() == pytest.approx(config().temperature)
    assert build(OneVersusOthersConfig(weighted=False), 4).weight_parameters() == []
    assert build(OneVersusOthersConfig(kl=0.25), 4).kl == 0.25
    assert build(AllPairsConfig(weighted=True, chunk=64), 4).chunk == 64


def test_bad_input_ends_in_one_sentence():
    with pytest.raises(ConfigError, match="takes two modalities, not 3"):
        InfoNCE(3)
    with pytest.raises(ConfigError, match="two modalities or more, not 1"):
        OneVersusOthers(1)
    with pytest.raises(ConfigError, match="anchor 3"):
        GRAM(3, anchor=3)
    with pytest.raises(ConfigError, match="not of 4"):
        Symile(4, negatives="all")
    with pytest.raises(TrainingError, match="ConFu expects embeddings of size 16, not 8"):
        ConFu(3, 16)(torch.randn(3, 4, 8))
    with pytest.raises(TrainingError, match="3 modalities, not of shape"):
        AllPairs(3)(torch.randn(2, 4, 8))
    with pytest.raises(TrainingError, match="presence must be"):
        AllPairs(3)(torch.randn(3, 4, 8), torch.ones(3, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="outside temperature_range"):
        ObjectiveConfig(name="x", temperature=2.0)


def test_naming_components_imports_no_torch():
    code = (
        "import sys, picme.objectives, picme.finetune, picme.align, picme.config.objectives, picme.config.fusions;"
        "assert 'infonce' in picme.objectives.OBJECTIVES.names();"
        "assert 'torch' not in sys.modules;"
        "from picme.objectives import InfoNCE; from picme.finetune import ModalityGatedLSTM;"
        "assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
