"""λ that the configuration gives to the gated strategy."""

from __future__ import annotations

import pytest

from picme.config.loading import load
from picme.design.study import Design
from picme.errors import ConfigError


def gate_of(*combination: str) -> tuple[float, ...] | None:
    study = Design(load("demo", {"finetune.gate": [0.5, 0.3, 0.2, 0.0, 0.0]}))
    return study.cell("mortality", combination, "gated").weights


def test_given_weights_of_a_smaller_combination_are_scaled() -> None:
    assert gate_of("discharge", "image", "demographics") == pytest.approx([5 / 7, 2 / 7, 0])
    with pytest.raises(ConfigError, match=r"no weight to any modality of timeseries\+demographics"):
        gate_of("timeseries", "demographics")


def test_given_weights_need_no_pretraining() -> None:
    combination = ("discharge", "image", "demographics")
    given = Design(load("demo", {"finetune.gate": [0.5, 0.3, 0.2, 0.0, 0.0]}))
    assert given.cell("mortality", combination, "gated").pretrain is None
    found = Design(load("demo")).cell("mortality", combination, "gated")
    assert found.weights is None
    assert found.pretrain is not None
