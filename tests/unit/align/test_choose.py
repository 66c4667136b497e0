"""Which combinations go on to fine-tuning: by cosine retrieval on validation, or by the objective's own score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from picme.align.choose import best_aligned
from picme.config.loading import load
from picme.plan import Run

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("discharge", "radiology", "image", "timeseries", "demographics")


def finish(run: Run, combination: tuple[str, ...], retrieval: float, val: float, matched_by: str) -> None:
    about: dict[str, Any] = {"val_recall5": val, "matched_by": matched_by}
    with run.store.create("pretrain", run.keys.pretrain(combination), about):
        pass
    rows = [("retrieval", None, None, 5, "val", retrieval), ("retrieval", None, None, 5, "test", 1 - retrieval)]
    with run.store.create("align", run.keys.align(combination), {}) as folder:
        schema = ["metric", "source", "target", "k", "split", "value"]
        pl.DataFrame(rows, schema=schema, orient="row").write_parquet(folder / "alignment.parquet")


@pytest.mark.parametrize(("matched_by", "best"), [("pairs", NAMES[:4]), ("objective", NAMES[1:])])
def test_the_score_that_pretraining_is_stopped_by_decides(tmp_path: Path, matched_by: str, best: Any) -> None:
    run = Run(load("demo", {"study.combination_sizes": [4], "finetune.combinations": "best"}), tmp_path)
    for combination in run.combinations[:-1]:
        finish(run, combination, 0.9 if combination == NAMES[:4] else 0.2, 0.1, matched_by)
    assert best_aligned(run) == [NAMES[:4]], "a failed pretraining is passed over"
    with run.store.create("pretrain", run.keys.pretrain(NAMES[1:]), {"val_recall5": 0.3, "matched_by": matched_by}):
        pass
    assert best_aligned(run) is None, "an alignment is missing"
    finish(run, NAMES[1:], 0.1, 0.3, matched_by)
    assert best_aligned(run) == [best]
