"""The alignment metrics against plain numpy, with ties, missing modalities, galleries and their chance."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from picme.align import alignment_table, batch, neighbour, ovo, retrieval, same_modality_share
from picme.errors import DataError


def embeddings(modalities=3, stays=20, dim=4, seed=0, shared=1.0):
    generator = np.random.default_rng(seed)
    latent = generator.normal(size=(stays, dim))
    return (shared * latent + generator.normal(size=(modalities, stays, dim))).astype(np.float32)


def presence(modalities=3, stays=20, share=0.7, seed=1):
    return np.random.default_rng(seed).random((stays, modalities)) < share


def cosine(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12))


def worst_rank(query, right, others):
    """How many of the others are at least as near as the nearest of the right ones."""
    best = max(cosine(query, each) for each in right)
    return sum(cosine(query, each) >= best - 1e-10 for each in others)


def by_hand_retrieval(x, present, k):
    """{(i, j): recall}."""
    found = {}
    for i, j in product(range(len(x)), repeat=2):
        stays = np.flatnonzero(present[:, i] & present[:, j])
        if i != j:
            found[i, j] = np.mean(
                [worst_rank(x[i, s], [x[j, s]], [x[j, o] for o in stays if o != s]) < k for s in stays]
            )
    return found


def by_hand_ovo(x, present, k):
    found = []
    for i in range(len(x)):
        stays = [s for s in range(x.shape[1]) if present[s, i] and present[s].sum() >= 2]
        mean = {s: np.mean([x[j, s] for j in range(len(x)) if j != i and present[s, j]], axis=0) for s in stays}
        found.append(np.mean([worst_rank(x[i, s], [mean[s]], [mean[o] for o in stays if o != s]) < k for s in stays]))
    return found


def by_hand_neighbour(x, present, k, cross):
    """(hit, chance) of each query, with its modality."""
    points = [(i, s) for i, s in product(range(len(x)), range(x.shape[1])) if present[s, i]]
    found = []
    for i, s in points:
        right = [x[j, t] for j, t in points if t == s and j != i]
        others = [x[j, t] for j, t in points if t != s and not (cross and j == i)]
        if right:
            total = len(right) + len(others)
            chance = 1 - math.comb(total - len(right), k) / math.comb(total, k)
            found.append((i, worst_rank(x[i, s], right, others) < k, chance))
    return found


def by_hand_share(x, present, k):
    points = [(i, s) for i, s in product(range(len(x)), range(x.shape[1])) if present[s, i]]
    found = []
    for i, s in points:
        if present[s].sum() >= 2:
            order = sorted((p for p in points if p != (i, s)), key=lambda p: -cosine(x[i, s], x[p]))
            found.append(np.mean([j == i for j, _ in order[:k]]))
    return float(np.mean(found))


@pytest.mark.parametrize("share", [None, 0.7])
@pytest.mark.parametrize("k", [1, 5])
def test_metrics_equal_numpy(share, k):
    x = embeddings()
    present = None if share is None else presence()
    mask = np.ones((20, 3), bool) if present is None else present
    assert retrieval(x, k, present) == pytest.approx(np.mean(list(by_hand_retrieval(x, mask, k).values())))
    assert ovo(x, k, present) == pytest.approx(np.mean(by_hand_ovo(x, mask, k)))
    for cross in (False, True):
        expected = np.mean([hit for _, hit, _ in by_hand_neighbour(x, mask, k, cross)])
        assert neighbour(x, k, cross, present) == pytest.approx(expected)
        assert 0 < expected < 1
    assert same_modality_share(x, k, present) == pytest.approx(by_hand_share(x, mask, k))
    assert retrieval(torch.from_numpy(x).requires_grad_(), k, present) == retrieval(x, k, present)


def test_absent_embeddings_have_no_influence():
    x, present = embeddings(), presence()
    dirty = np.where(present.T[:, :, None], x, np.nan)
    for metric in (retrieval, ovo, neighbour, same_modality_share, batch):
        assert metric(dirty, 5, present=present) == metric(x, 5, present=present)


def test_table_has_every_row_with_its_chance():
    x, present = embeddings(), presence()
    table = alignment_table(x, present, ["a", "b", "c"], ks=(1, 5), gallery=None, batch_size=6)
    assert table.columns == ["metric", "source", "target", "k", "candidates", "chance", "value"]
    rows = table.group_by("metric").len().sort("metric").rows()
    assert rows == [
        ("batch", 14),
        ("cross_neighbour", 8),
        ("neighbour", 8),
        ("ovo", 8),
        ("retrieval", 14),
        ("same_modality_share", 8),
    ]

    def one(metric, k, source=None, target=None):
        chosen = table.filter(
            pl.col("metric") == metric,
            pl.col("k") == k,
            pl.col("source").eq_missing(source),
            pl.col("target").eq_missing(target),
        )
        assert len(chosen) == 1
        return chosen.row(0, named=True)

    expected = by_hand_retrieval(x, present, 5)
    for (i, j), value in expected.items():
        row = one("retrieval", 5, "abc"[i], "abc"[j])
        stays = int((present[:, i] & present[:, j]).sum())
        assert row["value"] == pytest.approx(value)
        assert (row["candidates"], row["chance"]) == (stays, 5 / stays)
    for i, value in enumerate(by_hand_ovo(x, present, 5)):
        assert one("ovo", 5, "abc"[i])["value"] == pytest.approx(value)
    for cross, metric in ((False, "neighbour"), (True, "cross_neighbour")):
        found = by_hand_neighbour(x, present, 5, cross)
        for source in (0, 1, 2, None):
            mine = [(hit, chance) for i, hit, chance in found if source in (None, i)]
            row = one(metric, 5, None if source is None else "abc"[source])
            assert row["value"] == pytest.approx(np.mean([hit for hit, _ in mine]))
            assert row["chance"] == pytest.approx(np.mean([chance for _, chance in mine]))
    share = one("same_modality_share", 5, "a")
    total, own = present.sum() - 1, present[:, 0].sum() - 1
    assert (share["candidates"], share["chance"]) == (total, pytest.approx(own / total))
    assert one("batch", 5, "a", "b")["chance"] == pytest.approx(5 / 6)
    assert one("batch", 1)["candidates"] == 6


def test_chance_is_what_random_embeddings_reach():
    x, present = embeddings(4, 300, 16, shared=0.0), presence(4, 300, 0.8)
    table = alignment_table(x, present, list("abcd"), ks=(1, 5, 10), gallery=60, draws=4)
    for row in table.filter(pl.col("source").is_null()).iter_rows(named=True):
        spread = 4 * math.sqrt(row["chance"] * (1 - row["chance"]) / 400)
        assert row["value"] == pytest.approx(row["chance"], abs=spread), row


@pytest.mark.parametrize("value", [0.0, 1.0, math.nan])
def test_ties_and_what_is_not_a_number_count_as_worst(value):
    x = np.full((3, 30, 16), value, np.float32)
    if value == 1.0:
        x *= np.linspace(0.1, 3, 16, dtype=np.float32)  # the same direction, rounded in the product
    assert retrieval(x, 5) == 0
    assert ovo(x, 5) == 0
    assert batch(x, 5, batch_size=16) == 0
    assert neighbour(x, 5) == 0
    assert neighbour(x, 5, cross=True) == 0
    if not math.isnan(value):
        # No modality is nearer than another: the share is chance.
        assert same_modality_share(x, 5) == pytest.approx(29 / 89)


def test_one_tie_is_enough():
    x = np.eye(4, 3, dtype=np.float32)[None].repeat(2, 0)
    x[:, 3] = x[:, 0]  # two stays with the same embedding
    assert retrieval(x, 1) == 0.5
    assert retrieval(x, 2) == 1


def test_neighbour_shows_the_modality_gap():
    x = embeddings(3, 60, 32, shared=6.0)
    assert neighbour(x, 5) > 0.99
    for i, offset in enumerate(np.eye(3, 32) * 45):
        x[i] += offset
    assert neighbour(x, 5) == 0
    assert same_modality_share(x, 5) == 1
    assert neighbour(x, 5, cross=True) > 0.5
    assert retrieval(x, 5) > 0.5


def test_batch_is_retrieval_within_batches():
    x = embeddings(2, 64, 8)
    assert batch(x, 5, batch_size=64) == pytest.approx(retrieval(x, 5))
    assert batch(x, 5, batch_size=16) > retrieval(x, 5)
    assert batch(x, 5, batch_size=200) == pytest.approx(retrieval(x, 5))
    assert batch(x, 5, batch_size=16, seed=1) != batch(x, 5, batch_size=16)
    # 70 stays hold four batches of 16; perfect embeddings are found in each.
    perfect = np.repeat(embeddings(1, 70, 8), 2, axis=0)
    assert batch(perfect, 1, batch_size=16) == 1


def test_galleries_are_drawn_averaged_and_repeat():
    x = embeddings(2, 200, 8)
    small = retrieval(x, 5, gallery=20)
    assert small > retrieval(x, 5) * 2
    assert small == retrieval(x, 5, gallery=20)
    assert small != retrieval(x, 5, gallery=20, seed=1)
    assert retrieval(x, 5, gallery=200) == retrieval(x, 5)
    one = [retrieval(x, 5, gallery=20, draws=n) for n in (1, 2)]
    assert one[0] != one[1]


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 4), st.integers(2, 12), st.integers(0, 10_000))
def test_order_of_stays_and_modalities_does_not_matter(modalities, stays, seed):
    x, present = embeddings(modalities, stays, seed=seed), presence(modalities, stays, 0.8, seed)
    generator = np.random.default_rng(seed)
    turn, order = generator.permutation(modalities), generator.permutation(stays)
    for metric in (retrieval, ovo, neighbour, same_modality_share):
        before = metric(x, 2, present=present)
        after = metric(x[turn][:, order], 2, present=present[order][:, turn])
        assert after == pytest.approx(before, nan_ok=True)


def test_what_is_undefined_is_null():
    x = embeddings(3, 6)
    present = np.zeros((6, 3), bool)
    present[0] = True
    present[:, 0] = True
    table = alignment_table(x, present, ["a", "b", "c"])
    undefined = table.filter(pl.col("metric").is_in(["retrieval", "ovo", "batch"]) & (pl.col("source") == "b"))
    assert undefined["value"].null_count() == len(undefined)
    assert math.isnan(retrieval(x, 5, present))
    nobody = alignment_table(x, np.zeros((6, 3), bool), ["a", "b", "c"])
    assert nobody["value"].null_count() == len(nobody)


def test_shapes_that_do_not_fit_end_in_one_sentence():
    with pytest.raises(DataError, match="presence must be"):
        retrieval(embeddings(), 5, presence().T)
    with pytest.raises(DataError, match="embeddings must be"):
        retrieval(embeddings()[0])
