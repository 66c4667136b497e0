"""The missingness grid of a small study: what it judges, on which stays, by which models."""

from __future__ import annotations

from itertools import chain, combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from torch import nn

from picme.config.loading import validate
from picme.design.graph import study_graph
from picme.design.subsets import missing
from picme.engine.step import Context
from picme.errors import ConfigError, DataError
from picme.evaluate.by_subset import place, whole_models
from picme.finetune.restore import restore
from picme.modalities.withheld import draws, kept
from picme.pipeline import run as run_pipeline
from picme.pretrain.features import open_encoded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from picme.modalities.view import ViewData
    from picme.pipeline import Run

NAMES = ("labs", "person", "vitals")
SUBSETS = list(chain.from_iterable(combinations(NAMES, size) for size in (1, 2, 3)))
STRATEGIES = ["supervised", "contrastive", "any_subset", "late_fusion", "presence_only", "gradient_boosting"]


@pytest.fixture(scope="module")
def study(finished: Callable[..., Run]) -> Run:
    return finished(
        "evaluate",
        study={"seeds": 2, "withhold": ["complete", 0.4]},
        finetune={"strategies": STRATEGIES},
        evaluate={"missing": {"rates": [0.3, 0.6]}},
    )


@pytest.fixture(scope="module")
def view(study: Run) -> ViewData:
    encodings = [study.design.encoding(name) for name in NAMES]
    return open_encoded(study.design.prepare, "label", encodings, study.store)


@pytest.fixture(scope="module")
def tables(study: Run) -> dict[str, pl.DataFrame]:
    return {name: pl.read_parquet(study.folder / "results" / f"{name}.parquet") for name in ("missing", "robustness")}


def predictions(study: Run, step: Any) -> dict[str, np.ndarray]:
    with np.load(study.store.path(step) / "predictions.npz") as saved:
        return dict(saved)


def test_every_strategy_has_every_column(tables: dict[str, pl.DataFrame]) -> None:
    """Natural, 7 subsets, 3 mechanisms at 2 rates, each with 4 metrics."""
    counts = tables["missing"].group_by("strategy", "trained_on").len().rows()
    trained = {(name, on): 56 for name in STRATEGIES for on in ("as is", "complete", "0.4")}
    # Late fusion trains nothing, and what sees presence alone has nothing to see in one modality.
    dedicated = {(name, "dedicated"): 56 for name in ("supervised", "gradient_boosting")}
    assert {(name, on): count for name, on, count in counts} == trained | dedicated
    assert tables["robustness"].height == 4 * len(trained | dedicated)
    made = tables["robustness"].select("worst", "area", "area_mar", "area_mnar", "more_is_worse")
    assert made.null_count().sum_horizontal()[0] == 0


def test_all_strategies_are_judged_on_the_same_stays(tables: dict[str, pl.DataFrame]) -> None:
    place_ = ["mechanism", "rate", "subset", "metric"]
    same = tables["missing"].group_by(place_).agg(pl.col("n").n_unique(), pl.col("withheld").n_unique())
    assert same.height == 56
    assert same["n"].max() == 1 and same["withheld"].max() == 1


def test_values_equal_scikit_learn(study: Run, view: ViewData, tables: dict[str, pl.DataFrame]) -> None:
    """Natural and MCAR columns of `late_fusion` and `any_subset`, from stored predictions."""
    rows = view.usable(NAMES, "test")
    target, has = view.labels(["label"])[rows, 0], view.present(NAMES)[rows]
    drawn = draws(view.cohort["subject_id"].gather(rows).to_list(), NAMES, 0)
    for rate in (None, 0.3, 0.6):
        keeps = has if rate is None else kept(has, rate, drawn)
        single = np.zeros((3, len(view)))
        for number, name in enumerate(NAMES):
            for seed in (0, 1):
                found = predictions(study, study.design.finetune("label", (name,), "supervised", seed))
                single[number, found["test_rows"]] += found["test"][:, 0] / 2
        late = (single.T[rows] * keeps).sum(axis=1) / keeps.sum(axis=1)
        subset = np.zeros(len(rows))
        for names in SUBSETS:
            mine = (keeps == [name in names for name in NAMES]).all(axis=1)
            for seed in (0, 1):
                found = predictions(study, study.design.finetune("label", names, "any_subset", seed))
                where = dict(zip(found["test_rows"], found["test"][:, 0], strict=True))
                subset[mine] += [where[row] / 2 for row in rows[mine]]
        for strategy, p in (("late_fusion", late), ("any_subset", subset)):
            grid = tables["missing"].filter(
                (pl.col("strategy") == strategy)
                & (pl.col("trained_on") == "as is")
                & (pl.col("mechanism") == ("natural" if rate is None else "mcar"))
                & pl.col("rate").eq_missing(rate)
            )
            values = dict(grid.select("metric", "value").rows())
            assert values["auroc"] == pytest.approx(roc_auc_score(target, p), abs=1e-5)
            assert values["auprc"] == pytest.approx(average_precision_score(target, p), abs=1e-4)
            assert values["brier"] == pytest.approx(brier_score_loss(target, p), abs=1e-6)
            assert grid["withheld"][0] == pytest.approx(1 - keeps.sum() / has.sum())


