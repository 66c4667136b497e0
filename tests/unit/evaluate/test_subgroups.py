from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from picme.config.evaluate import EvaluateConfig
from picme.errors import ConfigError
from picme.evaluate import evaluate
from picme.evaluate.gaps import Gap, gap_to_the_rest
from picme.evaluate.predictions import SplitStays
from picme.evaluate.subgroups import observed_to_expected

CONFIG = EvaluateConfig(resamples=300, interval_resamples=300)
CELLS = [("a", "supervised", 2, 1.0)]


def test_groups_against_scikit_learn(study: Any) -> None:
    cohort, predictions = study("mortality", ["mortality"], 400, CELLS)
    table = evaluate(predictions, {"mortality": cohort}, CONFIG)["subgroups"]
    assert set(table["attribute"]) == {"gender", "ethnicity", "gender × ethnicity"}
    mean = (
        predictions.filter(pl.col("split") == "test")
        .group_by("stay_id")
        .agg(pl.col("probability").mean(), pl.col("target").first())
        .join(cohort, on="stay_id")
        .with_columns((pl.col("gender") + " × " + pl.col("ethnicity")).alias("gender × ethnicity"))
    )
    for row in table.iter_rows(named=True):
        members = mean.filter(pl.col(row["attribute"]) == row["group"])
        small = min(len(members), 1.6 * members["target"].sum(), 1.6 * (1 - members["target"]).sum()) < 9.6
        assert row["suppressed"] >= small
        if row["suppressed"]:
            continue
        assert row["n_stays"] == len(members)
        assert row["n_subjects"] == members["subject_id"].n_unique()
        assert row["positives"] == members["target"].sum()
        assert row["auroc"] == pytest.approx(roc_auc_score(members["target"], members["probability"]), abs=1e-9)
        assert row["low"] <= row["auroc"] <= row["high"]
    # Groups divide the stays: nobody is lost.
    assert table.filter(pl.col("attribute") == "gender")["n_stays"].sum() == len(mean)


def test_gap_is_to_all_other_stays(study: Any) -> None:
    cohort, predictions = study("mortality", ["mortality"], 400, CELLS)
    table = evaluate(predictions, {"mortality": cohort}, CONFIG)["subgroups"]
    auroc = {(row["attribute"], row["group"]): row["auroc"] for row in table.iter_rows(named=True)}
    for group, other in (("F", "M"), ("M", "F")):
        row = table.row(by_predicate=pl.col("group") == group, named=True)
        assert row["gap"] == pytest.approx(auroc["gender", other] - auroc["gender", group])
        assert row["gap_low"] < row["gap"] < row["gap_high"]
        assert row["best"] == (row["auroc"] > auroc["gender", other])
    # Groups of more than two are compared with all others, not with the best.
    stays = SplitStays.of(cohort, "test")
    mean = predictions.group_by("stay_id").agg(pl.col("probability").mean(), pl.col("target").first())
    frame = stays.frame.join(mean, on="stay_id", maintain_order="left")
    y, p, other = (
        frame["target"].to_numpy(),
        frame["probability"].to_numpy(),
        (frame["ethnicity"] != "White").to_numpy(),
    )
    white = table.row(by_predicate=pl.col("group") == "White", named=True)
    assert white["gap"] == pytest.approx(roc_auc_score(y[other], p[other]) - white["auroc"])


def test_labels_of_a_gap_are_those_that_both_sides_can_judge() -> None:
    rng = np.random.default_rng(4)
    members = np.arange(200) < 80
    y = (rng.random((2, 200)) < 0.4).astype(float)
    p = rng.random((2, 200)) + 0.3 * y
    # Of the second label, the group has five positives.
    y[1, members] = 0
    y[1, :5] = 1
    gap = gap_to_the_rest(y, p, members, ~members, np.arange(200), 200)
    assert isinstance(gap, Gap)
    assert gap.value == pytest.approx(
        roc_auc_score(y[0, ~members], p[0, ~members]) - roc_auc_score(y[0, members], p[0, members])
    )
    reason = gap_to_the_rest(y[1:], p[1:], members, ~members, np.arange(200), 200)
    assert isinstance(reason, str)
    assert "6 subjects of each class" in reason


