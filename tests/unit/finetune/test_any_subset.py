"""One training for every subset: what it withholds, what it learns from, what each combination gets of it."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from scipy.stats import chisquare
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from picme.config.combinations import label
from picme.config.finetune import AnySubsetConfig
from picme.engine.step import Context
from picme.finetune import build
from picme.finetune.any_subset import AnySubset, Draw
from picme.finetune.losses import build_loss
from picme.finetune.restore import restore
from picme.finetune.train import train
from picme.finetune.withhold import VALIDATED, keep, validation_subsets
from picme.metrics.classification import auroc
from picme.pretrain.features import open_encoded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from picme.finetune.classifier import Classifier
    from picme.pipeline import Run

    Finished = Callable[..., Run]

NAMES = ("labs", "person", "vitals")
CPU = torch.device("cpu")
STRATEGIES = ("any_subset", "any_subset_attention", "any_subset_gated", "any_subset_contrastive", "any_subset_zeros")
EVERY = [chosen for size in (1, 2, 3) for chosen in combinations(NAMES, size)]


def generator(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed or 0)


# ---- what is withheld


def test_the_number_withheld_is_uniform_from_none_to_all_but_one_of_what_a_stay_has() -> None:
    for has in (1, 2, 4):
        present = np.zeros((6000, 5), dtype=bool)
        present[:, :has] = True
        fewer, more = keep(present, "uniform", generator())
        kept = np.bincount(fewer.sum(axis=1), minlength=has + 1)
        assert kept[0] == 0 and len(kept) == has + 1
        assert has == 1 or chisquare(kept[1:]).pvalue > 0.001
        assert has == 1 or chisquare(fewer[:, :has].sum(axis=0)).pvalue > 0.001, "every modality as often"
        assert not (fewer & ~more).any() and not (more & ~present).any()


def test_a_rate_withholds_each_modality_by_itself_but_never_the_last() -> None:
    fewer, _ = keep(np.ones((20_000, 3), dtype=bool), 0.4, generator())
    counts = Counter(fewer.sum(axis=1).tolist())
    expected = [3 * 0.6 * 0.4**2 + 0.4**3, 3 * 0.6**2 * 0.4, 0.6**3]
    assert chisquare([counts[kept] for kept in (1, 2, 3)], np.multiply(20_000, expected)).pvalue > 0.001
    assert keep(np.ones((50, 3), dtype=bool), 0.0, generator())[0].all()


@pytest.mark.parametrize("withhold", ["uniform", 0.0, 0.5, 0.99])
def test_every_stay_keeps_something_it_has(withhold: Any) -> None:
    present = generator(1).random((5000, 4)) < 0.3
    present = present[present.any(axis=1)]
    for kept in keep(present, withhold, generator(2)):
        assert kept.any(axis=1).all()
        assert not (kept & ~present).any()


def test_subsets_of_validation_are_all_or_a_sample_that_is_always_the_same() -> None:
    every = {tuple(row) for row in validation_subsets(3).tolist()}
    assert len(validation_subsets(3)) == len(every) == 7 and (False, False, False) not in every
    assert validation_subsets(5).shape == (31, 5)
    sample = validation_subsets(9)
    assert len({tuple(row) for row in sample.tolist()}) == len(sample) == VALIDATED
    assert sample.any(axis=1).all() and np.array_equal(sample, validation_subsets(9))


# ---- the loss


class Fixed(nn.Module):
    """A classifier of two labels on given embeddings of three modalities, of which some are absent."""

    n_labels, device, combination = 2, CPU, NAMES

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.values, self.present = torch.randn(40, 3, 4), torch.rand(40, 3) < 0.8
        self.present[:, 0] = True
        self.head = nn.Linear(12, 2)

    def embeddings(self, rows: np.ndarray) -> torch.Tensor:
        return self.values[torch.from_numpy(rows)]

    def logits(self, embeddings: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head((embeddings * present[..., None]).flatten(1))
        return out


def taught(**settings: float) -> tuple[AnySubset, Any, torch.Tensor, torch.Tensor]:
    model: Any = Fixed()
    target = torch.randint(0, 2, (40, 2)).float()
    weight = np.array([[1, 0], [0, 0], [0, 1], [0, 0]], dtype=np.float32)
    loss = build_loss("bce", "balanced", weight, CPU)
    chosen = AnySubsetConfig(**{"auxiliary": 0, "ranking": 0} | settings)
    return AnySubset(model, loss, target, chosen, 4, seed=3), model, target, model.present


def test_the_loss_is_that_of_what_is_kept() -> None:
    teaching, model, target, present = taught()
    rows = np.array([4, 1, 2])
    fewer = keep(present.numpy()[rows], "uniform", generator())[0]
    logits = model.head((model.values[rows] * torch.from_numpy(fewer)[..., None]).flatten(1))
    assert teaching.loss_of(Draw(rows, fewer, present.numpy()[rows])).item() == pytest.approx(
        bce(logits, target[rows]).item()
    )
    assert len(list(model.auxiliary)) == 0


def test_ranking_adds_how_much_worse_a_stay_is_with_more_of_its_modalities() -> None:
    teaching, model, target, present = taught(ranking=0.7)
    rows = np.arange(40)
    fewer, more = keep(present.numpy(), "uniform", generator(8))
    logits = [model.head((model.values * torch.from_numpy(kept)[..., None]).flatten(1)) for kept in (fewer, more)]
    each = [bce(one, target, reduction="none").mean(1).detach() for one in logits]
    hinge = sum(max(0.0, float(b - a)) for a, b in zip(*each, strict=True)) / 40
    assert hinge > 0
    assert any(float(b) < float(a) for a, b in zip(*each, strict=True)), "a stay that is better adds nothing"
    expected = (each[0].mean() + each[1].mean()).item() / 2 + 0.7 * hinge
    assert teaching.loss_of(Draw(rows, fewer, more)).item() == pytest.approx(expected)


def test_auxiliary_heads_read_single_modalities_of_the_stays_that_have_them_and_are_taken_off() -> None:
    teaching, model, target, present = taught(auxiliary=0.3)
    everything = present.numpy()
    expected = teaching.loss_of(Draw(np.arange(40), everything, everything)).item()
    plain = bce(model.head((model.values * present[..., None]).flatten(1)), target).item()
    single = [
        bce(head(model.values[present[:, k], k]), target[present[:, k]]).item()
        for k, head in enumerate(model.auxiliary)
    ]
    assert expected == pytest.approx(plain + 0.3 * sum(single) / 3)
    teaching.end()
    assert {name for name, _ in model.named_parameters()} == {"head.weight", "head.bias"}


# ---- heads


def test_a_learnt_vector_stands_for_an_absent_modality_and_zeros_are_its_start() -> None:
    from picme.config.fusions import ConcatConfig, ConcatTokensConfig

    torch.manual_seed(0)
    plain = build(ConcatConfig(hidden=8, dropout=0), 3, 4, 2)
    head = build(ConcatTokensConfig(hidden=8, dropout=0), 3, 4, 2)
    head.load_state_dict(plain.state_dict() | {"tokens": torch.zeros(3, 4)})
    values, present = torch.randn(5, 3, 4), torch.tensor([[True, False, True]] * 5)
    assert torch.equal(head(values, present), plain(values, present))
    with torch.no_grad():
        head.tokens[1] = 2.0  # type: ignore[index]
    bits = present.float()
    filled = torch.where(present[..., None], values, torch.full((), 2.0))
    assert torch.equal(head(values, present), plain.network(torch.cat([filled.flatten(1), bits], 1)))  # type: ignore[operator]
    assert torch.equal(head(values.masked_fill(~present[..., None], torch.nan), present), head(values, present))


# ---- what each combination gets


@pytest.fixture(scope="module")
def study(finished: Finished) -> Run:
    strategies = ["supervised", *STRATEGIES, "late_fusion", "presence_only", "gradient_boosting"]
    return finished(
        "evaluate",
        finetune={"strategies": strategies, "combinations": "all", "any_subset": {"auxiliary": 0.5, "ranking": 0.5}},
    )


def model_of(run: Run, combination: tuple[str, ...], strategy: str) -> Classifier:
    step = run.design.finetune("label", combination, strategy, 0)
    cell = step.trained.cell
    return restore(step, open_encoded(cell.prepare, "label", cell.encodings, run.store), CPU, run.store)


def saved(run: Run, combination: tuple[str, ...], strategy: str) -> dict[str, np.ndarray]:
    return dict(np.load(run.store.path(run.design.finetune("label", combination, strategy, 0)) / "predictions.npz"))


def test_one_training_gives_the_predictions_of_every_combination(study: Run) -> None:
    trained = Counter(one.cell.strategy for one in study.graph.of("finetune"))  # type: ignore[attr-defined]
    assert {name: trained[name] for name in STRATEGIES} == dict.fromkeys(STRATEGIES, 1)
    tables = {file.stem: pl.read_parquet(file) for file in (study.folder / "results").glob("*.parquet")}
    for table in ("summary", "scores", "predictions", "calibration", "thresholds"):
        for name in STRATEGIES:
            found = tables[table].filter(pl.col("strategy") == name)["combination"].unique().to_list()
            assert sorted(found) == sorted(map(label, EVERY))
    costs = tables["runtimes"].filter(pl.col("strategy").is_in(STRATEGIES))
    assert costs["combination"].unique().to_list() == [label(NAMES)]
    families = set(tables["comparisons"]["family"])
    assert {"any_subset vs late_fusion", "any_subset vs presence_only", "any_subset vs supervised"} <= families


@pytest.mark.parametrize("name", STRATEGIES)
def test_stays_of_a_combination_are_those_of_its_dedicated_model(study: Run, name: str) -> None:
    for combination in EVERY:
        mine, theirs = saved(study, combination, name), saved(study, combination, "supervised")
        assert np.array_equal(mine["val_rows"], theirs["val_rows"])
        assert np.array_equal(mine["test_rows"], theirs["test_rows"])
        assert mine["test"].shape == theirs["test"].shape


@pytest.mark.parametrize("name", STRATEGIES)
def test_what_is_withheld_changes_nothing_but_through_its_absence(study: Run, name: str) -> None:
    """A combination's predictions are those of the whole model for stays whose other modalities hold anything."""
    for combination in (("labs",), ("labs", "vitals")):
        kept, whole = saved(study, combination, name), model_of(study, NAMES, name)
        inside = [one in combination for one in NAMES]
        whole.present &= torch.tensor(inside)
        made = whole.embeddings

        def anything(rows: np.ndarray, made: Any = made, inside: list[bool] = inside) -> torch.Tensor:
            found: torch.Tensor = made(rows).clone()
            found[:, [not one for one in inside]] = torch.randn(()) * 1e6
            return found

        whole.embeddings = anything  # type: ignore[method-assign]
        np.testing.assert_allclose(whole.probabilities(kept["test_rows"]), kept["test"], atol=1e-6)
        assert np.abs(kept["test"] - saved(study, NAMES, name)["test"][: len(kept["test"])]).max() > 1e-3


