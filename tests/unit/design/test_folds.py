"""The steps of a study by folds: what each fold has of its own, and what serves all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from picme.config.loading import load
from picme.design.graph import study_graph
from picme.design.study import Design
from picme.engine.store import Store
from picme.evaluate.folds import by_fold, in_every_fold
from picme.evaluate.step import Evaluate, Missing, Score
from picme.finetune.step import Finetune
from picme.prepare.step import Prepare

if TYPE_CHECKING:
    from pathlib import Path

    from picme.engine.step import Step

SMALL: dict[str, Any] = {
    "study.seeds": 2,
    "finetune.combinations": ["discharge+radiology"],
    "finetune.strategies": ["contrastive", "random", "any_subset", "gradient_boosting"],
    "evaluate.missing": {"mechanisms": ["mar"]},
    "align.tsne": "off",
}
FOLDS = {"splits": {"kind": "folds", "folds": 3}}


def planned(folder: Path, **changes: Any) -> list[Step]:
    store = Store(folder)
    return list(study_graph(Design(load("demo", {**SMALL, **changes})), store).planned(store).steps.values())


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    return planned(tmp_path_factory.mktemp("folds"), **FOLDS)


def cohorts(step: Step) -> set[Step]:
    """The divisions of the cohort that a step reads, by way of others too; the arrays alone are no division."""
    found = {one for one in step.inputs if isinstance(one, Prepare)}
    return found.union(
        *(cohorts(one) for one in step.inputs if not isinstance(one, Prepare) and one.kind != "features")
    )


def test_what_a_fold_trains_depends_on_no_other_folds_division(steps: list[Step]) -> None:
    trained = [step for step in steps if step.stage in ("pretrain", "align", "finetune")]
    assert trained and all(len(cohorts(step)) == 1 for step in trained)


def test_every_fine_tuning_is_there_once_for_each_fold(steps: list[Step]) -> None:
    finetuned = [step for step in steps if isinstance(step, Finetune) and not step.variant]
    folds = by_fold(finetuned)
    assert len(folds) == 3 and len({len(fold) for fold in folds}) == 1
    assert in_every_fold(finetuned, 3) == finetuned
    names = [(step.kind, step.name) for step in steps]
    assert len(names) == len(set(names))


def test_a_fine_tuning_that_lacks_a_fold_is_left_out_of_all(steps: list[Step]) -> None:
    finetuned = [step for step in steps if isinstance(step, Finetune) and not step.variant]
    lost = finetuned[-1]
    left = in_every_fold([one for one in finetuned if one is not lost], 3)
    assert len(left) == len(finetuned) - 3
    assert not any((one.cell.place, one.seed) == (lost.cell.place, lost.seed) for one in left)


def test_the_locked_parts_of_encoders_run_once_for_all_folds(steps: list[Step], tmp_path: Path) -> None:
    kinds = ("hospital", "prepare", "availability", "baseline", "features", "align")
    once = [step.key for step in planned(tmp_path, **SMALL) if step.kind in kinds]
    assert len([step for step in steps if step.kind in kinds]) == len(once)


def test_tables_of_predictions_are_made_of_all_folds(steps: list[Step]) -> None:
    scored = [step for step in steps if isinstance(step, Score)]
    assert scored and all(len(step.folds) == len(by_fold(step.finetuned)) == 3 for step in scored)
    assert [len(one.cells) for one in steps if isinstance(one, Evaluate)] == [len(scored) // 2] * 2
    grids = [step for step in steps if isinstance(step, Missing)]
    assert grids and all(len(by_fold(step.finetuned)) == len(step.severity) == 3 for step in grids)


def test_a_study_without_folds_has_one_division(tmp_path: Path) -> None:
    assert not [step for step in planned(tmp_path) if step.kind == "fold"]
