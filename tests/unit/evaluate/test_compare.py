from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t
from sklearn.metrics import roc_auc_score

from picme.config.evaluate import ComparisonsConfig, EvaluateConfig
from picme.evaluate import evaluate
from picme.evaluate.bootstrap import SubjectResamples
from picme.evaluate.compare import holm, judge
from picme.evaluate.intervals import estimated
from picme.evaluate.predictions import SplitStays

CONFIG = EvaluateConfig(resamples=200, interval_resamples=100)


def holm_by_definition(p: list[float]) -> list[float]:
    """The k-th smallest is adjusted to the greatest of (m − j + 1) p_(j) over j ≤ k, at most 1."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted = [0.0] * len(p)
    for rank, place in enumerate(order):
        adjusted[place] = min(1.0, max((len(p) - j) * p[order[j]] for j in range(rank + 1)))
    return adjusted


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=12))
def test_holm(p: list[float]) -> None:
    assert holm(p) == pytest.approx(holm_by_definition(p), abs=1e-12)


def test_holm_by_hand_and_against_statsmodels() -> None:
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    assert holm(p) == pytest.approx(multitest.multipletests(p, method="holm")[1])


def test_holm_leaves_undefined_ones_out() -> None:
    found = holm([0.02, float("nan"), 0.01])
    assert np.isnan(found[1])
    assert [found[0], found[2]] == pytest.approx([0.02, 0.02])
    assert holm([]) == []


def test_paired_difference_equals_scikit_learn_on_the_same_resamples(study: Any) -> None:
    cells = [("a", "contrastive", 2, 1.0), ("a", "random", 2, 0.6)]
    cohort, predictions = study("mortality", ["mortality"], 150, cells)
    tables = evaluate(predictions, {"mortality": cohort}, CONFIG)
    row = tables["comparisons"].row(
        by_predicate=(pl.col("family") == "contrastive vs random") & (pl.col("metric") == "auroc"), named=True
    )
    stays = SplitStays.of(cohort, "test")
    mean = (
        predictions.filter(pl.col("split") == "test").group_by("strategy", "stay_id").agg(pl.col("probability").mean())
    )
    p = {
        name: stays.frame.join(mean.filter(pl.col("strategy") == name), on="stay_id", maintain_order="left")[
            "probability"
        ].to_numpy()
        for name in ("contrastive", "random")
    }
    y = stays.frame["mortality"].to_numpy()
    drawn = np.concatenate(SubjectResamples.draw(stays.n_subjects, 200, 0).blocks, axis=1)
    differences = [
        roc_auc_score(y, p["contrastive"], sample_weight=w) - roc_auc_score(y, p["random"], sample_weight=w)
        for w in drawn[stays.subject].T.astype(float)
    ]
    difference = roc_auc_score(y, p["contrastive"]) - roc_auc_score(y, p["random"])
    assert row["ensemble_difference"] == pytest.approx(difference)
    # A t interval with the standard error of the resamples, and the p-value of the same t test.
    subjects = [len(np.unique(stays.subject[y == value])) for value in (0, 1)]
    error = np.std(differences, ddof=1) * np.sqrt(min(subjects) / (min(subjects) - 1))
    reach = t.isf(0.025, 2 * (min(subjects) - 1)) * error
    ends = difference - reach, difference + reach
    assert (row["ensemble_low"], row["ensemble_high"]) == pytest.approx(ends)
    assert row["ensemble_p_value"] == pytest.approx(2 * t.sf(abs(difference) / error, 2 * (min(subjects) - 1)))


def test_single_models_are_compared_by_their_mean_over_seeds(study: Any) -> None:
    cells = [("a", "contrastive", 3, 1.0), ("a", "random", 3, 0.6)]
    cohort, predictions = study("mortality", ["mortality"], 150, cells)
    tables = evaluate(predictions, {"mortality": cohort}, CONFIG)
    row = tables["comparisons"].row(
        by_predicate=(pl.col("family") == "contrastive vs random") & (pl.col("metric") == "auroc"), named=True
    )
    stays = SplitStays.of(cohort, "test")
    y = stays.frame["mortality"].to_numpy()
    drawn = np.concatenate(SubjectResamples.draw(stays.n_subjects, 200, 0).blocks, axis=1)[stays.subject].T
    value, resampled, parts = {}, {}, []
    for name in ("contrastive", "random"):
        here = predictions.filter((pl.col("split") == "test") & (pl.col("strategy") == name))
        p = [
            stays.frame.join(of_seed, on="stay_id", how="left", maintain_order="left")["probability"].to_numpy()
            for of_seed in here.partition_by("seed")
        ]
        areas = [roc_auc_score(y, one) for one in p]
        each = np.array([[roc_auc_score(y, one, sample_weight=w.astype(float)) for w in drawn] for one in p])
        value[name], resampled[name] = np.mean(areas), each.mean(axis=0)
        whole = np.var(areas, ddof=1)
        more = whole - np.mean(np.var(each - each.mean(axis=1, keepdims=True), axis=0, ddof=1))
        parts += [(more / 3, 2 * (more / whole) ** 2)] if more > 0 else []
    difference = value["contrastive"] - value["random"]
    assert row["difference"] == pytest.approx(difference)
    m = min(len(np.unique(stays.subject[y == value])) for value in (0, 1))
    of_subjects = np.var(resampled["contrastive"] - resampled["random"], ddof=1) * m / (m - 1)
    parts.append((of_subjects, 2 * (m - 1)))
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / free for part, free in parts)
    assert row["high"] - row["low"] == pytest.approx(2 * t.isf(0.025, freedom) * np.sqrt(variance))
    assert row["p_value"] == pytest.approx(2 * t.sf(abs(difference) / np.sqrt(variance), freedom))


def test_one_seed_tells_nothing_of_other_seeds(study: Any) -> None:
    cells = [("a", "supervised", 1, 1.0), ("a", "logistic_regression", 1, 0.6), ("a", "random", 1, 0.6)]
    cohort, predictions = study("mortality", ["mortality"], 150, cells)
    rows = evaluate(predictions, {"mortality": cohort}, CONFIG)["comparisons"]
    assert rows["p_value"].null_count() == len(rows)
    assert rows["no_interval"].str.contains("single seed").all()
    assert rows["ensemble_p_value"].null_count() == 0


def test_single_models_are_not_said_to_differ_because_averages_do() -> None:
    # Both have the same mean AUROC, but the second's models differ more, so that its average gains more.
    rng = np.random.default_rng(4)
    found: dict[str, list[bool]] = {"single": [], "ensemble": []}
    for run in range(60):
        y = (rng.random((1, 300)) < 0.3).astype(float)
        shared = rng.normal(size=y.shape)
        drawn = SubjectResamples.draw(300, 200, run)
        scores = (y + np.sqrt(1 - own) * shared + np.sqrt(own) * rng.normal(size=(8, 1, 300)) for own in (0.02, 0.4))
        a, b = (judge(y, p, np.arange(300), drawn, depends_on_seed=True) for p in scores)
        for name, first, second in zip(found, a, b, strict=True):
            found[name].append(first["auroc"].minus(second["auroc"]).p_value() < 0.05)
    assert np.mean(found["single"]) < 0.12
    assert np.mean(found["ensemble"]) > 0.6


def test_seeds_on_the_same_draw_of_encoders_are_not_independent() -> None:
    rng = np.random.default_rng(1)
    found: dict[int, list[bool]] = {0: [], 2: []}
    for run in range(60):
        y = (rng.random((1, 300)) < 0.3).astype(float)
        shared = rng.normal(size=y.shape)
        drawn = SubjectResamples.draw(300, 200, run)
        scores = []
        for _ in "ab":
            strength = (1 + 0.1 * rng.normal(size=2))[np.arange(8) % 2, None, None]  # two draws, taken in turn
            scores.append(strength * y + shared + 0.1 * rng.normal(size=(8, 1, 300)))
        for draws, rejected in found.items():
            a, b = (judge(y, p, np.arange(300), drawn, True, draws)[0]["auroc"] for p in scores)
            rejected.append(a.minus(b).p_value() < 0.05)
    assert np.mean(found[0]) > 0.3, "as independent seeds they seem to differ"
    assert np.mean(found[2]) < 0.12


def test_p_values_agree_with_their_intervals(study: Any) -> None:
    cells = [("a", "contrastive", 1, 1.0), ("a", "random", 1, 0.5), ("a", "supervised", 1, 0.9)]
    rows = [
        row
        for seed in range(8)
        for row in evaluate(*reversed_pair(study("mortality", ["mortality"], 160, cells, seed)), CONFIG)[
            "comparisons"
        ].iter_rows(named=True)
    ]
    assert {(row["ensemble_low"] > 0 or row["ensemble_high"] < 0) for row in rows} == {True, False}
    assert all(
        (row["ensemble_p_value"] < 0.05) == (row["ensemble_low"] > 0 or row["ensemble_high"] < 0) for row in rows
    )


def reversed_pair(pair: tuple[pl.DataFrame, pl.DataFrame]) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
    return pair[1], {"mortality": pair[0]}


def test_families_and_correction(study: Any) -> None:
    cells = [
        (combination, strategy, 1, strength)
        for combination, strength in (("a+b+c", 1.0), ("a+b", 0.8), ("a+c", 0.6))
        for strategy in ("contrastive", "random", "supervised", "gated", "gated_uniform", "gradient_boosting")
    ]
    cohort, predictions = study("mortality", ["mortality"], 200, cells)
    tables = evaluate(predictions, {"mortality": cohort}, CONFIG)
    found = tables["comparisons"]
    assert set(found["family"]) == {
        "contrastive vs random",
        "gated vs gated_uniform",
        "contrastive vs supervised",
        "supervised vs random",
        "gated vs supervised",
        "gated vs contrastive",
        "combinations: contrastive",
        "combinations: supervised",
        "combinations: gated",
        "best vs gradient_boosting",
    }
    for (_, _), part in found.group_by("family", "metric"):
        adjusted = part["ensemble_p_adjusted"].to_list()
        assert adjusted == pytest.approx(holm_by_definition(part["ensemble_p_value"].to_list()))
    # The reference of a family of combinations is the best on validation, not on test.
    summary = tables["summary"].filter(pl.col("strategy") == "gated").sort("validation_auroc")
    of_gated = found.filter(pl.col("family") == "combinations: gated")
    assert of_gated["combination_a"].unique().to_list() == [summary["combination"][-1]]
    assert sorted(of_gated["combination_b"].unique()) == sorted(summary["combination"][:-1])
    within = found.filter(~pl.col("family").str.starts_with("combinations"))
    assert (within["combination_a"] == within["combination_b"]).all()


def test_equal_predictions_differ_by_nothing(study: Any) -> None:
    cohort, predictions = study("mortality", ["mortality"], 100, [("a", "contrastive", 1, 1.0)])
    twice = pl.concat([predictions, predictions.with_columns(strategy=pl.lit("random"))])
    rows = evaluate(twice, {"mortality": cohort}, CONFIG)["comparisons"]
    columns = ("difference", "ensemble_low", "ensemble_high", "ensemble_p_value")
    assert rows.select(columns).unique().rows() == [(0.0, 0.0, 0.0, 1.0)]


def test_only_stays_that_both_predict_are_compared(study: Any) -> None:
    cells = [("a", "supervised", 1, 1.5), ("b", "supervised", 1, 0.5)]
    cohort, predictions = study("mortality", ["mortality"], 240, cells)
    kept = cohort.sort("stay_id")["stay_id"].to_list()[::2]
    partial = predictions.filter((pl.col("combination") == "a") | pl.col("stay_id").is_in(kept))
    row = evaluate(partial, {"mortality": cohort}, CONFIG)["comparisons"].filter(pl.col("metric") == "auroc")
    both = partial.filter((pl.col("split") == "test") & pl.col("stay_id").is_in(kept))
    area = {c[0]: roc_auc_score(g["target"], g["probability"]) for c, g in both.group_by("combination")}
    sign = 1 if row["combination_a"].item() == "a" else -1
    assert row["difference"].item() == pytest.approx(sign * (area["a"] - area["b"]), abs=1e-12)
    assert row["ensemble_low"].item() < row["difference"].item() < row["ensemble_high"].item()


def test_no_families_no_comparisons(study: Any) -> None:
    cohort, predictions = study("mortality", ["mortality"], 80, [("a", "contrastive", 1, 1), ("a", "random", 1, 1)])
    config = EvaluateConfig(comparisons=ComparisonsConfig(families=()))
    assert len(evaluate(predictions, {"mortality": cohort}, config)["comparisons"]) == 0


@pytest.mark.slow
def test_p_values_are_uniform_enough_under_no_difference() -> None:
    # Two scores of the same quality on the same 150 stays: at most about 5 % are below 0.05.
    rng = np.random.default_rng(5)
    found = []
    for run in range(600):
        y = (rng.random((1, 150)) < 0.3).astype(float)
        shared = rng.normal(size=y.shape)
        drawn = SubjectResamples.draw(150, 300, run)
        first, second = (
            estimated(y, y + shared + rng.normal(size=y.shape), np.arange(150), drawn, others=False)["auroc"]
            for _ in range(2)
        )
        found.append(first.minus(second).p_value())
    assert 0.02 < np.mean(np.array(found) < 0.05) < 0.08
    assert 0.4 < np.mean(np.array(found) < 0.5) < 0.6


def test_the_chosen_cell_is_compared_even_if_another_combination_is_better_on_validation(study: Any) -> None:
    cells = [("a+b+c", "supervised", 1, 2.05), ("a+b", "supervised", 1, 2.0), ("a", "supervised", 1, 0.0)]
    cohort, predictions = study("mortality", ["mortality"], 240, cells)
    tables = evaluate(predictions, {"mortality": cohort}, CONFIG)
    summary = tables["summary"]
    assert summary.filter("selected")["combination"].to_list() == ["a+b"]
    assert summary.sort("validation_auroc")["combination"][-1] == "a+b+c"
    rows = tables["comparisons"].filter(pl.col("family") == "best vs best single", pl.col("metric") == "auroc")
    assert rows.select("combination_a", "combination_b").rows() == [("a+b+c", "a"), ("a+b", "a")]


def test_the_chosen_cell_is_compared_with_the_best_single_modality(study: Any) -> None:
    cells = [
        ("a+b", "supervised", 1, 2.0),
        ("a", "supervised", 1, 1.0),
        ("b", "supervised", 1, 0.3),
        ("b", "random", 1, 0.2),
    ]
    cohort, predictions = study("mortality", ["mortality"], 240, cells)
    tables = evaluate(predictions, {"mortality": cohort}, CONFIG)
    rows = tables["comparisons"].filter(pl.col("family") == "best vs best single")
    assert rows.select("combination_a", "combination_b").unique().rows() == [("a+b", "a")]
    auroc = {row["combination"]: row["ensemble_auroc"] for row in tables["summary"].iter_rows(named=True)}
    found = rows.filter(pl.col("metric") == "auroc")["difference"][0]
    assert found == pytest.approx(auroc["a+b"] - auroc["a"])
