from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

Cells = list[tuple[str, str, int, float]]


def make_study(
    task: str, labels: list[str], stays: int, cells: Cells, seed: int = 0, undefined: float = 0.0
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Cohort and predictions; a cell is (combination, strategy, seeds, strength of its signal)."""
    rng = np.random.default_rng(seed)
    stay = rng.permutation(stays) * 3 + 100
    subject = rng.integers(0, max(2, int(0.8 * stays)), stays)
    split = np.where(subject % 2 == 0, "val", "test")
    y = (rng.random((stays, len(labels))) < 0.3).astype(float)
    cohort = pl.DataFrame(
        {
            "stay_id": stay,
            "subject_id": subject,
            "split": split,
            "gender": rng.choice(["F", "M"], stays),
            "ethnicity": rng.choice(["Asian", "White", "other/unknown"], stays, p=[0.1, 0.7, 0.2]),
        }
    ).with_columns(pl.Series(name, y[:, index]) for index, name in enumerate(labels))
    y[rng.random(y.shape) < undefined] = np.nan
    frames = []
    for combination, strategy, seeds, strength in cells:
        for number in range(seeds):
            score = strength * np.nan_to_num(y) + rng.normal(size=y.shape) - 1
            frames.append(
                pl.DataFrame(
                    {
                        "task": task,
                        "combination": combination,
                        "strategy": strategy,
                        "seed": number,
                        "split": np.repeat(split, len(labels)),
                        "stay_id": np.repeat(stay, len(labels)),
                        "label": np.tile(labels, stays),
                        "target": y.ravel(),
                        "probability": 1 / (1 + np.exp(-score.ravel())),
                    }
                ).with_columns(pl.col("target").fill_nan(None))
            )
    return cohort, pl.concat(frames)


@pytest.fixture
def study() -> Callable[..., tuple[pl.DataFrame, pl.DataFrame]]:
    return make_study
