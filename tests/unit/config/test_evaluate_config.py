from __future__ import annotations

import pytest
from pydantic import ValidationError

from picme.config.evaluate import EvaluateConfig, ThresholdRule


def test_a_dump_reads_back_the_same() -> None:
    config = EvaluateConfig(groups=("ward",), thresholds=(ThresholdRule(kind="youden"),), resamples=500)
    assert EvaluateConfig.model_validate(config.model_dump(mode="json")) == config


def test_controls_and_baselines_cannot_be_selected() -> None:
    config = EvaluateConfig()
    names = ("contrastive", "supervised", "gated", "finetuned", "supervised_attention", "supervised_sum")
    assert all(config.selectable(name) for name in names)
    assert not any(
        config.selectable(name)
        for name in ("random", "gated_uniform", "supervised_lstm", "gradient_boosting", "logistic_regression")
    )


@pytest.mark.parametrize(
    "values",
    [
        {"resample": 10},
        {"resamples": 0},
        {"confidence": 95},
        {"ece_bins": 1},
        {"comparisons": {"families": ["contrls"]}},
        {"thresholds": [{"kind": "youden", "value": 0.5}]},
    ],
)
def test_impossible_values_fail(values: dict) -> None:
    with pytest.raises(ValidationError):
        EvaluateConfig.model_validate(values)
