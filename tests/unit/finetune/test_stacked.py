from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from picme.config.loading import validate
from picme.errors import ConfigError
from picme.finetune.stacked import combined, fit_weights, without_fold
from picme.predict import predict
from picme.pretrain.features import open_encoded
from picme.study import Study

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from picme.finetune.step import Stacked
    from picme.pipeline import Run

NAMES = ("labs", "person", "vitals")
BASES = ["contrastive", "supervised", "gradient_boosting"]
FOLDS = 3


@pytest.fixture(scope="module")
def study(finished: Callable[..., Run]) -> Run:
    return finished(
        "evaluate",
        study={"seeds": 2},
        finetune={
            "strategies": ["stacked", "stacked_mean", *BASES], "combinations": "all", "stacked": {"folds": FOLDS},
        },
    )  # fmt: skip


def step_of(study: Run, name: str = "stacked", combination: tuple[str, ...] = NAMES, seed: int = 0) -> Stacked:
    step: Any = study.design.finetune("label", combination, name, seed)
    return step


def saved(study: Run, step: Any) -> dict[str, np.ndarray]:
    return dict(np.load(study.store.path(step) / "predictions.npz"))


# ---- the weights


def told(n: int = 4000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two independent witnesses of the label, and one that knows nothing; (strategy, stay, label)."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, n).astype(float)
    seen = np.stack([y - 0.5, y - 0.5, np.zeros(n)]) * [[1.0], [1.0], [0.0]] + rng.normal(size=(3, n))
    return expit(seen)[:, :, None], y[:, None], np.arange(n) % 5


def test_weights_find_who_knows_and_beat_each_alone() -> None:
    p, y, fold = told()
    (found,) = fit_weights(p, y, fold)
    assert found is not None
    one, other, nothing = found["weights"]
    assert one == pytest.approx(other, rel=0.15)
    assert abs(nothing) < 0.1 * one
    alone = [roc_auc_score(y, each) for each in p]
    # Two witnesses of d' = 1 together have d' = √2: AUROC Φ(1) = 0.841.
    assert roc_auc_score(y, combined([found], p)) == pytest.approx(0.841, abs=0.015)
    assert max(alone) < 0.78


def test_combination_is_a_logistic_regression_of_the_logits() -> None:
    p, y, fold = told(300)
    weights = fit_weights(p, y, fold)
    found = weights[0]
    assert found is not None
    x = (logit(p[:, :, 0]).T - found["mean"]) / found["deviation"]
    expected = expit(np.clip(x, -5, 5) @ found["weights"] + found["bias"])
    np.testing.assert_allclose(combined(weights, p)[:, 0], expected, rtol=1e-9)
    # Cases before rows are kept as they are.
    cases = np.stack([p, p[:, ::-1]], axis=1)
    np.testing.assert_allclose(combined(weights, cases)[1, ::-1, 0], expected, rtol=1e-9)


def test_without_weights_the_mean_of_the_logits_of_those_that_know_a_label() -> None:
    p = np.array([[[0.2, np.nan, np.nan]], [[0.6, 0.7, np.nan]]])
    expected = [[expit((logit(0.2) + logit(0.6)) / 2), 0.7, np.nan]]
    np.testing.assert_allclose(combined(None, p), expected)
    np.testing.assert_allclose(combined([None, None, None], p), expected)


def test_a_label_of_which_a_fold_leaves_one_class_has_no_weights() -> None:
    p, y, fold = told(100)
    y[:] = 0
    y[3] = 1
    assert fit_weights(p, y, fold) == [None]
    known = told(100)[1]
    p[1] = np.nan
    assert fit_weights(p, known, fold) == [None]


# ---- the study


def test_each_fold_is_predicted_by_models_of_the_others(study: Run) -> None:
    """Folds are of training stays, each in one, subjects whole; no validation or test stay is among them."""
    step = step_of(study)
    view = open_encoded(step.cell.prepare, "label", step.cell.encodings, study.store)
    assert step.weights is not None
    train = set(view.usable(NAMES, "train").tolist())
    subject = view.cohort["subject_id"].to_numpy()
    by_strategy: dict[str, list[set[int]]] = {}
    for one in step.weights.out_of_fold:
        splits = without_fold(one, view, study.store).splits
        assert set(splits["train"].tolist()) == train - set(splits["test"].tolist())
        assert not set(subject[splits["train"]]) & set(subject[splits["test"]])
        np.testing.assert_array_equal(splits["val"], view.splits["val"])
        np.testing.assert_array_equal(saved(study, one)["test_rows"], splits["test"])
        by_strategy.setdefault(one.cell.strategy, []).append(set(splits["test"].tolist()))
    assert list(by_strategy) == BASES
    for folds in by_strategy.values():
        assert len(folds) == FOLDS
        assert set().union(*folds) == train
        assert sum(map(len, folds)) == len(train)


def test_predictions_combine_those_of_the_strategies(study: Run) -> None:
    for seed in range(2):
        step, mean = step_of(study, seed=seed), step_of(study, "stacked_mean", seed=seed)
        assert [one.cell.strategy for one in step.bases] == BASES
        assert {one.seed for one in step.bases} == {seed}
        assert step.weights is not None
        weights = json.loads((study.store.path(step.weights) / "weights.json").read_text())
        for split in ("val", "test"):
            p = np.stack([saved(study, one)[split] for one in step.bases])
            np.testing.assert_allclose(saved(study, step)[split], combined(weights, p))
            np.testing.assert_allclose(saved(study, mean)[split], expit(logit(p).mean(axis=0)), rtol=1e-6)
    assert step_of(study, seed=1).weights == step_of(study, seed=0).weights


def test_a_single_modality_has_the_strategies_that_are_defined_for_it(study: Run) -> None:
    assert [one.cell.strategy for one in step_of(study, combination=("labs",)).bases] == BASES[1:]


def test_tables_judge_a_stack_like_the_others(study: Run) -> None:
    tables = {file.stem: pl.read_parquet(file) for file in (study.folder / "results").glob("*.parquet")}
    families = set(tables["comparisons"]["family"])
    assert {"stacked vs gradient_boosting", "stacked vs stacked_mean", "stacked vs contrastive"} <= families
    for table in ("summary", "calibration", "thresholds", "value", "lattice"):
        assert "stacked" in tables[table]["strategy"].to_list()
    assert not tables["summary"].filter(pl.col("selected"))["strategy"].is_in(["stacked_mean"]).any()
    assert "out_of_fold" not in tables["runtimes"]["stage"].to_list()


def test_shapley_values_add_up_to_what_the_whole_is_above_chance(study: Run) -> None:
    found = pl.read_parquet(study.folder / "results" / "attributions.parquet").filter(strategy="stacked")
    assert found["method"].unique().to_list() == ["shapley"]
    assert found["modality"].to_list() == list(NAMES)
    scores = pl.read_parquet(study.folder / "results" / "scores.parquet")
    whole = scores.filter(strategy="stacked", combination="+".join(NAMES), split="test", label="label")["auroc"].mean()
    assert whole is not None
    assert found["value"].sum() == pytest.approx(whole - 0.5, abs=1e-6)  # type: ignore[operator]


@pytest.mark.parametrize("strategy", ["stacked", "gradient_boosting"])
def test_new_stays_are_predicted_as_the_study_predicts_them(study: Run, strategy: str, tmp_path: Path) -> None:
    """The study's own stays as a new cohort: probabilities are those stored, calibrated on validation."""
    from picme.evaluate.recalibrate import recalibrated

    files = tmp_path / "found.parquet", tmp_path / "added.parquet"
    predict(study.folder, study.folder, "label", strategy, "+".join(NAMES), *files)
    steps = [study.design.finetune("label", NAMES, strategy, seed) for seed in range(2)]
    raw = [saved(study, step) for step in steps]
    mean = np.mean([one["test"] for one in raw], axis=0)
    cohort = pl.read_parquet(study.prepared / "views" / "label" / "cohort.parquet")
    expected = pl.DataFrame(
        {
            "stay_id": cohort["stay_id"].gather(raw[0]["test_rows"]),
            "expected": recalibrated(steps, ("label",), study.store, mean)[:, 0],
            "logit": np.mean([logit(one["test"][:, 0]) for one in raw], axis=0),
        }
    )
    both = expected.join(pl.read_parquet(files[0]), on="stay_id", how="left")
    np.testing.assert_allclose(both["label"].to_numpy(), both["expected"].to_numpy(), rtol=1e-5)
    # Contributions add up to the logit, but for that of a stay with nothing, which is one number.
    added = pl.read_parquet(files[1]).group_by("stay_id").agg(pl.col("contribution").sum())
    rest = expected.join(added, on="stay_id").select(pl.col("logit") - pl.col("contribution")).to_series()
    assert rest.std() < 1e-4  # type: ignore[operator]


def test_absent_modalities_contribute_nothing(study: Run, tmp_path: Path) -> None:
    files = tmp_path / "found.parquet", tmp_path / "added.parquet"
    predict(study.folder, study.folder, "label", "stacked", "+".join(NAMES), *files)
    absent = pl.read_parquet(files[1]).filter(~pl.col("present"))["contribution"]
    assert len(absent) > 10
    assert absent.abs().max() < 1e-9  # type: ignore[operator]


@pytest.mark.parametrize("strategy", ["stacked", "gradient_boosting"])
def test_what_has_no_encoders_has_no_embeddings_of_its_own(study: Run, strategy: str) -> None:
    model = Study(study.folder).model("label", strategy, "+".join(NAMES))
    with pytest.raises(ConfigError, match=f"{strategy} has no embeddings of its own"):
        model.encode(study.folder)


def test_a_stack_is_left_out_where_fewer_than_two_of_its_strategies_are_defined(tree: dict[str, Any]) -> None:
    """A single modality has no `contrastive`, and two have no gate of their own."""
    from picme.design.study import Design

    stack = {"strategies": ["stacked"], "stacked": {"strategies": ["contrastive", "gradient_boosting"]}}
    design = Design(validate(tree | {"finetune": tree["finetune"] | stack}))
    assert [one.name for one in design._strategies(("stacked", "supervised"), 1)] == ["supervised"]
    assert [one.name for one in design._strategies(("stacked", "supervised"), 2)] == ["stacked", "supervised"]
    stack["stacked"] = {"strategies": ["gated", "gated_uniform"]}
    sizes = {"study": tree["study"] | {"combination_sizes": [2]}}
    with pytest.raises(ConfigError, match="of gated, gated_uniform, 2 modalities have gated_uniform, and at least two"):
        validate(tree | sizes | {"finetune": tree["finetune"] | stack})


@pytest.mark.parametrize(
    ("strategies", "message"),
    [
        (["supervised"], "at least two"),
        (["supervised", "any_subset"], "any_subset trains no model of its own"),
        (["supervised", "late_fusion"], "late_fusion trains no model of its own"),
        (["supervised", "stacked"], "stacked trains no model of its own"),
        (["supervised", "gradient_bosting"], "did you mean 'gradient_boosting'"),
    ],
)
def test_what_cannot_be_stacked_is_refused(tree: dict[str, Any], strategies: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(tree | {"finetune": tree["finetune"] | {"stacked": {"strategies": strategies}}})
