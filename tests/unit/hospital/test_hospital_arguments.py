"""The arguments with which a hospital is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from picme_hospital import Absence, ArgumentError, Planted, check_influence, write_hospital

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("influence", "word"),
    [
        ({"timeserie": 1.0}, "unknown modality 'timeserie'; did you mean 'timeseries'"),
        ({"x": 1.0}, "known: demographics, discharge, image, radiology, timeseries"),
        ({"image": 0.4}, "the shares add up to 0.4"),
        ({"image": 1.5, "radiology": -0.5}, "the share of 'radiology' is -0.5: it must be 0 or more"),
        ({"image": float("nan")}, "0 or more"),
    ],
)
def test_impossible_influence(tmp_path: Path, influence: dict[str, float], word: str) -> None:
    with pytest.raises(ArgumentError, match=f"^synthetic hospital, influence: .*{word}"):
        write_hospital(tmp_path / "x", 20, planted=Planted(influence))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("stays", "seed", "name"), [(19, 0, "stays: 19"), (20, -1, "seed: -1")])
def test_impossible_numbers(tmp_path: Path, stays: int, seed: int, name: str) -> None:
    with pytest.raises(ValueError, match=f"^synthetic hospital, {name} should be greater than or equal to"):
        write_hospital(tmp_path / "x", stays, seed)
    assert not (tmp_path / "x").exists()


def test_possible_influence() -> None:
    check_influence(None)
    check_influence({"image": 0.25, "timeseries": 0.75})
    check_influence({"timeseries": 0.75}, redundancy=0.15, synergy=0.1)
    check_influence({}, redundancy=1.0)


@pytest.mark.parametrize(
    ("influence", "redundancy", "synergy", "word"),
    [
        (None, 0.2, 0.0, "redundancy and synergy need influence"),
        ({"image": 1.0}, 0.2, 0.1, "redundancy and synergy among them, add up to 1.3: they must"),
        ({"image": 1.2}, -0.2, 0.0, "redundancy is -0.2: it must be between 0 and 1"),
        ({"image": 1.0}, 0.0, float("nan"), "synergy is nan"),
    ],
)
def test_impossible_shares(influence: dict[str, float] | None, redundancy: float, synergy: float, word: str) -> None:
    with pytest.raises(ArgumentError, match=word):
        check_influence(influence, redundancy, synergy)


@pytest.mark.parametrize(
    ("absence", "word"),
    [
        (Absence({"demographics": 0.1}), "unknown modality 'demographics'; known: discharge, image"),
        (Absence({"image": 1.1}), "the share of 'image' is 1.1: it must be between 0 and 1"),
        (Absence({"image": float("nan")}), "the share of 'image' is nan"),
        (Absence(slope=float("inf")), "the slope is inf"),
    ],
)
def test_impossible_absence(tmp_path: Path, absence: Absence, word: str) -> None:
    with pytest.raises(ArgumentError, match=f"^synthetic hospital, absence: {word}"):
        write_hospital(tmp_path / "x", 20, absence=absence)
    assert not (tmp_path / "x").exists()
