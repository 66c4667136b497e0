"""Which steps a field of the configuration makes again, and which it leaves finished."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest

from picme.config.evaluate import EvaluateConfig
from picme.config.finetune import FinetuneConfig
from picme.config.loading import load, validate
from picme.config.pretrain import PretrainConfig
from picme.config.study import ExecutionConfig
from picme.design.graph import study_graph
from picme.design.study import Design
from picme.engine.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from picme.engine.step import Step

# A demo with one combination of each size, every built-in strategy, and a fusion head of its own.
BASE: dict[str, Any] = {
    "study.seeds": 1,
    "finetune.combinations": ["discharge+radiology", "discharge+radiology+image"],
    "finetune.strategies": [
        "contrastive", "supervised", "gated", "finetuned", "random", "gated_uniform", "supervised_lstm",
        "supervised_attention", "supervised_sum", "gradient_boosting", "logistic_regression", "mine",
    ],
    "finetune.fusions": {"mine": {"name": "concat", "layers": 2}},
    "finetune.label_efficiency": "off",
    "finetune.orders": 0,
    "align.tsne": "off",
}  # fmt: skip
TRAINED = {
    "supervised", "gated", "finetuned", "gated_uniform", "supervised_lstm", "supervised_attention", "supervised_sum",
    "mine",
}  # fmt: skip
NETWORKS = TRAINED | {"contrastive", "random"}
HEADS = NETWORKS - {"mine"}
PRETRAINED = {"contrastive", "finetuned", "gated", "embed"}
GATED = {"gated"}
SEARCH = {"trials": 2}


def steps(folder: Path, **changes: Any) -> dict[tuple[str, str], str]:
    """Keys by kind and name of the study's steps, had every one of them finished."""
    design, store = Design(load("demo", {**BASE, **changes})), Store(folder)
    return {(step.kind, step.name): step.key for step in study_graph(design, store).planned(store).steps.values()}


def kind_of(step: tuple[str, str]) -> str:
    """A fine-tuning's strategy, or the step's kind."""
    kind, name = step
    if kind in ("finetune", "attribute", "score"):
        strategy = name.split(" ")[2]
        return strategy if kind == "finetune" else f"{kind} {strategy}"
    return kind


def changed(folder: Path, **changes: Any) -> set[str]:
    """What a change makes again; what it adds or takes away does not count."""
    before, after = steps(folder), steps(folder, **changes)
    return {kind_of(step) for step in before.keys() & after.keys() if before[step] != after[step]}


def with_readers(fits: set[str], *others: str) -> set[str]:
    """Fine-tunings with what reads them."""
    attributed = {f"attribute {name}" for name in fits if name not in ("gradient_boosting", "logistic_regression")}
    return fits | attributed | scored(fits) | set(others)


def scored(strategies: set[str]) -> set[str]:
    """What judges the cells of strategies, and compares them."""
    return {f"score {name}" for name in strategies} | {"evaluate"}