def test_a_withheld_modality_is_not_even_read(study: Run) -> None:
    model = model_of(study, ("labs", "person"), "any_subset")
    rows = saved(study, ("labs", "person"), "any_subset")["test_rows"]

    def fail(*arguments: Any) -> None:
        raise AssertionError

    model.view.modalities = {**model.view.modalities}
    model.view.modalities["vitals"] = type("Unread", (), {"batch": fail, "lengths": property(fail)})()
    np.testing.assert_allclose(
        model.probabilities(rows), saved(study, ("labs", "person"), "any_subset")["test"], atol=1e-6
    )


def test_validation_is_the_mean_over_the_subsets(study: Run) -> None:
    step = study.design.finetune("label", NAMES, "any_subset", 0)
    view = open_encoded(step.cell.prepare, "label", step.cell.encodings, study.store)
    target = view.labels(["label"])[:, 0]
    each = [saved(study, combination, "any_subset") for combination in EVERY]
    expected = np.mean([auroc(target[one["val_rows"]], one["val"][:, 0]) for one in each])
    history = pl.read_parquet(study.store.path(step) / "history.parquet")
    best = study.store.manifest(step)["best_epoch"]
    assert history.filter(pl.col("epoch") == best)["val_auroc"].item() == pytest.approx(expected, abs=1e-6)
    assert history["val_auroc"].max() == pytest.approx(expected, abs=1e-6)


