"""The best cell is the one chosen on validation, and it is compared with its own control."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from picme.report.cohort import flow
from picme.report.facts import answer, by_rank, difference, frame, interleaved, modalities, ranked, tasks
from picme.report.numbers import text_of
from picme.report.rules import studied
from picme.report.words import task_sentences
from picme.results.tables import TABLES


def cell(combination: str, strategy: str, auroc: float, **more: object) -> dict[str, object]:
    return {
        "task": "mortality",
        "combination": combination,
        "strategy": strategy,
        "n_seeds": 3,
        "auroc_mean": auroc,
        "ensemble_auroc": auroc,
        **more,
    }


def score(combination: str, strategy: str, split: str, auroc: float, seed: int = 0) -> dict[str, object]:
    return {
        "task": "mortality",
        "combination": combination,
        "strategy": strategy,
        "seed": seed,
        "split": split,
        "label": "mortality",
        "auroc": auroc,
    }


def comparison(a: tuple[str, str], b: tuple[str, str], value: float) -> dict[str, object]:
    names = dict(zip(("combination_a", "strategy_a", "combination_b", "strategy_b"), (*a, *b), strict=True))
    return {
        "task": "mortality",
        "metric": "auroc",
        "difference": value,
        "low": value - 0.01,
        "high": value + 0.03,
        **names,
    }


def test_validation_decides_not_test() -> None:
    tables = {
        "summary": pl.DataFrame([cell("a+b", "supervised", 0.7), cell("a+c", "supervised", 0.9)]),
        "scores": pl.DataFrame(
            [
                score("a+b", "supervised", "val", 0.8),
                score("a+c", "supervised", "val", 0.6),
                score("a+c", "supervised", "test", 0.9),
            ]
        ),
    }
    found = answer(tables, "mortality", {})
    assert found is not None
    assert found.best["combination"] == "a+b"
    assert found.on_validation


def test_the_selected_flag_goes_before_any_score() -> None:
    rows = [cell("a+b", "supervised", 0.7, selected=True, validation_auroc=0.6)]
    rows.append(cell("a+c", "supervised", 0.9, selected=False, validation_auroc=0.9))
    found = answer({"summary": pl.DataFrame(rows)}, "mortality", {})
    assert found is not None
    assert found.best["combination"] == "a+b"


def test_without_validation_the_answer_says_so() -> None:
    found = answer(
        {"summary": pl.DataFrame([cell("a+b", "supervised", 0.7), cell("a+c", "supervised", 0.8)])}, "mortality", {}
    )
    assert found is not None
    assert (found.best["combination"], found.on_validation) == ("a+c", False)


def test_without_validation_no_control_is_the_answer() -> None:
    rows = [cell("a+b", "random", 0.9), cell("a+b", "contrastive", 0.7), cell("a+c", "contrastive", 0.6)]
    found = answer({"summary": pl.DataFrame(rows)}, "mortality", {})
    assert found is not None
    assert (found.best["combination"], found.best["strategy"]) == ("a+b", "contrastive")


def test_a_task_without_any_defined_score_has_no_answer() -> None:
    undefined = cell("a+b", "supervised", 0.5) | {"auroc_mean": None, "ensemble_auroc": None}
    assert (
        answer({"summary": pl.DataFrame([undefined], schema_overrides={"auroc_mean": pl.Float64})}, "mortality", {})
        is None
    )
    assert answer({}, "mortality", {}) is None


@pytest.mark.parametrize(
    ("strategy", "control"), [("contrastive", "random"), ("gated", "gated_uniform"), ("finetuned", "supervised")]
)
def test_the_control_is_the_strategys_own_in_the_same_combination(strategy: str, control: str) -> None:
    rows = [cell("a+b", strategy, 0.9, selected=True), cell("a+c", control, 0.88), cell("a+b", control, 0.8)]
    rows += [cell("a+b", "logistic_regression", 0.85)]
    found = answer({"summary": pl.DataFrame(rows)}, "mortality", {})
    assert found is not None
    assert found.control is not None
    assert (found.control.other["strategy"], found.control.other["combination"]) == (control, "a+b")
    assert found.control.value == pytest.approx(0.1)
    assert not found.control.tested


def test_without_a_control_an_alternative_is_shown_and_called_that() -> None:
    rows = [cell("a+b", "supervised", 0.9, selected=True), cell("a+b", "random", 0.8)]
    found = answer({"summary": pl.DataFrame(rows)}, "mortality", {})
    assert found is not None
    assert found.alternative
    text = " ".join(map(text_of, task_sentences(found, ["a", "b"])))
    assert "10.0 points more than the alternative (same combination, random)" in text
    assert "its control" not in text


def test_a_fusion_of_the_configuration_is_seen_against_supervised() -> None:
    rows = [cell("a+b", "mine", 0.9, selected=True), cell("a+b", "supervised", 0.8)]
    config = {"finetune": {"fusions": {"mine": {"name": "concat"}}}}
    found = answer({"summary": pl.DataFrame(rows)}, "mortality", config)
    assert found is not None
    assert found.control is not None
    assert found.control.other["strategy"] == "supervised"


def test_what_cannot_be_selected_follows_the_studys_settings() -> None:
    rows = [cell("a+b", "gated", 0.9, selected=True), cell("a", "random", 0.85), cell("a", "supervised", 0.8)]
    tables = {"summary": pl.DataFrame(rows)}
    settings = {"evaluate": {"controls": ["supervised"], "comparisons": {"baselines": []}}}
    for config, other in (({}, "supervised"), (settings, "random")):
        found = answer(tables, "mortality", config)
        assert found is not None
        assert found.across is not None
        assert found.across.other["strategy"] == other


def test_a_task_is_told_in_the_words_of_its_declaration() -> None:
    tables = {"summary": pl.DataFrame([cell("a+b", "supervised", 0.9, selected=True)])}
    for settings, words in (
        ({}, ("For death in hospital", "gives a patient who died in hospital a higher risk than one who survived")),
        ({"tasks": {"mortality": {"labels": ["late"]}}}, ("For mortality", "a stay with the outcome a higher risk")),
    ):
        found = answer(tables, "mortality", settings)
        assert found is not None
        text = " ".join(map(text_of, task_sentences(found, ["a", "b"])))
        assert all(part in text for part in words)


def test_a_tested_difference_is_taken_from_the_table_either_way_round() -> None:
    a, b = cell("a+b", "gated", 0.9), cell("a", "supervised", 0.8)
    forward = {"comparisons": pl.DataFrame([comparison(("a+b", "gated"), ("a", "supervised"), 0.07)])}
    backward = {"comparisons": pl.DataFrame([comparison(("a", "supervised"), ("a+b", "gated"), -0.07)])}
    for tables, low, high in ((forward, 0.06, 0.10), (backward, 0.04, 0.08)):
        found = difference(tables, a, b, 0.95)
        assert found is not None
        assert found.tested
        assert (found.value, found.low, found.high) == pytest.approx((0.07, low, high))
        assert found.clear


def test_what_is_clear_alone_but_not_among_all_comparisons_is_not_clear() -> None:
    row = comparison(("a", "gated"), ("b", "gated"), 0.07)
    tables = {"comparisons": pl.DataFrame([{**row, "p_value": 0.01, "p_adjusted": 0.08}])}
    found = difference(tables, cell("a", "gated", 0.9), cell("b", "gated", 0.8), 0.95)
    assert found is not None
    assert (found.alone, found.clear) == (True, False)
    found = difference(tables, cell("a", "gated", 0.9), cell("b", "gated", 0.8), 0.9)
    assert found is not None
    assert found.clear


def test_an_interval_around_zero_is_not_clear() -> None:
    tables = {"comparisons": pl.DataFrame([comparison(("a", "gated"), ("b", "gated"), 0.005)])}
    found = difference(tables, cell("a", "gated", 0.9), cell("b", "gated", 0.8), 0.95)
    assert found is not None
    assert not found.clear


def test_the_best_single_modality_is_chosen_on_validation_too() -> None:
    rows = [cell("a+b", "gated", 0.9, selected=True, validation_auroc=0.9)]
    rows += [cell("a", "supervised", 0.85, validation_auroc=0.6), cell("b", "supervised", 0.7, validation_auroc=0.8)]
    found = answer({"summary": pl.DataFrame(rows)}, "mortality", {})
    assert found is not None
    assert found.across is not None
    assert found.across.other["combination"] == "b"


def test_a_single_modality_that_is_best_is_seen_against_the_best_combination() -> None:
    rows = [cell("a", "supervised", 0.9, selected=True, validation_auroc=0.9)]
    rows += [cell("a", "random", 0.95, validation_auroc=0.85), cell("a+b", "gated", 0.8, validation_auroc=0.7)]
    rows += [cell("a+c", "gated", 0.85, validation_auroc=0.6)]
    found = answer({"summary": pl.DataFrame(rows)}, "mortality", {})
    assert found is not None
    assert not found.combined
    assert found.across is not None
    assert found.across.other["combination"] == "a+b"
    assert found.across.value == pytest.approx(0.1)
    text = " ".join(map(text_of, task_sentences(found, ["a", "b", "c"])))
    assert "10.0 points more than the combination of several best on validation (a + b, gated)" in text
    assert "single kind" not in text


def test_the_ceiling_is_that_of_the_headline_label() -> None:
    ceiling = pl.DataFrame({"task": ["t", "t"], "label": ["x", "macro"], "auroc": [0.7, 0.8]})
    scores = pl.DataFrame(
        [score("a+b", "gated", "test", 0.6) | {"task": "t", "label": name} for name in ("x", "macro")]
    )
    summary = pl.DataFrame([cell("a+b", "gated", 0.6) | {"task": "t"}])
    found = answer({"ceiling": ceiling, "scores": scores, "summary": summary}, "t", {})
    assert found is not None
    assert found.ceiling is not None
    assert found.ceiling["auroc"] == 0.8


def test_a_missing_table_has_its_columns_and_a_nan_is_null() -> None:
    for name, table in TABLES.items():
        empty = frame({}, name)
        assert empty.columns == [column.name for column in table.columns]
        assert empty.is_empty()
    made = frame({"ceiling": pl.DataFrame({"task": ["t"], "auroc": [float("nan")]})}, "ceiling")
    assert made.to_dicts() == [{"task": "t", "label": None, "auroc": None}]


def test_modalities_and_tasks_keep_the_configurations_order(tables: dict[str, pl.DataFrame]) -> None:
    order = ["timeseries", "image", "discharge", "radiology", "demographics"]
    assert modalities(tables, {"modalities": dict.fromkeys(order)}) == order
    assert modalities({"alignment": pl.DataFrame({"combination": ["a+b", "a+b+c", "d+e"]})}, {}) == list("abcde")
    assert tasks(tables, {"tasks": {"phenotyping": {}, "mortality": {}, "none": {}}}) == ["phenotyping", "mortality"]


def test_ranked_leaves_out_undefined_scores() -> None:
    rows = [cell("a+b", "gated", 0.6), cell("a+c", "gated", 0.6) | {"auroc_mean": None}]
    found, decided = ranked({"summary": pl.DataFrame(rows)}, "mortality")
    assert found["combination"].to_list() == ["a+b"]
    assert not decided


def test_parts_come_best_first_for_every_task(tables: dict[str, pl.DataFrame]) -> None:
    parts = by_rank(tables, {"report": {"combinations": 2}}, frame(tables, "calibration"))
    assert [task for task, _, _ in parts] == ["mortality", "phenotyping"] * 2
    best = {task: ranked(tables, task)[0]["combination"][0] for task in ("mortality", "phenotyping")}
    assert [name for _, name, _ in parts[:2]] == [best["mortality"], best["phenotyping"]]
    assert interleaved([[1, 2, 3], [4], []]) == [1, 4, 2, 3]


def test_the_stays_studied_are_those_before_the_division(
    tables: dict[str, pl.DataFrame], config: dict[str, Any]
) -> None:
    assert "571 stays for mortality, 585 stays for phenotyping" in studied(tables, config).striptags()
    parts = [step["part"] for step in flow(tables)[0]["steps"]]
    assert parts == [False] * 4 + [True] * 3
    assert all(step["lost"] is None for step in flow(tables)[0]["steps"] if step["part"])