def test_subsets_are_judged_on_complete_stays(study: Run, view: ViewData, tables: dict[str, pl.DataFrame]) -> None:
    rows = view.usable(NAMES, "test", at_least=3)
    target = view.labels(["label"])[rows, 0]
    for names in SUBSETS:
        p = np.zeros(len(view))
        for seed in (0, 1):
            found = predictions(study, study.design.finetune("label", names, "supervised", seed))
            p[found["test_rows"]] += found["test"][:, 0] / 2
        row = tables["missing"].row(
            by_predicate=(pl.col("strategy") == "supervised")
            & (pl.col("trained_on") == "dedicated")
            & (pl.col("subset") == "+".join(names))
            & (pl.col("metric") == "auroc"),
            named=True,
        )
        assert row["value"] == pytest.approx(roc_auc_score(target, p[rows]), abs=1e-9)
        assert row["n"] == len(rows)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_stays_as_they_are_are_predicted_as_in_the_study(study: Run, view: ViewData, strategy: str) -> None:
    """The prediction from all that a stay has is the stored one, also of a model on summary features."""
    rows = view.usable(NAMES, "test")
    step = study.design.finetune("label", NAMES, strategy, 0)
    found = whole_models([step], view, rows, Context(study.store, "cpu"))
    stored = predictions(study, step)
    np.testing.assert_array_equal(stored["test_rows"], rows)
    has = view.present(NAMES)[rows]
    np.testing.assert_allclose(found[place(has), np.arange(len(rows))], stored["test"], atol=1e-5)


def test_mar_spares_its_modality_and_goes_by_it(study: Run, view: ViewData) -> None:
    from picme.evaluate.missing import columns
    from picme.evaluate.predicted import Predicted

    step = missing(study.design, [study.design.finetune("label", NAMES, "supervised", 0)], dedicated=False)
    rows = view.usable(NAMES, "test")
    target = view.labels(["label"])[rows].astype(float)
    (measured,) = step.severity
    severity = np.load(study.store.path(measured) / "severity.npy")[rows]
    assert step.anchor == "vitals" and np.isnan(severity).tolist() == (~view.present(["vitals"])[rows, 0]).tolist()
    assert roc_auc_score(target[~np.isnan(severity), 0], severity[~np.isnan(severity)]) > 0.65
    has = view.present(NAMES)[rows]
    subjects = view.cohort["subject_id"].to_numpy()[rows]
    stays = Predicted(target.T, np.empty((1, 7, 1, len(rows))), subjects, has, rows)
    lost: dict[str, list[np.ndarray]] = {"mcar": [], "mar": [], "mnar": []}
    for seed in range(40):
        for one in columns(step.model_copy(update={"seed": seed}), stays, severity, NAMES):
            if one.rate == 0.3:
                lost[one.mechanism].append(has & ~one.kept)
                assert one.mechanism != "mar" or one.kept[:, 2].tolist() == has[:, 2].tolist()
    share = {name: np.mean(each, axis=0)[:, :2].mean(axis=1) for name, each in lost.items()}
    ill, known, died = severity > np.nanmedian(severity), ~np.isnan(severity), target[:, 0] == 1
    assert share["mar"][known & ill].mean() < share["mar"][known & ~ill].mean() - 0.08
    assert share["mnar"][died].mean() < share["mnar"][~died].mean() - 0.08
    assert share["mcar"][died].mean() == pytest.approx(share["mcar"][~died].mean(), abs=0.05)


def test_robustness_follows_from_the_grid(tables: dict[str, pl.DataFrame]) -> None:
    cell = (pl.col("strategy") == "any_subset") & (pl.col("trained_on") == "0.4")
    for metric, better in (("auroc", 1), ("brier", -1)):
        grid = tables["missing"].filter(cell & (pl.col("metric") == metric))
        found = tables["robustness"].filter(cell, metric=metric).row(0, named=True)
        subsets = dict(grid.filter(mechanism="subset").select("subset", "value").rows())
        worst = min(subsets, key=lambda name: better * subsets[name])
        assert (found["worst_subset"], found["worst"]) == (worst, subsets[worst])
        pairs = [
            better * subsets["+".join(more)] < better * subsets["+".join(fewer)]
            for fewer in SUBSETS
            for more in SUBSETS
            if len(more) == len(fewer) + 1 and set(fewer) < set(more)
        ]
        assert len(pairs) == 9 and found["more_is_worse"] == pytest.approx(np.mean(pairs))
        for name, mechanism in (("area", "mcar"), ("area_mar", "mar"), ("area_mnar", "mnar")):
            curve = [grid.filter(mechanism="natural")["value"][0], *grid.filter(mechanism=mechanism)["value"]]
            area = np.trapezoid(curve, [0, 0.3, 0.6]) / 0.6
            assert found[name] == pytest.approx(area)
            assert found[f"{name}_low"] < area < found[f"{name}_high"]