def test_all_but_a_suppressed_group_have_no_gap_that_tells_its_score(study: Any) -> None:
    cohort, predictions = study("mortality", ["mortality"], 400, CELLS)
    test = cohort.filter(pl.col("split") == "test").unique("subject_id", keep="first", maintain_order=True)
    chosen = test["stay_id"][:40].to_list()
    ward = pl.when(pl.col("stay_id").is_in(chosen)).then(pl.lit("rare")).otherwise(pl.lit("common"))
    for least, told in ((40, True), (41, False)):
        config = EvaluateConfig(resamples=200, interval_resamples=100, groups=("ward",), min_group=least)
        table = evaluate(predictions, {"mortality": cohort.with_columns(ward.alias("ward"))}, config)["subgroups"]
        common = table.row(by_predicate=pl.col("group") == "common", named=True)
        assert (common["gap"] is not None) is told
        assert common["suppressed"] is not told


@pytest.mark.parametrize(("size", "suppressed"), [(9, True), (10, False)])
def test_small_groups_are_suppressed_counts_included(study: Any, size: int, suppressed: bool) -> None:
    cohort, predictions = study("mortality", ["mortality"], 200, CELLS)
    chosen = cohort.filter(pl.col("split") == "test")["stay_id"][:size].to_list()
    cohort = cohort.with_columns(
        pl.when(pl.col("stay_id").is_in(chosen)).then(pl.lit("rare")).otherwise(pl.lit("common")).alias("ward")
    )
    config = EvaluateConfig(resamples=200, interval_resamples=100, groups=("ward",), min_events=0)
    table = evaluate(predictions, {"mortality": cohort}, config)["subgroups"].filter(pl.col("attribute") == "ward")
    rare = table.row(by_predicate=pl.col("group") != "common", named=True)
    assert rare["group"] == ("(smaller groups)" if suppressed else "rare")
    assert rare["suppressed"] is suppressed
    values = [rare[name] for name in table.columns[5:] if name != "suppressed"]
    assert all(value is None for value in values) == suppressed
    common = table.row(by_predicate=pl.col("group") == "common", named=True)
    # All stays less the common ones would be the rare ones.
    assert (common["auroc"] is None) == suppressed


@pytest.mark.parametrize("least", [6, 7])
def test_groups_with_few_outcomes_are_suppressed(study: Any, least: int) -> None:
    cohort, predictions = study("mortality", ["mortality"], 400, CELLS)
    test = cohort.filter(pl.col("split") == "test").sort("mortality", "subject_id")
    # One stay each of different subjects: thirty survivors and six who died.
    alive = test.filter(pl.col("mortality") == 0).unique("subject_id", keep="first", maintain_order=True)[:30]
    died = test.filter(pl.col("mortality") == 1).unique("subject_id", keep="first", maintain_order=True)[:6]
    chosen = [*alive["stay_id"], *died["stay_id"]]
    ward = pl.when(pl.col("stay_id").is_in(chosen)).then(pl.lit("few")).otherwise(pl.col("gender")).alias("ward")
    config = EvaluateConfig(resamples=200, interval_resamples=100, groups=("ward",), min_events=least)
    table = evaluate(predictions, {"mortality": cohort.with_columns(ward)}, config)["subgroups"]
    rows = table.filter(pl.col("attribute") == "ward")
    hidden = dict(rows.select("group", "suppressed").rows())
    assert hidden["few"] is (least == 7)
    assert sum(hidden.values()) == (2 if least == 7 else 0)


def test_observed_to_expected_by_hand_and_its_interval_covers() -> None:
    y, p = np.array([[1.0, 0, 0, 1, np.nan]]), np.array([[0.5, 0.25, 0.25, 0.5, 0.9]])
    assert observed_to_expected(y, p, np.arange(5), 0.95)["observed_expected"] == pytest.approx(2 / 1.5)
    none = observed_to_expected(np.zeros((1, 3)), p[:, :3], np.arange(3), 0.95)
    assert none["observed_expected"] == 0
    assert np.isnan(none["observed_expected_low"])
    rng = np.random.default_rng(1)
    within = 0
    for _ in range(1000):
        # Two stays of each subject share a risk that is 1.5 times what is predicted.
        risk = np.repeat(rng.beta(2, 8, 100), 2)
        y = (rng.random(200) < 1.5 * np.minimum(risk, 0.66)).astype(float)
        found = observed_to_expected(y[None], np.minimum(risk, 0.66)[None], np.repeat(np.arange(100), 2), 0.95)
        within += found["observed_expected_low"] <= 1.5 <= found["observed_expected_high"]
    assert 0.93 <= within / 1000 <= 0.97


