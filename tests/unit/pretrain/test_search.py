"""The search of learning rate and batch size: its trials, its keys, and what pretraining makes of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import optuna
import polars as pl
import pytest
import torch

import picme
from picme.config.loading import load
from picme.config.search import SearchConfig
from picme.design.study import Design
from picme.errors import ConfigError, TrainingError
from picme.fitting.search import found, search_trials
from picme.plan import plan
from picme.pretrain.train import train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from picme.modalities.view import ViewData
    from picme.pipeline import Run

    Finished = Callable[..., tuple[Run, ViewData]]

SPACE = SearchConfig(trials=6, learning_rates=(1e-4, 1e-1), batch_sizes=(4, 8))
SMALL: dict[str, Any] = {"trials": 3, "learning_rates": [0.001, 0.02], "batch_sizes": [4, 8]}
PAIR, OTHER, TRIPLE = ("note", "report"), ("report", "person"), ("note", "report", "person")


def trials(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "trials.parquet")


def test_the_best_trial_is_taken_and_all_are_kept(tmp_path: Path) -> None:
    seen = []

    def score(rate: float, size: int, report: Any) -> float:
        seen.append((rate, size))
        return -abs(rate - 0.01) - (size == 8)

    search_trials(tmp_path, SPACE, score)
    table = trials(tmp_path)
    assert list(table.select("learning_rate", "batch_size").rows()) == seen
    assert len(seen) == 6
    assert all(1e-4 <= rate <= 1e-1 for rate, _ in seen)
    best = table.sort("value", descending=True).row(0, named=True)
    assert found(tmp_path) == {"learning_rate": best["learning_rate"], "batch_size": best["batch_size"]}


def test_killed_in_a_trial_only_what_is_missing_runs_again(tmp_path: Path) -> None:
    calls = [0]

    def score(rate: float, size: int, report: Any) -> float:
        calls[0] += 1
        if calls[0] == 3:
            raise KeyboardInterrupt
        return rate

    with pytest.raises(KeyboardInterrupt):
        search_trials(tmp_path, SPACE, score)
    assert not (tmp_path / "best.json").exists()
    search_trials(tmp_path, SPACE, score)
    assert calls[0] == 7, "six trials, one of them twice"
    assert trials(tmp_path)["value"].count() == 6
    search_trials(tmp_path, SPACE, score)
    assert calls[0] == 7


def test_a_diverging_trial_is_passed_over(tmp_path: Path) -> None:
    def score(rate: float, size: int, report: Any) -> float:
        if rate > 0.003:
            raise TrainingError("the loss is not finite in epoch 0")
        return rate

    search_trials(tmp_path, SPACE, score)
    table = trials(tmp_path)
    assert table.height == 6
    assert table.filter(pl.col("learning_rate") > 0.003)["value"].null_count() > 0
    assert float(found(tmp_path)["learning_rate"]) <= 0.003


def test_where_every_trial_fails_the_reason_is_said(tmp_path: Path) -> None:
    def diverges(rate: float, size: int, report: Any) -> float:
        raise TrainingError("the loss is not finite in epoch 0")

    with pytest.raises(TrainingError, match="the loss is not finite in epoch 0"):
        search_trials(tmp_path, SPACE, diverges)
    (tmp_path / "nan").mkdir()
    with pytest.raises(TrainingError, match="none of the 6 trials of the search has a validation score"):
        search_trials(tmp_path / "nan", SPACE, lambda rate, size, report: float("nan"))


def test_hopeless_trials_are_pruned(tmp_path: Path) -> None:
    epochs = []

    def score(rate: float, size: int, report: Any) -> float:
        epochs.append(0)
        good = len(epochs) <= 5
        for epoch in range(20):
            epochs[-1] = epoch
            report(epoch, 0.9 if good else 0.1)
        return 0.9 if good else 0.1

    search_trials(tmp_path, SearchConfig(trials=8, learning_rates=(1e-4, 1e-1)), score)
    assert epochs[:5] == [19] * 5
    assert all(last < 19 for last in epochs[5:]), "after the median of the finished ones is known"


def test_keys_of_pretraining_follow_the_searched_space() -> None:
    pair, last = ("discharge", "radiology"), ("timeseries", "demographics")

    def design(**search: Any) -> Design:
        return Design(load("demo", {f"pretrain.{name}": value for name, value in search.items()}))

    def searched_on(design: Design, combination: tuple[str, ...]) -> tuple[str, ...]:
        search = design.pretrain(combination).search
        assert search is not None
        return search.pretraining.combination

    off, on = design(), design(search=SMALL)
    assert off.pretrain(last).search is None
    assert on.pretrain(last) != off.pretrain(last)
    assert design(search_combinations="all").pretrain(last) == off.pretrain(last), "without a search it says nothing"
    more = design(search={**SMALL, "trials": 4})
    assert more.pretrain(last).search != on.pretrain(last).search
    assert more.pretrain(last) != on.pretrain(last)
    assert more.pretrain(last, 1) != on.pretrain(last, 1)
    # Of a size, the first modalities in the configuration's order.
    assert searched_on(on, last) == pair
    assert on.pretrain(last).search == on.pretrain(pair).search
    each = design(search=SMALL, search_combinations="all")
    assert searched_on(each, last) == last
    assert each.pretrain(pair).search == on.pretrain(pair).search, "the same search, whoever asks for it"
    assert each.pretrain(pair) == on.pretrain(pair)
    assert each.pretrain(last) != on.pretrain(last)
    # What the searched combination's encoders are decides what is found for the others.
    other = Design(load("demo", {"pretrain.search": SMALL, "modalities.radiology.encoder.pooling": "cls"}))
    assert other.pretrain(last) != on.pretrain(last)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"batch_sizes": [1, 8]}, ["pretrain.search", "2 or more"]),
        ({"batch_sizes": []}, ["pretrain.search", "2 or more"]),
        ({"learning_rates": [0.1, 0.01]}, ["pretrain.search", "lowest comes first"]),
        ({"learning_rates": [0.0, 0.01]}, ["pretrain.search", "above 0"]),
        ({"trial": 3}, ["pretrain.search", "'trials'"]),
    ],
)
def test_a_space_that_cannot_be_searched_is_one_sentence(space: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load("demo", {"pretrain.search": space})
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_one_search_for_each_size_is_used_by_all_of_it(finished: Finished) -> None:
    sections = {"pretrain": {"search": SMALL, "seeds": 2}}
    run, _ = finished("align", **sections)
    table = picme.load(run.folder).table("search")
    assert table["stage"].unique().to_list() == ["pretrain"]
    assert table.height == 6
    assert table["task"].null_count() == table["strategy"].null_count() == 6
    assert set(table["combination"]) == {"note+report", "note+report+person"}
    assert table["value"].is_between(0, 1).all()
    for combination, on in ((PAIR, PAIR), (OTHER, PAIR), (TRIPLE, TRIPLE)):
        search = run.design.pretrain(combination).search
        assert search is not None
        assert search == run.design.pretrain(on).search
        best = json.loads((run.store.path(search) / "best.json").read_text())
        own = table.filter(pl.col("combination") == "+".join(on)).sort("value", descending=True)
        assert best["learning_rate"] in own.filter(pl.col("value") == own["value"][0])["learning_rate"].to_list()
        for seed in (0, 1):
            manifest = run.store.manifest(run.design.pretrain(combination, seed))
            assert {name: manifest[name] for name in best} == best
    seeds = picme.load(run.folder).table("pretraining_seeds")
    assert seeds.group_by("combination").agg(pl.col("seed").sort()).height == 4
    assert seeds.filter(combination="note+report")["seed"].to_list() == [0, 1]
    assert seeds["val_recall5"].null_count() == 0
    planned = plan(run.config, run.folder)
    pretraining = {row["kind"]: row for row in planned if row["stage"] == "pretrain"}
    assert (pretraining["search"]["jobs"], pretraining["search"]["done"]) == (2, 2)
    assert (pretraining["pretrain"]["jobs"], pretraining["pretrain"]["done"]) == (8, 8)


def test_the_first_seed_of_the_found_values_repeats_its_trial(finished: Finished) -> None:
    run, _ = finished("pretrain", pretrain={"search": SMALL})
    best = picme.load(run.folder).table("search").filter(combination="note+report")["value"].max()
    manifest = run.store.manifest(run.design.pretrain(PAIR))
    assert manifest["val_recall5"] == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("combination", [PAIR, OTHER], ids=["a large encoder", "small encoders"])
def test_a_pruned_trial_ends_its_training(finished: Finished, combination: tuple[str, ...]) -> None:
    run, view = finished("encode", pretrain={"epochs": 5})
    seen = []

    def report(epoch: int, value: float) -> None:
        seen.append(value)
        if epoch == 2:
            raise optuna.TrialPruned

    with pytest.raises(optuna.TrialPruned):
        train(
            run.design.pretraining(combination), view, 0, torch.device("cpu"),
            learning_rate=0.01, batch_size=8, report=report,
        )  # fmt: skip
    assert len(seen) == 3
    assert all(0 <= value <= 1 for value in seen)


def test_every_combination_is_searched_on_where_asked_for(finished: Finished) -> None:
    run, _ = finished(
        "pretrain",
        pretrain={"search": {**SMALL, "trials": 1}, "search_combinations": "all"},
        study={"combination_sizes": [2]},
    )
    table = picme.load(run.folder).table("search")
    assert sorted(table["combination"].to_list()) == ["note+person", "note+report", "report+person"]
    rates = {
        combination: run.store.manifest(run.design.pretrain(tuple(combination.split("+"))))["learning_rate"]
        for combination in table["combination"]
    }
    assert rates == dict(table.select("combination", "learning_rate").rows())
