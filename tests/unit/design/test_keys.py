"""Which steps a field of the configuration makes again, and which it leaves finished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from picme.config.evaluate import EvaluateConfig
from picme.config.loading import load
from picme.config.study import FinetuneConfig, PretrainConfig
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
    if kind in ("finetune", "attribute"):
        strategy = name.split(" ")[2]
        return strategy if kind == "finetune" else f"attribute {strategy}"
    return kind


def changed(folder: Path, **changes: Any) -> set[str]:
    """What a change makes again; what it adds or takes away does not count."""
    before, after = steps(folder), steps(folder, **changes)
    return {kind_of(step) for step in before.keys() & after.keys() if before[step] != after[step]}


def with_readers(fits: set[str], *others: str) -> set[str]:
    """Fine-tunings with what reads them."""
    attributed = {f"attribute {name}" for name in fits if name not in ("gradient_boosting", "logistic_regression")}
    return fits | attributed | ({"evaluate"} if fits else set()) | set(others)


FINETUNE: dict[str, tuple[Any, set[str]]] = {
    "combinations": (["discharge+radiology+image"], {"evaluate"}),
    "best": (2, set()),
    "singles": (False, {"evaluate"}),
    "strategies": (["supervised", "random", "mine"], {"evaluate"}),
    "fusions": ({"mine": {"name": "concat", "layers": 1}}, with_readers({"mine"})),
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
    "prepare", "availability", "features", "ceiling",
}  # fmt: skip
PRETRAIN: dict[str, tuple[Any, set[str]]] = {
    "window": (24, EVERYTHING),
    "pair_objective": ({"name": "siglip"}, PRETRAINING - with_readers({"gated"}) | {"evaluate"}),
    "objective": ({"name": "all_pairs"}, PRETRAINING),
    "epochs": (7, PRETRAINING),
    "patience": (7, PRETRAINING),
    "batch_size": (7, PRETRAINING),
    "learning_rate": (0.5, PRETRAINING),
    "weight_decay": (0.5, PRETRAINING),
    "seeds": (2, set()),
    "search": (SEARCH, PRETRAINING),
    "search_combinations": ("all", set()),
    "validation": ("batches", PRETRAINING),
    "loggers": (["csv"], set()),
}
ATTRIBUTED = {f"attribute {name}" for name in NETWORKS}
EVALUATE: dict[str, tuple[Any, set[str]]] = {
    "resamples": (500, {"evaluate"}),
    "interval_resamples": (500, {"evaluate"}),
    "confidence": (0.8, {"evaluate"}),
    "seed": (3, {"evaluate"}),
    "attributes": (["gender"], {"evaluate"}),
    "groups": (["gender"], {"evaluate"}),
    "crossed": ([["gender", "age_group"]], {"evaluate"}),
    "min_group": (20, {"evaluate"}),
    "ece_bins": (7, {"evaluate"}),
    "thresholds": ([{"kind": "youden"}], {"evaluate"}),
    "comparisons": ({"families": ["controls"]}, {"evaluate"}),
    "controls": (["random", "gated_uniform"], {"evaluate", "attribute supervised_lstm"}),
    "shapley": ("off", ATTRIBUTED),
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


@pytest.mark.parametrize(
    ("model", "fields"), [(FinetuneConfig, FINETUNE), (PretrainConfig, PRETRAIN), (EvaluateConfig, EVALUATE)]
)
def test_every_field_of_the_sections_is_tested(model: Any, fields: dict[str, Any]) -> None:
    assert set(fields) == set(model.model_fields)


def test_where_steps_run_makes_nothing_again(tmp_path: Path) -> None:
    assert changed(tmp_path, **{"execution.workers": 7, "execution.threads": 3, "execution.device": "cpu"}) == set()
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
        assert kinds(step) - {"features"} == expected
