"""What pretraining is stopped by: the objective's own score where it has one, else cosines of pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from picme.align import retrieval
from picme.objectives import GRAM, AllPairs, ConFu, GatedSymile, Objective, Symile
from picme.pretrain import matching
from picme.pretrain.matching import matches_itself, matching_recall, validation_recall


def embeddings(modalities: int, stays: int, dim: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(modalities, stays, dim)).astype(np.float32)


def everyone(values: np.ndarray) -> np.ndarray:
    return np.ones(values.shape[:2], dtype=bool).T


def by_hand(values: np.ndarray, k: int) -> float:
    """Each stay's multilinear inner product with every candidate, one number at a time."""
    modalities, stays, _ = values.shape
    unit = values / np.linalg.norm(values, axis=2, keepdims=True)
    hits = 0
    for target in range(modalities):
        for stay in range(stays):
            query = np.prod([unit[i, stay] for i in range(modalities) if i != target], axis=0)
            scores = [float(query @ unit[target, other]) for other in range(stays)]
            hits += sum(score >= scores[stay] for score in scores) <= k
    return hits / (modalities * stays)


@pytest.mark.parametrize("block", [2**20, 50])
@pytest.mark.parametrize("modalities", [3, 4])
def test_symile_is_scored_by_its_own_product(modalities: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "BLOCK", block)
    values = embeddings(modalities, 23)
    # A part of the last modality follows from all the others together.
    values[-1, ::2] = np.prod(values[:-1, ::2] / np.linalg.norm(values[:-1, ::2], axis=2, keepdims=True), axis=0)
    for k in (1, 5):
        found = matching_recall(Symile(modalities), values, everyone(values), k)
        assert found == pytest.approx(by_hand(values, k))
    assert found > 0.3 > retrieval(values, 5)


@pytest.mark.parametrize("modalities", [2, 3, 5])
def test_gram_is_scored_by_the_volume_with_each_candidate(modalities: int) -> None:
    values = embeddings(modalities, 17, dim=12)
    values[1:] += 2 * values[0]
    values[0, ::3] *= -1  # a volume has no sign
    unit = values / np.linalg.norm(values, axis=2, keepdims=True)
    hits = 0
    for target in range(modalities):
        for stay in range(17):
            others = [unit[i, stay] for i in range(modalities) if i != target]
            edges = [np.stack([*others, unit[target, other]]).astype(np.float64) for other in range(17)]
            volumes = [np.linalg.det(edge @ edge.T) for edge in edges]
            hits += sum(volume <= volumes[stay] for volume in volumes) <= 2
    found = matching_recall(GRAM(modalities), values, everyone(values), 2)
    assert found == pytest.approx(hits / (17 * modalities))
    assert found > 0.3
    assert found != pytest.approx(retrieval(values, 2))


@pytest.mark.parametrize("objective", [Symile(2), GatedSymile(2), ConFu(2)], ids=lambda one: type(one).__name__)
def test_for_two_modalities_products_and_fused_pairs_are_scored_like_a_pair(objective: Objective) -> None:
    values = embeddings(2, 40)
    values[1] += 0.5 * values[0]
    assert matches_itself(objective)
    assert matching_recall(objective, values, everyone(values)) == pytest.approx(retrieval(values, 5))


def test_others_are_scored_by_cosines_of_pairs() -> None:
    values = embeddings(3, 30)
    values[1:] += values[0]
    present = np.random.default_rng(1).random((30, 3)) < 0.8
    assert not matches_itself(AllPairs(3))
    assert matches_itself(Symile(3))
    assert matching_recall(AllPairs(3), values, present) == retrieval(values, 5, present)


def test_incomplete_stays_and_ties_do_not_help() -> None:
    values = embeddings(3, 20)
    present = everyone(values)
    present[5:, 1] = False
    other = values.copy()
    other[:, 5:] = np.nan
    assert matching_recall(Symile(3), other, present, 1) == matching_recall(Symile(3), values[:, :5], present[:5], 1)
    assert math.isnan(matching_recall(Symile(3), values, np.zeros((20, 3), dtype=bool)))
    assert matching_recall(Symile(3), np.ones_like(values), everyone(values)) == 0
    values[0, 3] = np.nan
    assert matching_recall(Symile(3), values, everyone(values), 20) == 1
    assert matching_recall(Symile(3), np.full_like(values, np.nan), everyone(values), 19) == 0


def test_candidates_are_the_split_or_as_published_batches_of_32() -> None:
    values = embeddings(2, 80)
    values[1] = values[0] + 0.8 * values[1]
    objective = AllPairs(2)
    whole = validation_recall(objective, values, everyone(values), "split")
    assert whole == retrieval(values, 5)
    batches = validation_recall(objective, values, everyone(values), "batches")
    # Of 80 stays the last 16 are no full batch.
    assert batches == pytest.approx(np.mean([retrieval(values[:, :32], 5), retrieval(values[:, 32:64], 5)]))
    assert batches > whole
    few = values[:, :9]
    assert validation_recall(objective, few, everyone(few), "batches") == retrieval(few, 5)
    assert math.isnan(validation_recall(objective, values, np.zeros((80, 2), dtype=bool), "batches"))
