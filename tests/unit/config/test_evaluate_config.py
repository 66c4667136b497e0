from __future__ import annotations

import pytest
from pydantic import ValidationError

from picme.config.evaluate import ComparisonsConfig, EvaluateConfig, ThresholdRule
from picme.config.loading import load
from picme.config.sources import Physionet2012Source, TableSource
from picme.errors import ConfigError
from picme.sources.physionet2012 import GROUPS
from picme.strategies import Strategy


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


def test_what_is_compared_follows_from_the_declarations() -> None:
    config = EvaluateConfig()
    assert [f"{a}-{b}" for a, b in config.comparisons.controls] == [
        "contrastive-random", "finetuned-supervised", "gated-gated_uniform", "gated-supervised_lstm",
    ]  # fmt: skip
    assert [f"{a}-{b}" for a, b in config.comparisons.strategies] == [
        "contrastive-supervised", "gated-supervised", "gated-contrastive", "finetuned-contrastive",
        "supervised_attention-supervised", "supervised_sum-supervised", "supervised-random",
    ]  # fmt: skip
    assert config.comparisons.baselines == ("gradient_boosting", "logistic_regression")
    assert config.controls == ("random", "gated_uniform", "supervised_lstm")


def test_declared_comparisons_are_added_only_where_the_configuration_lists_none() -> None:
    others = [
        Strategy(name, "", "", "from_scratch", controls=("random",), alternatives=("supervised",))
        for name in ("mine", "yours")
    ]
    usual = EvaluateConfig()
    found = usual.with_strategies(others).comparisons
    assert found.controls == (*usual.comparisons.controls, ("mine", "random"), ("yours", "random"))
    assert found.strategies == (*usual.comparisons.strategies, ("mine", "supervised"), ("yours", "supervised"))
    own = (("mine", "random"),)
    found = EvaluateConfig(comparisons=ComparisonsConfig(controls=own)).with_strategies(others).comparisons
    assert found.controls == own
    assert found.strategies[-1] == ("yours", "supervised")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("controls", ["randm"]),
        ("comparisons.controls", [["contrastive", "randm"]]),
        ("comparisons.strategies", [["randm", "supervised"]]),
        ("comparisons.baselines", ["randm"]),
    ],
)
def test_an_unknown_strategy_is_named_with_the_nearest(key: str, value: list) -> None:
    with pytest.raises(ConfigError, match=rf"evaluate\.{key}: unknown strategy 'randm'; did you mean 'random'"):
        load("demo", {f"evaluate.{key}": value})


@pytest.mark.parametrize(("key", "value"), [
    ("attributes", ["age_group", "gendr"]), ("groups", ["gendr"]), ("crossed", [["age_group", "gendr"]]),
])  # fmt: skip
def test_an_unknown_subgroup_is_refused_before_anything_is_made(key: str, value: list) -> None:
    with pytest.raises(ConfigError, match=rf"^evaluate\.{key} names 'gendr', which .* did you mean 'gender'\?$"):
        load("demo", {f"evaluate.{key}": value})


def test_subgroups_that_the_source_will_have_are_taken() -> None:
    assert load("demo", {"evaluate.groups": ["gender"]})
    assert load("demo", {"evaluate.groups": ["anchor_year_group"], "splits.kind": "time"})
    assert load("physionet2012", {"source.path": "/data", "evaluate.groups": ["icu_type", "set"]})
    with pytest.raises(ConfigError, match="known: age_group, gender, icu_type, set"):
        load("physionet2012", {"source.path": "/data", "evaluate.groups": ["ward"]})
    assert Physionet2012Source(path="/data").group_columns == (*GROUPS, "set")
    assert TableSource(groups=("ward",)).group_columns == ("ward",)


def test_a_fusion_of_the_configuration_can_be_compared() -> None:
    pair = [["mine", "supervised"]]
    own = {"finetune.strategies": ["supervised", "mine"], "finetune.fusions": {"mine": {"name": "concat"}}}
    assert load("demo", {**own, "evaluate.comparisons.strategies": pair}).evaluate.comparisons.strategies
    with pytest.raises(ConfigError, match="unknown strategy 'mine'"):
        load("demo", {"evaluate.comparisons.strategies": pair})


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