def test_training_stays_lack_what_is_withheld(study: Run, view: ViewData) -> None:
    has, splits = view.present(NAMES), view.splits
    for withhold in ("complete", 0.4):
        seen = {
            strategy: study.design.finetune("label", NAMES, strategy, 1, withhold=withhold).seen(view, study.store)
            for strategy in ("supervised", "gradient_boosting")
        }
        masks = [one.present(NAMES) for one in seen.values()]
        np.testing.assert_array_equal(masks[0], masks[1])
        np.testing.assert_array_equal(masks[0][splits["test"]], has[splits["test"]])
        for split in ("train", "val"):
            mine, there = masks[0][splits[split]], has[splits[split]]
            if withhold == "complete":
                np.testing.assert_array_equal(mine, there & there.all(axis=1, keepdims=True))
            else:
                assert 0.2 < 1 - mine.sum() / there.sum() < 0.45 and not (mine & ~there).any()
        other = study.design.finetune("label", NAMES, "supervised", 0, withhold=withhold).seen(view, study.store)
        np.testing.assert_array_equal(other.present(NAMES), masks[0], "all seeds, whose mean is judged, see the same")
        single = study.design.finetune("label", NAMES, "late_fusion", 1, withhold=withhold).singles[2]  # type: ignore[attr-defined]
        np.testing.assert_array_equal(single.seen(view, study.store).present(NAMES), masks[0])
    np.testing.assert_array_equal(view.present(NAMES), has)


def test_models_of_withheld_stays_differ_and_the_study_is_left_as_it_was(study: Run) -> None:
    design = study.design
    for strategy in ("supervised", "contrastive", "gradient_boosting", "presence_only"):
        of = {
            withhold: predictions(study, design.finetune("label", NAMES, strategy, 0, withhold=withhold))
            for withhold in (None, "complete", 0.4)
        }
        for other in ("complete", 0.4):
            np.testing.assert_array_equal(of[None]["test_rows"], of[other]["test_rows"])
            assert not np.array_equal(of[None]["test"], of[other]["test"])
    summary = pl.read_parquet(study.folder / "results" / "summary.parquet")
    assert summary.select("combination", "strategy").is_duplicated().sum() == 0


def test_a_grid_that_cannot_be_made_is_refused(tree: dict[str, Any]) -> None:
    for sections, message in (
        ({"study": {"withhold": [0.2]}}, "study.withhold trains models for evaluate.missing, which is off"),
        ({"evaluate": {"missing": {"severity": "vital"}}}, "severity names modality 'vital'.*'vitals'"),
        ({"evaluate": {"missing": {"rates": [1.5]}}}, "between 0 and 1"),
        ({"study": {"withhold": [0.0]}}, "rates between 0 and 1"),
        (
            {"study": {"withhold": ["complete"]}, "evaluate": {"missing": {}}, "require": "complete"},
            "`complete` is what `require: complete` trains on already",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            changed: dict[str, Any] = {
                name: values if isinstance(values, str) else {**tree.get(name, {}), **values}
                for name, values in sections.items()
            }
            validate(tree | changed)


def test_without_a_grid_nothing_is_added(finished: Callable[..., Run]) -> None:
    run = finished("prepare")
    planned = study_graph(run.design, run.store).planned(run.store)
    assert not planned.of("missing", "severity")


def test_a_head_that_does_not_look_at_presence_sees_nothing_of_what_is_withheld(study: Run, view: ViewData) -> None:
    model = restore(study.design.finetune("label", NAMES, "supervised", 0), view, torch.device("cpu"), study.store)
    model.head = Blind(3 * study.config.study.embed_dim)
    rows = view.usable(NAMES, "test")
    within = model.probabilities_within(rows, np.array([[True, False, False], [True, True, True]]))
    model.restrict(["labs"])
    alone = model.probabilities(rows)
    np.testing.assert_allclose(within[0], alone, atol=1e-6)
    assert not np.allclose(within[1], alone)


class Blind(nn.Module):
    """A head that adds up whatever embeddings it gets."""

    def __init__(self, width: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(width, 1)

    def forward(self, embeddings: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layer(embeddings.flatten(1))
        return logits


def test_that_no_training_stay_is_complete_is_told_before_anything_is_trained(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    labs, person = (pl.read_csv(tree["modalities"][name]["path"]) for name in ("labs", "person"))
    labs.filter(~pl.col("id").is_in(person["id"].implode())).write_csv(tmp_path / "labs.csv")
    changed = {
        "modalities": {
            **tree["modalities"],
            "labs": {**tree["modalities"]["labs"], "path": str(tmp_path / "labs.csv")},
        },
        "study": {**tree["study"], "withhold": ["complete"]},
        "evaluate": {**tree["evaluate"], "missing": {}},
    }
    with pytest.raises(DataError, match="task label has none in split 'train'"):
        run_pipeline(validate(tree | changed), tmp_path / "run", quiet=True)
    assert {folder.name for folder in (tmp_path / "run" / "store").iterdir()} == {"prepare", "baseline"}