FINETUNE: dict[str, tuple[Any, set[str]]] = {
    "combinations": (["discharge+radiology+image"], {"evaluate"}),
    "best": (2, set()),
    "singles": (False, {"evaluate"}),
    "strategies": (["supervised", "random", "mine"], {"evaluate"}),
    "fusions": ({"mine": {"name": "concat", "layers": 1}}, with_readers({"mine"})),
    "any_subset": ({"withhold": 0.5}, set()),
    "stacked": ({"folds": 3}, set()),
    "epochs": (7, with_readers(NETWORKS)),
    "patience": (7, with_readers(NETWORKS)),
    "batch_size": (7, with_readers(NETWORKS)),
    "learning_rate": (0.5, with_readers(NETWORKS)),
    "weight_decay": (0.5, with_readers(NETWORKS)),
    "loss": ("paper", with_readers(NETWORKS)),
    "standardise": (False, with_readers({"contrastive", "random"})),
    "class_weight": ("none", with_readers(NETWORKS)),
    "search": (SEARCH, with_readers(NETWORKS)),
    "hidden": (7, with_readers(HEADS)),
    "dropout": (0.5, with_readers(HEADS)),
    "gate": ("learned", with_readers(GATED)),
    "order": (["image", "radiology", "discharge"], with_readers({"gated", "gated_uniform", "supervised_lstm"})),
    "orders": (2, {"evaluate"}),
    "label_efficiency": ({"shares": [0.5]}, {"evaluate"}),
}
PRETRAINING = {"pretrain", "align", "embed"} | with_readers({"contrastive", "finetuned", "gated"})
EVERYTHING = PRETRAINING | with_readers(NETWORKS | {"gradient_boosting", "logistic_regression"}) | {
    "prepare", "availability", "baseline", "features", "ceiling", "search",
}  # fmt: skip
PRETRAIN: dict[str, tuple[Any, set[str]]] = {
    "window": (24, EVERYTHING),
    "mode": ("shared", PRETRAINING),
    "subsets": ("uniform", set()),
    "pair_objective": ({"name": "siglip"}, PRETRAINING - with_readers({"gated"}) | {"evaluate"}),
    "objective": ({"name": "all_pairs"}, PRETRAINING),
    "epochs": (7, PRETRAINING),
    "patience": (7, PRETRAINING),
    "batch_size": (7, PRETRAINING),
    "micro_batch": (3, PRETRAINING),
    "reconstruct": (0.5, {"pretrain", "align"}),  # of combinations with a series, which are not fine-tuned here
    "learning_rate": (0.5, PRETRAINING),
    "weight_decay": (0.5, PRETRAINING),
    "seeds": (2, set()),
    "search": (SEARCH, PRETRAINING),
    "search_combinations": ("all", set()),
    "validation": ("batches", PRETRAINING),
    "loggers": (["csv"], set()),
}
ATTRIBUTED = {f"attribute {name}" for name in NETWORKS}
JUDGED = scored(NETWORKS | {"gradient_boosting", "logistic_regression"})
EVALUATE: dict[str, tuple[Any, set[str]]] = {
    "resamples": (500, JUDGED),
    "interval_resamples": (500, JUDGED),
    "confidence": (0.8, JUDGED),
    "seed": (3, JUDGED),
    "attributes": (["gender"], JUDGED),
    "groups": (["gender"], JUDGED),
    "crossed": ([["gender", "age_group"]], JUDGED),
    "min_group": (20, JUDGED | {"baseline"}),
    "min_events": (3, JUDGED),
    "ece_bins": (7, JUDGED),
    "thresholds": ([{"kind": "youden"}], JUDGED),
    "comparisons": ({"families": ["controls"]}, {"evaluate"}),
    "controls": (["random", "gated_uniform"], {"evaluate", "attribute supervised_lstm"}),
    "shapley": ("off", ATTRIBUTED),
    "margin": (0.02, set()),
    "decision_thresholds": ([0.5], set()),
    "missing": ({}, set()),
}


@pytest.mark.parametrize(
    ("section", "name", "value", "expected"),
    [
        (section, name, value, expected)
        for section, fields in (("finetune", FINETUNE), ("pretrain", PRETRAIN), ("evaluate", EVALUATE))
        for name, (value, expected) in fields.items()
    ],
)
def test_a_field_makes_again_what_it_determines_and_nothing_else(
    tmp_path: Path, section: str, name: str, value: Any, expected: set[str]
) -> None:
    assert changed(tmp_path, **{f"{section}.{name}": value}) == expected


