"""Quantities that the columns of a cohort measure, with their units, by which those of two hospitals are compared."""

from __future__ import annotations

import re
from typing import NamedTuple

from picme.errors import DataError

SYNONYMS: dict[str, tuple[str, ...]] = {
    "heart rate": ("hr", "pulse"),
    "systolic blood pressure": ("sysabp", "sbp", "systolic bp", "arterial systolic blood pressure"),
    "diastolic blood pressure": ("diasabp", "dbp", "diastolic bp", "arterial diastolic blood pressure"),
    "mean blood pressure": ("map", "mbp", "mean arterial pressure", "mean bp"),
    "respiratory rate": ("resprate", "rr", "respiration rate"),
    "temperature": ("temp", "body temperature"),
    "oxygen saturation": ("sao2", "spo2", "o2 saturation"),
    "fraction inspired oxygen": ("fio2", "inspired oxygen fraction"),
    "gcs total": ("gcs", "glasgow coma scale", "glasgow coma scale total"),
    "ph": ("arterial ph", "blood ph"),
    "glucose": ("blood glucose",),
    "weight": ("body weight",),
    "height": ("body height",),
    "urine": ("urine output",),
    "creatinine": ("serum creatinine",),
    "bicarbonate": ("hco3",),
    "sodium": ("na",),
    "potassium": ("k",),
    "magnesium": ("mg",),
    "hematocrit": ("hct", "haematocrit"),
    "white blood cells": ("wbc", "white cell count", "leukocytes"),
    "blood urea nitrogen": ("bun", "urea nitrogen"),
    "hemoglobin": ("hgb", "hb", "haemoglobin"),
    "bilirubin": ("total bilirubin", "bilirubin total"),
    "partial pressure of carbon dioxide": ("paco2", "pco2"),
    "partial pressure of oxygen": ("pao2", "po2"),
    "alkaline phosphatase": ("alp",),
    "gender": ("sex",),
    "ethnicity": ("race",),
}
"""Other names of a quantity, in lower case; blood pressures measured by a cuff are quantities of their own."""

STANDARD = {
    "temperature": "°c",
    "weight": "kg",
    "height": "cm",
    "glucose": "mg/dl",
    "creatinine": "mg/dl",
    "blood urea nitrogen": "mg/dl",
    "bilirubin": "mg/dl",
    "lactate": "mmol/l",
    "sodium": "mmol/l",
    "potassium": "mmol/l",
    "bicarbonate": "mmol/l",
    "chloride": "mmol/l",
    "hemoglobin": "g/dl",
    "albumin": "g/dl",
    "fraction inspired oxygen": "1",
    "partial pressure of carbon dioxide": "mmhg",
    "partial pressure of oxygen": "mmhg",
    "age": "years",
}
"""The unit of a quantity in a column that names none: that of the built-in sources."""

CONVERSIONS: dict[tuple[str, str], tuple[float, float]] = {
    ("°f", "°c"): (1 / 1.8, -32 / 1.8),
    ("lb", "kg"): (0.45359237, 0.0),
    ("g", "kg"): (0.001, 0.0),
    ("in", "cm"): (2.54, 0.0),
    ("m", "cm"): (100.0, 0.0),
    ("%", "1"): (0.01, 0.0),
    ("kpa", "mmhg"): (7.50062, 0.0),
    ("g/l", "g/dl"): (0.1, 0.0),
    ("days", "years"): (1 / 365.25, 0.0),
    ("months", "years"): (1 / 12, 0.0),
}
"""Scale and shift from one unit to another, of whatever quantity."""
MOLAR: dict[tuple[str, str, str], float] = {
    ("glucose", "mmol/l", "mg/dl"): 18.016,
    ("creatinine", "µmol/l", "mg/dl"): 1 / 88.42,
    ("blood urea nitrogen", "mmol/l", "mg/dl"): 2.8013,
    ("bilirubin", "µmol/l", "mg/dl"): 1 / 17.104,
    ("lactate", "mg/dl", "mmol/l"): 1 / 9.008,
    ("hemoglobin", "mmol/l", "g/dl"): 1.6114,
    **{(name, "meq/l", "mmol/l"): 1.0 for name in ("sodium", "potassium", "bicarbonate", "chloride")},
}
"""Factors from one unit to another that depend on the molar mass of the quantity, or on its charge."""
SPELT = {
    "f": "°f", "c": "°c", "degf": "°f", "degc": "°c", "lbs": "lb", "inch": "in", "inches": "in", "percent": "%",
    "fraction": "1", "y": "years", "year": "years", "umol/l": "µmol/l", "μmol/l": "µmol/l",
}  # fmt: skip
"""Other spellings of units."""

_KNOWN = {other: name for name, others in SYNONYMS.items() for other in (name, *others)}
_PLAIN = {re.sub(r"[^a-z0-9]", "", name): quantity for name, quantity in _KNOWN.items()}
_UNIT = re.compile(r"^(.*?)\s*[\(\[]([^()\[\]]+)[\)\]]\s*$")
_LOG = "log "


class Quantity(NamedTuple):
    """The quantity that a column measures.

    Attributes:
        name: the quantity, the same for all its synonyms.
        unit: the unit in lower case; empty where neither the column nor `STANDARD` says it.
        log: whether the column holds the logarithm of the value.
    """

    name: str
    unit: str
    log: bool


def quantity(column: str) -> Quantity:
    """Return what a column measures by its name, such as `Temperature (°F)`, `log Creatinine` or `HR`."""
    log = column.startswith(_LOG)
    plain, written = _parts(column)
    name = _PLAIN.get(plain, plain)
    unit = written.strip().lower()
    return Quantity(name, SPELT.get(unit, unit) or STANDARD.get(name, ""), log)


def plain_name(column: str) -> str:
    """Return a column's name without case, punctuation, unit in brackets and the word `log`; synonyms stay apart."""
    return _parts(column)[0]


def _parts(column: str) -> tuple[str, str]:
    """Return the plain name of a column, and the unit as it is written in brackets."""
    text = column.removeprefix(_LOG)
    found = _UNIT.match(text)
    text, written = (found[1], found[2]) if found else (text, "")
    return re.sub(r"[^a-z0-9]", "", text.lower()) or text, written


def conversion(given: Quantity, wanted: Quantity, column: str) -> tuple[float, float]:
    """Return scale and shift from the unit of a given column to that of the wanted one.

    Raises:
        DataError: if the units differ and no conversion between them is known.
    """
    if given.unit == wanted.unit or not given.unit or not wanted.unit:
        return 1.0, 0.0
    pair = (given.unit, wanted.unit)
    if pair in CONVERSIONS:
        return CONVERSIONS[pair]
    if pair[::-1] in CONVERSIONS:
        scale, shift = CONVERSIONS[pair[::-1]]
        return 1 / scale, -shift / scale
    for one, invert in ((pair, False), (pair[::-1], True)):
        factor = MOLAR.get((given.name, *one))
        if factor is not None:
            return (1 / factor if invert else factor), 0.0
    raise DataError(
        f"column {column!r} is in {given.unit}, the model's in {wanted.unit}, and no conversion between them is known"
    )