def test_a_stay_with_one_modality_has_one_prediction_whatever_is_withheld(study: Run) -> None:
    model = model_of(study, NAMES, "any_subset")
    present = model.present.numpy()
    rows = np.flatnonzero(present[:, 0] & ~present[:, 1:].any(axis=1))
    assert len(rows) > 2
    alone = model.probabilities(rows)
    model.restrict(("labs",))
    np.testing.assert_allclose(model.probabilities(rows), alone, atol=1e-6)


# ---- controls


def test_late_fusion_is_the_mean_over_the_single_models_of_what_a_stay_has(study: Run) -> None:
    for combination in (("labs", "vitals"), NAMES):
        found = saved(study, combination, "late_fusion")
        singles = {name: saved(study, (name,), "supervised") for name in combination}
        for row, probability in zip(found["test_rows"], found["test"][:, 0], strict=True):
            said = [
                one["test"][one["test_rows"] == row, 0].item() for one in singles.values() if row in one["test_rows"]
            ]
            assert probability == pytest.approx(np.mean(said))


def test_presence_only_sees_nothing_but_presence(study: Run) -> None:
    found, view = saved(study, NAMES, "presence_only"), model_of(study, NAMES, "any_subset").view
    patterns = view.present(NAMES)[found["test_rows"]] @ [1, 2, 4]
    values = [set(found["test"][patterns == pattern, 0].tolist()) for pattern in set(patterns.tolist())]
    assert all(len(one) == 1 for one in values) and len({v for one in values for v in one}) > 1


