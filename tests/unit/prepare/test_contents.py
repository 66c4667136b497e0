"""Every kind of leak in a prepared cohort is a violation by its own check, and an honest cohort has none."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from picme.cohort.separation import folds
from picme.config.loading import validate
from picme.errors import PicmeError
from picme.pipeline import run
from picme.prepare.check import check_leaks
from picme.prepare.contents import _late_hours, judge_columns
from picme.prepare.statistics import FILE, judge_statistics, statistics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

N = 400


def honest(seed: int = 0) -> pl.DataFrame:
    """Stays whose number, code and text each tell a little of the outcome."""
    rng = np.random.default_rng(seed)
    died = np.asarray(rng.random(N) < 0.2, int)
    words = np.array([f"w{chr(97 + i)}{chr(97 + j)}" for i in range(10) for j in range(10)])
    return pl.DataFrame(
        {
            "id": range(N),
            "fold": rng.choice(["train", "val", "test"], N, p=[0.6, 0.2, 0.2]),
            "lactate": rng.normal(1.5 + died, 1),
            "sodium": rng.normal(138, 4, N),
            "unit": np.where(rng.random(N) < 0.3 + 0.3 * died, "MICU", "SICU"),
            "note": [" ".join(rng.choice(words, 60)) for _ in died],
            "recorded": rng.uniform(0, 48, N),
            "died": died,
        }
    )


def violations(
    folder: Path, stays: pl.DataFrame, plant: Callable[[Any, Path], None] | None = None, **settings: Any
) -> dict[str, str]:
    """Prepare the stays, plant in the prepared files, and return check → sentence of each violation."""
    stays.write_csv(folder / "stays.csv")
    taken = {"id", "fold", "note", "recorded", "died", "subject"}
    config = validate(
        {
            "source": {
                "kind": "table",
                "path": str(folder / "stays.csv"),
                "id": "id",
                "split": "fold",
                **({"subject": "subject"} if "subject" in stays.columns else {}),
            },
            "require": "none",
            "modalities": {
                "labs": {
                    "kind": "tabular",
                    "columns": [name for name in stays.columns if name not in taken],
                    **settings,
                },
                "notes": {"kind": "text", "column": "note", "encoder": {"model": "unused"}},
            },
            "tasks": {"died": {"hours": 48}},
        }
    )
    study = run(config, folder / "run", until="prepare", quiet=True)
    if plant is not None:
        plant(study.design.prepare, study.prepared)
    table, sentences = check_leaks(study.design.prepare, study.prepared)
    assert ("violation" in table.columns and bool(table["violation"].any())) == bool(sentences)
    return {sentence.split(" ")[0].rstrip(":"): sentence for sentence in sentences}


def test_an_honest_cohort_passes(tmp_path: Path) -> None:
    assert violations(tmp_path, honest(), hours="recorded") == {}


HALF = (pl.col("died") == 1) & (pl.int_range(pl.len()) % 2 == 1)
CODES = np.random.default_rng(5).integers(1, 46, N)
CODE = pl.lit(pl.Series(CODES))
OTHER_CODE = pl.when(CODE == 20).then(21).otherwise(CODE)
SPREAD = pl.lit(pl.Series(np.random.default_rng(6).normal(size=N)))
COLUMNS = {
    "copy": ("told_by_column", 1 - pl.col("died")),
    "word": ("told_by_column", pl.when(pl.col("died") == 1).then(pl.lit("C4")).otherwise(pl.lit("B2"))),
    "empty where positive": ("told_by_column", pl.when(pl.col("died") == 0).then(pl.col("sodium"))),
    "half": ("told_by_value", pl.col("died") * (pl.int_range(pl.len()) % 2)),
    "high": ("told_by_value", pl.col("sodium") + 90 * pl.col("died") * (pl.int_range(pl.len()) % 2)),
    "one code of 45": ("told_by_column", pl.when(pl.col("died") == 1).then(20).otherwise(OTHER_CODE)),
    "one code of 45, half": ("told_by_value", pl.when(HALF).then(20).otherwise(OTHER_CODE)),
    "one ward of 46, half": ("told_by_value", pl.when(HALF).then(pl.lit("H")).otherwise(pl.format("W{}", CODE))),
    "rare wards, half": (
        "told_by_value",
        pl.when(HALF).then(pl.format("H{}", CODE % 9)).otherwise(pl.format("W{}", CODE)),
    ),
    "odd codes": ("told_by_column", CODE // 2 * 2 + pl.col("died")),
    "band": ("told_by_column", pl.when(pl.col("died") == 1).then(SPREAD / 10).otherwise(SPREAD.sign() + SPREAD)),
    "band, half": ("told_by_value", pl.when(HALF).then(SPREAD / 10).otherwise(SPREAD.sign() + SPREAD)),
}


def columns(stays: pl.DataFrame) -> dict[str, str]:
    """Judge the columns alone, and return check → detail of each violation."""
    inputs = stays.drop("id", "fold", "note", "recorded", "died")
    rows = judge_columns("labs", "died", inputs, stays["died"].to_numpy(), folds(stays["id"].to_list()))
    return {row["check"]: row["detail"] for row in rows if row["violation"]}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_that_tells_the_label_is_named(name: str) -> None:
    check, column = COLUMNS[name]
    found = columns(honest().with_columns(column.alias("planted")))
    assert set(found) == {check} and "planted" in found[check]


def test_a_noisy_copy_is_named_and_honest_columns_are_not() -> None:
    noise = pl.Series(np.random.default_rng(1).normal(size=N))
    assert "planted" in columns(honest().with_columns(planted=pl.col("died") + 0.3 * noise))["told_by_column"]
    assert columns(honest().with_columns(planted=pl.col("died") + 1.0 * noise)) == {}
    assert all(columns(honest(seed)) == {} for seed in range(20))


def test_rare_codes_and_values_of_ratio_10_are_rarely_called_signs() -> None:
    """Codes that half of the positives and a twentieth of the others have are the strongest that count as honest."""
    found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        died = np.asarray(rng.random(N) < 0.125, int)
        code = np.where(rng.random(N) < np.where(died, 0.5, 0.05), 4 * rng.integers(0, 10, N), 4 * CODES + 1)
        table = pl.DataFrame({"code": code, "word": code.astype(str), "id": rng.integers(0, N, N).astype(str)})
        rows = judge_columns("labs", "died", table, died, folds(np.arange(N)))
        found += any(row["violation"] for row in rows)
    assert found <= 4


def test_a_text_that_tells_the_label_is_found_and_not_quoted(tmp_path: Path) -> None:
    told = pl.when(pl.col("died") == 1).then(pl.col("note") + " zzqx").otherwise("note")
    found = violations(tmp_path, honest().with_columns(told.alias("note")))
    assert set(found) == {"told_by_content", "told_by_word"} and "zzqx" not in str(found)


def test_a_row_recorded_after_the_cut_off_is_counted(tmp_path: Path) -> None:
    late = pl.when(pl.int_range(pl.len()) < 7).then(49.5).otherwise("recorded")
    found = violations(tmp_path, honest().with_columns(late.alias("recorded")), hours="recorded")
    assert set(found) == {"latest_time"} and "+1.5 h" in found["latest_time"]


def test_a_time_without_a_cut_off_is_one_sentence(tmp_path: Path) -> None:
    honest().write_csv(tmp_path / "stays.csv")
    labs = {"kind": "tabular", "columns": ["lactate"], "hours": "recorded"}
    config = validate(
        {
            "source": {"kind": "table", "path": str(tmp_path / "stays.csv"), "id": "id"},
            "modalities": {"labs": labs, "more": {"kind": "tabular", "columns": ["sodium"]}},
            "tasks": {"died": {}},
        }
    )
    with pytest.raises(PicmeError, match=r"tasks\.died\.hours is missing"):
        run(config, tmp_path / "run", until="prepare", quiet=True)


def test_statistics_of_other_stays_are_found(tmp_path: Path) -> None:
    """Statistics of all stays, one changed number and one more word are planted one after the other."""
    found: list[list[str]] = []

    def plant(step: Any, prepared: Path) -> None:
        own = json.loads((prepared / FILE).read_text())
        number, word = json.loads(json.dumps(own)), json.loads(json.dumps(own))
        number["labs"]["columns"][0]["std"] *= 1.001
        word["labs"]["columns"][2]["categories"].append("CCU")
        for planted in (own, statistics(step, prepared, None), number, word):
            (prepared / FILE).write_text(json.dumps(planted))
            table = judge_statistics(step, prepared)
            assert table["modality"].to_list() == ["labs"] and table["violation"].item() == (table["count"].item() > 0)
            found.append([str(table["count"].item()), table["detail"].item()])

    assert set(violations(tmp_path, honest(), plant)) == {"training_statistics"}
    counts = [int(count) for count, _ in found]
    assert (counts[0], counts[2:]) == (0, [1, 1])
    assert counts[1] > 3
    assert ["those of all splits" in detail for _, detail in found] == [False, True, False, False]


def test_a_copied_stay_is_found_and_coarse_stays_are_none(tmp_path: Path) -> None:
    stays = honest().with_columns(subject=pl.col("id"))
    train = stays.filter(pl.col("fold") == "train")[:3]
    copied = train.with_columns(fold=pl.lit("test"), id=pl.col("id") + N, subject=pl.col("id") + N)
    found = violations(tmp_path, pl.concat([stays, copied]))
    assert set(found) == {"duplicate_stays"} and "duplicate_stays (train/test): 3," in found["duplicate_stays"]
    # Coarse columns and short texts repeat by chance.
    coarse = honest().with_columns(
        pl.col("lactate").round(), pl.lit(138).alias("sodium"), pl.lit("clear").alias("note")
    )
    (tmp_path / "coarse").mkdir()
    assert violations(tmp_path / "coarse", coarse) == {}


def test_a_series_that_goes_on_after_the_prediction_time_is_counted() -> None:
    hours = SimpleNamespace(lengths=np.array([48, 50, 12, 49]))
    (row,) = _late_hours("died", "vitals", hours, np.array([0, 1, 2]), np.full(3, 47.5))
    assert (row["check"], row["count"], row["violation"]) == ("late_hours", 1, True)
    assert not _late_hours("died", "vitals", hours, np.array([0, 2]), np.full(2, 48.0))[0]["violation"]
    assert _late_hours("died", "vitals", hours, np.array([1]), None) == []
    assert _late_hours("died", "notes", SimpleNamespace(lengths=None), np.array([1]), np.full(1, 48.0)) == []
