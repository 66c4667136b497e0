"""A study from Python: how it is run, and its series as one array."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

import picme
from picme import pipeline
from picme.errors import ConfigError
from picme.study import Series

if TYPE_CHECKING:
    from pathlib import Path

    from picme.config.study import Config

LENGTHS = (3, 0, 5, 1)


@pytest.mark.parametrize("length", [None, 2, 7, 0])
def test_series_are_padded_behind_their_last_hour(length: int | None) -> None:
    lengths = np.array(LENGTHS)
    flat = np.random.default_rng(0).normal(size=(lengths.sum(), 2)).astype(np.float32)
    series = Series(np.arange(len(lengths)), flat, lengths, ["a", "b"])
    values, mask = series.padded(length)
    size = 5 if length is None else length
    assert values.shape == (4, size, 2)
    assert mask.shape == (4, size)
    for stay, own in enumerate(np.split(flat, lengths.cumsum()[:-1])):
        for hour in range(size):
            there = hour < len(own)
            assert mask[stay, hour] == there
            np.testing.assert_array_equal(values[stay, hour], own[hour] if there else 0)


def test_overrides_count_for_a_configuration_given_as_a_dictionary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Config] = []

    def record(config: Config, out: Path, until: str, quiet: bool) -> SimpleNamespace:
        given.append(config)
        return SimpleNamespace(folder=out)

    monkeypatch.setattr(pipeline, "run", record)
    values = {"preset": "demo", "study": {"seeds": 2}}
    picme.run(values, tmp_path, set={"pretrain.epochs": 7})
    assert (given[0].study.seeds, given[0].pretrain.epochs) == (2, 7)
    with pytest.raises(ConfigError, match=r"pretrain\.epocs"):
        picme.run(values, tmp_path, set={"pretrain.epocs": 7})
