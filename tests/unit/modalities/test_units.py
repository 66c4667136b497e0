from __future__ import annotations

import numpy as np
import pytest

from picme.modalities.units import FEW, distribution, other_units


def said(old: np.ndarray, new: np.ndarray) -> str | None:
    return other_units(distribution(old), float(old.std()) if len(old) else 1.0, distribution(new))


def draws(mean: float, spread: float, number: int, seed: int) -> np.ndarray:
    """Positive values with a median and a deviation of logarithms, as laboratory values have them."""
    return np.exp(np.random.default_rng(seed).normal(np.log(mean), spread, number))


CASES = {
    "glucose": (125, 0.35, 18.0),
    "creatinine": (1.1, 0.6, 88.4),
    "weight in grams": (80, 0.25, 1000.0),
    "age in days": (60, 0.3, 365.25),
    "height": (170, 0.06, 2.54),
    "weight in pounds": (80, 0.25, 2.20462),
}


@pytest.mark.parametrize("number", [3, 30, 300])
@pytest.mark.parametrize("name", CASES)
def test_known_conversions_are_named(name: str, number: int) -> None:
    median, spread, factor = CASES[name]
    if number < FEW and factor < 3:
        pytest.skip("a few values in such units lie among the others")
    old, new = draws(median, spread, 400, 1), draws(median, spread, number, 2)
    assert said(old, new) is None
    for converted in (new * factor, new / factor):
        sentence = said(old, converted)
        assert sentence is not None
        assert f"factor {factor:g}:" in sentence


def test_degrees_are_named() -> None:
    generator = np.random.default_rng(0)
    celsius = generator.normal(37, 0.8, 400)
    new = generator.normal(37.2, 0.9, 50)
    assert said(celsius, new) is None
    assert "°F and °C" in str(said(celsius, 1.8 * new + 32))
    assert "°C and °F" in str(said(1.8 * celsius + 32, new))
    assert "°F and °C" in str(said(celsius, 1.8 * new[:2] + 32))


def test_another_population_is_no_other_unit() -> None:
    generator = np.random.default_rng(3)
    for shift in (0.7, 0.85, 1.2, 1.5):
        assert said(draws(1.1, 0.6, 400, 1), draws(1.1 * shift, 0.6, 200, 2)) is None
        assert said(generator.normal(60, 15, 400), generator.normal(60 * shift, 15, 200)) is None
    # Children beside adults, a single heavy patient, and a rare value many widths off.
    assert said(generator.normal(80, 18, 400), np.array([36.0])) is None
    assert said(draws(80, 0.25, 400, 1), np.array([150.0])) is None
    assert said(draws(1.1, 0.6, 400, 1), draws(2.8, 0.6, 25, 5)) is None
    assert said(np.zeros(50), np.zeros(30)) is None
    assert said(np.empty(0), np.ones(30)) is None


def test_what_no_factor_explains_is_still_far() -> None:
    beats = np.random.default_rng(1).normal(85, 12, 400)
    assert "standard deviation" in str(said(beats, beats[:100] / 60))
    assert said(np.ones(50), np.ones(30)) is None
    assert "standard deviation" in str(said(np.random.default_rng(0).normal(0, 1, 100), np.full(30, 50.0)))
