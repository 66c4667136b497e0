"""What differs between two hospitals is seen, what does not is not, and few patients are never told."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from picme.config.evaluate import EvaluateConfig
from picme.evaluate.subgroups import SMALL
from picme.report.external import _shift_sentences
from picme.report.numbers import text_of
from picme.validate.shift import Side, classifier_rows, presence_rows, shift_rows, standardised

CONFIG = EvaluateConfig(interval_resamples=200)


def side(generator: np.random.Generator, stays: int, shift: float = 0.0, has: float = 1.0, **more: Any) -> Side:
    columns = {"a": generator.normal(shift, 1, stays), "b": generator.normal(size=stays), **more}
    present = generator.random(stays) < has
    return Side({"labs": pl.DataFrame(columns)}, {"labs": present}, np.arange(stays))


def test_a_standardised_difference_is_that_of_the_formula() -> None:
    run, there = side(np.random.default_rng(0), 300), side(np.random.default_rng(1), 200, 0.7)
    rows = {row["variable"]: row for row in shift_rows(run, there, 10)}
    one, other = run.described["labs"]["a"].to_numpy(), there.described["labs"]["a"].to_numpy()
    pooled = np.sqrt((one.var(ddof=1) + other.var(ddof=1)) / 2)
    assert rows["a"]["smd"] == pytest.approx((other.mean() - one.mean()) / pooled)
    assert abs(rows["b"]["smd"]) < 0.25
    assert standardised(1.0, 0.0, 1.0, 0.0) == 0.0
    assert np.isnan(standardised(1.0, 0.0, 2.0, 0.0))


def test_small_categories_are_taken_together_so_that_none_can_be_had_by_subtraction() -> None:
    generator = np.random.default_rng(0)
    run = side(generator, 100, word=["x"] * 60 + ["y"] * 30 + ["z"] * 10)
    there = side(generator, 100, word=["x"] * 50 + ["y"] * 46 + ["z"] * 4)
    rows = {row["category"]: row for row in shift_rows(run, there, 10) if row["variable"] == "word"}
    assert set(rows) == {"x", SMALL}, "4 of 100 join the next, which hides them"
    assert rows["x"]["there"] == 0.5 and rows["x"]["run"] == 0.6
    none = side(generator, 100, word=["x"] * 95 + ["z"] * 5)
    assert not [row for row in shift_rows(run, none, 10) if row["variable"] == "word" and row["category"] == "z"]


def test_a_variable_that_few_have_is_not_told() -> None:
    generator = np.random.default_rng(0)
    run = side(generator, 100, rare=[1.0] * 100)
    there = side(generator, 100, rare=[2.0] * 4 + [None] * 96)
    row = next(row for row in shift_rows(run, there, 10) if row["variable"] == "rare")
    assert row["there_known"] is None and "smd" not in row and "there" not in row
    assert row["run_known"] == 100


def test_presence_has_the_difference_of_shares() -> None:
    run, there = side(np.random.default_rng(0), 400, has=0.9), side(np.random.default_rng(1), 400, has=0.5)
    row = next(iter(presence_rows(run, there, 0.95)))
    assert row["difference"] == pytest.approx(there.present["labs"].mean() - run.present["labs"].mean())
    assert row["difference_low"] < -0.4 < row["difference_high"] < 0


def test_a_classifier_sees_a_shift_and_reads_which_modalities_there_are() -> None:
    run, moved = side(np.random.default_rng(0), 200), side(np.random.default_rng(1), 200, 1.0)
    every, alone = classifier_rows(run, moved, CONFIG)
    assert every["modality"] is None and alone["modality"] == "labs"
    assert every["low"] > 0.6 and alone["auroc"] > 0.68
    lacking = side(np.random.default_rng(2), 200, has=0.4)
    every, alone = classifier_rows(run, lacking, CONFIG)
    assert every["low"] > 0.6, "by presence alone"
    assert alone["low"] < 0.5 and alone["n_there"] == lacking.present["labs"].sum()
    few = next(iter(classifier_rows(run, side(np.random.default_rng(3), 5), CONFIG)))
    assert few["n_there"] is None and "auroc" not in few


def test_without_a_shift_a_classifier_seldom_claims_one() -> None:
    """The lower end of a 95 % interval lies above one half in 2.5 % of hospitals that are alike."""
    generator, trials, claimed, values = np.random.default_rng(4), 150, 0, []
    for _ in range(trials):
        row = next(iter(classifier_rows(side(generator, 80), side(generator, 60), CONFIG)))
        claimed += row["low"] > 0.5
        values.append(row["auroc"])
    assert claimed / trials <= 0.06
    assert 0.45 < np.mean(values) < 0.53


@pytest.mark.parametrize(
    ("auroc", "low", "high", "said"),
    [
        (0.9, 0.8, 0.95, "all modalities tells the two apart: AUROC"),
        (0.6, 0.4, 0.8, "does not clearly tell the two apart"),
        (1.0, None, None, "tells the two apart without an error"),
        (0.7, None, None, "has no interval that would say whether"),
    ],
)
def test_the_page_says_whether_the_hospitals_can_be_told_apart(
    auroc: float, low: float | None, high: float | None, said: str
) -> None:
    row = {"task": "mortality", "modality": None, "auroc": auroc, "low": low, "high": high, "no_interval": "few"}
    (sentence,) = _shift_sentences({"shift_classifier": pl.DataFrame([row], infer_schema_length=None)})
    assert said in text_of(sentence)
