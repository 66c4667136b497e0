from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from picme.config.evaluate import EvaluateConfig
from picme.errors import ConfigError
from picme.evaluate import evaluate
from picme.evaluate.bootstrap import SubjectResamples
from picme.evaluate.predictions import SplitStays

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
        assert row["suppressed"] == (len(members) < 10)
        if row["suppressed"]:
            continue
        assert row["n_stays"] == len(members)
        assert row["n_subjects"] == members["subject_id"].n_unique()
        assert row["positives"] == members["target"].sum()
        assert row["auroc"] == pytest.approx(roc_auc_score(members["target"], members["probability"]), abs=1e-9)
        assert row["low"] <= row["auroc"] <= row["high"]
    # Groups divide the stays: nobody is lost.
    assert table.filter(pl.col("attribute") == "gender")["n_stays"].sum() == len(mean)


def test_gap_and_its_interval(study: Any) -> None:
    cohort, predictions = study("mortality", ["mortality"], 300, CELLS)
    table = evaluate(predictions, {"mortality": cohort}, CONFIG)["subgroups"].filter(pl.col("attribute") == "gender")
    best = table.sort("auroc")[-1]
    other = table.sort("auroc")[0]
    assert best["gap"].item() == 0
    assert best["best"].item()
    assert other["gap"].item() == pytest.approx(best["auroc"].item() - other["auroc"].item())
    # The interval resamples both groups with the same draws of subjects.
    stays = SplitStays.of(cohort, "test")
    mean = predictions.group_by("stay_id").agg(pl.col("probability").mean(), pl.col("target").first())
    frame = stays.frame.join(mean, on="stay_id", maintain_order="left")
    y, p, gender = (frame[name].to_numpy() for name in ("target", "probability", "gender"))
    gaps = []
    for weights in np.concatenate(SubjectResamples.draw(stays.n_subjects, 300, 0).blocks, axis=1).T:
        w = weights[stays.subject].astype(float)
        area = {
            g: roc_auc_score(y[gender == g], p[gender == g], sample_weight=w[gender == g])
            for g in (best["group"].item(), other["group"].item())
        }
        gaps.append(area[best["group"].item()] - area[other["group"].item()])
    assert (other["gap_low"].item(), other["gap_high"].item()) == pytest.approx(
        tuple(np.quantile(gaps, [0.025, 0.975]))
    )


@pytest.mark.parametrize(("size", "suppressed"), [(9, True), (10, False)])
def test_small_groups_are_suppressed_counts_included(study: Any, size: int, suppressed: bool) -> None:
    cohort, predictions = study("mortality", ["mortality"], 200, CELLS)
    chosen = cohort.filter(pl.col("split") == "test")["stay_id"][:size].to_list()
    cohort = cohort.with_columns(
        pl.when(pl.col("stay_id").is_in(chosen)).then(pl.lit("rare")).otherwise(pl.lit("common")).alias("ward")
    )
    config = EvaluateConfig(resamples=200, interval_resamples=100, groups=("ward",))
    table = evaluate(predictions, {"mortality": cohort}, config)["subgroups"].filter(pl.col("attribute") == "ward")
    rare = table.row(by_predicate=pl.col("group") == "rare", named=True)
    assert rare["suppressed"] is suppressed
    values = [rare[name] for name in table.columns[5:] if name != "suppressed"]
    assert all(value is None for value in values) == suppressed
    common = table.row(by_predicate=pl.col("group") == "common", named=True)
    assert common["auroc"] is not None
    assert common["gap"] is not None


def test_a_group_of_one_class_is_null_but_counted(study: Any) -> None:
    cohort, predictions = study("mortality", ["mortality"], 300, CELLS)
    female = cohort.filter(pl.col("gender") == "F")["stay_id"].to_list()
    alive = predictions.with_columns(
        pl.when(pl.col("stay_id").is_in(female)).then(pl.lit(0.0)).otherwise(pl.col("target")).alias("target")
    )
    table = evaluate(alive, {"mortality": cohort}, CONFIG)["subgroups"]
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
