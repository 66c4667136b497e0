"""The choice of a cell on validation: cells that cannot be told apart, the simplest of them, and how sure it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from picme.config.evaluate import EvaluateConfig
from picme.evaluate import evaluate
from picme.evaluate.bootstrap import SubjectResamples
from picme.evaluate.intervals import estimated
from picme.evaluate.selection import indistinguishable

CONFIG = EvaluateConfig(resamples=200, interval_resamples=200)


def drawn(aurocs: list[float], stays: int, study: int, labels: int = 1) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the scores of cells with these true AUROCs on the same stays, and in resamples."""
    rng = np.random.default_rng(study)
    y = (rng.random((labels, stays)) < (0.3 if labels == 1 else np.linspace(0.05, 0.4, labels)[:, None])).astype(float)
    shared = rng.normal(size=y.shape)
    resamples = SubjectResamples.draw(stays, 200, study)
    found = [
        estimated(
            y,
            np.sqrt(2) * norm.ppf(auroc) * y + np.sqrt(0.6) * shared + np.sqrt(0.4) * rng.normal(size=y.shape),
            np.arange(stays),
            resamples,
            others=False,
        )["auroc"]
        for auroc in aurocs
    ]
    resampled = np.array([one.drawn for one in found])
    resampled = resampled[:, np.isfinite(resampled).all(axis=0)]
    return np.array([one.value for one in found]), resampled, found[0].size


@pytest.mark.parametrize(
    ("aurocs", "stays", "labels"),
    [([0.8, 0.75, 0.75, 0.7, 0.65, 0.6], 120, 1), ([0.75] * 6, 120, 1), ([0.75] * 6, 30, 1), ([0.75] * 6, 40, 12)],
)
def test_the_truly_best_cell_is_among_the_tied_as_often_as_claimed(
    aurocs: list[float], stays: int, labels: int
) -> None:
    kept = [indistinguishable(*drawn(aurocs, stays, study, labels), 0.95) for study in range(120)]
    # Binomial: with 95 % of 120 studies expected, fewer than 107 happen in 1 of 200 tries.
    assert sum(mask[0] for mask in kept) >= 107
    if aurocs[-1] < 0.65:
        assert np.mean([mask[-1] for mask in kept]) < 0.6


def test_clear_differences_leave_one_cell() -> None:
    values, resamples, size = drawn([0.95, 0.7, 0.6], 800, 1)
    assert indistinguishable(values, resamples, size, 0.95).tolist() == [True, False, False]


def test_equal_predictions_are_tied_and_a_cell_ahead_in_every_resample_is_not() -> None:
    rng = np.random.default_rng(0)
    base = 0.7 + 0.02 * rng.normal(size=100)
    values, resamples = np.array([0.7, 0.7, 0.65]), np.stack([base, base, base - 0.05])
    assert indistinguishable(values, resamples, 30, 0.95).tolist() == [True, True, False]


def test_the_simplest_of_the_tied_is_chosen(study: Any) -> None:
    cells = [
        ("a+b+c", "supervised", 1, 1.05),
        ("a+b", "supervised", 1, 1.0),
        ("a", "supervised", 1, 0.95),
        ("b", "supervised", 1, 0.0),
        ("a", "random", 1, 3.0),
    ]
    cohort, predictions = study("mortality", ["mortality"], 240, cells)
    rows = evaluate(predictions, {"mortality": cohort}, CONFIG)["summary"]
    chosen = rows.filter("selected").row(0, named=True)
    singles = rows.filter(pl.col("tied") & ~pl.col("combination").str.contains("+", literal=True))
    assert (chosen["combination"], chosen["strategy"]) == ("a", "supervised")
    assert chosen["validation_auroc"] == singles["validation_auroc"].max()
    assert rows.filter(pl.col("strategy") == "random")["tied"].to_list() == [None], "a control may not be chosen"
    assert rows["best_share"].sum() == pytest.approx(1)


def test_shares_are_those_of_resamples_by_scikit_learn(study: Any) -> None:
    cohort, predictions = study(
        "mortality", ["mortality"], 150, [("a", "supervised", 1, 1.0), ("b", "supervised", 1, 0.8)]
    )
    rows = evaluate(predictions, {"mortality": cohort}, CONFIG)["summary"]
    held_out = cohort.filter(pl.col("split") == "val")
    subject = np.unique(held_out["subject_id"].to_numpy(), return_inverse=True)[1]
    weights = np.concatenate(SubjectResamples.draw(subject.max() + 1, 200, 0).blocks, axis=1)[subject].T.astype(float)
    y = held_out["mortality"].to_numpy()
    areas = []
    for name in ("a", "b"):
        here = predictions.filter((pl.col("split") == "val") & (pl.col("combination") == name))
        p = held_out.join(here, on="stay_id", how="left", maintain_order="left")["probability"].to_numpy()
        areas.append([roc_auc_score(y, p, sample_weight=w) for w in weights])
    first, second = np.array(areas)
    share = np.mean(first > second) + np.mean(first == second) / 2
    assert rows.filter(pl.col("combination") == "a")["best_share"].item() == pytest.approx(share)


def test_a_single_event_tells_no_cells_apart_and_few_do(study: Any) -> None:
    cells = [("a+b", "supervised", 1, 5.0), ("a", "supervised", 1, 0.0)]
    cohort, predictions = study("mortality", ["mortality"], 240, cells)
    val = cohort.filter(pl.col("split") == "val")
    positives = val.filter(pl.col("mortality") == 1)["subject_id"].unique(maintain_order=True)
    for events, tied, chosen in ((1, [True, True], "a"), (5, [True, False], "a+b")):
        gone = positives[events:].implode()
        kept = cohort.filter((pl.col("split") != "val") | ~pl.col("subject_id").is_in(gone))
        here = predictions.filter(pl.col("stay_id").is_in(kept["stay_id"].implode()))
        rows = evaluate(here, {"mortality": kept}, CONFIG)["summary"].sort("combination", descending=True)
        assert rows["tied"].to_list() == tied
        assert rows.filter("selected")["combination"].to_list() == [chosen]
