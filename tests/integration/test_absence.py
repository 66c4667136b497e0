"""Records that exist less often for the less severely ill are seen in the grid; those absent by chance are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from picme.config.loading import load, validate
from picme.pipeline import run

if TYPE_CHECKING:
    from pathlib import Path

ABSENCE = {"discharge": 0.3, "radiology": 0.4, "timeseries": 0.3}
NAMES = ("discharge", "radiology", "timeseries", "demographics")


@pytest.fixture(scope="module", params=[-1.5, 0.0], ids=["by severity", "by chance"])
def studied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[float, Path]:
    tree: dict[str, Any] = load("demo").model_dump(mode="json")
    source = {"stays": 900, "images": False, "absence": ABSENCE, "absence_slope": request.param}
    tree["source"] |= source
    tree["require"] = "none"
    tree["modalities"] = {name: tree["modalities"][name] for name in NAMES}
    for name in ("discharge", "radiology"):
        tree["modalities"][name]["encoder"]["max_length"] = 8  # what is in the notes is not looked at
    tree["tasks"] = {"mortality": {}}
    tree["study"] |= {"seeds": 1, "combination_sizes": [4]}
    tree["pretrain"] |= {"epochs": 1}
    tree["align"] |= {"tsne": "off"}
    tree["finetune"] |= {
        "combinations": ["+".join(NAMES)], "singles": False, "strategies": ["presence_only"],
        "label_efficiency": "off",
    }  # fmt: skip
    tree["evaluate"] |= {"missing": {"mechanisms": ["mcar"], "rates": [0.4]}}
    made = run(validate(tree), tmp_path_factory.mktemp("absence") / "run", "evaluate", quiet=True)
    return request.param, made.folder / "results"


def test_presence_alone_beats_chance_where_absence_was_planted(studied: tuple[float, Path]) -> None:
    slope, results = studied
    grid = pl.read_parquet(results / "missing.parquet").filter(metric="auroc", trained_on="as is")
    natural = grid.filter(mechanism="natural").row(0, named=True)
    if slope:
        assert natural["low"] > 0.5 and natural["value"] > 0.65
    else:
        assert natural["low"] < 0.5
    complete = grid.filter(subset="+".join(NAMES)).row(0, named=True)
    assert complete["value"] == 0.5 and complete["low"] is None, "complete stays have the same modalities"


def test_patterns_of_presence_are_counted_by_outcome(studied: tuple[float, Path]) -> None:
    """Among training stays, those with everything have the outcome more often than the rest where it was planted."""
    slope, results = studied
    rows = pl.read_parquet(results / "presence.parquet").filter(split="train", task="mortality")
    whole = rows.filter(modalities="+".join(NAMES)).row(0, named=True)
    others = rows.filter(pl.col("modalities") != "+".join(NAMES), pl.col("with_outcome").is_not_null())
    share = whole["with_outcome"] / whole["stays"]
    rest = others["with_outcome"].sum() / others["stays"].sum()
    assert (share > 2 * rest) if slope else (0.6 < share / rest < 1.6)
