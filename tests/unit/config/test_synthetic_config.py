"""The configuration of the synthetic hospital."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from picme.config.synthetic import SyntheticConfig


def test_defaults() -> None:
    config = SyntheticConfig()
    assert (config.stays, config.seed, config.images, config.influence) == (600, 0, True, None)


def test_too_few_stays() -> None:
    with pytest.raises(ValidationError, match="greater than or equal"):
        SyntheticConfig(stays=3)


def test_influence_is_checked() -> None:
    assert SyntheticConfig(influence={"image": 1.0}).influence == {"image": 1.0}
    with pytest.raises(ValidationError, match="unknown modality 'imag'; did you mean 'image'"):
        SyntheticConfig(influence={"imag": 1.0})
    assert SyntheticConfig(influence={"image": 0.5}, redundancy=0.2, synergy=0.3).synergy == 0.3
    with pytest.raises(ValidationError, match=r"redundancy and synergy among them, add up to 1\.5"):
        SyntheticConfig(influence={"image": 1.0}, synergy=0.5)
