"""Which steps of a study are faster with several threads: passes and trainings of large networks, preparation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from picme.config.loading import load
from picme.design.graph import study_graph
from picme.design.study import Design
from picme.engine.store import Store
from picme.evaluate.step import Attribute
from picme.finetune.step import EmbedPretrained, EmbedUntrained, Finetune
from picme.prepare.step import Prepare
from picme.pretrain.features import Features
from picme.pretrain.step import Pretrain

if TYPE_CHECKING:
    from pathlib import Path

    from picme.engine.step import Step

SMALL = {
    "study.seeds": 1,
    "finetune.combinations": "all",
    "finetune.strategies": ["contrastive", "supervised", "random", "gradient_boosting"],
}


def planned(folder: Path, **changed: str) -> list[Step]:
    """The steps of a demo that is changed."""
    store = Store(folder)
    return [*study_graph(Design(load("demo", {**SMALL, **changed})), store).planned(store).steps.values()]


def test_small_networks_have_one_thread(tmp_path: Path) -> None:
    met = set()
    for step in planned(tmp_path):
        if isinstance(step, Finetune):
            assert step.threaded == (step.cell.strategy == "gradient_boosting"), step.name
        elif isinstance(step, Features | Prepare):
            assert step.threaded
        elif isinstance(step, Pretrain | EmbedPretrained | EmbedUntrained):
            assert not step.threaded, step.name
        met.add(type(step))
    assert {Finetune, Features, Pretrain, EmbedPretrained, EmbedUntrained} <= met


def test_trainings_of_a_large_network_have_all(tmp_path: Path) -> None:
    met = set()
    for step in planned(tmp_path, **{"modalities.radiology.encoder.mode": "lora"}):
        cell = step.cell if isinstance(step, Finetune) else None
        if isinstance(step, Attribute):
            cell = step.finetuned[0].cell
        if cell is not None and cell.course is not None:
            # A frozen encoder is not trained, whatever it is.
            trained = cell.strategy == "supervised" and "radiology" in cell.combination
            assert step.threaded == trained, step.name
            met.add((type(step), trained))
        elif isinstance(step, Pretrain):
            assert step.threaded == ("radiology" in step.combination), step.name
            met.add((Pretrain, step.threaded))
    assert met == {(kind, trained) for kind in (Finetune, Attribute, Pretrain) for trained in (True, False)}