def test_gradient_boosting_takes_missing_modalities(study: Run) -> None:
    found = saved(study, NAMES, "gradient_boosting")
    assert not model_of(study, NAMES, "any_subset").present.numpy()[found["test_rows"]].all()
    assert np.isfinite(found["test"]).all()


# ---- the training


def test_what_is_drawn_depends_on_seed_and_epoch_alone() -> None:
    teaching, *_ = taught()
    batches = [np.array([0, 1, 2]), np.array([3, 4, 5])] * 5

    def drawn(epoch: int) -> bytes:
        torch.rand(3)
        return b"".join(one.fewer.tobytes() for one in teaching.draws(batches, epoch))

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    first = drawn(1)
    teaching.seed = 4
    assert drawn(1) != first


class Killed(BaseException):
    """An interruption between two epochs."""


@pytest.mark.parametrize("name", ["any_subset", "any_subset_contrastive"])
def test_a_killed_training_ends_as_an_uninterrupted_one(study: Run, tmp_path: Path, name: str) -> None:
    step, context = study.design.finetune("label", NAMES, name, 0), Context(study.store, "cpu")
    view = open_encoded(step.cell.prepare, "label", step.cell.encodings, study.store)

    def run(folder: Path, report: Any = None) -> dict[str, torch.Tensor]:
        folder.mkdir(exist_ok=True)
        model, _ = train(
            step.cell, step.embedded, view, 0, context, folder=folder, report=report, learning_rate=0.01, batch_size=16
        )
        return model.state_dict()

    def killed(epoch: int, score: float) -> None:
        if epoch == 1:
            raise Killed

    with pytest.raises(Killed):
        run(tmp_path / "killed", killed)
    assert (tmp_path / "killed" / "state.pt").is_file()
    again, once = run(tmp_path / "killed"), run(tmp_path / "whole")
    assert again.keys() == once.keys()
    assert all(torch.equal(again[key], once[key]) for key in once)
    kept = load_file(study.store.path(step) / "model.safetensors")
    assert not any("auxiliary" in key for key in kept)


def test_of_two_modalities_there_are_three_subsets(finished: Finished) -> None:
    run = finished("finetune", ("labs", "person"), finetune={"strategies": ["any_subset"], "epochs": 1})
    places = [one.cell.combination for one in run.graph.of("finetune", "restrict") if hasattr(one, "cell")]
    assert sorted(places) == [("labs",), ("labs", "person"), ("person",)]


def test_the_order_of_the_modalities_does_not_decide_what_is_learnt(finished: Finished) -> None:
    """Attention has one trained vector for each place: with these in another order, it is another order's model."""
    settings = {"strategies": ["any_subset_attention"], "epochs": 1}
    one, other = finished("finetune", finetune=settings), finished("finetune", NAMES[::-1], finetune=settings)
    first, second = model_of(one, NAMES, "any_subset_attention"), model_of(other, NAMES[::-1], "any_subset_attention")
    state = first.state_dict()
    state["head.kinds"] = state["head.kinds"].flip(1)
    second.load_state_dict(state)
    rows = saved(one, NAMES, "any_subset_attention")["test_rows"]
    np.testing.assert_allclose(first.probabilities(rows), second.probabilities(rows), atol=1e-6)
    for members in (("labs",), ("person", "vitals")):
        first = model_of(one, members, "any_subset_attention")
        inside = [[name in members for name in order] for order in (NAMES, NAMES[::-1])]
        has = first.present.numpy()[rows].any(axis=1)
        found = second.probabilities_within(rows[has], np.array([inside[1]]))[0]
        np.testing.assert_allclose(first.probabilities(rows[has]), found, atol=1e-6)
