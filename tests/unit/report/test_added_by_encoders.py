from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from picme.report.encoders import added_by_encoders
from picme.report.numbers import text_of

CONFIG: dict[str, Any] = {"modalities": {"labs": {}, "vitals": {}, "notes": {}}}


def row(stack: str, other: str, difference: float | None, combination: str = "labs+vitals+notes", **more: Any) -> Any:
    made = {
        "task": "mortality", "metric": "auroc", "combination_a": combination, "strategy_a": stack,
        "combination_b": combination, "strategy_b": other, "difference": difference, "low": -0.002, "high": 0.015,
        "no_interval": None,
    }  # fmt: skip
    return made | more


def said(*rows: Any, **finetune: Any) -> str | None:
    tables = {"comparisons": pl.DataFrame(rows, infer_schema_length=None)}
    found = added_by_encoders(tables, CONFIG | {"finetune": finetune}, "mortality")
    return None if found is None else text_of(found)


def test_each_stack_is_told_against_the_baseline_in_it_with_its_interval() -> None:
    text = said(
        row("stacked", "gradient_boosting", 0.006),
        row("stacked_contrastive", "gradient_boosting", 0.004, low=0.001, high=0.007),
        row("stacked", "stacked_mean", 0.5),
        row("contrastive", "gradient_boosting", 0.4),
    )
    assert text is not None
    assert "+0.6 points by stacked over gradient boosting (−0.2 to +1.5)" in text
    assert "+0.4 points by stacked contrastive over gradient boosting (+0.1 to +0.7)" in text
    assert "all kinds of data together" in text
    assert "50" not in text
    assert "40" not in text


def test_the_largest_combination_tells_it() -> None:
    text = said(
        row("stacked", "gradient_boosting", 0.03, "labs+vitals"),
        row("stacked", "gradient_boosting", 0.01),
        row("stacked", "gradient_boosting", 0.02, "labs"),
    )
    assert text is not None
    assert "+1.0 points" in text
    assert "+3.0" not in text
    assert "+2.0" not in text


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [row("supervised", "gradient_boosting", 0.01)],
        [row("stacked", "gradient_boosting", None)],
        [row("stacked", "gradient_boosting", 0.01, metric="auprc")],
        [row("stacked", "gradient_boosting", 0.01, combination_b="labs")],
        [row("stacked", "gradient_boosting", 0.01, task="phenotyping")],
    ],
)
def test_nothing_is_said_where_no_stack_was_tested(rows: list[Any]) -> None:
    padded = rows or [row("contrastive", "random", 0.01)]
    assert said(*padded) is None


def test_only_a_baseline_in_the_stack_is_told_and_once() -> None:
    """As the best of its combination a stack is tested against all baselines once more."""
    text = said(
        row("stacked_contrastive", "gradient_boosting", 0.004),
        row("stacked_contrastive", "gradient_boosting", 0.004),
        row("stacked_contrastive", "logistic_regression", -0.1),
    )
    assert text is not None
    assert text.count("+0.4 points") == 1
    assert "logistic" not in text


def test_the_study_says_what_stacked_combines_and_without_encoders_nothing_is_added_by_them() -> None:
    tests = (row("stacked", "gradient_boosting", 0.004), row("stacked", "logistic_regression", 0.002))
    text = said(*tests, stacked={"strategies": ["supervised", "logistic_regression"]})
    assert text is not None and "+0.2 points by stacked over logistic regression" in text and "+0.4" not in text
    assert said(*tests, stacked={"strategies": ["gradient_boosting", "logistic_regression"]}) is None
