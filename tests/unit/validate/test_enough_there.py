"""Where no modality is needed, in the run or in the other source, table and page say so."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import polars as pl
import pytest

from picme.config.evaluate import EvaluateConfig
from picme.evaluate.predicted import COMPLETE
from picme.evaluate.predictions import TaskPredictions
from picme.report.external_scores import sufficient
from picme.results.tables import table
from picme.validate.subsets import subset_rows

STAYS = 1500
KEY = {"task": "died", "strategy": "supervised", "metric": "auroc"}


def there(told: float) -> TaskPredictions:
    """Two modalities, of which the first tells the label with this distance of the two classes, the second nothing."""
    rng = np.random.default_rng(0)
    label = np.arange(STAYS) % 2
    told_by = [told * label + rng.normal(size=STAYS), rng.normal(size=STAYS)]
    ids = [str(n) for n in range(STAYS)]
    cohort = pl.DataFrame({"stay_id": ids, "subject_id": ids, "split": "test", "died": label})
    scores = {"labs": told_by[0], "notes": told_by[1], "labs+notes": told_by[0] + 0.1 * told_by[1]}
    frames = []
    for (combination, score), seed in product(scores.items(), range(4)):
        probability = 1 / (1 + np.exp(-score - 0.1 * rng.normal(size=STAYS)))
        rows = {"stay_id": ids, "target": label, "probability": probability}
        key = {"combination": combination, "strategy": "supervised", "seed": seed, "split": "test", "label": "died"}
        frames.append(pl.DataFrame(rows).with_columns(**{name: pl.lit(value) for name, value in key.items()}))
    return TaskPredictions(pl.concat(frames).lazy(), "died", cohort, "here")


@pytest.mark.parametrize(
    ("run", "told", "margin", "expected", "words"),
    [
        ({"none_needed": True}, 0.0, 0.1, (True, True), ["none is needed", "none is needed"]),
        ({"combination": "labs", "against": "labs+notes"}, 0.0, 0.1, (None, True), ["labs", "none is needed"]),
        ({"none_needed": True}, 2.0, 0.1, (True, None), ["none is needed", "labs"]),
        ({}, 0.0, 0.001, (None, None), ["undecided", "undecided"]),
    ],
)
def test_none_is_needed_here_or_there(
    run: dict[str, Any], told: float, margin: float, expected: tuple[Any, Any], words: list[str]
) -> None:
    own = table("sufficient").frame([{**KEY, "stays": COMPLETE, "best": "labs+notes", "margin": margin, **run}])
    config = EvaluateConfig(margin=margin, interval_resamples=100)
    rows = subset_rows(there(told), ("labs", "notes"), {"labs": 1.0, "notes": 1.0}, {"sufficient": own}, config)
    (row,) = [row for name, row in rows if name == "external_sufficient" and row["metric"] == "auroc"]
    assert (row["none_needed"], row["there_none_needed"]) == expected
    made = table("external_sufficient").frame([row])
    shown = sufficient({"external_sufficient": made}, {"confidence": 0.95, "margin": margin})
    assert shown is not None
    titles = [column.title for column in shown.columns]
    cells = [str(shown.columns[titles.index(one)].cell(made.row(0, named=True))) for one in titles]
    told_by = [cells[titles.index(name)] for name in ("Enough in the run", "Enough by its stays alone")]
    assert told_by == words
