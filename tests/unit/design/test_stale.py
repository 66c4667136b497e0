"""Why a step is stale, in the configuration's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from picme.config.loading import load, validate
from picme.design.graph import study_graph
from picme.design.stale import why_stale
from picme.design.study import Design
from picme.engine.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from picme.config.study import Config

BASE: dict[str, Any] = {
    "study.seeds": 1,
    "finetune.combinations": ["discharge+radiology", "discharge+radiology+image"],
    "finetune.strategies": ["contrastive", "supervised", "gated"],
    "finetune.singles": False,
    "finetune.label_efficiency": "off",
    "align.tsne": "off",
}


def finished(config: Config, store: Store) -> None:
    """Every step of a study as if it had been made."""
    for step in study_graph(Design(config), store).planned(store).steps.values():
        if not store.done(step):
            with store.attempt(step):
                pass


def said(
    config: Config, store: Store, before: Config | None = None, made_from: dict[str, Any] | None = None
) -> dict[str, str]:
    """What a plan says of each kind of step, after a study of another configuration where that is known."""
    earlier, now = (one.model_dump(mode="json") if one else {} for one in (before, config))
    graph = study_graph(Design(config, made_from), store).planned(store)
    left = [step for step in graph.steps.values() if not store.done(step)]
    kinds = {step.kind for step in left}
    found = {kind: why_stale([step for step in left if step.kind == kind], store, earlier, now) for kind in kinds}
    return {kind: line for kind, line in found.items() if line is not None}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = Store(tmp_path_factory.mktemp("stale"))
    finished(load("demo", BASE), made)
    return made


@pytest.mark.parametrize(("change", "kind", "expected"), [
    ({"pretrain.epochs": 7}, "pretrain", "pretrain.epochs: 20 → 7"),
    ({"pretrain.epochs": 7}, "score", "6 finetune steps are made again"),
    ({"pretrain.epochs": 7}, "evaluate", "6 score steps are made again"),
    ({"pretrain.objective": {"name": "all_pairs"}}, "pretrain", "pretrain.objective.name: ovo → all_pairs"),
    ({"pretrain.pair_objective": {"name": "siglip"}}, "pretrain", "pretrain.pair_objective.name: infonce → siglip"),
    ({"pretrain.mode": "shared"}, "pretrain", "pretrain.mode: each → shared"),
    ({"pretrain.search": {"trials": 2}}, "pretrain",
     "pretrain.learning_rate: 0.002 → searched; pretrain.batch_size: 64 → searched; 4 search steps are new"),
    ({"align.gallery": 7}, "align", "align.gallery: 1000 → 7"),
    ({"align.tsne": "all"}, "align", "align.tsne: off → all"),
    ({"finetune.hidden": 7}, "finetune", "finetune.hidden: 64 → 7"),
    ({"finetune.order": ["image", "radiology"]}, "finetune",
     "finetune.order: [] → [image, radiology]"),
    ({"finetune.gate": "learned"}, "finetune", "finetune.gate: pretraining → learned; "),
    ({"finetune.gate": [0.2, 0.2, 0.2, 0.3, 0.1]}, "finetune",
     "finetune.gate: pretraining → [0.2, 0.2, 0.2, 0.3, 0.1]; "),
    ({"finetune.standardise": False}, "finetune", "finetune.standardise: true → false"),
    ({"finetune.loss": "paper"}, "finetune", "finetune.loss: bce → paper"),
    ({"study.projection": "shared"}, "pretrain", "study.projection: own → shared"),
    ({"modalities.image.encoder.projection.hidden": [7]}, "pretrain",
     "modalities.image.encoder.projection.hidden: [] → [7]"),
    ({"evaluate.attributes": ["gender"]}, "evaluate",
     "evaluate.attributes: [gender, ethnicity, age_group, modalities] → [gender]"),
    ({"evaluate.ece_bins": 7}, "score", "evaluate.ece_bins: 10 → 7"),
    ({"evaluate.shapley": "off"}, "attribute", "evaluate.shapley: largest → off"),
    ({"finetune.strategies": ["contrastive", "gated"]}, "evaluate", "4 score steps are left out"),
    ({"finetune.strategies": ["gated", "supervised", "contrastive"]}, "evaluate", "score steps in another order"),
    ({"finetune.strategies": ["contrastive", "supervised", "gated", "finetuned"]}, "evaluate",
     "4 score steps are new"),
    ({"cohort.min_age": 21}, "prepare", "cohort.min_age: 18 → 21"),
    ({"splits.seed": 3}, "prepare", "splits.seed: 0 → 3"),
    ({"cohort.min_age": 21}, "features", "prepare is made again"),
    ({"source.stays": 70}, "hospital", "source.stays: "),
])  # fmt: skip
def test_the_key_of_the_configuration_is_named_with_both_values(
    store: Store, change: dict[str, Any], kind: str, expected: str
) -> None:
    line = said(load("demo", {**BASE, **change}), store, load("demo", BASE))[kind]
    assert line.startswith(expected), line


def test_a_key_of_which_steps_have_only_what_follows_is_told_where_its_value_is_the_same_or_not_known(
    store: Store,
) -> None:
    base = load("demo", BASE)
    smaller = load("demo", {**BASE, "finetune.combinations": ["discharge+radiology"]})
    assert (
        said(smaller, store, base)["attribute"] == "evaluate.shapley: largest has another meaning in this configuration"
    )
    assert said(load("demo", {**BASE, "evaluate.shapley": "off"}), store)["attribute"] == "evaluate.shapley has changed"


@pytest.mark.parametrize(("component", "kind", "expected"), [
    ("objectives: ovo", "pretrain", "the code of pretrain.objective (ovo) has changed"),
    ("objectives: infonce", "pretrain", "the code of pretrain.pair_objective (infonce) has changed"),
    ("encoders: image", "features", "the code of modalities.image.encoder has changed"),
    ("encoders: image", "pretrain", "the code of modalities.image.encoder (image) has changed; "),
    ("fusions: concat", "finetune", "the code of the fusion head (concat) has changed"),
    ("tasks: mortality", "prepare", "the code of tasks: mortality has changed"),
    ("tasks: mortality", "finetune", "the code of tasks.mortality has changed; "),
])  # fmt: skip
def test_the_component_whose_code_changed_is_named(store: Store, component: str, kind: str, expected: str) -> None:
    base = load("demo", BASE)
    line = said(base, store, base, {"raw": [], "code": {component: "another"}})[kind]
    assert line.startswith(expected), line


def test_the_code_of_a_fusion_of_the_configuration_is_named_by_its_key(tmp_path: Path) -> None:
    own = Store(tmp_path)
    fused = {"finetune.fusions": {"mine": {"name": "attention"}}, "finetune.strategies": ["mine"]}
    config = load("demo", {**BASE, **fused})
    finished(config, own)
    line = said(config, own, config, {"raw": [], "code": {"fusions: attention": "another"}})["finetune"]
    assert line == "the code of finetune.fusions.mine (attention) has changed"


def test_what_another_configuration_has_made_is_not_said_to_be_made_again(store: Store, tmp_path: Path) -> None:
    own = Store(tmp_path)
    first, second = load("demo", BASE), load("demo", {**BASE, "finetune.hidden": 7})
    finished(first, own)
    for step in study_graph(Design(second), own).planned(own).steps.values():
        if not own.done(step) and step.kind not in ("score", "evaluate"):
            with own.attempt(step):
                pass
    assert said(second, own) == {
        "score": "12 finetune steps are of another configuration", "evaluate": "12 score steps are made again",
    }  # fmt: skip


def test_a_step_of_another_version_of_picme_is_not_explained_by_the_configuration(tmp_path: Path) -> None:
    own = Store(tmp_path)
    step = Design(load("demo", BASE)).prepare
    with own.attempt(step):
        pass
    file = own.path(step) / "manifest.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"require":', '"requires":'), encoding="utf-8")
    assert why_stale([step], own, {}, {}) == "this version of picme describes the step by other fields"


def test_a_changed_file_is_named(tmp_path: Path) -> None:
    tree: dict[str, Any] = {
        "source": {"kind": "table", "path": str(tmp_path / "rows.csv")},
        "modalities": {name: {"kind": "tabular", "columns": [name]} for name in "ab"},
        "tasks": {"label": {"labels": ["label"]}},
    }
    (tmp_path / "rows.csv").write_text("a,b,label\n1,2,0\n", encoding="utf-8")
    (tmp_path / "more.csv").write_text("id,c\n1,2\n", encoding="utf-8")
    store = Store(tmp_path / "run")
    finished(validate(tree), store)
    (tmp_path / "rows.csv").write_text("a,b,label\n1,2,0\n3,4,1\n", encoding="utf-8")
    assert said(validate(tree), store)["prepare"] == "file rows.csv has changed"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "rows.csv").rename(tmp_path / "elsewhere" / "rows.csv")
    tree["source"]["path"] = str(tmp_path / "elsewhere" / "rows.csv")
    line = said(validate(tree), store)["prepare"]
    assert line == f"file rows.csv has moved; source.path: {tmp_path}/rows.csv → {tmp_path}/elsewhere/rows.csv"
    tree["modalities"]["b"] = {"kind": "tabular", "path": str(tmp_path / "more.csv"), "id": "id"}
    assert said(validate(tree), store)["prepare"].startswith("file rows.csv has moved, and another differs; ")


def test_settings_of_the_missingness_grid_are_named(tmp_path: Path) -> None:
    own, base = Store(tmp_path), {**BASE, "evaluate.missing": {}}
    finished(load("demo", base), own)
    for change, expected in (
        ({"evaluate.missing": {"slope": 1}}, "evaluate.missing.slope: 4.0 → 1.0"),
        ({"evaluate.ece_bins": 7}, "evaluate.ece_bins: 10 → 7"),
        ({"evaluate.interval_resamples": 500}, "evaluate.interval_resamples: 1000 → 500"),
    ):
        assert said(load("demo", {**base, **change}), own, load("demo", base))["missing"] == expected
