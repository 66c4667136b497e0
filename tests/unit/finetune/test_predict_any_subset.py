"""New stays are predicted from whatever they have, by one model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from picme.config.loading import validate
from picme.errors import ConfigError, DataError
from picme.evaluate import recalibrate
from picme.evaluate.calibration import apply_calibration, fit_calibration
from picme.finetune.embed import all_rows
from picme.pipeline import run as run_pipeline
from picme.predict import Model, predict
from picme.pretrain.features import open_encoded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from picme.pipeline import Run

NAMES = ("labs", "person", "vitals")
STRATEGIES = ("any_subset", "any_subset_contrastive")


@pytest.fixture(scope="module")
def study(finished: Callable[..., Run]) -> Run:
    return finished(
        "evaluate",
        study={"seeds": 2},
        finetune={"strategies": [*STRATEGIES, "contrastive", "late_fusion"], "combinations": ["labs+person"]},
    )


def predicted(
    study: Run, cohort: Path, out: Path, strategy: str, combination: str | None = None, *withhold: str, **more: Any
) -> pl.DataFrame:
    predict(study.folder, cohort, "label", strategy, combination, out / "found.parquet", withhold=withhold, **more)
    return pl.read_parquet(out / "found.parquet").sort("stay_id")


def presence(study: Run, names: tuple[str, ...]) -> pl.DataFrame:
    view = open_encoded(study.design.prepare, "label", [study.design.encoding(name) for name in names], study.store)
    inside = view.cohort.with_columns(pl.Series(name, view.modalities[name].present) for name in names)
    return inside.filter(pl.col("split").is_not_null()).sort("stay_id").select("stay_id", *names)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_stay_has_a_row_that_says_what_it_was_predicted_from(study: Run, tmp_path: Path, strategy: str) -> None:
    found, there = predicted(study, study.folder, tmp_path, strategy), presence(study, NAMES)
    assert found.columns == ["stay_id", "label", "modalities_used"]
    assert found["stay_id"].equals(there["stay_id"])
    used = ["+".join(name for name in NAMES if row[name]) or "none" for row in there.iter_rows(named=True)]
    assert found["modalities_used"].to_list() == used
    assert 0 < used.count("none") < len(used) / 2
    assert found["label"].is_null().to_list() == [one == "none" for one in used]


def test_the_counts_name_the_stays_with_none(study: Run, tmp_path: Path) -> None:
    said = predict(study.folder, study.folder, "label", "any_subset", None, tmp_path / "found.csv")
    none = int((~presence(study, NAMES).select(pl.any_horizontal(NAMES)).to_series()).sum())
    assert (said.left_out, said.written) == (none, presence(study, NAMES).height - none)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_probabilities_are_those_of_the_study_calibrated_for_each_pattern(
    study: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    """A pattern's stays are calibrated on the validation stays that have it, by the model of that combination."""
    monkeypatch.setattr(recalibrate, "ENOUGH", 3)
    cohort = pl.read_parquet(study.prepared / "views" / "label" / "cohort.parquet")
    target, there = cohort["label"].cast(pl.Float64).to_numpy(), cohort.select("stay_id").join(
        presence(study, NAMES), on="stay_id", how="left", maintain_order="left"
    )  # fmt: skip
    has = there.select(pl.col(NAMES).fill_null(False)).to_numpy()
    found = predicted(study, study.folder, tmp_path, strategy)
    for pattern in (("labs",), ("person",), NAMES):
        kept = [
            dict(np.load(study.store.path(study.design.finetune("label", pattern, strategy, seed)) / "predictions.npz"))
            for seed in range(2)
        ]
        val, test = (np.mean([one[split] for one in kept], axis=0)[:, 0] for split in ("val", "test"))
        val_rows, test_rows = kept[0]["val_rows"], kept[0]["test_rows"]
        whole = has[val_rows][:, [name in pattern for name in NAMES]].all(axis=1)
        assert min(np.bincount(target[val_rows[whole]].astype(int))) >= 3
        slope, intercept = fit_calibration(val[whole], target[val_rows[whole]])
        values = {"stay_id": cohort["stay_id"].gather(test_rows), "p": apply_calibration(test, slope, intercept)}
        joined = found.filter(pl.col("modalities_used") == "+".join(pattern)).join(pl.DataFrame(values), on="stay_id")
        assert joined.height > 3
        np.testing.assert_allclose(joined["label"].to_numpy(), joined["p"].to_numpy(), atol=1e-5)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_withheld_modality_is_as_good_as_one_that_the_cohort_lacks(
    study: Run, tree: dict[str, Any], tmp_path: Path, strategy: str
) -> None:
    fewer = {name: tree["modalities"][name] for name in ("labs", "person")}
    new = run_pipeline(validate(tree | {"modalities": fewer}), tmp_path / "new", "prepare", quiet=True)
    said = predict(study.folder, new.folder, "label", strategy, None, tmp_path / "lacking.parquet")
    assert any("no modality 'vitals'; it counts as absent" in note for note in said.notes)
    lacking = pl.read_parquet(tmp_path / "lacking.parquet").sort("stay_id")
    withheld = predicted(study, study.folder, tmp_path, strategy, None, "vitals")
    assert lacking["modalities_used"].to_list() == withheld["modalities_used"].to_list()
    np.testing.assert_allclose(lacking["label"].to_numpy(), withheld["label"].to_numpy(), atol=1e-6)
    assert not withheld["label"].equals(predicted(study, study.folder, tmp_path, strategy)["label"])


