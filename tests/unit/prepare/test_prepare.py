"""The prepare stage on own data: what is required of a stay, and what is left out is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest
from PIL import Image

import picme
from picme.config.loading import validate
from picme.errors import PicmeError
from picme.pipeline import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from picme.pipeline import Run


def prepared(
    folder: Path, require: str, rows: int = 40, train: float = 0.7, died: Callable[[int], int | None] = lambda n: n % 2
) -> pl.DataFrame:
    """Stays 0, 5, 10, … lack table b; stays 0, 10, … lack c as well."""
    numbers = list(range(rows))
    pl.DataFrame({"id": numbers, "x": [float(n) for n in numbers], "died": [died(n) for n in numbers]}).write_csv(
        folder / "stays.csv"
    )
    for name, every in (("b", 5), ("c", 10)):
        kept = [n for n in numbers if n % every]
        pl.DataFrame({"id": kept, f"{name}1": [float(n) for n in kept]}).write_csv(folder / f"{name}.csv")
    config = validate(
        {
            "source": {"kind": "table", "path": str(folder / "stays.csv"), "id": "id"},
            "require": require,
            "splits": {"train": train, "val": 0.1},
            "modalities": {
                "a": {"kind": "tabular", "columns": ["x"]},
                "b": {"kind": "tabular", "path": str(folder / "b.csv"), "id": "id", "columns": ["b1"]},
                "c": {"kind": "tabular", "path": str(folder / "c.csv"), "id": "id", "columns": ["c1"]},
            },
            "tasks": {"died": {}},
        }
    )
    study: Run = run(config, folder / "run", until="prepare", quiet=True)
    flow = pl.read_parquet(study.prepared / "cohort_flow.parquet").filter(pl.col("task") == "died")
    cohort = pl.read_parquet(study.prepared / "views" / "died" / "cohort.parquet")
    assert flow["stays"][-1] == cohort.filter(pl.col("split").is_not_null()).height
    return cohort


@pytest.mark.parametrize(("require", "stays"), [("complete", 32), ("any", 36), ("none", 40)])
def test_stays_are_kept_by_the_rule(tmp_path: Path, require: str, stays: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("picme.prepare.presence.FEW", 1)
    cohort = prepared(tmp_path, require)
    assert cohort.height == stays
    if require == "complete":
        assert "modalities" not in cohort.columns
    else:
        lacking = cohort.filter(pl.col("modalities") == "some missing")["stay_id"].cast(pl.Int64)
        assert sorted(lacking) == list(range(5 if require == "any" else 0, 40, 10 if require == "any" else 5))
    table = pl.read_parquet(next((tmp_path / "run" / "store" / "prepare").glob("*")) / "presence.parquet")
    counts = table.group_by("task", "modalities").agg(pl.col("stays", "with_outcome").sum())
    died = {modalities: rest for task, modalities, *rest in counts.rows() if task == "died"}
    # Before any is required: of the stays 0, 5, … 35 every other one is even, and only these lack c too.
    assert died == {"a+b+c": [32, 16], "a+c": [4, 4], "a": [4, 0]}


def test_images_that_cannot_be_read_are_not_available(tmp_path: Path) -> None:
    numbers = list(range(60))
    for n in numbers:
        Image.new("L", (12, 12), n).save(tmp_path / f"{n}.png")
    for n in (3, 30, 31):
        (tmp_path / f"{n}.png").write_bytes(b"no image")
    rows = {"id": numbers, "x": [float(n) for n in numbers], "film": [f"{n}.png" for n in numbers]}
    pl.DataFrame({**rows, "died": [n % 2 for n in numbers]}).write_csv(tmp_path / "stays.csv")
    config = validate(
        {
            "source": {"kind": "table", "path": str(tmp_path / "stays.csv"), "id": "id"},
            "require": "none",
            "modalities": {
                "a": {"kind": "tabular", "columns": ["x"]},
                "film": {"kind": "image", "column": "film", "size": 16, "max_damaged": 0.5},
            },
            "tasks": {"died": {}},
        }
    )
    study: Run = run(config, tmp_path / "run", until="prepare", quiet=True)
    counts = pl.read_parquet(study.prepared / "availability.parquet").filter(pl.col("task") == "died")
    per_modality = counts.group_by("modality").agg(pl.col("stays_present", "stays_total").sum()).sort("modality")
    assert per_modality.rows() == [("a", 60, 60), ("film", 57, 60)]
    patterns = pl.read_parquet(study.prepared / "presence.parquet").filter(pl.col("task") == "died")
    assert patterns["with_outcome"].is_null().to_list() == (patterns["stays"] < 10).to_list()
    assert dict(patterns.group_by("modalities").agg(pl.col("stays").sum()).rows()) == {"a+film": 57, "a": 3}


def test_no_training_stay_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PicmeError, match="no stay of died is in the training split"):
        prepared(tmp_path, "none", rows=6, train=1e-6)


def test_a_task_with_one_class_in_training_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PicmeError, match="task died has not both classes of died among its training stays"):
        prepared(tmp_path, "none", died=lambda n: 0)
    with pytest.raises(PicmeError, match="no sample has a label in 'died'"):
        prepared(tmp_path, "none", died=lambda n: None)


def test_a_run_can_be_opened_when_its_raw_files_are_gone(tmp_path: Path) -> None:
    before = prepared(tmp_path, "any")
    for file in tmp_path.glob("*.csv"):
        file.rename(file.with_suffix(".moved"))
    assert picme.load(tmp_path / "run").cohort("died").height == before.height


def test_one_label_with_one_class_in_training_leaves_the_rest_judged(tmp_path: Path) -> None:
    rows = 160
    numbers = list(range(rows))
    split = ["train" if n < 80 else "val" if n < 120 else "test" for n in numbers]
    common = [int(n * 7919 % 11 > 5) for n in numbers]
    pl.DataFrame(
        {
            "id": numbers,
            "fold": split,
            "x": [c + n * 31 % 17 / 8 for n, c in zip(numbers, common, strict=True)],
            "z": [n * 13 % 29 for n in numbers],
            "common": common,
            "rare": [int(n >= 80 and n % 5 == 0) for n in numbers],
        }
    ).write_csv(tmp_path / "stays.csv")
    config = validate(
        {
            "source": {"kind": "table", "path": str(tmp_path / "stays.csv"), "id": "id", "split": "fold"},
            "modalities": {"a": {"kind": "tabular", "columns": ["x"]}, "b": {"kind": "tabular", "columns": ["z"]}},
            "tasks": {"both": {"labels": ["common", "rare"]}},
            "study": {"combination_sizes": [2], "seeds": 1, "embed_dim": 8},
            "pretrain": {"epochs": 1},
            "finetune": {
                "strategies": ["supervised", "gradient_boosting", "logistic_regression"],
                "combinations": "all",
                "singles": False,
                "epochs": 2,
            },
            "evaluate": {"resamples": 100, "interval_resamples": 100},
        }
    )
    study = run(config, tmp_path / "run", until="evaluate", quiet=True)
    tables = picme.load(study.folder)
    scores = tables.table("scores").filter(pl.col("split") == "test")
    auroc = {(s, label): value for s, label, value in scores.select("strategy", "label", "auroc").iter_rows()}
    for strategy in ("supervised", "gradient_boosting", "logistic_regression"):
        assert auroc[strategy, "rare"] is None, "nothing can be learnt of it, so no cell is judged on it"
        assert auroc[strategy, "common"] == auroc[strategy, "macro"] is not None
    assert tables.table("summary")["ensemble_auroc"].null_count() == 0
    judged = tables.table("comparisons").filter(pl.col("family").str.contains("best vs"))
    assert judged.height == 4
    assert judged["difference"].null_count() == 0
