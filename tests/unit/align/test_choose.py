"""Which combinations go on to fine-tuning: by cosine retrieval on validation, or by the objective's own score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from picme.config.loading import load
from picme.design.graph import study_graph
from picme.pipeline import Run

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("discharge", "radiology", "image", "timeseries", "demographics")


def pretrained(run: Run, combination: tuple[str, ...], val: float, matched_by: str) -> None:
    with run.store.attempt(run.design.pretrain(combination)) as (_, about):
        about |= {"val_recall5": val, "matched_by": matched_by}


def finish(run: Run, combination: tuple[str, ...], retrieval: float, val: float, matched_by: str) -> None:
    pretrained(run, combination, val, matched_by)
    rows = [("retrieval", None, None, 5, "val", retrieval), ("retrieval", None, None, 5, "test", 1 - retrieval)]
    with run.store.attempt(run.design.align(combination)) as (folder, _):
        schema = ["metric", "source", "target", "k", "split", "value"]
        pl.DataFrame(rows, schema=schema, orient="row").write_parquet(folder / "alignment.parquet")


def finetuned(run: Run, planned: bool = False) -> list[tuple[str, ...]]:
    """The combinations of several modalities that the graph fine-tunes."""
    graph = study_graph(run.design, run.store)
    steps = (graph.planned(run.store) if planned else graph.grown(run.store)).of("finetune")
    return list(dict.fromkeys(step.cell.combination for step in steps if len(step.cell.combination) > 1))


@pytest.mark.parametrize(("matched_by", "best"), [("pairs", NAMES[:4]), ("objective", NAMES[1:])])
def test_the_score_that_pretraining_is_stopped_by_decides(tmp_path: Path, matched_by: str, best: Any) -> None:
    run = Run(
        load(
            "demo",
            {"study.combination_sizes": [4], "finetune.combinations": "best", "finetune.strategies": ["contrastive"]},
        ),
        tmp_path,
    )
    for combination in run.design.combinations[:-1]:
        finish(run, combination, 0.9 if combination == NAMES[:4] else 0.2, 0.1, matched_by)
    assert finetuned(run) == [NAMES[:4]], "a failed pretraining is passed over"
    pretrained(run, NAMES[1:], 0.3, matched_by)
    assert finetuned(run, planned=True) == [], "an alignment is missing"
    finish(run, NAMES[1:], 0.1, 0.3, matched_by)
    assert finetuned(run, planned=True) == finetuned(run) == [best]