def test_contributions_are_of_the_modalities_that_were_used(study: Run, tmp_path: Path) -> None:
    file = tmp_path / "contributions.parquet"
    found = predicted(study, study.folder, tmp_path, "any_subset", None, "person", contributions=file)
    added = pl.read_parquet(file)
    used = added.filter("present").group_by("stay_id").agg(pl.col("modality").sort().str.join("+"))
    joined = found.filter(pl.col("modalities_used") != "none").join(used, on="stay_id", how="full")
    assert joined["modalities_used"].equals(joined["modality"].alias("modalities_used"))
    assert added.filter(~pl.col("present"))["contribution"].abs().max() == 0
    assert added.filter("present")["contribution"].abs().min() > 0


def test_what_cannot_be_withheld_is_said(study: Run, tmp_path: Path) -> None:
    for strategy, combination, withhold, message in (
        ("any_subset", None, ("vital",), r"--withhold vital: labs\+person\+vitals by any_subset has no such modality"),
        ("any_subset", "labs+person", ("vitals",), r"labs\+person by any_subset has no such modality"),
        ("contrastive", "labs+person", ("labs",), r"--withhold labs: .* by contrastive is not made for absent"),
        ("late_fusion", "labs+person", (), r"late_fusion keeps no model to predict with"),
    ):
        with pytest.raises(ConfigError, match=message):
            predicted(study, study.folder, tmp_path, strategy, combination, *withhold)


def test_without_any_modality_every_stay_has_a_row_and_no_prediction(study: Run, tmp_path: Path) -> None:
    file = tmp_path / "contributions.parquet"
    found = predicted(study, study.folder, tmp_path, "any_subset", None, *NAMES, contributions=file)
    assert found["stay_id"].equals(presence(study, NAMES)["stay_id"])
    assert found["modalities_used"].unique().to_list() == ["none"]
    assert found["label"].null_count() == found.height
    added = pl.read_parquet(file)
    assert (added.height, added.columns) == (0, ["stay_id", "label", "modality", "present", "contribution"])
    model = Model(study, "label", "any_subset", None, NAMES)
    with pytest.raises(DataError, match=r"none of the .* stays .* has any modality"):
        model.encode(study.folder)


def test_progress_counts_the_models_and_what_is_encoded(
    study: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("picme.engine.progress.EVERY_SECONDS", 0.0)
    predicted(study, study.folder, tmp_path, "any_subset", quiet=False)
    assert capsys.readouterr().err.splitlines() == [
        "predict 1/2: model of seed 0", "predict 2/2: model of seed 1"
    ]  # fmt: skip
    predicted(study, study.folder, tmp_path, "any_subset")
    assert capsys.readouterr().err == ""


def test_other_strategies_write_what_they_did(study: Run, tmp_path: Path) -> None:
    found, there = predicted(study, study.folder, tmp_path, "contrastive"), presence(study, ("labs", "person"))
    assert found["stay_id"].equals(there.filter(pl.any_horizontal("labs", "person"))["stay_id"])
    assert found["label"].null_count() == 0


@pytest.mark.parametrize("strategy", ["any_subset_contrastive", "contrastive"])
def test_frozen_encoders_run_once_for_all_seeds_on_one_draw(
    study: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    runs: list[Any] = []

    def counted(*arguments: Any) -> np.ndarray:
        runs.append(arguments)
        return all_rows(*arguments)

    monkeypatch.setattr("picme.finetune.embed.all_rows", counted)
    predicted(study, study.folder, tmp_path, strategy)
    assert len(runs) == 1, "the study has two seeds and one pretraining"
