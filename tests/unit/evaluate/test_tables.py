from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from picme.config.evaluate import EvaluateConfig
from picme.errors import DataError
from picme.evaluate import evaluate
from picme.evaluate.predictions import Predictions

if TYPE_CHECKING:
    from pathlib import Path

PHENOTYPES = ["sepsis", "shock", "diabetes"]
TYPES = {"sepsis": "acute", "shock": "acute", "diabetes": "chronic"}
CONFIG = EvaluateConfig(resamples=400, interval_resamples=200)
CONTRACT = {
    "scores": "task, combination, strategy, seed, split, label, auroc, auprc, n, positives",
    "summary": "task, combination, strategy, n_seeds, auroc_mean, auroc_std, auprc_mean, auprc_std, ensemble_auroc, "
    "ensemble_auroc_low, ensemble_auroc_high, ensemble_auprc, ensemble_auprc_low, ensemble_auprc_high, selected",
    "comparisons": "task, combination_a, strategy_a, combination_b, strategy_b, metric, difference, low, high, "
    "p_value, p_adjusted, family",
    "subgroups": "task, combination, strategy, attribute, group, n_stays, n_subjects, positives, auroc, low, high, "
    "suppressed",
    "phenotype_types": "combination, strategy, type, auroc_mean, auroc_std",
    "calibration": "task, combination, strategy, brier, ece, bin, mean_predicted, observed, n",
    "thresholds": "task, combination, strategy, label, rule, threshold, sensitivity, specificity, ppv, npv",
}
CELLS = [
    ("a+b", "contrastive", 3, 0.6),
    ("a+b", "supervised", 3, 0.9),
    ("a+b", "random", 3, 1.3),
    ("a", "supervised", 1, 0.5),
    ("a", "gradient_boosting", 1, 2.2),
]


@pytest.fixture
def judged(study: Any) -> tuple[pl.DataFrame, dict[str, pl.DataFrame], dict[str, pl.DataFrame]]:
    one, p_one = study("mortality", ["mortality"], 400, CELLS, seed=1)
    many, p_many = study("phenotyping", PHENOTYPES, 300, CELLS, seed=2, undefined=0.1)
    predictions = pl.concat([p_one, p_many])
    cohorts = {"mortality": one, "phenotyping": many}
    return predictions, cohorts, evaluate(predictions, cohorts, CONFIG, TYPES)


def test_columns_are_those_promised(judged: Any) -> None:
    for name, columns in CONTRACT.items():
        expected = columns.split(", ")
        assert judged[2][name].columns[: len(expected)] == expected
        assert len(judged[2][name])


def test_scores_equal_scikit_learn(judged: Any) -> None:
    predictions, _, tables = judged
    scores = tables["scores"]
    known = predictions.drop_nulls("target")
    for (task, combination, strategy, seed, split, label), part in known.group_by(
        "task", "combination", "strategy", "seed", "split", "label"
    ):
        row = scores.row(
            by_predicate=(pl.col("task") == task)
            & (pl.col("combination") == combination)
            & (pl.col("strategy") == strategy)
            & (pl.col("seed") == seed)
            & (pl.col("split") == split)
            & (pl.col("label") == label),
            named=True,
        )
        assert row["auroc"] == pytest.approx(roc_auc_score(part["target"], part["probability"]), abs=1e-9)
        assert row["auprc"] == pytest.approx(average_precision_score(part["target"], part["probability"]), abs=1e-9)
        assert (row["n"], row["positives"]) == (len(part), part["target"].sum())


def test_macro_and_micro(judged: Any) -> None:
    predictions, _, tables = judged
    chosen = (pl.col("combination") == "a+b") & (pl.col("strategy") == "supervised") & (pl.col("seed") == 1)
    chosen &= (pl.col("split") == "test") & (pl.col("task") == "phenotyping")
    scores = tables["scores"].filter(chosen)
    by_label = {row["label"]: row["auroc"] for row in scores.iter_rows(named=True)}
    pooled = predictions.filter(chosen).drop_nulls("target")
    assert by_label["macro"] == pytest.approx(np.mean([by_label[name] for name in PHENOTYPES]), abs=1e-12)
    assert by_label["micro"] == pytest.approx(roc_auc_score(pooled["target"], pooled["probability"]), abs=1e-9)
    assert scores.filter(pl.col("label") == "micro")["n"].item() == len(pooled)
    mortality = tables["scores"].filter(pl.col("task") == "mortality")
    assert mortality["label"].unique().to_list() == ["mortality"]