def test_one_training_for_all_combinations_depends_on_both_objectives_and_on_how_subsets_are_drawn(
    tmp_path: Path,
) -> None:
    shared = {"pretrain.mode": "shared"}
    before = steps(tmp_path, **shared)
    for change in (
        {"pretrain.subsets": "uniform"}, {"pretrain.objective": {"name": "all_pairs"}},
        {"pretrain.pair_objective": {"name": "siglip"}}, {"pretrain.epochs": 7},
    ):  # fmt: skip
        after = steps(tmp_path, **shared, **change)
        assert after.keys() == before.keys()
        assert {kind_of(one) for one in before if before[one] != after[one]} == PRETRAINING | {"restrict"}
    assert steps(tmp_path, **shared, **{"pretrain.search_combinations": "all"}) == before
    found = Counter(kind for kind, _ in before)
    assert (found["pretrain"], found["restrict"], found["align"]) == (1, 25, 26)


def test_a_pretraining_of_its_own_knows_nothing_of_the_shared_one() -> None:
    part = Design(load("demo", BASE)).pretrain(("discharge", "radiology")).fields["pretraining"]
    assert set(part) == {"prepare", "encodings", "objective", "code", "course", "validation"}


SUBSETS = ["any_subset", "any_subset_contrastive", "late_fusion", "presence_only"]


def test_one_training_of_a_seed_predicts_for_every_combination_and_depends_on_how_modalities_are_withheld(
    tmp_path: Path,
) -> None:
    chosen: dict[str, Any] = {"finetune.strategies": SUBSETS, "finetune.fusions": {}}
    before = steps(tmp_path, **chosen)
    fine = [(kind, *name.split(" ")[1:3]) for kind, name in before if kind in ("finetune", "restrict", "average")]
    found = Counter((kind, strategy) for kind, _, strategy in fine)
    # Two tasks, five single modalities and two combinations; late fusion takes the models of single modalities.
    assert found == {
        ("finetune", "any_subset"): 2, ("restrict", "any_subset"): 14, ("finetune", "any_subset_contrastive"): 2,
        ("restrict", "any_subset_contrastive"): 14, ("average", "late_fusion"): 4, ("finetune", "supervised"): 2 * 3,
        ("finetune", "presence_only"): 4,
    }  # fmt: skip
    trained = {combination for kind, combination, strategy in fine if (kind, strategy) == ("finetune", "any_subset")}
    assert trained == {"discharge+radiology+image+timeseries+demographics"}
    for change in ({"withhold": 0.5}, {"auxiliary": 0.5}, {"ranking": 0.5}, {"longer": 2}):
        after = steps(tmp_path, **chosen, **{"finetune.any_subset": change})
        assert after.keys() == before.keys()
        changed = {kind_of(one) for one in before if before[one] != after[one]}
        trained = {"any_subset", "any_subset_contrastive"}
        assert changed == trained | scored(trained) | {"restrict", "value"}
    for value in ({"modalities.image.cost": 5}, {"evaluate.margin": 0.02}, {"evaluate.decision_thresholds": [0.5]}):
        after = steps(tmp_path, **chosen, **value)
        assert {kind_of(one) for one in before if before[one] != after[one]} == {"value"}
    others = steps(tmp_path)
    assert {kind_of(one) for one in before.keys() & others.keys() if before[one] != others[one]} == {"evaluate"}


def test_strategies_for_any_subset_train_longer() -> None:
    design = Design(load("demo", BASE | {"finetune.epochs": 7, "finetune.patience": 3}))
    every = tuple(design.config.modalities)
    for name, expected in (("any_subset", (11, 5)), ("any_subset_contrastive", (11, 5)), ("supervised", (7, 3))):
        course = design.cell("mortality", every, name).course
        assert course is not None and (course.epochs, course.patience) == expected


def test_other_cells_know_nothing_of_how_modalities_are_withheld() -> None:
    design = Design(load("demo", BASE))
    known = design.finetune("mortality", ("discharge", "radiology"), "supervised", 0).fields
    assert "any_subset" not in known["cell"]
    assert set(known) == {"cell", "seed", "embedded", "search", "share"}


