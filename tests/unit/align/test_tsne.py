"""t-SNE frames: shape, repetition, alignment over epochs."""

from __future__ import annotations

import numpy as np

from picme.align import frames


def groups(seed, spread=0.05):
    """Three modalities of 12 stays in three groups, as embeddings (modality, stay, dim)."""
    generator = np.random.default_rng(seed)
    centres = np.eye(3, 8)[np.arange(12) % 3]
    return (centres + spread * generator.normal(size=(3, 12, 8))).astype(np.float32)


def positions(table, epoch):
    return table.filter(table["epoch"] == epoch).select("x", "y").to_numpy()


def test_frames_follow_one_another_and_repeat():
    epochs = [(0, groups(0, 1.0)), (2, groups(1)), (5, groups(2))]
    table = frames(epochs, ["a", "b", "c"], seed=3)
    assert table.columns == ["epoch", "stay", "modality", "x", "y"]
    assert len(table) == 3 * 36
    assert table["epoch"].unique().sort().to_list() == [0, 2, 5]
    assert table.filter(table["epoch"] == 0)["modality"].to_list() == ["a"] * 12 + ["b"] * 12 + ["c"] * 12
    assert table.filter(table["epoch"] == 0)["stay"].to_list() == list(range(12)) * 3
    assert table.equals(frames(epochs, ["a", "b", "c"], seed=3))
    # Groups stay where they were: each point's nearest group centre of the frame before is its own.
    group = np.tile(np.arange(12) % 3, 3)
    before, after = positions(table, 2), positions(table, 5)
    centres = np.stack([before[group == g].mean(0) for g in range(3)])
    assert (np.linalg.norm(after[:, None] - centres, axis=2).argmin(1) == group).all()


def test_absent_and_degenerate_embeddings():
    present = np.ones((12, 3), bool)
    present[4, 1] = False
    dirty = groups(0)
    dirty[1, 4] = np.nan
    table = frames([(0, dirty)], ["a", "b", "c"], seed=0, present=present)
    assert len(table) == 35
    assert table.filter((table["stay"] == 4) & (table["modality"] == "b")).is_empty()
    assert np.isfinite(table.select("x", "y").to_numpy()).all()
    collapsed = frames([(0, np.ones((2, 6, 3))), (1, groups(0)[:2, :6])], ["a", "b"], seed=0)
    assert np.isfinite(collapsed.select("x", "y").to_numpy()).all()
    assert frames([(0, np.ones((2, 2, 3)))], ["a", "b"], seed=0).is_empty()
    assert frames([], ["a", "b"], seed=0).columns == ["epoch", "stay", "modality", "x", "y"]
