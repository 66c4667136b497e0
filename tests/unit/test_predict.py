from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from picme.config.loading import validate
from picme.errors import ConfigError, DataError
from picme.modalities import open_modality
from picme.pipeline import run
from picme.predict import predict
from picme.predict.choose import chosen_finetunings
from picme.predict.new_stays import fits as fits_of

if TYPE_CHECKING:
    from pathlib import Path

    from picme.pipeline import Run

GENERATOR = np.random.default_rng(0)
AGES = GENERATOR.normal(60, 12, 150).round(1)
WEIGHTS = GENERATOR.normal(80, 15, 150).round(1)
GLUCOSE = np.exp(GENERATOR.normal(np.log(125), 0.3, (150, 3))).round(1)
STAGES = ["1", "2", "3A"] * 50


def cohort(folder: Path, rows: slice = slice(150), **cells: Any) -> Run:
    """Prepare made-up samples, some of whose cells are changed, as new samples but for the folder `old`."""
    folder.mkdir()
    columns = {"age": AGES, "weight": WEIGHTS, "stage": STAGES, "glucose": GLUCOSE} | cells
    lines, long = ["id,age,weight,stage,died"], ["id,hours,variable,value"]
    for row in range(150)[rows]:
        lines.append(f"{row},{columns['age'][row]},{columns['weight'][row]},{columns['stage'][row]},{row % 2}")
        long += [f"{row},{hour},glucose,{value}" for hour, value in enumerate(columns["glucose"][row])]
    (folder / "samples.csv").write_text("\n".join(lines))
    (folder / "long.csv").write_text("\n".join(long))
    source = {"kind": "table", "path": str(folder / "samples.csv"), "id": "id", "unlabelled": folder.name != "old"}
    config = {
        "source": source,
        "modalities": {
            "person": {"kind": "tabular", "columns": ["age", "weight", "stage"]},
            "labs": {"kind": "timeseries", "path": str(folder / "long.csv")},
        },
        "tasks": {"died": {"hours": columns.get("window", 24)}},
        "cohort": columns.get("cohort", {}),
        "study": {"seeds": 3},
    }
    return run(validate(config), folder / "run", until="prepare", quiet=True)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return cohort(tmp_path_factory.mktemp("trained") / "old")


def fits(old: Run, new: Run) -> list[str]:
    return fits_of(old, new, "died", ["person", "labs"])


def test_stays_like_the_training_stays_fit_without_a_word(old: Run, tmp_path: Path) -> None:
    assert fits(old, old) == []
    assert fits(old, cohort(tmp_path / "new", slice(60, 120))) == []
    assert fits(old, cohort(tmp_path / "one", slice(3, 5))) == []


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"glucose": GLUCOSE / 18}, r"'labs'.*column 'glucose' has median .*factor 18: mg/dL and mmol/L"),
        ({"age": AGES * 365.25}, r"'person'.*column 'age' has median .*factor 365\.25: days and years"),
        ({"weight": WEIGHTS * 1000}, r"column 'weight' has median .*factor 1000:"),
        ({"weight": WEIGHTS / 0.4536}, r"column 'weight' has median .*factor 2\.2"),
        ({"age": [f"{age} years" for age in AGES]}, r"150 of 150 cells of column 'age' are no number \(like 9\.9 a\)"),
        ({"stage": ["I", "II", "III"] * 50}, r"150 of 150 cells of column 'stage' hold a category unknown"),
        ({"window": 48}, r"prepared with tasks\.died\.hours 48\.0, the model's stays with 24\.0"),
    ],
)
def test_other_units_types_and_windows_are_refused(
    old: Run, tmp_path: Path, cells: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        fits(old, cohort(tmp_path / "new", **cells))


def test_types_are_those_of_the_training_stays(old: Run, tmp_path: Path) -> None:
    """Stages that look like numbers are categories still, and ages of which some are open stay numbers."""
    new = cohort(tmp_path / "new", slice(30), stage=["1", "2.0"] * 75, age=["> 89", *AGES[1:]])
    assert fits(old, new) == ["modality 'person': 1 of 30 cells of column 'age' are no number (like > 9)"]
    statistics = json.loads((old.prepared / "statistics.json").read_text())["person"]
    views = new.prepared / "views" / "died"
    table = open_modality("tabular", views / "person", new.prepared / "pool" / "person").with_statistics(statistics)
    values = table.batch(np.arange(30))["values"].numpy()
    names = table.columns  # type: ignore[attr-defined]
    assert names == [
        "age", "age=missing", "weight", "weight=missing",
        "stage=1", "stage=2", "stage=3A", "stage=other", "stage=missing",
    ]  # fmt: skip
    assert values[:, 4].tolist() == [1, 0] * 15
    assert values[:, 5].tolist() == [0, 1] * 15
    assert values[:, 1].tolist() == [1] + [0] * 29


def test_other_rules_of_the_cohort_are_said(old: Run, tmp_path: Path) -> None:
    new = cohort(tmp_path / "new", cohort={"min_age": 5})
    assert fits(old, new) == ["the new stays were prepared with cohort.min_age 5, the model's with 18"]


def test_a_missing_seed_is_not_left_out_of_the_mean(old: Run) -> None:
    cell = {"task": "died", "combination": "person+labs", "strategy": "contrastive"}
    pl.DataFrame([cell | {"selected": True, "validation_auroc": 0.7}]).write_parquet(
        old.folder / "results" / "summary.parquet"
    )

    def seeds() -> int:
        return len(chosen_finetunings(old, "died", "contrastive", None))

    steps = [old.design.finetune("died", ("person", "labs"), "contrastive", seed) for seed in range(3)]
    with pytest.raises(DataError, match=r"has results, but no models of person\+labs"):
        seeds()
    for step in steps:
        old.store.path(step).mkdir(parents=True)
        (old.store.path(step) / "manifest.json").write_text("{}")
    assert seeds() == 3
    (old.store.path(steps[1]) / "manifest.json").unlink()
    with pytest.raises(DataError, match=r"models of 2 of 3 seeds of person\+labs by contrastive; .* `picme finetune`"):
        seeds()


def test_a_folder_is_no_file_to_write(tmp_path: Path) -> None:
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(ConfigError, match=r"--out .*x\.csv is a folder, expected a file to write"):
        predict(tmp_path, tmp_path, "mortality", None, None, tmp_path / "x.csv")


def test_the_selected_cell_is_taken_though_another_has_a_higher_score(
    old: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {"supervised": (0.7, True), "gated": (0.72, False)}
    rows = [
        {"task": "died", "combination": "person+labs", "strategy": name, "validation_auroc": score, "selected": chosen}
        for name, (score, chosen) in scores.items()
    ]
    monkeypatch.setattr("picme.predict.choose.result_table", lambda folder, name: pl.DataFrame(rows))
    for name in scores:
        for seed in range(3):
            folder = old.store.path(old.design.finetune("died", ("person", "labs"), name, seed))
            folder.mkdir(parents=True)
            (folder / "manifest.json").write_text("{}")
    assert {step.cell.strategy for step in chosen_finetunings(old, "died", None, None)} == {"supervised"}
    assert {step.cell.strategy for step in chosen_finetunings(old, "died", None, "person+labs")} == {"gated"}