def test_the_encoders_under_a_head_for_every_subset_are_those_of_all_modalities() -> None:
    for mode in ("each", "shared"):
        design = Design(load("demo", {**BASE, "pretrain.mode": mode}))
        one = design.finetune("mortality", ("discharge", "radiology"), "any_subset_contrastive", 0)
        assert one.trained.cell.pretrain == design.pretrain(tuple(design.config.modalities))


@pytest.mark.parametrize(
    ("model", "fields"), [(FinetuneConfig, FINETUNE), (PretrainConfig, PRETRAIN), (EvaluateConfig, EVALUATE)]
)
def test_every_field_of_the_sections_is_tested(model: Any, fields: dict[str, Any]) -> None:
    assert set(fields) == set(model.model_fields)


def test_the_missingness_grid_reads_models_and_makes_none_again(tmp_path: Path) -> None:
    before, grid = steps(tmp_path), {"evaluate.missing": {}}
    after = steps(tmp_path, **grid)
    assert before.items() <= after.items()
    # The models of all modalities, which the base does not fine-tune, and one grid of each.
    strategies = len(BASE["finetune.strategies"])
    added = Counter(kind for kind, _ in after.keys() - before.keys())
    assert (added["finetune"], added["missing"], added["severity"]) == (2 * strategies, 2 * strategies, 2)
    for changes, kinds in (
        ({"evaluate.missing": {"slope": 1}}, {"missing"}),
        ({"evaluate.missing": {"severity": "demographics"}}, {"missing", "severity"}),
        ({"evaluate.ece_bins": 7}, {"missing", "score", "evaluate"}),
    ):
        other = steps(tmp_path, **{**grid, **changes})
        assert {kind for kind, name in after if other.get((kind, name)) != after[(kind, name)]} == kinds
    trained = steps(tmp_path, **grid, **{"study.withhold": [0.4, 0.2]})
    assert after.items() <= trained.items()
    added = Counter(kind for kind, _ in trained.keys() - after.keys())
    assert (added["finetune"], added["missing"]) == (2 * 2 * strategies, 2 * 2 * strategies)


def test_where_steps_run_makes_nothing_again(tmp_path: Path) -> None:
    settings = {
        "workers": 7, "threads": 3, "device": "cpu", "engine": "ray", "address": "head:6379", "memory": 3.5,
        "jobs_per_gpu": 2,
        "devices_per_fit": 2,
    }  # fmt: skip
    assert settings.keys() == ExecutionConfig.model_fields.keys()
    assert changed(tmp_path, **{f"execution.{name}": value for name, value in settings.items()}) == set()
    assert changed(tmp_path, name="another") == set()


def test_an_encoder_counts_where_it_is_used(tmp_path: Path) -> None:
    found = changed(tmp_path, **{"modalities.timeseries.encoder.hidden": 7})
    # Of the combinations with several modalities none has the series; it is fine-tuned alone.
    assert found == with_readers({"supervised", "random"}, "embed", "pretrain", "align") - {
        "attribute supervised", "attribute random",
    }  # fmt: skip


def test_upstream_steps_are_the_ones_that_are_read(tmp_path: Path) -> None:
    design, store = Design(load("demo", BASE)), Store(tmp_path)
    graph = study_graph(design, store).planned(store)

    def kinds(step: Step) -> set[str]:
        return {one.kind for one in step.inputs}

    for step in graph.of("finetune"):
        strategy = step.cell.strategy  # type: ignore[attr-defined]
        frozen = strategy in ("contrastive", "random")
        pretrained = strategy in ("contrastive", "finetuned", "gated")
        expected = {"prepare", *(["embed"] if frozen else []), *(["pretrain"] if pretrained else [])}
        expected |= {"search"} if strategy == "gradient_boosting" else set()
        assert kinds(step) - {"features"} == expected