def test_summary_follows_from_scores_and_predictions(judged: Any) -> None:
    predictions, _, tables = judged
    for row in tables["summary"].iter_rows(named=True):
        cell = pl.lit(True)
        for name in ("task", "combination", "strategy"):
            cell &= pl.col(name) == row[name]
        headline = "mortality" if row["task"] == "mortality" else "macro"
        seeds = tables["scores"].filter(cell & (pl.col("split") == "test") & (pl.col("label") == headline))
        assert row["n_seeds"] == len(seeds)
        assert row["auroc_mean"] == pytest.approx(seeds["auroc"].mean(), abs=1e-12)
        if len(seeds) > 1:
            assert row["auprc_std"] == pytest.approx(np.std(seeds["auprc"].to_numpy(), ddof=1), abs=1e-12)
        else:
            assert row["auroc_std"] is None
            assert row["auprc_std"] is None
        for split, column in (("test", "ensemble_auroc"), ("val", "validation_auroc")):
            mean = (
                predictions.filter(cell & (pl.col("split") == split))
                .drop_nulls("target")
                .group_by("stay_id", "label")
                .agg(pl.col("probability").mean(), pl.col("target").first())
            )
            per_label = [roc_auc_score(g["target"], g["probability"]) for _, g in mean.group_by("label")]
            assert row[column] == pytest.approx(np.mean(per_label), abs=1e-9)
        assert row["ensemble_auroc_low"] < row["ensemble_auroc"] < row["ensemble_auroc_high"]
        assert row["ensemble_auprc_low"] < row["ensemble_auprc"] < row["ensemble_auprc_high"]


def test_the_best_on_validation_is_selected_but_never_a_control_or_baseline(judged: Any) -> None:
    summary = judged[2]["summary"]
    # By construction `random` and `gradient_boosting` are far better here.
    for task in ("mortality", "phenotyping"):
        of_task = summary.filter(pl.col("task") == task)
        assert set(of_task.sort("validation_auroc")["strategy"][-2:]) == {"random", "gradient_boosting"}
        best = of_task.filter("selected")
        assert best.select("combination", "strategy").rows() == [("a+b", "supervised")]


def test_selection_reads_validation_not_test(study: Any) -> None:
    cells = [("a", "supervised", 1, 2.0), ("b", "supervised", 1, 2.0)]
    cohort, predictions = study("mortality", ["mortality"], 400, cells)
    # On test alone, `a` is turned into the opposite of what it predicts.
    flipped = predictions.with_columns(
        pl.when((pl.col("combination") == "a") & (pl.col("split") == "test"))
        .then(1 - pl.col("probability"))
        .otherwise(pl.col("probability"))
        .alias("probability")
    ).with_columns(
        pl.when((pl.col("combination") == "b") & (pl.col("split") == "val"))
        .then(pl.lit(0.5))
        .otherwise(pl.col("probability"))
        .alias("probability")
    )
    summary = evaluate(flipped, {"mortality": cohort}, CONFIG)["summary"]
    assert summary.filter("selected")["combination"].to_list() == ["a"]
    assert summary.filter("selected")["ensemble_auroc"].item() < 0.5


def test_phenotype_types(judged: Any) -> None:
    tables = judged[2]
    chosen = (pl.col("combination") == "a+b") & (pl.col("strategy") == "contrastive")
    types = tables["phenotype_types"].filter(chosen)
    assert sorted(types["type"]) == ["acute", "chronic"]
    scores = tables["scores"].filter(chosen & (pl.col("split") == "test") & pl.col("label").is_in(["sepsis", "shock"]))
    per_seed = scores.group_by("seed").agg(pl.col("auroc").mean())["auroc"]
    acute = types.filter(pl.col("type") == "acute")
    assert acute["auroc_mean"].item() == pytest.approx(per_seed.mean())
    assert acute["auroc_std"].item() == pytest.approx(per_seed.std())


