"""Which stays lend their labels."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from picme.finetune.labels import with_share


@pytest.fixture
def view() -> Any:
    subjects = np.random.default_rng(1).integers(0, 60, 100)
    return SimpleNamespace(cohort=pl.DataFrame({"subject_id": [f"s{x}" for x in subjects]}))


def drawn(view: Any, share: float, seed: int = 0) -> np.ndarray:
    targets = np.zeros((100, 2))
    targets[10] = np.nan
    targets[11, 0] = np.nan
    return with_share(view, np.arange(80), targets, share, seed)


def test_all_labels_are_all_stays_with_a_label(view: Any) -> None:
    assert drawn(view, 1.0).tolist() == [row for row in range(80) if row != 10]


def test_a_smaller_share_is_part_of_a_larger_one(view: Any) -> None:
    assert set(drawn(view, 0.1)) < set(drawn(view, 0.3)) < set(drawn(view, 1.0))


def test_the_share_is_reached_and_subjects_stay_whole(view: Any) -> None:
    rows = drawn(view, 0.3)
    subject = view.cohort.get_column("subject_id").to_numpy()
    left = [row for row in range(80) if row not in set(rows) and row != 10]
    assert 0.3 * 79 <= len(rows) <= 0.3 * 79 + np.unique(subject, return_counts=True)[1].max()
    assert not set(subject[rows]) & set(subject[left])


def test_seeds_draw_other_stays_and_repeat(view: Any) -> None:
    assert drawn(view, 0.2, 3).tolist() == drawn(view, 0.2, 3).tolist() != drawn(view, 0.2, 4).tolist()


def test_at_least_two_stays(view: Any) -> None:
    assert len(drawn(view, 0.001)) >= 2