def test_each_seed_may_have_encoders_of_its_own(tmp_path: Path) -> None:
    once = steps(tmp_path, **{"study.seeds": 2})
    each = steps(tmp_path, **{"study.seeds": 2, "pretrain.seeds": 2})
    differ = {step for step in once.keys() & each.keys() if once[step] != each[step]}
    # Every cell's interval allows for seeds that share a draw.
    assert {kind_of(step) for step in differ} == with_readers({"contrastive", "finetuned", "gated", "random"}) | JUDGED
    assert all(name.endswith("seed 1") for kind, name in differ if kind == "finetune")
    # The control draws untrained encoders as often as there are pretrainings.
    drawn = {name for kind, name in each if kind == "embed"} - {name for kind, name in once if kind == "embed"}
    untrained = {name for name in drawn if "untrained" in name}
    assert (len(untrained), len(drawn - untrained)) == (2 * 5, 2 * 2), "two tasks, five modalities, two combinations"


def test_the_seeds_of_fine_tuning_take_pretrainings_in_turn() -> None:
    design = Design(load("demo", {**BASE, "study.seeds": 3, "pretrain.seeds": 2}))
    cells = [design.finetune("mortality", ("discharge", "radiology"), "contrastive", seed).cell for seed in range(3)]
    assert [cell.pretrain.seed if cell.pretrain else None for cell in cells] == [0, 1, 0]


def test_the_order_of_tasks_makes_nothing_again(tmp_path: Path) -> None:
    config = load("demo", BASE)
    turned = config.model_copy(update={"tasks": dict(reversed(config.tasks.items()))})
    assert list(turned.tasks) != list(config.tasks)
    store = Store(tmp_path)
    keys = [set(study_graph(Design(one), store).planned(store).steps) for one in (config, turned)]
    assert keys[0] == keys[1]


def test_the_order_of_modalities_prepares_nothing_again(tmp_path: Path) -> None:
    config = load("demo", BASE)
    turned = config.model_copy(update={"modalities": dict(reversed(config.modalities.items()))})
    before, after = Design(config), Design(turned)
    assert before.prepare.key == after.prepare.key
    assert [before.features(name).key for name in before.locked] == [after.features(name).key for name in before.locked]
    order = ("discharge", "radiology")
    assert before.pretrain(order).key != after.pretrain(order[::-1]).key, "the order of embeddings counts"


def test_the_natural_order_of_the_gates_steps_is_no_other_one(tmp_path: Path) -> None:
    names = ["discharge", "radiology", "image"]
    for same in (names, names[:1], ["timeseries", "discharge"]):
        assert changed(tmp_path, **{"finetune.order": same}) == set()
    assert steps(tmp_path, **{"finetune.order": names[::-1]}) == steps(
        tmp_path, **{"finetune.order": ["image", "radiology"]}
    )


@pytest.mark.parametrize("order", [[], ["image", "radiology"]])
def test_other_orders_are_all_but_the_one_that_is_trained_anyway(tmp_path: Path, order: list[str]) -> None:
    design = Design(load("demo", {**BASE, "finetune.order": order, "finetune.orders": 99}))
    assert design.named is not None
    cells = design.finetunings(design.named)
    trained = tuple(order) + tuple(name for name in ("discharge", "radiology", "image") if name not in order)
    for task in design.config.tasks:
        found = [one for one in design.variants(cells) if one.cell.task.name == task]
        assert {one.order for one in found} == set(permutations(trained)) - {trained}
        assert {one.key for one in found}.isdisjoint(one.key for one in cells)


def test_a_relative_path_of_raw_data_is_the_absolute_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.csv").write_text("a,b,label\n1,2,0\n", encoding="utf-8")
    tree: dict[str, Any] = {
        "modalities": {name: {"kind": "tabular", "columns": [name]} for name in "ab"},
        "tasks": {"label": {"labels": ["label"]}},
    }
    monkeypatch.chdir(tmp_path)
    paths = ("rows.csv", tmp_path / "rows.csv", f"../{tmp_path.name}/./rows.csv")
    keys = {Design(validate(tree | {"source": {"kind": "table", "path": str(path)}})).prepare.key for path in paths}
    assert len(keys) == 1
