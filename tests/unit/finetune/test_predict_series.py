"""New stays by a set transformer, and by encoders that learnt to reconstruct: as the study predicts its own stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from picme.config.loading import validate
from picme.evaluate.calibration import apply_calibration, fit_calibration
from picme.pipeline import run as run_pipeline
from picme.predict import predict

if TYPE_CHECKING:
    from pathlib import Path

SAMPLES = 160
SET: dict[str, Any] = {"name": "set_transformer", "hidden": 8, "heads": 2, "layers": 1, "inducing": 2, "seeds": 2,
                       "feedforward": 8}  # fmt: skip
LSTM: dict[str, Any] = {"name": "lstm", "hidden": 8}


def write_samples(folder: Path) -> None:
    """Write a series and a table that follow one number of each sample; some samples lack one of the two."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=SAMPLES)
    label = (hidden + rng.normal(size=SAMPLES) > 0).astype(int)
    pl.DataFrame({"id": range(SAMPLES), "label": label}).write_csv(folder / "samples.csv")
    vitals = [
        (stay, hour, name, hidden[stay] + rng.normal())
        for stay in range(SAMPLES)
        for hour in range(6 - stay % 3)
        for name in ("pulse", "pressure")
        if stay % 7 and (hour == 0 or rng.random() < 0.7)
    ]
    pl.DataFrame(vitals, schema=["id", "hours", "variable", "value"], orient="row").write_csv(folder / "vitals.csv")
    told = {"id": range(SAMPLES), "age": hidden + rng.normal(size=SAMPLES)}
    pl.DataFrame(told).filter(pl.col("id") % 11 > 0).write_csv(folder / "person.csv")


@pytest.mark.parametrize(("encoder", "reconstruct"), [(SET, 0.0), (LSTM, 1.0)], ids=["set_transformer", "reconstruct"])
def test_new_stays_are_predicted_as_the_study_predicts_them(
    encoder: dict[str, Any], reconstruct: float, tmp_path: Path
) -> None:
    """Means over seeds of what the table `predictions` holds, calibrated on the validation stays in it."""
    write_samples(tmp_path)
    config: dict[str, Any] = {
        "source": {"kind": "table", "path": str(tmp_path / "samples.csv"), "id": "id"},
        "require": "none",
        "modalities": {
            "vitals": {"kind": "timeseries", "path": str(tmp_path / "vitals.csv"), "encoder": encoder},
            "person": {
                "kind": "tabular", "path": str(tmp_path / "person.csv"), "encoder": {"name": "mlp", "hidden": [4]},
            },
        },
        "tasks": {"label": {"hours": 24}},
        "splits": {"train": 0.5, "val": 0.25},
        "study": {"seeds": 2, "embed_dim": 8},
        "pretrain": {"epochs": 2, "batch_size": 32, "reconstruct": reconstruct},
        "align": {"tsne": "off"},
        "finetune": {
            "combinations": ["vitals+person"], "strategies": ["contrastive", "finetuned", "supervised"], "epochs": 2,
            "label_efficiency": "off",
        },
        "evaluate": {"resamples": 100, "interval_resamples": 100, "shapley": "off"},
        "execution": {"workers": 1, "device": "cpu"},
    }  # fmt: skip
    study = run_pipeline(validate(config), tmp_path / "run", "evaluate", quiet=True)
    table = pl.read_parquet(study.folder / "results" / "predictions.parquet").filter(combination="vitals+person")
    means = table.group_by("strategy", "split", "stay_id").agg(pl.col("probability").mean(), pl.col("target").first())
    assert means["probability"].n_unique() > 100
    for strategy in ("contrastive", "finetuned", "supervised"):
        predict(study.folder, study.folder, "label", strategy, "vitals+person", tmp_path / "found.parquet")
        own = means.filter(strategy=strategy)
        val, test = (own.filter(split=split) for split in ("val", "test"))
        fitted = fit_calibration(val["probability"].to_numpy(), val["target"].to_numpy())
        found = test.join(pl.read_parquet(tmp_path / "found.parquet"), on="stay_id", how="left")
        expected = apply_calibration(found["probability"].to_numpy(), *fitted)
        np.testing.assert_allclose(found["label"].to_numpy(), expected, rtol=1e-4, err_msg=strategy)
