"""The numbers and words of vital signs, nursing entries and laboratory results, drawn from the latents they show."""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy.signal import lfilter

from picme_hospital.items import EYE, INTUBATED, MOTOR, POOLS, REFILL, VERBAL

RHYTHM = 25.0  # beats per minute that a planted sign of the rhythm adds or takes


def _wander(n: int, memory: float, rng: np.random.Generator) -> np.ndarray:
    """Draw standard-normal noise with first-order autocorrelation `memory`, (n,)."""
    return np.asarray(lfilter([np.sqrt(1 - memory**2)], [1.0, -memory], rng.normal(size=n)))


def signals(
    view: dict[str, np.ndarray], stay: np.ndarray, worse: np.ndarray, female: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draw every signal at T moments in the stays of n patients.

    Args:
        view: For each latent, (n,) the noisy value that vital signs and laboratory results show.
        stay: (T,) the index of the patient to whom each moment belongs.
        worse: (T,) the severity to add at each moment.
        female: (n,) bool, whether the patient is female.
        rng: The source of noise.

    Returns:
        For each signal's name, its values, (T,) float.
    """
    total, n = len(stay), len(female)
    z = {name: values[stay] for name, values in view.items()}
    severity = z["severity"] + worse + 0.35 * _wander(total, 0.9, rng)

    def level(mean: float | np.ndarray, habit: float, drift: float, memory: float = 0.7) -> np.ndarray:
        """Draw values around `mean`: each patient has a constant offset, and autocorrelated noise is added."""
        own = habit * rng.normal(size=n)
        return np.asarray(mean + own[stay] + drift * _wander(total, memory, rng))

    # A sign of the rhythm, where one is planted, makes the rate fast or slow throughout.
    rate = 86 + 8.0 * severity + 4.0 * z["infection"] + 2 * z["heart"] + RHYTHM * z["rhythm"]
    # Arteries stiffen with age, so the pulse pressure grows.
    mean = level(79 - 7.0 * severity, 3.0, 5.0)
    pulse = level(50 - 2.0 * z["heart"] + 7.0 * z["age"], 4.0, 5.0)
    height = np.where(female, 162.0, 176.0) + 6.5 * rng.normal(size=n)
    weight = (25 + 4.0 * view["metabolic"] + 3.0 * rng.normal(size=n)) * (height / 100) ** 2
    weight = np.clip(weight, 38, 220)
    celsius = level(36.95 + 0.42 * z["infection"], 0.15, 0.25, 0.9)
    coma = z["brain"] + worse + 0.5 * _wander(total, 0.95, rng)
    return {
        "severity": severity,
        "coma": coma,
        "heart_rate": np.clip(level(rate, 6, 6), 28, 215),
        "mean_pressure": np.clip(mean, 30, 150),
        "systolic": np.clip(mean + 0.66 * pulse, 48, 230),
        "diastolic": np.clip(mean - 0.34 * pulse, 22, 130),
        "respiratory_rate": np.clip(level(19.5 + 3.2 * z["lung"] + 1.2 * severity, 2.0, 3.0), 5, 55),
        "saturation": np.clip(level(96.6 - 1.5 * z["lung"], 0.7, 1.2), 70, 100),
        "celsius": np.clip(celsius, 33.2, 41.2),
        "fahrenheit": np.clip(celsius, 33.2, 41.2) * 1.8 + 32,
        "oxygen": np.clip(np.round(level(46 + 11.0 * z["lung"], 4, 5, 0.95) / 5) * 5, 25, 100),
        "glucose": np.clip(np.exp(level(4.93 + 0.22 * z["metabolic"], 0.1, 0.18)), 38, 700),
        "ph": np.clip(level(7.375 - 0.045 * severity - 0.02 * z["kidney"], 0.015, 0.025), 6.9, 7.62),
        "centimetres": height[stay],
        "inches": height[stay] / 2.54,
        "kilograms": weight[stay],
        "pounds": weight[stay] / 0.45359237,
        "creatinine": np.clip(np.exp(level(0.25 + 0.5 * z["kidney"], 0.15, 0.1, 0.95)), 0.3, 14),
        "bun": np.clip(np.exp(level(3.1 + 0.4 * z["kidney"], 0.2, 0.1, 0.95)), 4, 180),
        "sodium": level(138.5 - 1.0 * z["kidney"], 2.5, 1.5, 0.95),
        "potassium": np.clip(level(4.1 + 0.2 * z["kidney"], 0.2, 0.3), 2.4, 8),
        "chloride": level(103.0, 3, 2, 0.95),
        "bicarbonate": np.clip(level(24 - 1.8 * severity - 0.8 * z["kidney"], 1.5, 1.5, 0.95), 6, 45),
        "anion_gap": np.clip(level(14 + 1.5 * severity, 1.5, 1.5), 4, 40),
        "magnesium": np.clip(level(2.0, 0.15, 0.2), 1, 4),
        "hemoglobin": np.clip(level(10.6 - 0.5 * z["liver"], 1.2, 0.5, 0.95), 5, 17),
        "hematocrit": np.clip(level(32.0 - 1.5 * z["liver"], 3.5, 1.5, 0.95), 16, 52),
        "white_cells": np.clip(np.exp(level(2.35 + 0.32 * z["infection"], 0.2, 0.15, 0.95)), 0.3, 90),
        "platelets": np.clip(np.exp(level(5.25 - 0.3 * z["liver"], 0.25, 0.1, 0.95)), 8, 900),
        "rdw": np.clip(level(14.8 + 0.5 * z["liver"], 1, 0.2, 0.95), 11, 28),
        "inr": np.clip(np.exp(level(0.25 + 0.2 * z["liver"], 0.1, 0.08, 0.9)), 0.9, 9),
        "alt": np.clip(np.exp(level(3.5 + 0.5 * z["liver"], 0.5, 0.2, 0.95)), 5, 6000),
        "bilirubin": np.clip(np.exp(level(-0.1 + 0.7 * z["liver"], 0.3, 0.1, 0.95)), 0.1, 45),
        "albumin": np.clip(level(3.1 - 0.25 * z["liver"], 0.3, 0.15, 0.95), 1.2, 5),
        "troponin": np.clip(np.exp(level(-3.4 + 0.8 * z["heart"], 0.5, 0.3, 0.9)), 0.01, 20),
        "lactate": np.clip(np.exp(level(0.6 + 0.35 * severity, 0.15, 0.2, 0.9)), 0.4, 20),
        "pco2": np.clip(level(41 + 2.0 * z["lung"], 3, 4), 18, 110),
        "urine_glucose": np.clip(np.exp(level(4 + 0.8 * z["metabolic"], 0.5, 0.5)), 10, 1000),
        "urine_ph": np.clip(np.round(level(6.0, 0.4, 0.4) * 2) / 2, 5, 9),
        "urine": np.clip(np.round(np.exp(level(4.8 - 0.35 * z["kidney"], 0.2, 0.5, 0.5)) / 5) * 5, 0, 1500),
        "alarm_high": level(130.0, 3, 3),
        "alarm_low": level(50.0, 2, 2),
        "peep": np.clip(np.round(level(6.5 + 1.2 * z["lung"], 0.5, 0.8, 0.95)), 5, 20),
        "tidal": level(430.0, 30, 40),
    }


def texts_of(numbers: dict[str, np.ndarray], intubated: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw the charted words at T moments.

    Args:
        numbers: The signals at the T moments, see `signals`.
        intubated: (T,) bool, whether the patient is intubated.
        rng: The source of noise.

    Returns:
        For each text's name, its words, (T,) object. The names `eye_score`, `verbal_score` and `motor_score` hold the
        scores of the Glasgow Coma Scale, (T,) int.
    """
    coma, total = numbers["coma"], len(numbers["coma"])

    def score(cuts: tuple[float, ...], top: int) -> np.ndarray:
        return np.asarray(top - np.digitize(coma + 0.25 * rng.normal(size=total), cuts))

    eye, motor, verbal = score((0.5, 1.1, 1.7), 4), score((0.8, 1.2, 1.6, 2.2, 2.7), 6), score((0.1, 0.8, 1.3, 1.8), 5)
    verbal = np.where(intubated, 1, verbal)

    def words(names: dict[int, str], scores: np.ndarray) -> np.ndarray:
        table = np.array([names.get(i, "") for i in range(max(names) + 1)], dtype=object)
        return np.asarray(table[scores])

    said = words(VERBAL, verbal)
    said[intubated] = INTUBATED
    slow = numbers["severity"] + 0.6 * rng.normal(size=total) > 1.3
    poor = numbers["respiratory_rate"] > 23
    texts = {
        "eye": words(EYE, eye),
        "verbal": said,
        "motor": words(MOTOR, motor),
        "eye_score": eye,
        "verbal_score": verbal,
        "motor_score": motor,
        "refill": np.where(slow, REFILL[1], REFILL[0]).astype(object),
        "rhythm": np.where(numbers["heart_rate"] > 100, "ST (Sinus Tachycardia)", "SR (Sinus Rhythm)").astype(object),
        "sounds": np.where(poor, "Crackles", "Clear").astype(object),
        "device": np.where(intubated, "Endotracheal tube", np.where(poor, "High flow nasal cannula", "Nasal cannula")),
        "rass": np.array([" 0  Alert and calm", "-1  Awakens to voice", "-4  Deep sedation"], dtype=object)[
            np.digitize(coma, (0.7, 1.6))
        ],
    }
    for name, pool in POOLS.items():
        texts[name] = np.array(pool, dtype=object)[rng.integers(0, len(pool), total)]
    return texts


def number(values: np.ndarray, decimals: int) -> pl.Series:
    """Write numbers as MIMIC does: without a decimal point if none is needed (`86`, `36.8`)."""
    if decimals == 0:
        return pl.Series(np.round(values).astype("int64")).cast(pl.String)
    return pl.Series(np.round(values, decimals)).cast(pl.String).str.strip_suffix(".0")
