"""The gates of Gated Symile: their range, the null option, neutral directions, and Symile where they have no effect."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from picme.objectives import GatedSymile
from picme.objectives.gated_symile import _gates

WITHOUT_EFFECT, FULL = -60.0, 60.0


def batch(modalities=3, stays=9, dim=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(modalities, stays, dim, dtype=torch.float64, generator=generator)


def gated(modalities=3, strength=FULL, null=None):
    torch.manual_seed(1)
    objective = GatedSymile(modalities, 6, 5, temperature=0.2).double()
    objective.gate_strength.data.fill_(strength)
    if null is not None:
        objective.null_bias.data.fill_(null)
    return objective


def gates(objective, x, target=0):
    (_, keys), (_, queries, opened, _, _) = objective._inputs(functional.normalize(x, dim=2), x[target], target)
    return _gates(keys, queries, opened)


@settings(max_examples=25, deadline=None)
@given(st.floats(-5, 5, allow_subnormal=False), st.floats(-3, 3, allow_subnormal=False), st.integers(0, 1000))
def test_gates_lie_between_0_and_1_and_null_only_closes_them(bias, temperature, seed):
    objective, x = gated(), batch(seed=seed)
    objective.gate_temperature.data.fill_(temperature)
    found = []
    for value in (-200.0, bias, bias + 1, 200.0):
        objective.null_bias.data.fill_(value)
        found.append(gates(objective, x))
        assert ((found[-1] >= 0) & (found[-1] <= 1)).all()
    assert (found[1] <= found[0]).all()
    assert (found[2] < found[1]).all()
    assert (found[3] < 1e-8).all()


def test_gates_differ_by_candidate_and_by_modality():
    found = gates(gated(4), batch(4))
    assert found.shape == (9, 3, 9)
    assert found.std(2).min() > 1e-3
    assert found.std(1).min() > 1e-3


@pytest.mark.parametrize("modalities", [3, 4])
def test_without_strength_it_contrasts_products_of_the_others_with_candidates(modalities):
    objective, x = gated(modalities, WITHOUT_EFFECT), batch(modalities)
    unit = functional.normalize(x, dim=2)
    terms = []
    for target in range(modalities):
        product = torch.stack([unit[i] for i in range(modalities) if i != target]).prod(0)
        logits = product @ unit[target].T * 6 ** ((modalities - 2) / 2) / 0.2
        terms.append(functional.cross_entropy(logits, torch.arange(9)))
        assert torch.allclose(objective.match_scores(x, x[target], target), logits * 0.2)
    assert objective(x)[0].item() == pytest.approx(torch.stack(terms).mean().item(), abs=1e-6)


def test_null_leaves_only_the_neutral_directions():
    objective, x = gated(null=200.0), batch()
    found = objective.match_scores(x, x[2], 2)
    neutral = functional.normalize(objective.neutral, dim=1)
    expected = (neutral[0] * neutral[1]) @ functional.normalize(x[2], dim=1).T * 6**0.5
    assert torch.allclose(found, expected.expand(9, 9))
    # What says nothing of the stay is worth no more than a guess.
    assert objective(x)[0].item() >= np.log(9)


def test_an_absent_modality_counts_as_its_neutral_direction_at_any_strength():
    for strength in (WITHOUT_EFFECT, -3.0, FULL):
        objective, x, present = gated(strength=strength), batch(), torch.ones(9, 3, dtype=torch.bool)
        present[::2, 1] = False
        x[1, ::2] = objective.neutral[1].detach()
        gone = torch.where(present.T[:, :, None], x, 0.0)
        found = objective.match_scores(gone, x[0], 0)[::2]
        # With the gate open or closed, neutral is what is drawn towards.
        assert torch.allclose(found, objective.match_scores(x, x[0], 0)[::2])
        # Stays without the modality take part where it is not the candidate.
        assert objective(gone, present)[1]["counts"].tolist() == [9, 4, 9]


def test_a_modality_with_one_stay_drops_out():
    x, present = batch(), torch.ones(9, 3, dtype=torch.bool)
    present[1:, 2] = False
    info = gated()(x, present)[1]
    assert info["counts"].tolist() == [9, 9, 1]
    assert info["weights"].tolist() == [0.5, 0.5, 0]
    assert info["terms"][2] == 0


def test_every_parameter_is_trained_together_with_the_encoders():
    objective = gated(strength=-3.0)
    objective(batch())[0].backward()
    for name, parameter in objective.named_parameters():
        assert parameter.grad.abs().max() > 0, name
    assert objective.weight_parameters() == []
    names = {name.partition(".")[0] for name, _ in objective.named_parameters()}
    assert names == {
        "log_temperature", "queries", "keys", "neutral", "null", "null_bias", "gate_temperature", "gate_strength"
    }  # fmt: skip


def test_the_gate_learns_to_close_on_a_modality_that_is_noise():
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    objective = GatedSymile(3, 8, 8)
    optimizer = torch.optim.Adam(objective.parameters(), 0.02)
    same = torch.randn(8, generator=generator)

    def draw():
        # The third modality says nothing; a constant in its place would not disturb.
        first = torch.randn(32, 8, generator=generator)
        return torch.stack([first, first.sign() * same.abs(), torch.randn(32, 8, generator=generator)])

    def share(x):
        with torch.no_grad():
            return float((objective.gate_strength.sigmoid() * (1 - gates(objective, x)[:, 1])).mean())

    before = share(draw())
    for _ in range(150):
        optimizer.zero_grad()
        objective(draw())[0].backward()
        optimizer.step()
    assert share(draw()) > 4 * before
