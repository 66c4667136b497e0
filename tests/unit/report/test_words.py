"""The paragraph says what the tables say, and nothing that they do not."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from rich.console import Console

from picme.report import headline, main_table, results
from picme.report.numbers import text_of
from picme.report.rules import lets_through, rules
from picme.report.terminal import short_names


def study(**more: Any) -> dict[str, pl.DataFrame]:
    row = {
        "task": "mortality",
        "combination": "a+b",
        "strategy": "contrastive",
        "n_seeds": 3,
        "auroc_mean": 0.8,
        "auroc_std": 0.01,
        "ensemble_auroc": 0.8123,
        "ensemble_auroc_low": 0.7712,
        "ensemble_auroc_high": 0.8534,
        "selected": True,
    }
    control = row | {"strategy": "random", "selected": False, "auroc_mean": 0.79}
    return {"summary": pl.DataFrame([row, control]), **more}


def test_the_headline_names_the_choice_its_score_and_how_sure_it_is() -> None:
    text = headline(study(), {"modalities": {"a": {}, "b": {}}})
    for part in ("2 kinds of data (a, b)", "death in hospital", "a + b", "contrastive", "81.2 %", "77.1", "85.3"):
        assert part in text
    assert "1.0 points more than its control (same combination, random); no test of single models" in text
    assert "<" not in text


@pytest.mark.parametrize(("low", "verdict"), [(0.001, "chance is an unlikely explanation"), (-0.02, "could be chance")])
def test_the_verdict_follows_the_interval(low: float, verdict: str) -> None:
    row = {
        "task": "mortality",
        "combination_a": "a+b",
        "strategy_a": "contrastive",
        "combination_b": "a+b",
        "strategy_b": "random",
        "metric": "auroc",
        "difference": 0.01,
        "low": low,
        "high": 0.03,
    }
    text = headline(study(comparisons=pl.DataFrame([row])), {})
    assert verdict in text


def test_a_missing_interval_has_its_reason() -> None:
    why = "5 subjects are in the smaller class, 6 are needed"
    tables = study(
        comparisons=pl.DataFrame(
            [
                {
                    "task": "mortality",
                    "combination_a": "a+b",
                    "strategy_a": "contrastive",
                    "combination_b": "a+b",
                    "strategy_b": "random",
                    "metric": "auroc",
                    "difference": 0.01,
                    "no_interval": why,
                }
            ]
        )
    )
    tables["summary"] = tables["summary"].with_columns(
        ensemble_auroc_low=None, ensemble_auroc_high=None, ensemble_auroc_no_interval=pl.lit(why)
    )
    text = headline(tables, {})
    assert f", without an interval ({why})" in text
    assert f"no test of single models was made ({why})" in text
    table = results.main_table(tables, {})
    assert table is not None
    assert why in str(table.rows())


def test_a_worse_result_than_the_control_is_called_worse() -> None:
    tables = study()
    tables["summary"] = tables["summary"].with_columns(
        auroc_mean=pl.when(pl.col("strategy") == "random").then(0.85).otherwise(pl.col("auroc_mean"))
    )
    assert "5.0 points less than its control" in headline(tables, {})


def test_the_ceiling_is_told() -> None:
    ceiling = pl.DataFrame({"task": ["mortality"], "label": ["mortality"], "auroc": [0.9]})
    text = headline(study(ceiling=ceiling), {})
    assert "would give 90.0 %" in text
    assert "8.8 points below" in text


def test_a_choice_made_on_test_is_called_optimistic() -> None:
    tables = {"summary": study()["summary"].with_columns(selected=pl.lit(False))}
    assert "optimistic" in headline(tables, {})
    both = pl.concat([study()["summary"], tables["summary"].with_columns(task=pl.lit("frailty"))])
    text = headline({"summary": both}, {})
    assert text.count("optimistic") == 1
    assert "No validation scores for frailty were available" in text
    assert "optimistic" not in headline(study(), {})


def test_without_scores_one_plain_sentence() -> None:
    assert headline({}, {}).startswith("The study has no defined score")


def test_names_in_the_paragraph_are_left_as_they_are() -> None:
    tables = study()
    tables["summary"] = tables["summary"].with_columns(combination=pl.lit("<script>+{{7*7}}"))
    assert "<script> + {{7*7}}" in headline(tables, {})


@pytest.mark.parametrize(
    ("config", "part"),
    [
        ({"source": {"kind": "mimic"}, "cohort": {"admit": "paper"}}, "lets through"),
        ({"source": {"kind": "mimic"}, "cohort": {"admit": "prospective"}}, "Only what was known"),
        ({"source": {"kind": "mimic"}, "cohort": {"notes": {"mode": "paper"}}}, "lets through"),
        ({"source": {"kind": "table"}}, "no cut-off was applied"),
        ({"require": "complete"}, "not a random sample"),
    ],
)
def test_what_a_preset_lets_through_is_said(config: dict[str, Any], part: str) -> None:
    assert part in " ".join(text_of(note) for note in lets_through({}, config, {}))


def test_violations_and_failures_are_said() -> None:
    leakage = pl.DataFrame({"check": ["a", "b"], "violation": [True, False], "count": [3, 0]})
    notes = " ".join(text_of(note) for note in lets_through({"leakage": leakage}, {}, {"failures": [{}, {}]}))
    assert "1 violation in 2 checks" in notes
    assert "2 jobs failed" in notes


def test_rules_are_in_words() -> None:
    assert dict(rules({"require": "any", "splits": {"kind": "hash"}, "study": {"seeds": 3}})) == {
        "Stays need": "at least two modalities",
        "Splits": "by a hash of the subject",
        "Seeds of each cell": "3",
    }


def test_the_terminal_table_has_every_cell(tables: dict[str, pl.DataFrame]) -> None:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(main_table(tables))
    text = console.export_text()
    for row in tables["summary"].iter_rows(named=True):
        assert f"{row['auroc_mean'] * 100:.1f}±{row['auroc_std'] * 100:.1f}" in text
    assert text.count("*") == tables["summary"]["selected"].sum() + 1


def test_short_names_tell_modalities_apart() -> None:
    assert short_names(["discharge", "discomfort", "x"]) == ["disch", "disco", "x"]
    assert short_names(["image", "timeseries"]) == ["imag", "time"]
    assert short_names(["same", "same"]) == ["same", "same"]
