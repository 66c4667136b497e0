"""Two synthetic hospitals can differ in who is there, how many die, and how films look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from written import digest

from picme_hospital import ArgumentError, CaseMix, ImageStyle, write_hospital
from picme_hospital.latent import VISIBILITY, draw
from picme_hospital.patients import admit

if TYPE_CHECKING:
    from pathlib import Path


def test_a_shift_is_seen_in_every_view_and_in_nothing_else() -> None:
    usual, other = admit(5000, seed=1), admit(5000, seed=1, case_mix=CaseMix({"severity": 0.8, "age": -1.0}))
    for modality, shown in VISIBILITY.items():
        for name, noise in shown.items():
            moved = other.latent.views[modality][name].mean() - usual.latent.views[modality][name].mean()
            expected = {"severity": 0.8, "age": -1.0}.get(name, 0.0) / np.sqrt(1 + noise**2)
            assert moved == pytest.approx(expected, abs=0.06), (modality, name)
    assert other.anchor_age.mean() == pytest.approx(usual.anchor_age.mean() - 15.5, abs=1.5)
    assert other.latent.died.mean() == pytest.approx(usual.latent.died.mean(), abs=0.03), "the rate is set by itself"


def test_mortality_is_the_share_that_dies_by_the_same_signs() -> None:
    subject, period = np.arange(8000), np.zeros(8000, dtype=int)
    usual, other = (draw(subject, period, 2, None, CaseMix(mortality=rate)) for rate in (0.2, 0.5))
    assert usual.died.mean() == pytest.approx(0.2, abs=0.02)
    assert other.died.mean() == pytest.approx(0.5, abs=0.02)
    odds = [np.log(one.risk / (1 - one.risk)) for one in (usual, other)]
    assert np.ptp(odds[1] - odds[0]) < 1e-6, "the logit is shifted and nothing else"


def test_the_usual_hospital_is_written_as_before_and_style_changes_films_alone(tmp_path: Path) -> None:
    small = {"stays": 20, "seed": 1, "image_size": (64, 64)}
    usual = digest(write_hospital(tmp_path / "usual", **small))  # type: ignore[arg-type]
    spelt = write_hospital(tmp_path / "spelt", **small, case_mix=CaseMix(), style=ImageStyle())  # type: ignore[arg-type]
    assert digest(spelt).keys() == usual.keys()
    dim = write_hospital(tmp_path / "dim", **small, style=ImageStyle(-0.1, 0.5, 3.0))  # type: ignore[arg-type]
    changed = {name for name, found in digest(dim).items() if usual[name] != found}
    assert changed and all(name.endswith(".jpg") for name in changed)

    def films(folder: Path) -> np.ndarray:
        pictures = []
        for path in sorted(folder.rglob("*.jpg")):
            try:
                pictures.append(np.asarray(Image.open(path), dtype=float))
            except OSError:  # one in a thousand is damaged on purpose
                continue
        return np.stack(pictures)

    before, after = films(tmp_path / "usual"), films(tmp_path / "dim")
    assert after.mean() < before.mean() - 10
    smooth = [each[:, ::8, ::8].std() for each in (before, after)]
    assert smooth[1] < 0.75 * smooth[0]


@pytest.mark.parametrize(
    ("case_mix", "style", "message"),
    [
        (CaseMix({"hart": 1.0}), None, "case mix: unknown state 'hart'; did you mean 'heart'"),
        (CaseMix({"heart": float("nan")}), None, "the shift of 'heart' is nan: it must be between -3 and 3"),
        (CaseMix(mortality=0.0), None, "mortality is 0.0: it must be between 0.01 and 0.99"),
        (None, ImageStyle(contrast=9.0), "image style: contrast is 9.0: it must be between 0.1 and 3"),
    ],
)
def test_impossible_differences(
    tmp_path: Path, case_mix: CaseMix | None, style: ImageStyle | None, message: str
) -> None:
    with pytest.raises(ArgumentError, match=f"^synthetic hospital, .*{message}"):
        write_hospital(tmp_path / "x", 20, case_mix=case_mix, style=style)
    assert not (tmp_path / "x").exists()
