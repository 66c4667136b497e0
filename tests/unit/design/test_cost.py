"""What a study costs, by measures of its encoders: the arithmetic by hand, the measures on a clock that is planted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch

from picme.config.loading import load
from picme.design import cost, measure
from picme.design.cost import Costs, count_stays
from picme.design.graph import study_graph
from picme.design.measure import HEAD, OBJECTIVE, Cost, Line
from picme.design.study import Design
from picme.engine.store import Store
from tiny_checkpoints import save_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")
SMALL = {
    "source.stays": 1000, "splits.train": 0.5, "splits.val": 0.25, "pretrain.batch_size": 64, "pretrain.epochs": 7,
    "finetune.batch_size": 32, "finetune.epochs": 3,
}  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "picme" / "costs.json"


def planted(**changed: Any) -> Costs:
    """Costs of the demo that are easy to add up: forward 1 s a stay, training 2 s a batch and 3 s a stay."""
    costs = Costs(Design(load("demo", {**SMALL, **changed})))
    one = Cost(Line(0.0, 0.5), Line(0.0, 1.0), Line(2.0, 3.0), Line(100.0, 2.0))
    shared = Cost(None, Line(0.0, 0.0), Line(0.0, 0.1), Line(10.0, 0.0))
    costs.known = {**dict.fromkeys(costs.config.modalities, one), HEAD: shared, OBJECTIVE: shared}
    return costs


def test_a_line_counts_batches_and_stays() -> None:
    assert Line(2.0, 3.0).of(65, 64) == 2 * 2 + 3 * 65


@pytest.mark.parametrize("most", [2, 20, 128])
def test_what_a_batch_and_a_stay_cost_is_found_on_a_planted_clock(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    clock = [0.0]
    monkeypatch.setattr(measure.time, "perf_counter", lambda: clock[0])
    sizes = []

    def work(size: int) -> None:
        sizes.append(size)
        clock[0] += 0.25 + 0.125 * size

    found = measure._line(work, most, CPU, 1000.0)
    assert found.of(most, most) == pytest.approx(0.25 + 0.125 * most)
    assert max(sizes) == most
    if most > 2:
        assert found == pytest.approx((0.25, 0.125))
    started = clock[0]
    measure._line(work, 10**6, CPU, 10.0)
    assert clock[0] - started < 10.0


def test_steps_cost_what_their_parts_do() -> None:
    costs = planted()
    design, (first, *_) = costs.design, Design(load("demo", SMALL)).combinations
    epoch = 2 * (2 * 8 + 3 * 500 + 250) + 0.1 * 500  # two encoders: 8 batches of 64 of 500 stays, 250 to validate on
    assert costs.estimate([design.pretrain(first)], 1000) == (pytest.approx(7 * epoch), 2 * (100 + 2 * 64) + 10)
    trained = 2 * (2 * 16 + 3 * 500 + 250) + 0.1 * 500  # 16 batches of 32
    supervised = design.finetune("mortality", first, "supervised", 0)
    assert costs.estimate([supervised] * 2, 1000) == (pytest.approx(2 * 3 * trained), 2 * (100 + 2 * 32) + 10)
    frozen = design.finetune("mortality", first, "contrastive", 0)
    assert costs.estimate([frozen], 1000)[0] == pytest.approx(3 * 0.1 * 500)
    assert costs.estimate(frozen.embedded, 1000)[0] == pytest.approx(2 * 1000)
    assert costs.estimate([design.features("image")], 1000)[0] == pytest.approx(500)
    assert costs.estimate([design.finetune("mortality", first, "supervised", 0, share=0.1)], 1000)[0] == pytest.approx(
        3 * (2 * (2 * 2 + 3 * 50 + 25) + 0.1 * 50)
    )
    assert costs.estimate([design.prepare], 1000) == (None, None)


def test_a_search_costs_its_trials_and_a_restriction_nothing() -> None:
    costs = planted(**{"pretrain.search": {"trials": 4, "batch_sizes": [64]}})
    pretrain = costs.design.pretrain(costs.design.combinations[0])
    assert pretrain.search is not None
    assert costs.estimate([pretrain.search], 1000)[0] == 4 * (costs.estimate([pretrain], 1000)[0] or 0)
    shared = planted(**{"pretrain.mode": "shared"})
    assert shared.estimate([shared.design.pretrain(shared.design.combinations[0])], 1000) == (0.0, None)


def test_reconstruction_encodes_series_once_more() -> None:
    names = ("discharge", "timeseries")
    plain, twice = (planted(**{"pretrain.reconstruct": weight}) for weight in (0, 0.5))
    epoch = 2 * 8 + 3 * 500 + 250  # of one encoder
    (less, _), (more, _) = (costs.estimate([costs.design.pretrain(names)], 1000) for costs in (plain, twice))
    assert less is not None and more == pytest.approx(less + 7 * epoch)
    no_series = [costs.estimate([costs.design.pretrain(("discharge", "image"))], 1000) for costs in (plain, twice)]
    assert no_series[0] == no_series[1]


def test_what_is_not_measured_is_not_estimated() -> None:
    costs = planted()
    del costs.known["image"]
    graph = study_graph(costs.design, Store(cost.cache_file().parent))
    whole = [step for step in graph.of("pretrain") if "image" not in step.combination]  # type: ignore[attr-defined]
    assert costs.estimate(graph.of("pretrain"), 1000) == costs.estimate(whole, 1000)
    assert costs.estimate([costs.design.features("image")], 1000) == (None, None)


def test_measures_are_made_once_for_equal_encoders_and_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    design, made = Design(load("demo")), []

    def counted(design: Design, name: str, *rest: Any) -> Cost:
        made.append(name)
        return Cost(None, Line(0, 1), Line(0, 1), None)

    monkeypatch.setattr(cost, "measure", counted)
    assert Costs(design).measure() == []
    assert len(made) == len(design.config.modalities) + 1, "discharge and radiology have one encoder"
    again = Costs(design)
    assert again.known.keys() == {*design.config.modalities, HEAD, OBJECTIVE}
    assert again.known["image"] == Cost(None, Line(0, 1), Line(0, 1), None)
    assert again.measure() == [] and len(made) == len(design.config.modalities) + 1
    assert not Costs(Design(load("demo", {"execution.threads": 2}))).known
    cache.write_text(cache.read_text()[:20])
    assert Costs(design).known == {}


def test_every_encoder_is_measured_on_data_of_its_kind(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "SECONDS", 0.0)  # each is run once
    folder = str(save_checkpoint("bert", tmp_path / "bert"))
    text = {"name": "transformer", "model": folder, "max_length": 16}
    for changed in (
        {"discharge": {**text, "mode": "full"}, "radiology": {**text, "mode": "lora", "lora_from_layer": 1},
         "timeseries": {"name": "grud", "hidden": 4}},
        {"discharge": {**text, "mode": "lora"}, "radiology": text, "timeseries": {"name": "tcn", "hidden": 4},
         "image": {"name": "image", "model": "resnet18", "weights": None, "mode": "last_stage"}},
        {"radiology": text, "timeseries": {"name": "set_transformer", "hidden": 4}},
        {"timeseries": {"name": "series_transformer", "hidden": 4},
         "image": {"name": "image", "model": "resnet18", "weights": None, "mode": "full"}},
    ):  # fmt: skip
        config = load("demo", {f"modalities.{name}.encoder": encoder for name, encoder in changed.items()})
        config = config.model_copy(update={"modalities": {name: config.modalities[name] for name in changed}})
        costs = Costs(Design(config))
        assert costs.measure() == []
        for name in (*changed, HEAD, OBJECTIVE):
            found = costs.known[name]
            assert found.train.of(1, 1) > 0 and found.forward.of(1, 1) > 0
            assert (
                (found.locked is not None) == getattr(config.modalities[name].encoder, "locked_trunk", False)
                if (name in changed)
                else found.locked is None
            )


def test_an_encoder_without_weights_is_told_and_the_others_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "SECONDS", 0.0)
    empty = tmp_path / "empty"
    empty.mkdir()
    costs = Costs(Design(load("demo", {"modalities.discharge.encoder": {"name": "transformer", "model": str(empty)}})))
    (said,) = costs.measure()
    assert said.startswith("what 'discharge' costs cannot be measured") and "holds no config.json" in said
    assert costs.known.keys() == {*costs.config.modalities, HEAD, OBJECTIVE} - {"discharge"}


def test_stays_are_counted_where_the_source_tells_them(tmp_path: Path) -> None:
    store = Store(tmp_path / "run")
    assert count_stays(Design(load("demo", {"source.stays": 123})), store) == 123
    (tmp_path / "own.csv").write_text("a,b,label\n" + "1,2,0\n" * 37)
    config = {
        "source": {"kind": "table", "path": str(tmp_path / "own.csv")},
        "modalities": {name: {"kind": "tabular", "columns": [name]} for name in "ab"},
        "tasks": {"sick": {"labels": ["label"]}},
        "finetune": {"combinations": "all"},
    }
    assert count_stays(Design(load(config)), store) == 37


def test_measures_are_kept_as_plain_numbers(cache: Path) -> None:
    costs = planted()
    cache.parent.mkdir(parents=True)
    keys = costs._keys()
    cache.write_text(json.dumps({keys[name]: one for name, one in costs.known.items()}))
    assert Costs(costs.design).known == costs.known
