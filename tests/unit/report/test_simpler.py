"""The answer in plain words says which baseline, and which single modality, scored higher, and by how much."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from picme.report import headline
from picme.report.numbers import text_of
from picme.report.simpler import above

NAMES = ["vitals", "labs", "fluids"]
CELL = ("mortality", "vitals+labs", "supervised")
AUROC = {
    ("vitals+labs", "supervised"): 0.850,
    ("vitals+labs", "random"): 0.900,
    ("vitals+labs", "gradient_boosting"): 0.861,
    ("vitals+labs", "logistic_regression"): 0.840,
    ("vitals", "supervised"): 0.856,
    ("labs", "supervised"): 0.700,
}


def planted(low: float | None = -0.002, **other: float) -> dict[str, pl.DataFrame]:
    """A study of one task in which some cells, by strategy, have another AUROC."""
    cells = {key: other.get(key[1], value) for key, value in AUROC.items()}
    summary = [
        {"task": "mortality", "combination": a, "strategy": b, "auroc_mean": value, "ensemble_auroc": value + 0.01}
        for (a, b), value in cells.items()
    ]
    test = {"task": "mortality", "metric": "auroc", "family": "baselines", "difference": 0.011}
    test |= {"low": low, "high": None if low is None else 0.024, "p_value": 0.1}
    test |= {"combination_a": "vitals+labs", "strategy_a": "gradient_boosting"}
    test |= {"combination_b": "vitals+labs", "strategy_b": "supervised"}
    return {"summary": pl.DataFrame(summary), "comparisons": pl.DataFrame([test])}


def said(found: dict[str, pl.DataFrame], singles: bool = True, cell: tuple[str, str, str] = CELL) -> list[str]:
    return [text_of(one) for one in above(found, {}, cell, NAMES, singles)]


def test_the_best_baseline_and_the_best_single_modality_are_told_with_their_lead() -> None:
    assert said(planted()) == [
        "A baseline scored higher on test: gradient boosting, vitals + labs, by 1.1 points of AUROC"
        " (95 % interval −0.2 to +2.4).",
        "A single kind of data scored higher on test: supervised, vitals alone, by 0.6 points of AUROC"
        " (no test of it was made).",
    ]


def test_a_lead_without_an_interval_is_told_without_one() -> None:
    assert said(planted(low=None))[0].endswith("by 1.1 points of AUROC (no test of it was made).")


@pytest.mark.parametrize("lower", [{"gradient_boosting": 0.849, "logistic_regression": 0.84}])
def test_nothing_is_said_of_what_scored_lower(lower: dict[str, Any]) -> None:
    assert said(planted(**lower), singles=False) == []


def test_a_single_modality_is_not_outdone_by_another_single_one() -> None:
    assert len(said(planted(), cell=("mortality", "labs", "supervised"))) == 1


def test_an_answer_that_has_no_score_is_not_compared() -> None:
    assert said(planted(), cell=("mortality", "vitals+labs", "gated")) == []


def test_the_paragraph_has_it(tables: dict[str, pl.DataFrame], config: dict[str, Any]) -> None:
    ahead = pl.when(pl.col("strategy") == "gradient_boosting").then(0.99).otherwise(pl.col("auroc_mean"))
    assert "A baseline scored higher on test" in headline(
        {**tables, "summary": tables["summary"].with_columns(auroc_mean=ahead), "comparisons": pl.DataFrame()}, config
    )
