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


def test_case_mix_and_image_style_are_checked() -> None:
    config = SyntheticConfig(mortality=0.3, case_mix={"age": -1}, image_style={"contrast": 0.5})
    assert (config.mortality, config.case_mix, config.image_style) == (0.3, {"age": -1}, {"contrast": 0.5})
    with pytest.raises(ValidationError, match="unknown state 'sverity'; did you mean 'severity'"):
        SyntheticConfig(case_mix={"sverity": 1})
    with pytest.raises(ValidationError, match="unknown part 'contrst'; did you mean 'contrast'"):
        SyntheticConfig(image_style={"contrst": 1})
    with pytest.raises(ValidationError, match="where influence is planted, so shifts mean nothing"):
        SyntheticConfig(influence={"image": 1.0}, case_mix={"age": 1})


def test_influence_is_checked() -> None:
    assert SyntheticConfig(influence={"image": 1.0}).influence == {"image": 1.0}
    with pytest.raises(ValidationError, match="unknown modality 'imag'; did you mean 'image'"):
        SyntheticConfig(influence={"imag": 1.0})
    assert SyntheticConfig(influence={"image": 0.5}, redundancy=0.2, synergy=0.3).synergy == 0.3
    with pytest.raises(ValidationError, match=r"redundancy and synergy among them, add up to 1\.5"):
        SyntheticConfig(influence={"image": 1.0}, synergy=0.5)