def test_files_and_folders_give_what_the_frame_gives(judged: Any, tmp_path: Path, monkeypatch: Any) -> None:
    predictions, cohorts, tables = judged
    for number, part in enumerate(predictions.partition_by("task", "combination", "strategy")):
        part.write_parquet(tmp_path / f"{number:03d}.parquet")
    # Cell by cell, as for tables too large to be held.
    monkeypatch.setattr("picme.evaluate.predictions._ROWS_AT_ONCE", 10)
    again = evaluate(tmp_path, cohorts, CONFIG, TYPES)
    for name, table in tables.items():
        assert table.equals(again[name]), name


def test_order_of_rows_does_not_matter(judged: Any) -> None:
    predictions, cohorts, tables = judged
    shuffled = predictions.sample(fraction=1, shuffle=True, seed=4)
    again = evaluate(shuffled, cohorts, CONFIG, TYPES)
    key = ["task", "combination", "strategy"]
    left, right = (t["summary"].sort(key) for t in (tables, again))
    for column in left.columns:
        assert left[column].to_list() == pytest.approx(right[column].to_list(), abs=1e-12), column


def test_degenerate_tasks_are_null(study: Any) -> None:
    cells = [("a", "supervised", 2, 1.0), ("a", "random", 2, 1.0)]
    cohort, predictions = study("mortality", ["mortality"], 60, cells)
    one_class = evaluate(predictions.with_columns(target=pl.lit(0.0)), {"mortality": cohort}, CONFIG)
    row = one_class["summary"].row(0, named=True)
    given = ["task", "combination", "strategy", "n_seeds", "selected"]
    reasons = ["ensemble_auroc_no_interval", "ensemble_auprc_no_interval"]
    assert [name for name, value in row.items() if value is not None] == [*given, *reasons]
    assert all("no label has stays of both classes" in row[name] for name in reasons)
    assert not one_class["summary"]["selected"].any()
    for column in ("difference", "low", "high", "p_value", "p_adjusted"):
        assert one_class["comparisons"][column].is_null().all()
    assert one_class["scores"]["auroc"].is_null().all()
    assert one_class["scores"]["n"].min() > 0
    assert one_class["thresholds"]["threshold"].is_null().all()
    assert one_class["subgroups"]["auroc"].is_null().all()
    unlabelled = evaluate(
        predictions.with_columns(target=pl.lit(None, dtype=pl.Float64)), {"mortality": cohort}, CONFIG
    )
    assert unlabelled["summary"]["auroc_mean"].is_null().all()


def test_a_label_without_targets_is_left_out_of_the_macro_mean(study: Any) -> None:
    cohort, predictions = study("phenotyping", PHENOTYPES, 200, [("a", "supervised", 1, 1.0)])
    gone = predictions.with_columns(pl.when(pl.col("label") != "shock").then(pl.col("target")).alias("target"))
    scores = evaluate(gone, {"phenotyping": cohort}, CONFIG)["scores"].filter(pl.col("split") == "test")
    by_label = {row["label"]: row["auroc"] for row in scores.iter_rows(named=True)}
    assert by_label["shock"] is None
    assert by_label["macro"] == pytest.approx((by_label["sepsis"] + by_label["diabetes"]) / 2)


def test_no_test_stays_or_no_validation_complete(study: Any) -> None:
    cohort, predictions = study("mortality", ["mortality"], 80, [("a", "supervised", 1, 1.0)])
    for missing in ("val", "test"):
        tables = evaluate(predictions.filter(pl.col("split") != missing), {"mortality": cohort}, CONFIG)
        row = tables["summary"].row(0, named=True)
        assert (row["auroc_mean"] is None) == (missing == "test")
        assert (row["validation_auroc"] is None) == (missing == "val")


def test_same_seed_same_numbers_other_seed_others(judged: Any) -> None:
    predictions, cohorts, tables = judged
    only = predictions.filter(pl.col("task") == "mortality")
    again = evaluate(only, cohorts, CONFIG)["summary"]
    assert again.equals(tables["summary"].filter(pl.col("task") == "mortality"))
    other = evaluate(only, cohorts, EvaluateConfig(resamples=400, interval_resamples=200, seed=1))["summary"]
    assert other["ensemble_auroc"].equals(again["ensemble_auroc"])
    assert not other["ensemble_auroc_low"].equals(again["ensemble_auroc_low"])


