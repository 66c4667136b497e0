"""Tables of fine-tunings with fewer labels or another order of steps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from picme.evaluate.variants import variant_tables

if TYPE_CHECKING:
    from pathlib import Path

LABELS = ("a", "b")


@pytest.fixture
def cohort() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    return pl.DataFrame({"a": rng.integers(0, 2, 50), "b": rng.integers(0, 2, 50)})


STORE: Any = SimpleNamespace(path=lambda one: one.folder)


def cell(folder: Path, name: str, predicted: np.ndarray, strategy: str = "gated", seed: int = 0, **more: Any) -> Any:
    (folder / name).mkdir()
    rows = np.arange(20, 50)
    np.savez(folder / name / "predictions.npz", test_rows=rows, test=predicted[rows])
    place = {"task": "outcome", "combination": "x+y", "strategy": strategy}
    task = SimpleNamespace(name="outcome")
    described = {"share": 1.0, "order": (), **more}
    return SimpleNamespace(cell=SimpleNamespace(place=place, task=task), seed=seed, folder=folder / name, **described)


def test_fewer_labels_stand_beside_all_of_them(tmp_path: Path, cohort: pl.DataFrame) -> None:
    rng = np.random.default_rng(1)
    few, whole = rng.random((50, 2)), rng.random((50, 2))
    other = cell(tmp_path, "other", whole, strategy="random")
    tables = variant_tables(
        [cell(tmp_path, "whole", whole), other],
        [cell(tmp_path, "few", few, share=0.1)],
        cohort,
        LABELS,
        STORE,
    )
    assert list(tables) == ["label_efficiency"]
    table = tables["label_efficiency"]
    assert table.get_column("share").to_list() == [0.1, 1.0]
    y = cohort.to_numpy()[20:]
    assert table["auroc"][0] == pytest.approx(roc_auc_score(y, few[20:]))
    assert table["auprc"][1] == pytest.approx(average_precision_score(y, whole[20:]))


def test_orders_stand_beside_the_configurations(tmp_path: Path, cohort: pl.DataFrame) -> None:
    rng = np.random.default_rng(1)
    cells = [cell(tmp_path, "own", rng.random((50, 2))), cell(tmp_path, "seed", rng.random((50, 2)), seed=1)]
    variants = [cell(tmp_path, "turned", rng.random((50, 2)), order=["y", "x"])]
    table = variant_tables(cells, variants, cohort, LABELS, STORE)["gate_orders"]
    assert table.select("order", "seed").rows() == [("", 0), ("y>x", 0)]


def test_what_a_baseline_could_not_predict_is_null(tmp_path: Path, cohort: pl.DataFrame) -> None:
    unknown = cell(tmp_path, "few", np.full((50, 2), np.nan), share=0.1)
    table = variant_tables([], [unknown], cohort, LABELS, STORE)["label_efficiency"]
    assert table.select("auroc", "auprc").rows() == [(None, None)]


def test_no_variants_no_tables(tmp_path: Path, cohort: pl.DataFrame) -> None:
    assert variant_tables([cell(tmp_path, "own", np.zeros((50, 2)))], [], cohort, LABELS, STORE) == {}
