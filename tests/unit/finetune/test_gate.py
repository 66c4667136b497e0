"""λ that the configuration gives to the gated strategy."""

from __future__ import annotations

import pytest

from picme.config.loading import load
from picme.errors import TrainingError
from picme.finetune import job


def gate_of(combination: list[str]) -> list[float] | None:
    study = load("demo", {"finetune.gate": [0.5, 0.3, 0.2, 0.0, 0.0]})
    return job._gate(study, combination, "gated", None)


def test_given_weights_of_a_smaller_combination_are_scaled() -> None:
    assert gate_of(["discharge", "image", "demographics"]) == pytest.approx([5 / 7, 2 / 7, 0])
    with pytest.raises(TrainingError, match=r"no weight to any modality of timeseries\+demographics"):
        gate_of(["timeseries", "demographics"])