def _spoil(predictions: pl.DataFrame, column: str, value: Any) -> pl.DataFrame:
    first = pl.int_range(pl.len()) == 0
    return predictions.with_columns(pl.when(first).then(pl.lit(value)).otherwise(pl.col(column)).alias(column))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda p: p.rename({"probability": "prob"}), "lacks the column 'probability'"),
        (lambda p: _spoil(p, "stay_id", 99999), "1 predictions are for stays"),
        (lambda p: _spoil(p, "probability", 1.5), r"outside \[0, 1\]"),
        (lambda p: _spoil(p, "probability", None), "null or outside"),
        (lambda p: _spoil(p, "target", 0.5), "seeds differ in the targets|must be 0, 1 or null"),
        (lambda p: p.filter(pl.col("target") >= 0).slice(1), "seeds differ in the stays"),
        (lambda p: pl.concat([p, p.head(1)]), "more than one row"),
        (lambda p: p.with_columns(task=pl.lit("mortalty")), "no cohort; did you mean 'mortality'"),
    ],
)
def test_bad_predictions_are_said(study: Any, spoil: Any, words: str) -> None:
    cohort, predictions = study("mortality", ["mortality"], 60, [("a", "supervised", 2, 1.0)])
    with pytest.raises(DataError, match=words) as error:
        evaluate(spoil(predictions), {"mortality": cohort}, CONFIG)
    assert "99999" not in str(error.value)


def test_a_stay_twice_in_the_cohort_is_said(study: Any) -> None:
    cohort, predictions = study("mortality", ["mortality"], 60, [("a", "supervised", 1, 1.0)])
    with pytest.raises(DataError, match="more than once"):
        evaluate(predictions, {"mortality": pl.concat([cohort, cohort])}, CONFIG)
    with pytest.raises(DataError, match="subject_id"):
        Predictions(predictions).task("mortality", cohort.drop("subject_id"))


@pytest.mark.slow
def test_speed_of_a_demo(study: Any) -> None:
    cells = [(f"c{i}", s, 10, 1.0) for i in range(7) for s in ("contrastive", "supervised", "gated", "random")]
    labels = [f"p{i}" for i in range(25)]
    cohort, predictions = study("phenotyping", labels, 200, cells)
    start = time.process_time()
    evaluate(predictions, {"phenotyping": cohort}, EvaluateConfig())
    assert time.process_time() - start < 30


