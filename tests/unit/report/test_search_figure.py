"""The figure of search trials: those of pretraining have neither task nor strategy, and another score."""

from __future__ import annotations

import polars as pl

from picme.report.figures.cost import search

ROWS = {
    "stage": ["pretrain", "pretrain", "finetune", "finetune"],
    "task": [None, None, "mortality", "mortality"],
    "combination": ["image+timeseries"] * 4,
    "strategy": [None, None, "gated", "supervised"],
    "trial": [0, 1, 0, 0],
    "learning_rate": [1e-3, 1e-4, 1e-3, 1e-2],
    "batch_size": [32, 64, 32, 16],
    "value": [0.42, 0.31, 0.8, 0.7],
}


def test_trials_of_both_stages_are_shown_with_their_own_score() -> None:
    plate = search({"search": pl.DataFrame(ROWS)}, {})
    assert plate is not None
    first, second = plate.views
    assert first.choice[0] == "Pretraining"
    assert [list(trace["y"]) for trace in first.figure["data"]] == [[42.0, 31.0]]
    assert first.figure["layout"]["yaxis"]["title"]["text"] == "validation recall@5, %"
    assert "None" not in first.figure["data"][0]["text"][0]
    assert ", by" not in str(first.reading)
    assert [trace["name"] for trace in second.figure["data"]] == ["gated", "supervised"]
    assert second.figure["layout"]["yaxis"]["title"]["text"] == "validation AUROC, %"
    assert ", by gated" in str(second.reading)