def test_values_of_few_subjects_are_not_written(study: Any) -> None:
    cohort, predictions = study("mortality", ["mortality"], 300, CELLS)
    held_out = cohort.filter(pl.col("split") == "test")["stay_id"].to_list()
    twelve, elsewhere = held_out[:12], cohort.filter(pl.col("split") != "test")["stay_id"].to_list()[:20]
    name = pl.col("subject_id").cast(pl.String) + " Anna"
    cohort = cohort.with_columns(
        pl.when(pl.col("stay_id").is_in(twelve)).then(pl.lit("ward 1"))
        .when(pl.col("stay_id").is_in([held_out[12], *elsewhere])).then(pl.lit("ward 2"))
        .otherwise(name).alias("ward")
    )  # fmt: skip
    config = EvaluateConfig(resamples=200, interval_resamples=100, groups=("ward",), min_events=0)
    table = evaluate(predictions, {"mortality": cohort}, config)["subgroups"].filter(pl.col("attribute") == "ward")
    # Of ward 2 one test stay is not enough for numbers, but its subjects in all splits are for its name.
    rows = table.sort("group").select("group", "suppressed").rows()
    assert rows == [("(smaller groups)", True), ("ward 1", False), ("ward 2", True)]


def test_a_group_of_one_class_is_null_but_counted(study: Any) -> None:
    cohort, predictions = study("mortality", ["mortality"], 300, CELLS)
    female = cohort.filter(pl.col("gender") == "F")["stay_id"].to_list()
    alive = predictions.with_columns(
        pl.when(pl.col("stay_id").is_in(female)).then(pl.lit(0.0)).otherwise(pl.col("target")).alias("target")
    )
    config = CONFIG.model_copy(update={"min_events": 0})
    table = evaluate(alive, {"mortality": cohort}, config)["subgroups"]
    row = table.row(by_predicate=pl.col("group") == "F", named=True)
    assert row["n_stays"] > 10
    assert row["positives"] == 0
    assert not row["suppressed"]
    assert [row[name] for name in ("auroc", "low", "high", "gap", "gap_low", "gap_high")] == [None] * 6


def test_missing_values_are_a_group_and_three_columns_can_be_crossed(study: Any) -> None:
    cohort, predictions = study("mortality", ["mortality"], 300, CELLS)
    cohort = cohort.with_columns(
        pl.when(pl.col("stay_id") % 2 == 0).then(pl.lit("day")).alias("shift"),
        (pl.col("stay_id") % 5 == 0).alias("weekend"),
    )
    config = EvaluateConfig(resamples=100, interval_resamples=100, crossed=(("gender", "shift", "weekend"),))
    table = evaluate(predictions, {"mortality": cohort}, config)["subgroups"]
    groups = table.filter(pl.col("attribute") == "gender × shift × weekend")["group"]
    assert "F × unknown × false" in groups.to_list()
    assert len(groups) == 8


def test_columns_named_must_exist(study: Any) -> None:
    cohort, predictions = study("mortality", ["mortality"], 60, CELLS)
    with pytest.raises(ConfigError, match=r"evaluate.groups names 'gendr'.*did you mean 'gender'"):
        evaluate(predictions, {"mortality": cohort}, EvaluateConfig(groups=("gendr",)))
    with pytest.raises(ConfigError, match=r"evaluate.crossed names 'ward'"):
        evaluate(predictions, {"mortality": cohort}, EvaluateConfig(crossed=(("gender", "ward"),)))
    with pytest.raises(ConfigError, match=r"evaluate.attributes names 'ward'"):
        evaluate(predictions, {"mortality": cohort}, EvaluateConfig(attributes=("gender", "ward")))
    # The usual columns are used where they exist.
    spelled_out = EvaluateConfig.model_validate(CONFIG.model_dump(mode="json"))
    for config in (CONFIG, spelled_out):
        bare = evaluate(predictions, {"mortality": cohort.drop("gender", "ethnicity")}, config)
        assert len(bare["subgroups"]) == 0
