from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from picme.config.evaluate import EvaluateConfig, ThresholdRule
from picme.evaluate import evaluate
from picme.evaluate.bootstrap import SubjectResamples
from picme.evaluate.fairness import METRICS, differences
from picme.evaluate.predictions import Predictions
from picme.evaluate.thresholds import settle_threshold

CONFIG = EvaluateConfig(resamples=100, interval_resamples=100)


def test_against_rates_by_hand(study: Any) -> None:
    cells = [("a", "supervised", 2, 1.5), ("a", "random", 2, 1.5)]
    cohort, predictions = study("mortality", ["mortality"], 400, cells)
    table = evaluate(predictions, {"mortality": cohort}, CONFIG)["fairness"]
    assert set(table["strategy"]) == {"supervised"}
    task = Predictions(predictions).task("mortality", cohort)
    cell = task.cell("a", "supervised")
    rule = ThresholdRule(kind="youden")
    held_out = task.stays["val"]
    draws = SubjectResamples.draw(held_out.n_subjects, 100, CONFIG.seed)
    settled = settle_threshold(cell.y["val"][0], cell.ensemble("val")[0], held_out.subject, rule, draws)
    called = cell.ensemble("test")[0] >= settled[0]
    y = cell.y["test"][0]
    gender = task.stays["test"].frame["gender"].to_numpy()
    selected = [called[gender == g].mean() for g in "FM"]
    tpr = [called[(gender == g) & (y == 1)].mean() for g in "FM"]
    fpr = [called[(gender == g) & (y == 0)].mean() for g in "FM"]
    found = dict(table.filter(pl.col("attribute") == "gender").select("metric", "value").rows())
    assert found["demographic_parity_difference"] == pytest.approx(np.ptp(selected))
    assert found["equal_opportunity_difference"] == pytest.approx(np.ptp(tpr))
    assert found["equalized_odds_difference"] == pytest.approx(max(np.ptp(tpr), np.ptp(fpr)))


def test_null_where_a_group_has_one_class(study: Any) -> None:
    cohort, predictions = study("mortality", ["mortality"], 300, [("a", "supervised", 1, 1.5)])
    female = cohort.filter(pl.col("gender") == "F")["stay_id"].to_list()
    alive = predictions.with_columns(
        pl.when(pl.col("stay_id").is_in(female)).then(pl.lit(0.0)).otherwise(pl.col("target")).alias("target")
    )
    config = CONFIG.model_copy(update={"min_events": 0})
    table = evaluate(alive, {"mortality": cohort}, config)["fairness"].filter(pl.col("attribute") == "gender")
    found = dict(table.select("metric", "value").rows())
    assert found["demographic_parity_difference"] is not None
    assert found["equal_opportunity_difference"] is None
    assert found["equalized_odds_difference"] is None


@pytest.mark.parametrize("seed", range(5))
def test_against_fairlearn(seed: int) -> None:
    metrics = pytest.importorskip("fairlearn.metrics")
    rng = np.random.default_rng(seed)
    y, called, group = rng.random(200) < 0.3, rng.random(200) < 0.4, rng.choice([1, 3, 4], 200)
    expected = [getattr(metrics, name)(y, called, sensitive_features=group) for name in METRICS]
    assert differences(y, called, group) == pytest.approx(expected, abs=1e-12)