@pytest.fixture
def one_label_short(study: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Three labels, of which the baselines could not learn `shock`: their probability of it is null."""
    cohort, predictions = study(
        "phenotyping",
        PHENOTYPES,
        300,
        [("a+b", "supervised", 2, 0.9), ("a+b", "gradient_boosting", 2, 0.6), ("a+b", "logistic_regression", 1, 0.5)],
        seed=3,
    )
    unlearnt = (pl.col("strategy") != "supervised") & (pl.col("label") == "shock")
    return cohort, predictions.with_columns(
        pl.when(unlearnt).then(None).otherwise(pl.col("probability")).alias("probability")
    )


@pytest.mark.parametrize("mark", [None, float("nan")])
def test_a_label_without_probabilities_is_null_and_all_else_judged(one_label_short: Any, mark: float | None) -> None:
    cohort, predictions = one_label_short
    given = predictions.with_columns(pl.col("probability").fill_null(mark)) if mark is not None else predictions
    tables = evaluate(given, {"phenotyping": cohort}, CONFIG, TYPES)
    scores = tables["scores"]
    baselines = scores.filter(pl.col("strategy") != "supervised")
    unlearnt = baselines.filter(pl.col("label") == "shock")
    assert unlearnt.height == 2 * 3
    assert unlearnt["auroc"].null_count() == unlearnt["auprc"].null_count() == unlearnt.height
    assert unlearnt["n"].sum() == 0
    assert baselines.filter(pl.col("label") != "shock")["auroc"].null_count() == 0
    assert scores.filter(pl.col("strategy") == "supervised")["auroc"].null_count() == 0
    own = scores.filter(pl.col("seed") == 0, pl.col("split") == "test", pl.col("strategy") == "gradient_boosting")
    value = dict(own.select("label", "auroc").iter_rows())
    assert value["macro"] == pytest.approx((value["sepsis"] + value["diabetes"]) / 2)
    assert tables["summary"]["ensemble_auroc"].null_count() == 0
    assert tables["calibration"].filter(pl.col("strategy") == "gradient_boosting")["brier"].null_count() == 0


def test_cells_are_compared_on_the_labels_that_both_have(one_label_short: Any) -> None:
    cohort, predictions = one_label_short
    whole = evaluate(predictions, {"phenotyping": cohort}, CONFIG)["comparisons"]
    both = evaluate(predictions.filter(pl.col("label") != "shock"), {"phenotyping": cohort}, CONFIG)["comparisons"]
    chosen = pl.col("family") == "best vs gradient_boosting"
    assert whole.filter(chosen).height == 2
    for column in ("difference", "low", "high"):
        assert whole.filter(chosen)[column].to_list() == pytest.approx(both.filter(chosen)[column].to_list())


def test_a_cell_without_any_probability_has_null_rows(one_label_short: Any) -> None:
    cohort, predictions = one_label_short
    nothing = pl.col("strategy") == "logistic_regression"
    spoilt = predictions.with_columns(pl.when(~nothing).then(pl.col("probability")).alias("probability"))
    tables = evaluate(spoilt, {"phenotyping": cohort}, CONFIG)
    rows = tables["scores"].filter(nothing)
    assert rows.height == 2 * 5
    assert rows["auroc"].null_count() == rows.height
    assert tables["summary"].filter(nothing)["ensemble_auroc"].to_list() == [None]
    assert tables["summary"].filter(~nothing)["ensemble_auroc"].null_count() == 0


def test_a_label_that_one_seed_lacks_is_undefined_for_the_cell(one_label_short: Any) -> None:
    cohort, predictions = one_label_short
    lost = (pl.col("strategy") == "supervised") & (pl.col("seed") == 1) & (pl.col("label") == "sepsis")
    spoilt = predictions.with_columns(pl.when(~lost).then(pl.col("probability")).alias("probability"))
    scores = evaluate(spoilt, {"phenotyping": cohort}, CONFIG)["scores"].filter(pl.col("strategy") == "supervised")
    assert scores.filter(pl.col("label") == "sepsis")["auroc"].null_count() == 4
    assert scores.filter(pl.col("label") != "sepsis")["auroc"].null_count() == 0


def test_a_label_that_cannot_be_learnt_is_judged_in_no_cell(study: Any) -> None:
    cells = [("a", "supervised", 2, 1.0), ("a", "random", 2, 0.5)]
    cohort, predictions = study("phenotyping", ["x", "rare"], 160, cells)
    train = cohort.head(20).with_columns(pl.col("stay_id") + 10_000, split=pl.lit("train"))
    train = train.with_columns(
        x=pl.int_range(pl.len()).mod(2).cast(cohort["x"].dtype), rare=pl.lit(0, cohort["rare"].dtype)
    )
    scores = evaluate(predictions, {"phenotyping": pl.concat([cohort, train])}, CONFIG)["scores"]
    assert scores.filter(pl.col("label") == "rare")["auroc"].is_null().all()
    test = scores.filter(pl.col("split") == "test").select("strategy", "seed", "label", "auroc")
    wide = test.pivot(on="label", values="auroc")
    assert wide["macro"].to_list() == wide["x"].to_list()


def test_the_flow_ends_with_the_stays_that_the_best_is_chosen_and_judged_on(judged: Any) -> None:
    predictions, cohorts, tables = judged
    known = predictions.filter(pl.col("task") == "mortality").drop_nulls("target").unique(["stay_id", "split"])
    found = tables["cohort_flow"].filter(pl.col("task") == "mortality")
    assert found["split"].to_list() == ["val", "test"]
    for row in found.iter_rows(named=True):
        own = known.filter(pl.col("split") == row["split"])
        whose = own.join(cohorts["mortality"], on="stay_id")["subject_id"].n_unique()
        assert (row["stays"], row["subjects"], row["events"]) == (own.height, whose, own["target"].sum())
    assert tables["cohort_flow"].filter(pl.col("task") == "phenotyping")["events"].is_null().all()
